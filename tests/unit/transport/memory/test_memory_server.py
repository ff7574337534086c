"""The in-memory server: its faults and what it remembers."""

import asyncio

import pytest

from headrace import errors
from headrace.config import Target, Transmission
from headrace.status import Kind, kind_of
from headrace.transport.memory import MemoryServer, MemoryTransport, ServerCall

pytestmark = pytest.mark.core

ECHO, HANG = "/test.T/Echo", "/test.T/Hang"


async def echo(call: ServerCall) -> None:
    while (message := await call.read()) is not None:
        await call.write(message)


async def hang(call: ServerCall) -> None:
    await call.wait_cancelled()


def server_with(**settings: object) -> MemoryServer:
    return MemoryServer({ECHO: echo, HANG: hang}, **settings)  # type: ignore[arg-type]


def connect_to(server: MemoryServer) -> MemoryTransport:
    return server(Target.parse("unix:/memory"), Transmission())


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_refused_connection_fails_at_once_in_every_way() -> None:
    server = server_with()
    transport = connect_to(server)
    with server.refusing():
        with pytest.raises(errors.ConnectFailed):
            await transport.connect(5.0)
        with pytest.raises(errors.ConnectFailed):
            await transport.unary(ECHO, [b"a"], (), 5.0)
        call = transport.open(ECHO, ())
        with pytest.raises(errors.ConnectFailed):
            await call.write([b"a"])
        with pytest.raises(errors.ConnectFailed):
            await call.read()
    assert await transport.unary(ECHO, [b"a"], (), 5.0) == b"a"
    assert len(server.calls) == 1
    await transport.close(0)


async def test_a_silent_server_costs_the_connect_timeout() -> None:
    server = server_with()
    transport = connect_to(server)
    with server.silent():
        with pytest.raises(errors.ConnectFailed, match=r"within 0\.01 s"):
            await transport.connect(0.01)
        waiting = asyncio.create_task(transport.connect(5.0))
        await turns()
        assert not waiting.done()
    await waiting
    assert transport.healthy
    await transport.close(0)


async def test_a_broken_connection_fails_its_calls_and_the_server_sees_them_end() -> None:
    server = server_with()
    transport = connect_to(server)
    call = transport.open(ECHO, ())
    await call.write([b"a"])
    await server.until(lambda: server.calls[0].sent_messages)
    server.break_connections()
    with pytest.raises(errors.ConnectionLost) as caught:
        await call.read()  # the answer was under way, and is lost
    assert kind_of(caught.value) is Kind.CONNECTION
    assert not transport.healthy
    await server.until(lambda: server.calls[0].finished)
    assert server.calls[0].cancelled
    await transport.connect(5.0)
    assert await transport.unary(ECHO, [b"b"], (), 5.0) == b"b"
    assert server.connects == 2
    await transport.close(0)


async def test_an_answer_of_a_finished_call_is_lost_with_the_connection() -> None:
    server = server_with()
    transport = connect_to(server)
    call = transport.open(ECHO, ())
    await call.write([b"a"])
    await call.half_close()
    await server.until(lambda: server.calls[0].finished)
    server.break_connections()
    with pytest.raises(errors.ConnectionLost):
        await call.read()
    await transport.close(0)


async def test_the_connection_breaks_after_the_nth_answer() -> None:
    server = server_with()
    transport = connect_to(server)
    server.break_after(3)
    call = transport.open(ECHO, ())
    for number in range(5):
        await call.write([bytes([number])])
    received = []
    with pytest.raises(errors.ConnectionLost):
        while (message := await call.read()) is not None:
            received.append(message)
    assert received == [b"\0", b"\1", b"\2"]
    assert await transport.unary(ECHO, [b"again"], (), 5.0) == b"again"
    await transport.close(0)


async def test_the_connection_breaks_after_the_nth_request() -> None:
    server = server_with()
    transport = connect_to(server)
    server.break_after(2, "to_server")
    call = transport.open(ECHO, ())
    with pytest.raises(errors.ConnectionLost):
        for number in range(5):
            await call.write([bytes([number])])
            await turns()
    await server.until(lambda: server.calls[0].finished)
    assert server.calls[0].received == [b"\0", b"\1"]
    with pytest.raises(ValueError, match="at least 1"):
        server.break_after(0)
    await transport.close(0)


async def test_a_killed_server_is_gone_until_it_is_restarted() -> None:
    server = server_with()
    transport = connect_to(server)
    call = transport.open(ECHO, ())
    await call.write([b"a"])
    server.kill()
    with pytest.raises(errors.ConnectionLost):
        await call.read()
    with pytest.raises(errors.ConnectFailed):
        await transport.unary(ECHO, [b"a"], (), 5.0)
    server.restart()
    assert await transport.unary(ECHO, [b"a"], (), 5.0) == b"a"
    await transport.close(0)


async def test_after_a_goaway_calls_finish_and_new_ones_are_unprocessed() -> None:
    server = server_with()
    transport = connect_to(server)
    running = transport.open(ECHO, ())
    await running.write([b"a"])
    server.go_away()
    assert not transport.healthy
    with pytest.raises(errors.ConnectionLost) as caught:
        await transport.unary(ECHO, [b"b"], (), 5.0)
    assert kind_of(caught.value) is Kind.UNPROCESSED
    assert server.refused_streams == 1
    await transport.connect(5.0)
    assert await transport.unary(ECHO, [b"c"], (), 5.0) == b"c"
    await running.write([b"d"])
    await running.half_close()
    assert [await running.read() for _ in range(3)] == [b"a", b"d", None]
    assert [call.received for call in server.calls] == [[b"a", b"d"], [b"c"]]
    await server.until(lambda: server.connections == 1)
    await transport.close(0)


async def test_calls_over_the_limit_wait_in_line() -> None:
    server = server_with(streams_per_connection=2)
    transport = connect_to(server)
    calls = [transport.open(ECHO, ()) for _ in range(3)]
    writing = asyncio.create_task(calls[2].write([b"third"]))
    await turns()
    assert len(server.running) == 2
    assert "queued" in repr(server.calls[2])
    assert not writing.done()
    await calls[0].half_close()
    await writing
    assert await calls[2].read() == b"third"
    for call in calls:
        call.cancel()
    await transport.close(0)


async def test_a_cancelled_call_in_line_never_starts() -> None:
    server = server_with(streams_per_connection=1)
    transport = connect_to(server)
    first, second = transport.open(ECHO, ()), transport.open(ECHO, ())
    second.cancel()
    await first.half_close()
    assert await first.read() is None
    await server.until(lambda: server.calls[0].finished)
    assert server.calls[1].cancelled
    assert server.calls[1].finished
    assert await transport.unary(ECHO, [b"a"], (), 5.0) == b"a"
    await transport.close(0)


async def test_a_thousand_calls_pass_through_four_places() -> None:
    server = server_with(streams_per_connection=4)
    transport = connect_to(server)
    peak = 0

    @server.on("/test.T/Peak")
    async def peaked(call: ServerCall) -> None:
        nonlocal peak
        peak = max(peak, len(server.running))
        await asyncio.sleep(0)
        await call.write(await call.read() or b"")

    answers = await asyncio.gather(*(transport.unary("/test.T/Peak", [str(n).encode()], (), 30.0) for n in range(1000)))
    assert answers == [str(n).encode() for n in range(1000)]
    assert peak == 4
    await transport.close(0)


async def test_calls_over_the_limit_are_refused_unprocessed() -> None:
    server = server_with(streams_per_connection=1, over_limit="refuse")
    transport = connect_to(server)
    first = transport.open(HANG, ())
    with pytest.raises(errors.ConnectionLost) as caught:
        await transport.unary(ECHO, [b"a"], (), 5.0)
    assert caught.value.unprocessed
    assert [call.method for call in server.calls] == [HANG]
    first.cancel()
    await server.until(lambda: not server.running)
    assert await transport.unary(ECHO, [b"a"], (), 5.0) == b"a"
    await transport.close(0)


async def test_a_stalled_server_passes_nothing_and_then_everything() -> None:
    server = server_with()
    transport = connect_to(server)
    old = transport.open(ECHO, ())
    with server.stalling():
        new = transport.open(ECHO, ())
        for call in (old, new):
            await call.write([b"a"])
            await call.half_close()
        reading = [asyncio.create_task(call.read()) for call in (old, new)]
        await turns()
        assert not any(task.done() for task in reading)
        assert not any(call.received for call in server.calls)
    assert await asyncio.gather(*reading) == [b"a", b"a"]
    assert await old.read() is None
    await transport.close(0)


async def test_the_next_calls_can_be_made_to_fail() -> None:
    server = server_with()
    transport = connect_to(server)
    server.fail_next("UNAVAILABLE", "try later", times=2, retry_after=0.5)
    for _ in range(2):
        with pytest.raises(errors.ConnectionLost, match="try later") as caught:
            await transport.unary(ECHO, [b"a"], (), 5.0)
        assert caught.value.retry_after == 0.5
    assert await transport.unary(ECHO, [b"a"], (), 5.0) == b"a"
    assert [call.status for call in server.calls] == ["UNAVAILABLE", "UNAVAILABLE", "OK"]
    await transport.close(0)


async def test_a_message_larger_than_the_server_takes_is_refused() -> None:
    server = server_with(message_bytes=10)
    transport = connect_to(server)
    with pytest.raises(errors.PayloadTooLarge):
        await transport.unary(ECHO, [b"x" * 11], (), 5.0)
    assert await transport.unary(ECHO, [b"x" * 10], (), 5.0) == b"x" * 10
    await transport.close(0)


async def test_a_handler_that_trips_over_a_client_that_has_gone_is_no_error() -> None:
    server = server_with()
    transport = connect_to(server)

    @server.on("/test.T/Stubborn")
    async def stubborn(call: ServerCall) -> None:
        try:
            await call.wait_cancelled()
        except asyncio.CancelledError:
            await call.write(b"too late")

    call = transport.open("/test.T/Stubborn", ())
    await turns()
    call.cancel()
    await server.until(lambda: server.calls[0].finished)
    assert server.calls[0].cancelled
    assert not server.errors
    await transport.close(0)


async def test_a_handler_that_is_cancelled_by_itself_is_a_cancelled_call() -> None:
    server = server_with()
    transport = connect_to(server)

    @server.on("/test.T/Self")
    async def cancels_itself(call: ServerCall) -> None:
        raise asyncio.CancelledError

    with pytest.raises(errors.ServerCancelled):
        await transport.unary("/test.T/Self", [b""], (), 5.0)
    await transport.close(0)


async def test_without_keep_nothing_is_remembered() -> None:
    server = server_with(keep=False)
    transport = connect_to(server)
    call = transport.open(ECHO, ())
    await call.write([b"a"])
    await call.read()
    assert [(c.received, c.received_bytes) for c in server.calls] == [([], 1)]
    await call.half_close()
    await call.read()
    await server.until(lambda: not server.calls)
    await transport.close(0)


async def test_its_state_can_be_read() -> None:
    server = server_with()
    transport = connect_to(server)
    call = transport.open(HANG, ())
    assert repr(server) == "<MemoryServer open, 1 connections, 1 calls running>"
    assert "running" in repr(server.calls[0])
    call.cancel()
    await server.until(lambda: server.calls[0].finished)
    assert "CANCELLED" in repr(server.calls[0])
    await transport.close(0)
