"""Cancels and deadlines of calls over the lean transport: what the caller gets, and what the server sees of it."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest

from headrace import errors
from headrace.transport.h2.calls import StreamCall
from headrace.transport.h2.transport import H2Transport
from tests.support.frames import (
    DATA,
    HEADERS,
    INITIAL_WINDOW,
    MAX_STREAMS,
    PING,
    RST,
    FrameServer,
    Peer,
    frame,
    message,
    settings,
)  # fmt: skip
from tests.support.h2calls import CANCEL, GRPC, METHOD, MiB, answered, call, connected, only

pytestmark = pytest.mark.core


def silent(peer: Peer, stream: int) -> None:
    """Answer nothing."""


async def ping_answered(server: FrameServer) -> None:
    """Wait until the client has read everything that the server has sent."""
    peer, seen = server.peer, len(server.peer.of(PING))
    peer.send(frame(PING, 0, 0, b"are you?"))
    await server.until(lambda: len(peer.of(PING)) > seen)


@pytest.mark.case("G-CA-01")
async def test_a_cancel_after_the_headers() -> None:
    async with FrameServer(on_headers=silent) as server, connected(server) as transport:
        stream = transport.open(METHOD, ())
        await server.until(lambda: server.peer.of(HEADERS))
        stream.cancel()
        with pytest.raises(errors.ConnectionLost, match="cancelled locally"):
            await stream.read()
        await server.until(lambda: server.peer.of(RST, 1))
        assert server.peer.of(RST, 1)[0].payload == CANCEL.to_bytes(4, "big")


@pytest.mark.case("G-CA-02")
async def test_a_cancel_after_the_first_answer() -> None:
    def script(peer: Peer, stream: int) -> None:
        peer.send(answered(message(b"one"), status=None)(peer, stream))

    async with FrameServer(on_headers=script) as server, connected(server) as transport:
        stream = transport.open(METHOD, ())
        assert await stream.read() == b"one"
        stream.cancel()
        with pytest.raises(errors.ConnectionLost):
            await stream.read()
        await server.until(lambda: server.peer.of(RST, 1))


CANCELLED_FIRST = {
    "stream": lambda transport: transport.open(METHOD, ()),
    "stream with its only message": lambda transport: transport.open(METHOD, (), first=[b"ask"]),
    "stream with a large message": lambda transport: transport.open(METHOD, (), first=[bytes(MiB)]),
}


@pytest.mark.case("G-CA-03", "H2-5.1.2-05")
@pytest.mark.parametrize("kind", CANCELLED_FIRST)
async def test_what_is_cancelled_before_it_left_never_leaves(kind: str) -> None:
    async with FrameServer() as server, connected(server) as transport:
        before = window(transport)
        for _ in range(3):
            CANCELLED_FIRST[kind](transport).cancel()
        assert window(transport) == before
        kept = asyncio.ensure_future(call(transport))
        await asyncio.sleep(0)
        CANCELLED_FIRST[kind](transport).cancel()
        assert await kept == b"answer"
        assert await call(transport) == b"answer"
        assert len(server.peer.of(HEADERS)) == 2
        assert not server.peer.of(RST)
        assert window(transport) == before  # the server gave back what the two calls took


@pytest.mark.case("G-CA-03", "HP-07")
async def test_a_size_update_leaves_though_its_call_is_cancelled_first() -> None:
    async with FrameServer(first={1: 0}) as server, connected(server) as transport:
        server.peer._decoder.max_allowed_table_size = 0  # refuses a block that does not begin with the update
        transport.open(METHOD, ()).cancel()
        assert await call(transport) == b"answer"


def window(transport: H2Transport) -> int:
    """Give the server's window for all streams as the client counts it."""
    assert transport._connection is not None
    return transport._connection.engine.output.window


@pytest.mark.case("G-CA-04")
async def test_a_second_cancel_and_one_after_the_end_do_nothing() -> None:
    async with FrameServer() as server, connected(server) as transport:
        ended = transport.open(METHOD, (), first=[b"ask"])
        assert await ended.read() == b"answer"
        assert await ended.read() is None
        ended.cancel()
        assert await ended.read() is None
        server.on_request = silent
        running = transport.open(METHOD, (), first=[b"ask"])
        await server.until(lambda: server.requests == 2)
        running.cancel()
        running.cancel()
        with pytest.raises(errors.ConnectionLost):
            await running.read()
        running.cancel()
        await ping_answered(server)
        assert [f.stream for f in server.peer.of(RST)] == [3]


@pytest.mark.case("G-CA-05")
async def test_a_cancel_ends_a_blocked_write_and_a_pending_read() -> None:
    async with FrameServer(first={INITIAL_WINDOW: 100}, credit=False) as server, connected(server) as transport:
        before = window(transport)
        stream = transport.open(METHOD, ())
        writing = asyncio.ensure_future(stream.write([bytes(MiB)]))
        reading = asyncio.ensure_future(stream.read())
        await server.until(lambda: len(server.peer.messages[1]) == 100)
        stream.cancel()
        for task in (writing, reading):
            with pytest.raises(errors.ConnectionLost):
                await task
        server.peer.send(settings({INITIAL_WINDOW: 2 * MiB}))
        await ping_answered(server)
        assert len(server.peer.messages[1]) == 100
        assert window(transport) == before - 100


@pytest.mark.case("G-CA-06")
async def test_the_caller_gets_its_cancelled_error_once() -> None:
    async with FrameServer(silent) as server, connected(server) as transport:

        async def caller() -> str:
            with contextlib.suppress(asyncio.CancelledError):
                await call(transport)
            await asyncio.sleep(0)  # would raise another one
            return "went on"

        running = asyncio.ensure_future(caller())
        await server.until(lambda: server.requests)
        running.cancel()
        assert await running == "went on"
        await server.until(lambda: server.peer.of(RST, 1))


@pytest.mark.case("G-CA-07")
async def test_a_frame_that_has_begun_is_completed_before_the_reset() -> None:
    async with FrameServer(first={INITIAL_WINDOW: 64 * MiB}) as server, connected(server) as transport:
        server.peer.send(frame(8, 0, 0, (64 * MiB).to_bytes(4, "big")))
        await ping_answered(server)
        server.reading.clear()
        stream = transport.open(METHOD, ())
        writing = asyncio.ensure_future(stream.write([bytes(48 * MiB)]))
        connection = transport._connection
        assert connection is not None
        while not connection.paused:
            await asyncio.sleep(0.001)
        stream.cancel()
        with pytest.raises(errors.ConnectionLost):
            await writing
        server.reading.set()
        assert await call(transport) == b"answer"  # whatever came before has been read as frames
        assert len(server.peer.messages[1]) < 48 * MiB
        assert [f.type for f in server.peer.frames if f.stream == 1][-1] == RST


@pytest.mark.case("G-CA-08", "H2-6.9-15")
async def test_two_hundred_cancels_at_random_points_leave_nothing_behind() -> None:
    dice = random.Random(20)

    def script(peer: Peer, stream: int) -> None:
        peer.send(peer.response(stream), frame(DATA, 0, stream, message(bytes(dice.randrange(9_000)))))
        if dice.random() < 0.5:
            peer.send(peer.trailers(stream))

    async with FrameServer(script, first={MAX_STREAMS: 20}) as server, connected(server) as transport:

        async def one(number: int) -> None:
            stream = transport.open(METHOD, ())
            steps = dice.randrange(5)
            with contextlib.suppress(errors.ConnectionLost):
                for step in range(steps):
                    if step < 2:
                        await stream.write([bytes(dice.randrange(30_000))])
                    elif step == 2:
                        await stream.half_close()
                    else:
                        await stream.read()
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)
            stream.cancel()

        for _ in range(10):
            await asyncio.gather(*(one(number) for number in range(20)))
        server.on_request = Peer.answer
        assert await asyncio.gather(*(call(transport) for _ in range(40))) == [b"answer"] * 40
        await ping_answered(server)
        connection = transport._connection
        assert connection is not None
        assert not connection.engine.streams
        assert not transport._waiting
        assert not connection.engine.output.waiting
        assert connection.engine.output.window == server.peer.check.window  # exact, with every byte counted
        assert server.peer.most_open <= 20


@pytest.mark.case("H2-6.9-15")
async def test_a_thousand_cancelled_calls_with_content_in_flight_leave_the_connections_window_whole() -> None:
    content = bytes(70_000)  # all of it more than the window: without credit for it, the last call would wait
    sent = 0

    def script(peer: Peer, stream: int) -> None:
        nonlocal sent
        pieces = [content[at : at + 16_384] for at in range(0, len(content), 16_384)]
        peer.send(peer.response(stream), *(frame(DATA, 0, stream, piece) for piece in pieces))
        sent += len(content)

    async with FrameServer(script) as server, connected(server) as transport:
        for number in range(1, 1_001):
            stream = transport.open(METHOD, (), first=[b"ask"])
            await server.until(lambda: server.requests == number)  # noqa: B023
            stream.cancel()  # what is on its way comes later
        await ping_answered(server)
        assert len(server.peers) == 1
        assert sent > 64 * MiB
        granted = sum(int.from_bytes(f.payload, "big") for f in server.peer.of(8) if not f.stream)
        assert 32 * MiB <= granted + 65_535 - sent <= 64 * MiB
        assert len(server.peer.of(RST)) == 1_000
        server.on_request = Peer.answer
        assert await call(transport) == b"answer"


@pytest.mark.case("G-DL-06")
@pytest.mark.parametrize("ends_with", ["reset", "status"])
async def test_a_cancel_of_the_server_just_after_the_deadline_is_the_deadline(ends_with: str) -> None:
    async with FrameServer(silent) as server, connected(server) as transport:
        running = asyncio.ensure_future(call(transport, timeout=2.0))
        await server.until(lambda: server.requests)
        (waiting,) = transport._connection.engine.streams.values()  # type: ignore[union-attr]
        waiting.owner.deadline = asyncio.get_running_loop().time() - 0.001  # over, and the timer has not run yet
        peer = server.peer
        peer.send(peer.reset(1, CANCEL) if ends_with == "reset" else only(GRPC, ("grpc-status", "1"))(peer, 1))
        with pytest.raises(errors.DeadlineExceeded):
            await running


@pytest.mark.case("G-DL-07")
async def test_a_status_that_has_come_before_the_timer_runs_is_the_result() -> None:
    async with FrameServer(silent) as server, connected(server) as transport:
        running = [asyncio.ensure_future(call(transport, timeout=2.0)) for _ in range(2)]
        await server.until(lambda: server.requests == 2)
        for waiting in transport._connection.engine.streams.values():  # type: ignore[union-attr]
            waiting.owner.deadline = asyncio.get_running_loop().time() - 0.001
        server.peer.answer(1)
        server.peer.send(only(GRPC, ("grpc-status", "5"))(server.peer, 3))
        assert await running[0] == b"answer"
        with pytest.raises(errors.NotFound):
            await running[1]


async def stalled(transport: H2Transport, server: FrameServer) -> None:
    """Let an answer stop amid something, and wait for the deadline."""
    with pytest.raises(errors.DeadlineExceeded):
        await call(transport, timeout=0.1)
    await server.until(lambda: server.peer.of(RST, 1))


@pytest.mark.case("G-DL-03")
@pytest.mark.parametrize("amid", ["message", "header block", "frame"])
async def test_an_answer_that_stops_amid_something_ends_at_the_deadline(amid: str) -> None:
    def script(peer: Peer, stream: int) -> None:
        if amid == "message":
            peer.send(peer.response(stream), frame(DATA, 0, stream, b"\0\0\0\0\x09abc"))
        elif amid == "header block":
            peer.send(frame(HEADERS, 0, stream, b"\x88"))
        else:
            peer.send(peer.response(stream), frame(DATA, 0, stream, message(bytes(500)))[:100])

    async with FrameServer(script) as server, connected(server) as transport:
        await stalled(transport, server)


@pytest.mark.case("G-DL-04")
async def test_a_deadline_ends_a_write_that_is_blocked() -> None:
    async with FrameServer(first={INITIAL_WINDOW: 10}, credit=False) as server, connected(server) as transport:
        stream: StreamCall = transport.open(METHOD, (), timeout=0.1)
        with pytest.raises(errors.ConnectionLost, match="has ended"):
            await stream.write([bytes(100)])
        with pytest.raises(errors.DeadlineExceeded):
            await stream.read()
        await server.until(lambda: server.peer.of(RST, 1))
