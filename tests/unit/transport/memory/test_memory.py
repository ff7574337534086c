"""The in-memory transport, as a client sees it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from headrace import errors
from headrace.config import Target, Transmission
from headrace.transport.base import Call, Transport, TransportFactory
from headrace.transport.memory import MemoryServer, MemoryTransport, ServerCall

pytestmark = pytest.mark.core

ECHO, SUM, HANG = "/test.T/Echo", "/test.T/Sum", "/test.T/Hang"


async def echo(call: ServerCall) -> None:
    while (message := await call.read()) is not None:
        await call.write(message)


async def sizes(call: ServerCall) -> None:
    total = 0
    while (message := await call.read()) is not None:
        total += len(message)
    await call.write(str(total).encode())


async def hang(call: ServerCall) -> None:
    await call.read()
    await call.wait_cancelled()


def server_with(**settings: object) -> MemoryServer:
    return MemoryServer({ECHO: echo, SUM: sizes, HANG: hang}, **settings)  # type: ignore[arg-type]


def connect_to(server: MemoryServer, options: Transmission | None = None) -> MemoryTransport:
    return server(Target.parse("unix:/memory"), options or Transmission())


@pytest.fixture
def server() -> MemoryServer:
    return server_with()


@pytest.fixture
async def transport(server: MemoryServer) -> AsyncIterator[MemoryTransport]:
    transport = connect_to(server)
    yield transport
    await transport.close(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not server.errors


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def read_all(call: Call) -> list[bytes]:
    messages = []
    while (message := await call.read()) is not None:
        messages.append(message)
    return messages


async def test_it_is_a_transport_and_the_server_a_factory(server: MemoryServer, transport: MemoryTransport) -> None:
    factory: TransportFactory = server
    made: Transport = factory(Target.parse("unix:/memory"), Transmission())
    call: Call = transport.open(ECHO, ())
    assert isinstance(made, Transport)
    call.cancel()


async def test_a_unary_call_joins_the_parts_and_returns_the_answer(transport: MemoryTransport) -> None:
    assert await transport.unary(ECHO, [b"ab", bytearray(b"c"), memoryview(b"d")], (), 5.0) == b"abcd"


async def test_the_server_sees_metadata_timeout_messages_and_the_half_close(
    server: MemoryServer, transport: MemoryTransport
) -> None:
    await transport.unary(SUM, [b"abc"], [("authorization", "Key test")], 5.0)
    (call,) = server.calls
    assert (call.method, call.metadata, call.timeout) == (SUM, (("authorization", "Key test"),), 5.0)
    assert (call.received, call.received_bytes, call.sent_messages) == ([b"abc"], 3, 1)
    assert call.half_closed
    assert not call.cancelled
    assert call.finished
    assert call.status == "OK"


async def test_both_directions_stream_at_once(transport: MemoryTransport) -> None:
    call = transport.open(ECHO, ())
    for number in range(5):
        await call.write([str(number).encode()])
        assert await call.read() == str(number).encode()
    await call.half_close()
    assert await call.read() is None


async def test_an_unread_answer_survives_the_servers_orderly_end(transport: MemoryTransport) -> None:
    call = transport.open(ECHO, ())
    await call.write([b"a"])
    await call.write([b"b"])
    await call.half_close()
    await turns()
    assert await read_all(call) == [b"a", b"b"]


async def test_write_waits_while_the_server_does_not_read(server: MemoryServer, transport: MemoryTransport) -> None:
    call = transport.open(HANG, ())
    written = 0

    async def write() -> None:
        nonlocal written
        while True:
            await call.write([b"x" * 1000])
            written += 1

    writing = asyncio.create_task(write())
    await turns(200)
    assert written == server.window_bytes // 1005 + 1  # one was read
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    call.cancel()


async def test_the_server_waits_while_the_client_does_not_read(
    server: MemoryServer, transport: MemoryTransport
) -> None:
    @server.on("/test.T/Pour")
    async def pour(call: ServerCall) -> None:
        while True:
            await call.write(b"x" * 1000)

    call = transport.open("/test.T/Pour", ())
    await turns(200)
    assert server.calls[0].sent_messages == server.window_bytes // 1005
    await call.read()
    await turns()
    assert server.calls[0].sent_messages == server.window_bytes // 1005 + 1
    call.cancel()


async def test_cancelling_a_call_cancels_the_handler(server: MemoryServer, transport: MemoryTransport) -> None:
    call = transport.open(HANG, ())
    await call.write([b"a"])
    await server.until(lambda: server.calls[0].received)
    call.cancel()
    call.cancel()
    await server.until(lambda: server.calls[0].finished)
    assert server.calls[0].cancelled
    with pytest.raises(errors.ConnectionLost, match="cancelled locally"):
        await call.read()
    with pytest.raises(errors.ConnectionLost, match="cancelled locally"):
        await call.write([b"b"])


async def test_a_waiting_reader_learns_of_a_cancel_by_another_task(transport: MemoryTransport) -> None:
    call = transport.open(HANG, ())
    reading = asyncio.create_task(call.read())
    await turns()
    call.cancel()
    with pytest.raises(errors.ConnectionLost):
        await reading


async def test_cancelling_the_task_of_a_unary_call_cancels_the_handler(
    server: MemoryServer, transport: MemoryTransport
) -> None:
    task = asyncio.create_task(transport.unary(HANG, [b"a"], (), None))
    await server.until(lambda: server.calls and server.calls[0].received)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await server.until(lambda: server.calls[0].finished)
    assert server.calls[0].cancelled


async def test_a_unary_call_out_of_time_is_ended_on_both_sides(
    server: MemoryServer, transport: MemoryTransport
) -> None:
    with pytest.raises(errors.DeadlineExceeded):
        await transport.unary(HANG, [b"a"], (), 0.01)
    await server.until(lambda: server.calls[0].finished)
    assert server.calls[0].status == "DEADLINE_EXCEEDED"
    assert server.calls[0].cancelled


async def test_a_handler_that_raises_is_unknown(server: MemoryServer) -> None:
    transport = connect_to(server)

    @server.on("/test.T/Bug")
    async def bug(call: ServerCall) -> None:
        raise KeyError("oops")

    with pytest.raises(errors.PredictionFailed, match="KeyError") as caught:
        await transport.unary("/test.T/Bug", [b""], (), 5.0)
    assert caught.value.name == "UNKNOWN"
    assert [type(error) for error in server.errors] == [KeyError]
    assert isinstance(server.calls[0].error, KeyError)
    await transport.close(0)


async def test_a_handler_can_fail_with_a_status_after_messages(
    server: MemoryServer, transport: MemoryTransport
) -> None:
    @server.on("/test.T/Half")
    async def half(call: ServerCall) -> None:
        await call.write(b"first")
        call.fail("RESOURCE_EXHAUSTED", "slow down", retry_after=3.0)

    call = transport.open("/test.T/Half", ())
    await turns()
    assert await call.read() == b"first"
    with pytest.raises(errors.Throttled, match="slow down") as caught:
        await call.read()
    assert caught.value.retry_after == 3.0
    with pytest.raises(errors.Throttled):
        await call.write([b"late"])


async def test_writing_after_the_servers_orderly_end_is_an_error(
    server: MemoryServer, transport: MemoryTransport
) -> None:
    @server.on("/test.T/Done")
    async def done(call: ServerCall) -> None:
        await call.write(b"answer")

    call = transport.open("/test.T/Done", ())
    await server.until(lambda: server.calls[0].finished)
    with pytest.raises(errors.ConnectionLost, match="ended the call"):
        await call.write([b"a"])
    assert await read_all(call) == [b"answer"]


async def test_a_unary_answer_that_came_before_the_request_was_read_counts(
    server: MemoryServer, transport: MemoryTransport
) -> None:
    @server.on("/test.T/Done")
    async def done(call: ServerCall) -> None:
        await call.write(b"answer")

    assert await transport.unary("/test.T/Done", [b"x" * 200_000], (), 5.0) == b"answer"


@pytest.mark.parametrize("answers", [0, 2])
async def test_a_unary_call_with_another_number_of_answers_is_an_error(
    server: MemoryServer, transport: MemoryTransport, answers: int
) -> None:
    @server.on("/test.T/Odd")
    async def odd(call: ServerCall) -> None:
        for _ in range(answers):
            await call.write(b"answer")

    with pytest.raises(errors.PredictionFailed, match="answer"):
        await transport.unary("/test.T/Odd", [b""], (), 5.0)


async def test_an_unknown_method_is_unimplemented(transport: MemoryTransport) -> None:
    with pytest.raises(errors.InvalidRequest, match=r"no handler for /test\.T/None") as caught:
        await transport.unary("/test.T/None", [b""], (), 5.0)
    assert caught.value.name == "UNIMPLEMENTED"


async def test_a_larger_answer_than_allowed_is_refused(server: MemoryServer) -> None:
    transport = connect_to(server, Transmission(message_bytes=100))
    with pytest.raises(errors.PayloadTooLarge, match="101 of 100 bytes"):
        await transport.unary(ECHO, [b"x" * 101], (), 5.0)
    assert await transport.unary(ECHO, [b"x" * 100], (), 5.0) == b"x" * 100
    await transport.close(0)


async def test_it_connects_once_and_says_when_it_is_ready(server: MemoryServer) -> None:
    transport = connect_to(server)
    healthy = [transport.healthy]
    assert "not connected" in repr(transport)
    await asyncio.gather(*(transport.connect(5.0) for _ in range(3)))
    healthy.append(transport.healthy)
    assert "ready" in repr(transport)
    assert server.connects == 1
    await transport.close(0)
    healthy.append(transport.healthy)
    assert healthy == [False, True, False]
    assert server.connections == 0


async def test_each_transport_is_a_connection_of_its_own(server: MemoryServer) -> None:
    transports = [connect_to(server) for _ in range(2)]
    for transport in transports:
        await transport.unary(ECHO, [b"a"], (), 5.0)
    assert server.connections == 2
    assert [call.connection for call in server.calls] == [0, 1]
    for transport in transports:
        await transport.close(0)


async def test_closing_waits_for_what_runs_within_the_grace(server: MemoryServer) -> None:
    transport = connect_to(server)
    go = asyncio.Event()

    @server.on("/test.T/Slow")
    async def slow(call: ServerCall) -> None:
        await go.wait()
        await call.write(b"answer")

    running = asyncio.create_task(transport.unary("/test.T/Slow", [b""], (), None))
    await server.until(lambda: server.running)
    closing = asyncio.create_task(transport.close(5.0))
    await turns()
    assert not closing.done()
    with pytest.raises(errors.ClosedError):
        transport.open(ECHO, ())
    go.set()
    assert await running == b"answer"
    await closing


async def test_closing_ends_what_is_left_and_tells_it_why(server: MemoryServer) -> None:
    transport = connect_to(server)
    call = transport.open(HANG, ())
    await call.write([b"a"])
    reading = asyncio.create_task(call.read())
    await server.until(lambda: server.running)
    await transport.close(0)
    with pytest.raises(errors.ClosedError, match="during the call"):
        await reading
    assert server.calls[0].cancelled
    assert server.calls[0].finished
    await transport.close(0)
    with pytest.raises(errors.ClosedError):
        await transport.connect(1.0)
    with pytest.raises(errors.ClosedError):
        await transport.unary(ECHO, [b""], (), 1.0)


async def test_a_cancelled_close_goes_on_closing(server: MemoryServer) -> None:
    transport = connect_to(server)
    transport.open(HANG, ())
    await turns()
    closing = asyncio.create_task(transport.close(0))
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    await transport.close(0)
    assert server.calls[0].finished
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_whatever_a_handler_waits_for_a_cancel_reaches_it(
    server: MemoryServer, transport: MemoryTransport
) -> None:
    cleaned_up = asyncio.Event()

    @server.on("/test.T/Wait")
    async def wait(call: ServerCall) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned_up.set()

    call = transport.open("/test.T/Wait", ())
    await server.until(lambda: server.running)
    await turns()
    call.cancel()
    await server.until(lambda: server.calls[0].finished)
    assert cleaned_up.is_set()


async def test_closing_waits_for_the_handlers_to_clean_up(server: MemoryServer) -> None:
    transport = connect_to(server)
    cleaned_up = False

    @server.on("/test.T/Wait")
    async def wait(call: ServerCall) -> None:
        nonlocal cleaned_up
        try:
            await asyncio.Event().wait()
        finally:
            await turns()
            cleaned_up = True

    transport.open("/test.T/Wait", ())
    await turns()
    await transport.close(0)
    assert cleaned_up


async def test_nothing_is_kept_of_calls_that_are_over(server: MemoryServer, transport: MemoryTransport) -> None:
    await transport.connect(5.0)
    connection = transport._connection
    assert connection is not None
    for cancelled in (False, True):
        call = transport.open(ECHO, ())
        await call.write([b"a"])
        await call.half_close()
        await server.until(lambda: server.calls[-1].finished)
        assert len(connection.undelivered) == 1
        if cancelled:
            call.cancel()
        else:
            assert await read_all(call) == [b"a"]
        assert not connection.undelivered
    assert not connection.running
