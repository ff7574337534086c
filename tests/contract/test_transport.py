"""The seam as tests: what `headrace.transport.base` promises, every transport keeps.

A transport joins by one more entry in `TRANSPORTS`: how to make one towards a server that serves the same handlers.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from headrace import errors
from headrace.config import Transmission
from headrace.target import Target
from headrace.testing import MemoryServer, ServerCall
from headrace.transport.base import Buffer, Call, Transport
from headrace.transport.grpc.client import GrpcTransport
from headrace.transport.h2.transport import H2Transport
from tests.support.bridge import GrpcServer

pytestmark = pytest.mark.core

ECHO, HANG, POUR, NOTHING, FAIL, META, LATE, ATTACH = (
    f"/test.T/{name}" for name in ("Echo", "Hang", "Pour", "Nothing", "Fail", "Meta", "Late", "Attach")
)
MiB = 1 << 20
TRANSPORTS = ("memory", "grpc socket file", "grpc port", "h2 socket file", "h2 port")


async def echo(call: ServerCall) -> None:
    while (message := await call.read()) is not None:
        await call.write(message)


async def hang(call: ServerCall) -> None:
    await call.read()
    await call.write(b"begun")
    await asyncio.Event().wait()


async def pour(call: ServerCall) -> None:
    count = int(await call.read() or b"0")
    for number in range(count):
        await call.write(b"%d" % number)


async def nothing(call: ServerCall) -> None:
    while await call.read() is not None:
        pass


async def fail(call: ServerCall) -> None:
    name = (await call.read() or b"").decode()
    await call.write(b"before")
    call.fail(name, "on purpose", retry_after=2.0)


async def attach(call: ServerCall) -> None:
    """Fail with details, as google.rpc.Status carries them: a message of its own kind, and a delay."""
    reason = b"\x0a\x0dtest.T/Reason\x12\x03why"
    delay = b"\x0a\x28type.googleapis.com/google.rpc.RetryInfo\x12\x0a\x0a\x08\x08\x02\x10\x80\xca\xb5\xee\x01"
    await call.read()
    whole = b"\x08\x0e\x12\x02no" + b"".join(b"\x1a" + bytes((len(one),)) + one for one in (reason, delay))
    call.fail("RESOURCE_EXHAUSTED", "no", status_details=whole)


async def meta(call: ServerCall) -> None:
    await call.read()
    await call.write(dict(call.metadata)["x-test"].encode())


async def late(call: ServerCall) -> None:
    """Answer after the client has said that no more comes."""
    messages = []
    while (message := await call.read()) is not None:
        messages.append(message)
    await call.write(b"".join(messages))


HANDLERS = {ECHO: echo, HANG: hang, POUR: pour, NOTHING: nothing, FAIL: fail, META: meta, LATE: late, ATTACH: attach}


@dataclass
class Pair:
    """A transport, its server, and what a server can do besides serving."""

    make: Callable[..., Transport]
    server: MemoryServer
    die: Callable[[], Awaitable[None]]
    revive: Callable[[], Awaitable[None]]
    go_away: Callable[[], Awaitable[None]]
    silent: Callable[[], contextlib.AbstractAsyncContextManager[Transport]]

    def __post_init__(self) -> None:
        self.transport = self.make()


@pytest.fixture(params=TRANSPORTS)
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pair]:
    server = MemoryServer(HANDLERS, keep=True)
    made: list[Transport] = []
    if request.param == "memory":

        def in_memory(**options: Any) -> Transport:
            made.append(server(Target.parse("http://localhost:1"), Transmission(**options)))
            return made[-1]

        async def kill() -> None:
            server.kill()

        async def restart() -> None:
            server.restart()

        async def drain() -> None:
            server.go_away()

        @contextlib.asynccontextmanager
        async def nobody() -> AsyncIterator[Transport]:
            with server.silent():
                yield in_memory()

        yield Pair(in_memory, server, kill, restart, drain, nobody)
    else:
        address = f"unix:{tmp_path}/s" if "file" in request.param else "127.0.0.1:0"
        bridge = GrpcServer(server, address)
        await bridge.start()

        factory = H2Transport if "h2" in request.param else GrpcTransport

        def on_wire(**options: Any) -> Transport:
            made.append(factory(Target.parse(bridge.address), Transmission(**options)))
            return made[-1]

        draining: list[asyncio.Task[None]] = []

        async def replace_server() -> None:
            draining.append(asyncio.ensure_future(bridge.stop(10)))  # it sends GOAWAY, and waits for its calls
            await asyncio.sleep(0.05)
            await bridge.start()

        @contextlib.asynccontextmanager
        async def silence() -> AsyncIterator[Transport]:
            with socket.create_server(("127.0.0.1", 0)) as listening:  # the system connects, and nobody accepts
                target = Target.parse(f"127.0.0.1:{listening.getsockname()[1]}")
                made.append(factory(target, Transmission()))
                yield made[-1]
                await made[-1].close(0)

        yield Pair(on_wire, server, bridge.stop, bridge.start, replace_server, silence)
        for transport in made:
            await transport.close(0)
        await bridge.stop()
        await asyncio.gather(*draining)
    for transport in made:
        await transport.close(0)


async def settled(waiting: asyncio.Task[Any]) -> None:
    """Let a task reach its wait."""
    for _ in range(5):
        await asyncio.sleep(0)


async def opened(pair: Pair, method: str, *messages: bytes) -> Call:
    call = pair.transport.open(method, ())
    for message in messages:
        await call.write([message])
    return call


# -- connecting


async def test_it_is_healthy_once_it_has_connected(pair: Pair) -> None:
    assert isinstance(pair.transport, Transport)
    assert not pair.transport.healthy
    await asyncio.gather(*(pair.transport.connect(5) for _ in range(3)))
    assert pair.transport.healthy
    assert pair.transport.max_streams is None
    await pair.transport.connect(5)


async def test_connecting_where_nobody_is_raises_and_the_slot_connects_again(pair: Pair) -> None:
    await pair.transport.connect(5)
    await pair.die()
    while pair.transport.healthy:
        await asyncio.sleep(0.001)
    with pytest.raises(errors.ConnectFailed, match=r"refused|No such file|reset|closed") as caught:
        await pair.transport.connect(5)
    assert not caught.value.unprocessed
    await pair.revive()
    async with asyncio.timeout(10):
        while not pair.transport.healthy:
            with contextlib.suppress(errors.ConnectFailed):
                await pair.transport.connect(5)
    assert await pair.transport.unary(ECHO, [b"again"], (), 5) == b"again"


# -- unary calls


@pytest.mark.parametrize("size", [0, 1, MiB - 1, MiB, 5 * MiB])
async def test_messages_of_any_size_arrive_whole(pair: Pair, size: int) -> None:
    message = bytes(size)
    parts: list[Buffer] = [message[: size // 2], bytearray(message[size // 2 :]), memoryview(b"")]
    assert await pair.transport.unary(ECHO, parts, (), 10) == message
    call = await opened(pair, ECHO, message)
    assert await call.read() == message
    call.cancel()
    only = pair.transport.open(ECHO, (), first=parts)
    assert await only.read() == message
    assert await only.read() is None


async def test_an_answer_over_the_limit_is_too_large(pair: Pair) -> None:
    small = pair.make(message_bytes=100)
    assert await small.unary(ECHO, [bytes(100)], (), 5) == bytes(100)
    with pytest.raises(errors.PayloadTooLarge):
        await small.unary(ECHO, [bytes(101)], (), 5)
    with pytest.raises(errors.PayloadTooLarge):
        await small.open(ECHO, (), first=[bytes(101)]).read()


async def test_metadata_goes_along_with_every_shape(pair: Pair) -> None:
    metadata = [("x-test", "value")]
    assert await pair.transport.unary(META, [b""], metadata, 5) == b"value"
    call = pair.transport.open(META, metadata, first=[b""])
    assert await call.read() == b"value"
    call.cancel()
    call = pair.transport.open(META, metadata)
    await call.write([b""])
    assert await call.read() == b"value"
    call.cancel()


async def test_a_unary_call_without_an_answer_is_an_error(pair: Pair) -> None:
    with pytest.raises(errors.ServerError):
        await pair.transport.unary(NOTHING, [b""], (), 5)
    with pytest.raises(errors.ServerError):
        await pair.transport.unary("/test.T/Unknown", [b""], (), 5)


async def test_many_calls_at_once_are_each_their_own(pair: Pair) -> None:
    answers = await asyncio.gather(*(pair.transport.unary(ECHO, [b"%d" % n], (), 10) for n in range(200)))
    assert answers == [b"%d" % n for n in range(200)]


# -- ends


async def test_what_is_attached_to_a_failure_comes_with_its_error(pair: Pair) -> None:
    with pytest.raises(errors.Throttled) as caught:
        await pair.transport.unary(ATTACH, [b""], (), 10)
    first, second = caught.value.status_details
    assert first == errors.StatusDetail("test.T/Reason", b"why")
    assert second.type_url == "type.googleapis.com/google.rpc.RetryInfo"
    assert caught.value.retry_after == 2.5  # which the second one says
    call = pair.transport.open(ATTACH, (), first=[b""])
    with pytest.raises(errors.Throttled) as caught:
        await call.read()
    assert len(caught.value.status_details) == 2


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("UNAVAILABLE", errors.ConnectionLost),
        ("UNAUTHENTICATED", errors.AuthError),
        ("RESOURCE_EXHAUSTED", errors.Throttled),
        ("INTERNAL", errors.PredictionFailed),
        ("NOT_FOUND", errors.NotFound),
    ],
)
async def test_a_failure_is_read_after_the_messages_before_it(pair: Pair, name: str, cls: type[Exception]) -> None:
    for first in (None, [name.encode()]):
        call = pair.transport.open(FAIL, (), first=first)
        if first is None:
            await call.write([name.encode()])
        assert await call.read() == b"before"
        with pytest.raises(cls, match="on purpose") as caught:
            await call.read()
        assert caught.value.retry_after == 2.0  # type: ignore[attr-defined]
        call.cancel()


@pytest.mark.parametrize("size", [100, MiB])
async def test_a_failure_is_the_servers_although_messages_are_on_their_way(pair: Pair, size: int) -> None:
    """Whatever becomes of a message that is being written when the server ends the call."""

    async def write(call: Call) -> None:
        with contextlib.suppress(errors.TransportError, errors.ServerError):
            await call.write([b"UNAUTHENTICATED"])
            for _ in range(200):
                await call.write([bytes(size)])

    for _ in range(10):
        call = pair.transport.open(FAIL, ())
        writing = asyncio.create_task(write(call))
        assert await call.read() == b"before"
        with pytest.raises(errors.AuthError, match="on purpose"):
            await call.read()
        await writing


async def test_half_closing_ends_one_direction_alone(pair: Pair) -> None:
    call = await opened(pair, LATE, b"a", b"b")
    await call.half_close()
    assert await call.read() == b"ab"
    assert await call.read() is None
    assert await call.read() is None
    await call.half_close()
    call.cancel()


@pytest.mark.parametrize("shape", ["unary", "stream", "first"])
async def test_a_timeout_ends_by_the_local_clock(pair: Pair, shape: str) -> None:
    await pair.transport.connect(5)
    with pytest.raises(errors.DeadlineExceeded):
        if shape == "unary":
            await pair.transport.unary(HANG, [b""], (), 0.2)
        else:
            call = pair.transport.open(HANG, (), timeout=0.2, first=[b""] if shape == "first" else None)
            if shape == "stream":
                await call.write([b""])
            assert await call.read() == b"begun"
            await call.read()


async def test_a_lost_connection_breaks_its_calls(pair: Pair) -> None:
    call = await opened(pair, HANG, b"")
    assert await call.read() == b"begun"
    reading = asyncio.ensure_future(call.read())
    await settled(reading)
    await pair.die()
    with pytest.raises(errors.TransportError) as caught:
        await reading
    assert not caught.value.unprocessed


# -- cancelling


async def test_a_call_that_is_cancelled_ends_for_its_reader_and_its_handler(pair: Pair) -> None:
    call = await opened(pair, HANG, b"")
    assert await call.read() == b"begun"
    reading = asyncio.ensure_future(call.read())
    await settled(reading)
    call.cancel()
    call.cancel()
    with pytest.raises(errors.ConnectionLost):
        await reading
    with pytest.raises(errors.ConnectionLost):
        await call.write([b"late"])
    await call.half_close()
    await pair.server.until(lambda: pair.server.calls[0].cancelled)


@pytest.mark.parametrize("where", ["opening", "reading", "writing", "unary"])
async def test_a_task_that_is_cancelled_is_cancelled(pair: Pair, where: str) -> None:
    await pair.transport.connect(5)
    call = pair.transport.open(HANG, ())

    async def fill() -> None:
        while True:
            await call.write([bytes(MiB)])

    work: Coroutine[Any, Any, object]
    if where == "unary":
        work = pair.transport.unary(HANG, [b""], (), None)
    elif where == "writing":
        await call.write([b""])
        assert await call.read() == b"begun"
        work = fill()
    else:
        if where == "reading":
            await call.write([b""])
            assert await call.read() == b"begun"
        work = call.read()
    task = asyncio.ensure_future(work)
    if where == "unary":
        await pair.server.until(lambda: any(c.received_messages for c in pair.server.calls))
    await settled(task)
    task.cancel("by a scope")  # anyio tells the cancellations of its scopes by their messages
    with pytest.raises(asyncio.CancelledError, match="by a scope"):
        await task
    call.cancel()
    assert await pair.transport.unary(ECHO, [b"fine"], (), 5) == b"fine"


async def test_what_arrived_before_the_cancel_may_be_handed_out_and_then_it_ends(pair: Pair) -> None:
    call = await opened(pair, HANG, b"")
    reading = asyncio.ensure_future(call.read())
    await settled(reading)
    call.cancel()
    with contextlib.suppress(errors.ConnectionLost):
        assert await reading == b"begun"
    with pytest.raises(errors.ConnectionLost):
        await call.read()


async def test_messages_that_have_arrived_are_read_without_waiting(pair: Pair) -> None:
    await pair.transport.connect(5)
    call = pair.transport.open(POUR, (), first=[b"500"])
    assert call.read_now() is None
    messages = [await call.read()]
    if not isinstance(pair.transport, GrpcTransport):  # which has none of its own
        async with asyncio.timeout(10):
            while (message := call.read_now()) is None:
                await asyncio.sleep(0)
            messages.append(message)
    while (message := call.read_now() or await call.read()) is not None:
        messages.append(message)
    assert messages == [b"%d" % n for n in range(500)]
    assert call.read_now() is None


@pytest.mark.parametrize("end", ["failure", "cancel"])
async def test_reading_without_waiting_does_not_tell_the_end(pair: Pair, end: str) -> None:
    await pair.transport.connect(5)
    call = pair.transport.open(FAIL if end == "failure" else HANG, (), first=[b"UNAUTHENTICATED"])
    assert await call.read() == (b"before" if end == "failure" else b"begun")
    if end == "cancel":
        call.cancel()
    for _ in range(3):
        await asyncio.sleep(0.01)
        assert call.read_now() is None
    with pytest.raises(errors.AuthError if end == "failure" else errors.ConnectionLost):
        await call.read()


async def test_reading_without_waiting_gives_the_servers_window_back(pair: Pair) -> None:
    """Many times the window passes, so the server has waited for each of them."""
    await pair.transport.connect(5)
    call, size = await opened(pair, ECHO), 64 * 1024
    sizes: list[int] = []

    async def write() -> None:
        for number in range(320):
            await call.write([bytes(size + number)])
        await call.half_close()

    writing = asyncio.create_task(write())
    async with asyncio.timeout(30):
        while (message := call.read_now() or await call.read()) is not None:
            sizes.append(len(message))
    await writing
    assert sizes == [size + number for number in range(320)]


async def test_a_message_over_the_limit_is_refused_by_the_read_that_waits(pair: Pair) -> None:
    small = pair.make(message_bytes=100)
    await small.connect(5)
    call = small.open(ECHO, (), first=[bytes(101)])
    for _ in range(3):
        await asyncio.sleep(0.01)
        assert call.read_now() is None
    with pytest.raises(errors.HeadraceError, match=r"larger|limit|101"):
        await call.read()


async def test_a_reader_needs_no_task(pair: Pair) -> None:
    messages: list[bytes] = []
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    async def read(call: Call) -> None:
        while (message := await call.read()) is not None:
            assert asyncio.current_task() is None
            messages.append(message)

    await pair.transport.connect(5)
    coroutine = read(pair.transport.open(POUR, (), first=[b"100"]))

    def step(_: object = None) -> None:
        try:
            future = coroutine.send(None)
        except StopIteration:
            done.set_result(None)
        except BaseException as error:
            done.set_exception(error)
        else:
            if future is None:
                loop.call_soon(step)
            else:
                future._asyncio_future_blocking = False
                future.add_done_callback(step)

    loop.call_soon(step)
    async with asyncio.timeout(10):
        await done
    assert messages == [b"%d" % n for n in range(100)]


# -- a server that goes away, and one that says nothing


async def test_a_call_that_runs_outlives_a_goaway_and_others_get_another_connection(pair: Pair) -> None:
    await pair.transport.connect(5)
    running = await opened(pair, ECHO, b"first")
    assert await running.read() == b"first"
    await pair.go_away()
    async with asyncio.timeout(10):
        while True:
            try:
                await pair.transport.connect(5)
                assert await pair.transport.unary(ECHO, [b"new"], (), 5) == b"new"
                break
            except errors.TransportError as error:
                if not error.unprocessed and not isinstance(error, errors.ConnectFailed):
                    raise
    await running.write([b"old"])
    assert await running.read() == b"old"
    await running.half_close()
    assert await running.read() is None
    assert len(pair.server.calls) == 2


@pytest.mark.parametrize("waits_in", ["connect", "unary", "read", "write"])
async def test_a_task_that_is_cancelled_while_nobody_answers_is_cancelled(pair: Pair, waits_in: str) -> None:
    async with pair.silent() as transport:
        call: Call | None = None
        work: Coroutine[Any, Any, object]
        if waits_in == "connect":
            work = transport.connect(60)
        elif waits_in == "unary":
            work = transport.unary(ECHO, [b"x"], (), None)
        else:
            call = transport.open(ECHO, ())
            work = call.read() if waits_in == "read" else call.write([bytes(MiB)])
        task = asyncio.ensure_future(work)
        await settled(task)
        if task.done():  # in memory who does not connect first learns at once that there is no connection
            assert isinstance(task.exception(), errors.TransportError)
            return
        task.cancel("by a scope")
        async with asyncio.timeout(5):
            with pytest.raises(asyncio.CancelledError, match="by a scope"):
                await task
        if call is not None:
            call.cancel()


# -- closing


async def test_closing_gives_calls_their_grace(pair: Pair) -> None:
    call = await opened(pair, LATE, b"x")
    await pair.server.until(lambda: pair.server.calls and pair.server.calls[0].received_messages)
    closing = asyncio.ensure_future(pair.transport.close(10))
    await settled(closing)
    await call.half_close()
    assert await call.read() == b"x"
    assert await call.read() is None
    async with asyncio.timeout(5):
        await closing


async def test_closing_without_grace_ends_what_runs(pair: Pair) -> None:
    call = await opened(pair, HANG, b"")
    assert await call.read() == b"begun"
    reading = asyncio.ensure_future(call.read())
    await settled(reading)
    await pair.transport.close(0)
    with pytest.raises(errors.ClosedError):
        await reading
    with pytest.raises(errors.ClosedError):
        pair.transport.open(ECHO, ())
    for attempt in (pair.transport.unary(ECHO, [b""], (), 5), pair.transport.connect(1)):
        with pytest.raises(errors.ClosedError):
            await attempt
    assert not pair.transport.healthy
    await pair.transport.close(0)


async def test_what_is_discarded_is_closed(pair: Pair) -> None:
    await pair.transport.connect(5)
    pair.transport.discard()
    pair.transport.discard()
    assert not pair.transport.healthy
    with pytest.raises(errors.ClosedError):
        await pair.transport.unary(ECHO, [b""], (), 5)
    await pair.transport.close(0)


# -- what only a scripted server does

# -- what is left behind


@pytest.mark.parametrize("pair", TRANSPORTS[1:], indirect=True)  # the memory server keeps what it got for the test
@pytest.mark.parametrize("shape", ["unary", "stream", "first"])
async def test_a_failed_call_is_freed_with_its_error(pair: Pair, shape: str) -> None:
    """Without the collector of cycles: an error's traceback holds frames, and those hold what was sent."""

    class Payload(bytearray):
        """Bytes that can be referred to weakly."""

    async def fail_once() -> tuple[weakref.ref[Payload], weakref.ref[BaseException]]:
        payload = Payload(b"INTERNAL")
        call: Any = None
        try:
            if shape == "unary":
                await pair.transport.unary(FAIL, [payload], (), 5)
            else:
                call = pair.transport.open(FAIL, (), first=[payload] if shape == "first" else None)
                if shape == "stream":
                    await call.write([payload])
                while True:
                    await call.read()
        except errors.PredictionFailed as error:
            return weakref.ref(payload), weakref.ref(error)
        finally:
            del call  # the traceback keeps this frame as well
        raise AssertionError("it did not fail")

    await pair.transport.connect(5)
    gc.disable()
    try:
        freed = [one for _ in range(5) for one in await fail_once()]
        await asyncio.sleep(0.01)
        assert sum(one() is not None for one in freed) <= 2  # the last call's own
    finally:
        gc.enable()


async def test_the_memory_server_goes_away_and_says_what_it_has_not_seen() -> None:
    server = MemoryServer({ECHO: echo, HANG: hang})
    transport = server(Target.parse("http://localhost:1"), Transmission())
    await transport.connect(1)
    running = transport.open(ECHO, ())
    server.go_away()
    assert not transport.healthy
    with pytest.raises(errors.ConnectionLost) as caught:
        await transport.unary(ECHO, [b""], (), 1)
    assert caught.value.unprocessed
    await transport.connect(1)
    assert await transport.unary(ECHO, [b"new"], (), 1) == b"new"
    await running.write([b"old"])
    assert await running.read() == b"old"
    await transport.close(0)


async def test_the_number_of_streams_is_reported_when_it_changes() -> None:
    server = MemoryServer({ECHO: echo}, streams_per_connection=3)
    transport = server(Target.parse("http://localhost:1"), Transmission())
    seen: list[int | None] = []
    transport.on_max_streams = lambda: seen.append(transport.max_streams)
    await transport.connect(1)
    assert transport.max_streams == 3
    server.streams_per_connection = 5
    server.streams_per_connection = None
    assert seen == [5, None]
    await transport.close(0)
