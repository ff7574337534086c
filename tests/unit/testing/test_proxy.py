"""The fault proxy in front of plain sockets and of a gRPC server."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from headrace.errors import ConfigError
from headrace.testing import ConnectionFaults, FaultProxy

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    own = {asyncio.current_task()}
    deadline = time.monotonic() + 5  # gRPC's server hears of a reset when its thread gets a turn
    while (left := asyncio.all_tasks() - before - own) and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    assert not left


@contextlib.asynccontextmanager
async def serving(
    handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """Serve connections with a coroutine; yields the address."""
    tasks = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        try:
            with contextlib.suppress(ConnectionError):
                await handler(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            tasks.discard(asyncio.current_task())

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    for task in list(tasks):
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


@pytest.fixture
async def echo_server() -> AsyncIterator[str]:
    async with serving(echo) as address:
        yield address


@contextlib.asynccontextmanager
async def connected(address: str) -> AsyncIterator[Stream]:
    if address.startswith("unix:"):
        reader, writer = await asyncio.open_unix_connection(address.removeprefix("unix:"))
    else:
        host, port = address.removeprefix("http://").rsplit(":", 1)
        reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_bytes_pass_both_ways_and_are_counted(echo_server: str) -> None:
    payload = bytes(range(256)) * 4096
    async with FaultProxy(echo_server) as proxy:
        async with connected(proxy.address) as (reader, writer):
            writer.write(payload)
            assert await reader.readexactly(len(payload)) == payload
            assert (proxy.stats.connections, proxy.stats.open) == (1, 1)
            writer.write_eof()
            assert await reader.read() == b""
        await proxy.until(lambda stats: stats.open == 0)
        assert (proxy.stats.bytes_to_server, proxy.stats.bytes_to_client) == (len(payload), len(payload))
        assert proxy.stats.resets == 0


async def test_the_end_of_one_direction_leaves_the_other_open() -> None:
    async def answer_at_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.read()
        writer.write(data.upper())
        await writer.drain()

    async with (
        serving(answer_at_the_end) as address,
        FaultProxy(address) as proxy,
        connected(proxy.address) as (reader, writer),
    ):
        writer.write(b"question")
        writer.write_eof()
        assert await reader.read() == b"QUESTION"


async def test_it_stands_on_a_socket_file_too(tmp_path: Path, echo_server: str) -> None:
    inner, outer = f"unix:{tmp_path / 'inner'}", f"unix:{tmp_path / 'outer'}"
    async with FaultProxy(echo_server, listen=inner) as first, FaultProxy(first.address, listen=outer) as second:
        assert second.address == outer
        async with connected(second.address) as (reader, writer):
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            second.reset()
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
    assert not list(tmp_path.iterdir())


async def test_latency_holds_every_piece_back(echo_server: str) -> None:
    async with (
        FaultProxy(echo_server, ConnectionFaults(latency=0.05)) as proxy,
        connected(proxy.address) as (reader, writer),
    ):
        started = time.monotonic()
        writer.write(b"ping")
        await reader.readexactly(4)
        assert 0.1 <= time.monotonic() - started < 5.0


async def test_jitter_is_repeatable_and_keeps_the_order() -> None:
    async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(20))
        await writer.drain()

    async with (
        serving(collect) as address,
        FaultProxy(address, ConnectionFaults(jitter=0.01), seed=1) as proxy,
        connected(proxy.address) as (reader, writer),
    ):
        for number in range(20):
            writer.write(bytes([number]))
            await writer.drain()
            await proxy.until(lambda stats, n=number: stats.bytes_to_server > n)  # type: ignore[misc]
        assert await reader.readexactly(20) == bytes(range(20))


async def test_bandwidth_is_limited(echo_server: str) -> None:
    async with (
        FaultProxy(echo_server, ConnectionFaults(bandwidth=100_000)) as proxy,
        connected(proxy.address) as (reader, writer),
    ):
        started = time.monotonic()
        writer.write(b"x" * 20_000)
        await reader.readexactly(20_000)
        assert 0.2 <= time.monotonic() - started < 5.0


async def test_bytes_are_sliced() -> None:
    sizes: list[int] = []

    async def measure(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            sizes.append(len(data))
            writer.write(data)

    async with (
        serving(measure) as address,
        FaultProxy(address, ConnectionFaults(slice_bytes=10)) as proxy,
        connected(proxy.address) as (reader, writer),
    ):
        writer.write(b"x" * 1000)
        await reader.readexactly(1000)
    assert sum(sizes) == 1000
    assert len(sizes) > 20


async def test_all_connections_are_reset_on_request(echo_server: str) -> None:
    async with FaultProxy(echo_server) as proxy:
        async with connected(proxy.address) as (reader, writer), connected(proxy.address) as (other, _):
            writer.write(b"hello")
            await reader.readexactly(5)
            await proxy.until(lambda stats: stats.open == 2)
            proxy.reset()
            with pytest.raises(ConnectionResetError):
                await reader.read()
            with pytest.raises(ConnectionResetError):
                await other.read()
            await proxy.until(lambda stats: stats.open == 0)
            assert proxy.stats.resets == 2
        async with connected(proxy.address) as (reader, writer):
            writer.write(b"again")
            assert await reader.readexactly(5) == b"again"


async def test_all_connections_are_closed_in_order_on_request(echo_server: str) -> None:
    async with FaultProxy(echo_server) as proxy, connected(proxy.address) as (reader, writer):
        writer.write(b"hello")
        await reader.readexactly(5)
        proxy.drop()
        assert await reader.read() == b""
        await proxy.until(lambda stats: stats.open == 0)
        assert proxy.stats.resets == 0


@pytest.mark.parametrize("limit", [0, 1, 1000])
async def test_a_connection_is_reset_after_so_many_bytes(echo_server: str, limit: int) -> None:
    async with FaultProxy(echo_server, ConnectionFaults(reset_after_bytes=limit)) as proxy:
        async with connected(proxy.address) as (reader, writer):
            writer.write(b"x" * 5000)
            received = b""
            with pytest.raises(ConnectionResetError):
                while True:
                    received += await reader.readexactly(1)
            assert len(received) == limit
        await proxy.until(lambda stats: stats.open == 0)
        assert proxy.stats.bytes_to_client == limit
        assert proxy.stats.resets == 1


async def test_the_bytes_to_the_server_can_be_the_ones_that_count() -> None:
    received = b""
    ended = asyncio.Event()

    async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        try:
            while True:
                received += await reader.readexactly(1)
        finally:
            ended.set()

    faults = ConnectionFaults(reset_after_bytes=100, direction="to_server")
    async with (
        serving(collect) as address,
        FaultProxy(address, faults) as proxy,
        connected(proxy.address) as (_, writer),
    ):
        writer.write(b"x" * 5000)
        await ended.wait()
    assert len(received) == 100


async def test_a_half_open_connection_passes_one_direction_only() -> None:
    received = bytearray()

    async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            received.extend(data)
            writer.write(data)

    faults = ConnectionFaults(half_open_after_bytes=10)
    async with (
        serving(collect) as address,
        FaultProxy(address, faults) as proxy,
        connected(proxy.address) as (reader, writer),
    ):
        writer.write(b"x" * 100)
        assert await reader.readexactly(10) == b"x" * 10
        await proxy.until(lambda stats: stats.bytes_to_server == 100)
        reading = asyncio.create_task(reader.readexactly(90))
        writer.write(b"y")
        await proxy.until(lambda stats: stats.bytes_to_server == 101)
        assert not reading.done()
        assert proxy.stats.bytes_to_client == 10
        proxy.faults = ConnectionFaults()  # it heals
        assert await reading == b"x" * 90


async def test_a_blackhole_accepts_and_passes_nothing_until_it_ends(echo_server: str) -> None:
    async with (
        FaultProxy(echo_server, ConnectionFaults(blackhole=True)) as proxy,
        connected(proxy.address) as (reader, writer),
    ):
        writer.write(b"hello")
        await proxy.until(lambda stats: stats.open == 1)
        assert proxy.stats.bytes_to_server == 0
        proxy.faults = ConnectionFaults()
        assert await reader.readexactly(5) == b"hello"
        with proxy.applying(blackhole=True):
            writer.write(b"again")
            reading = asyncio.create_task(reader.readexactly(5))
            async with connected(proxy.address):
                await proxy.until(lambda stats: stats.open == 2)
            assert not reading.done()
        assert proxy.faults == ConnectionFaults()
        assert await reading == b"again"


async def test_a_blackhole_does_not_keep_the_proxy_from_ending(echo_server: str) -> None:
    async with (
        FaultProxy(echo_server, ConnectionFaults(blackhole=True)) as proxy,
        connected(proxy.address) as (reader, writer),
    ):
        writer.write(b"hello")
        await proxy.until(lambda stats: stats.open == 1)
        await proxy.aclose()
        await proxy.aclose()
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""


async def test_connections_are_refused_and_accepted_again(echo_server: str) -> None:
    async with FaultProxy(echo_server) as proxy, connected(proxy.address) as (reader, writer):
        address = proxy.address
        async with proxy.refusing():
            with pytest.raises(ConnectionRefusedError):
                async with connected(proxy.address):
                    pass
            writer.write(b"still here")
            assert await reader.readexactly(10) == b"still here"
        assert proxy.address == address
        async with connected(proxy.address) as (reader, writer):
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"


async def test_a_connection_that_comes_as_it_stops_is_refused_or_ended(echo_server: str) -> None:
    loop = asyncio.get_running_loop()
    failures: list[dict[str, Any]] = []  # which would keep the connection alive
    loop.set_exception_handler(lambda _, context: failures.append(context))
    async with FaultProxy(echo_server) as proxy:
        await asyncio.sleep(0)  # the proxy waits for a connection now
        host, _, port = proxy.address.removeprefix("http://").rpartition(":")
        with socket.create_connection((host, int(port))) as client:
            client.setblocking(False)
            await asyncio.sleep(0)  # in this turn the loop sees the connection, after this test
            await proxy.refuse()
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.wait_for(loop.sock_recv(client, 1), 10) == b""
        assert (proxy.stats.connections, failures) == (0, [])


async def test_it_refuses_after_so_many_connections(echo_server: str) -> None:
    async with FaultProxy(echo_server, ConnectionFaults(max_connections=2)) as proxy:
        for _ in range(2):
            async with connected(proxy.address) as (reader, writer):
                writer.write(b"hello")
                assert await reader.readexactly(5) == b"hello"
        with pytest.raises(ConnectionRefusedError):
            async with connected(proxy.address):
                pass
        await proxy.accept()
        async with connected(proxy.address):
            await proxy.until(lambda stats: stats.connections == 3)


async def test_a_server_that_is_down_resets_the_client(echo_server: str) -> None:
    async with FaultProxy(echo_server) as gone:
        address = gone.address
    async with FaultProxy(address) as proxy, connected(proxy.address) as (reader, _):
        with pytest.raises(ConnectionResetError):
            await reader.read()


async def test_a_script_has_faults_for_each_connection(echo_server: str) -> None:
    async with FaultProxy(echo_server, script=[ConnectionFaults(reset_after_bytes=3)]) as proxy:
        async with connected(proxy.address) as (reader, writer):
            writer.write(b"hello")
            with pytest.raises(ConnectionResetError):
                await reader.readexactly(5)
        async with connected(proxy.address) as (reader, writer):
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"


async def test_setting_the_faults_ends_the_script(echo_server: str) -> None:
    async with FaultProxy(echo_server, script=[ConnectionFaults(reset_after_bytes=3)]) as proxy:
        proxy.faults = ConnectionFaults()
        async with connected(proxy.address) as (reader, writer):
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"


async def test_a_fault_at_a_message_says_when_it_can_not_strike(
    echo_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        FaultProxy(echo_server, ConnectionFaults(reset_at_message=1)) as proxy,
        connected(proxy.address) as (reader, writer),
    ):
        for _ in range(2):
            writer.write(b"no HTTP/2 here")
            assert await reader.readexactly(14) == b"no HTTP/2 here"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "plain HTTP/2" in caplog.text


async def test_the_address_follows_the_target_and_is_there_once_started() -> None:
    with pytest.raises(RuntimeError, match="before it is started"):
        FaultProxy("127.0.0.1:1").address  # noqa: B018
    async with FaultProxy("https://example.invalid:443") as proxy:
        assert proxy.address.startswith("https://127.0.0.1:")
        assert "example.invalid" in repr(proxy)
    with pytest.raises(ConfigError, match="listen"):
        FaultProxy("127.0.0.1:1", listen="nowhere")


async def test_a_connection_that_ends_before_it_began_is_closed(echo_server: str) -> None:
    near, far = socket.socketpair()
    async with FaultProxy(echo_server) as proxy:
        proxy._add(far)
        proxy.reset()
        await proxy.until(lambda stats: stats.open == 0)
    near.close()
    assert far.fileno() == -1


# -- gRPC through it


class Doubling(grpc.GenericRpcHandler):
    """A stream that answers every message with the same one twice over."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        async def double(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            async for request in requests:
                yield request * 2

        return grpc.stream_stream_rpc_method_handler(double)


@pytest.fixture
async def grpc_server() -> AsyncIterator[str]:
    server = aio.server()
    server.add_generic_rpc_handlers((Doubling(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(0)
    await server.wait_for_termination()


@contextlib.asynccontextmanager
async def channel_to(proxy: FaultProxy) -> AsyncIterator[aio.Channel]:
    # Equal channels would share a connection that an earlier test has broken.
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    async with aio.insecure_channel(proxy.address.removeprefix("http://"), options) as channel:
        yield channel


@pytest.mark.parametrize("size", [0, 10, 100_000])
async def test_a_reset_at_an_answer_lets_exactly_the_earlier_ones_through(grpc_server: str, size: int) -> None:
    async with FaultProxy(grpc_server, ConnectionFaults(reset_at_message=4)) as proxy, channel_to(proxy) as channel:
        call: Any = channel.stream_stream("/test.T/Double")()
        answers = 0
        with pytest.raises(aio.AioRpcError) as caught:
            for _ in range(10):
                await call.write(b"x" * size)
                assert await call.read() == b"x" * 2 * size
                answers += 1
        assert answers == 3
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert proxy.stats.messages_to_client == 3
        assert proxy.stats.messages_to_server == 4


async def test_a_reset_at_a_request_lets_exactly_the_earlier_ones_through(grpc_server: str) -> None:
    faults = ConnectionFaults(reset_at_message=3, direction="to_server", slice_bytes=1)
    async with FaultProxy(grpc_server, faults) as proxy, channel_to(proxy) as channel:
        call: Any = channel.stream_stream("/test.T/Double")()
        answers = 0
        with pytest.raises(aio.AioRpcError):
            for _ in range(10):
                await call.write(b"abc")
                assert await call.read() == b"abcabc"
                answers += 1
        assert (answers, proxy.stats.messages_to_server, proxy.stats.resets) == (2, 2, 1)


async def test_grpc_works_through_slices_and_latency(grpc_server: str) -> None:
    faults = ConnectionFaults(latency=0.002, jitter=0.002, slice_bytes=7)
    async with FaultProxy(grpc_server, faults) as proxy, channel_to(proxy) as channel:
        call: Any = channel.stream_stream("/test.T/Double")()
        for number in range(5):
            await call.write(str(number).encode())
            assert await call.read() == str(number).encode() * 2
        await call.done_writing()
        assert await call.read() is aio.EOF
        assert proxy.stats.messages_to_client == 5
