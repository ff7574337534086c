"""What happens to calls while their connection changes: settings, pings, GOAWAY, limits of streams, ends."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

import pytest

from headrace import errors
from headrace.config import KeepAlive, Target, Transmission
from headrace.transport.h2.keepalive import Watch
from headrace.transport.h2.transport import H2Transport
from tests.support.frames import (
    ACK,
    DATA,
    END,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW,
    MAX_HEADER_LIST,
    MAX_STREAMS,
    PING,
    RST,
    SETTINGS,
    FrameServer,
    Peer,
    answer,
    frame,
    message,
    settings,
)  # fmt: skip
from tests.support.h2calls import CANCEL, METHOD, NO_ERROR, REFUSED, MiB, answered, call, connected

pytestmark = pytest.mark.core


def silent(peer: Peer, stream: int) -> None:
    """Answer nothing."""


# -- the preface, settings, pings


@pytest.mark.case("H2-3.4-01", "H2-3.4-02", "C-20")
async def test_the_preface_comes_first_and_no_request_before_the_servers_settings() -> None:
    async with FrameServer(greet=False) as server:
        transport = H2Transport(Target.parse(server.address), Transmission())
        running = asyncio.ensure_future(call(transport))
        await server.until(lambda: server.peers and server.peer.frames)  # which read the preface before
        first = server.peer.frames[0]
        assert (first.type, first.flags) == (SETTINGS, 0)
        assert (2).to_bytes(2, "big") + bytes(4) in first.payload  # ENABLE_PUSH=0
        assert not server.peer.of(HEADERS)
        server.peer.send(settings())  # empty
        assert await running == b"answer"
        assert len(server.peer.of(SETTINGS)) == 2  # ours, and the acknowledgement
        await transport.close(0)
        await server.until(lambda: server.peer.closed)


@pytest.mark.case("H2-6.5.3-08")
async def test_a_server_that_never_acknowledges_our_settings_is_served() -> None:
    async with FrameServer(acknowledge=False) as server, connected(server) as transport:
        for _ in range(3):
            assert await call(transport) == b"answer"


@pytest.mark.case("H2-6.5.3-09", "G-MD-08")
async def test_a_lowered_header_limit_counts_from_the_next_call_on() -> None:
    async with FrameServer(silent) as server, connected(server) as transport:
        metadata = (("name", "v" * 2_000),)
        running = asyncio.ensure_future(transport.unary(METHOD, [b"ask"], metadata, 10))
        await server.until(lambda: server.requests)
        server.peer.send(settings({MAX_HEADER_LIST: 1_000}))
        await server.until(lambda: len([f for f in server.peer.of(SETTINGS) if f.flags & ACK]) == 2)
        with pytest.raises(errors.PayloadTooLarge, match="1,000"):
            await transport.unary(METHOD, [b"ask"], metadata, 10)
        server.peer.answer(1)
        assert await running == b"answer"
        assert len(server.peer.of(HEADERS)) == 1


@pytest.mark.case("H2-6.7-06", "H2-6.5.3-02")
async def test_acknowledgements_leave_ahead_of_an_upload_that_is_blocked() -> None:
    async with FrameServer(first={INITIAL_WINDOW: 100}, credit=False) as server, connected(server) as transport:
        running = asyncio.ensure_future(call(transport, bytes(MiB)))
        await server.until(lambda: len(server.peer.messages[1]) == 100)
        acknowledged = len(server.peer.of(SETTINGS))
        server.peer.send(frame(PING, 0, 0, b"12345678"), settings())
        await server.until(lambda: server.peer.of(PING) and len(server.peer.of(SETTINGS)) > acknowledged)
        assert server.peer.of(PING)[0].payload == b"12345678"
        assert len(server.peer.messages[1]) == 100
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


@pytest.mark.case("H2-6.7-05")
async def test_pings_are_answered_while_the_connection_drains() -> None:
    async with FrameServer(silent) as server, connected(server) as transport:
        running = asyncio.ensure_future(call(transport))
        await server.until(lambda: server.requests)
        server.peer.send(server.peer.goaway(1), frame(PING, 0, 0, b"draining"))
        await server.until(lambda: server.peer.of(PING))
        server.peer.answer(1)
        assert await running == b"answer"


# -- keepalive


class Clock:
    """A loop whose time a test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Callable[..., Any], tuple[Any, ...]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> Clock:
        self.timers.append((self.now + delay, callback, args))
        return self

    def cancel(self) -> None:
        self.timers.clear()

    def run(self, until: float) -> None:
        while self.timers and (due := min(self.timers, key=lambda timer: timer[0]))[0] <= until:
            self.timers.remove(due)
            self.now = max(self.now, due[0])
            due[1](*due[2])
        self.now = until


class Pinged:
    """A connection as the watch sees it, whose server answers each ping after a while."""

    def __init__(self, clock: Clock, latency: float | None = 0.125) -> None:
        self.heard = 0.0
        self.pong = 0.0
        self.busy = True
        self.pings: list[float] = []
        self.lost = ""
        self._clock = clock
        self._latency = latency

    def ping(self) -> None:
        self.pings.append(self._clock.now)
        if self._latency is not None:
            self._clock.call_later(self._latency, self.answer)

    def answer(self) -> None:
        self.heard = self.pong = self._clock.now

    def hear(self) -> None:
        self.heard = self._clock.now

    def give_up(self, reason: str) -> None:
        self.lost = reason


def watched(latency: float | None = 0.125) -> tuple[Clock, Pinged, Watch]:
    clock = Clock()
    connection = Pinged(clock, latency)
    return clock, connection, Watch(clock, connection, 8.0, 3.0)  # type: ignore[arg-type]


@pytest.mark.case("KA-06")
def test_a_server_that_allows_one_ping_in_each_interval_sees_no_more() -> None:
    clock, connection, _ = watched()
    for second in range(9, 900, 9):  # the server sends something after each
        clock.call_later(second, connection.hear)
    clock.run(until=900.0)
    assert len(connection.pings) >= 50
    gaps = [after - before for before, after in zip(connection.pings, connection.pings[1:], strict=False)]
    assert min(gaps) >= 8.0
    assert not connection.lost


def test_a_silent_server_that_answers_pings_gets_no_more_than_grpcs_servers_allow() -> None:
    """One in five minutes, and two that are too early."""
    clock, connection, _ = watched()
    clock.run(until=2000.0)
    gaps = [after - before for before, after in zip(connection.pings, connection.pings[1:], strict=False)]
    assert sum(gap < 300 for gap in gaps) == 1
    assert len(connection.pings) >= 6
    assert not connection.lost
    connection.hear()
    connection.pings.clear()
    clock.run(until=2040.0)
    assert len(connection.pings) == 2  # it has shown that it works: quick ones again
    connection._latency = None
    clock.run(until=2400.0)
    assert connection.lost


@pytest.mark.case("KA-01", "KA-02")
def test_any_byte_is_a_sign_of_life_and_silence_is_none() -> None:
    clock, connection, _ = watched(latency=None)
    clock.run(until=8.0)
    assert connection.pings == [8.0]
    clock.call_later(2.5, connection.hear)  # content, and no answer to the ping
    clock.run(until=18.0)
    assert not connection.lost
    clock.run(until=18.5 + 3.0)
    assert connection.pings == [8.0, 18.5]
    assert "within 3 s" in connection.lost


@pytest.mark.parametrize(
    ("blocked", "answer", "lost"),
    [
        ((), None, 11.0),
        ((8.0, 12.0), 12.1, None),  # the ping left after the block
        ((8.0, 12.0), 14.9, None),
        ((8.0, 12.0), None, 15.0),
        ((8.0, 11.04), None, 11.04),  # no block: a timer may be a little late
        ((8.0, 60.0), None, 63.0),
        ((8.0, 12.0, 13.0, 17.0), None, 17.0),  # only once
        ((8.0, 10.9), 10.95, None),
    ],
)
def test_a_loop_that_is_blocked_while_it_waits_for_the_answer_waits_again(
    blocked: tuple[float, ...], answer: float | None, lost: float | None
) -> None:
    clock, connection, _ = watched(latency=None)
    if answer is not None:
        clock.call_later(answer, connection.hear)
    for start, end in zip(blocked[::2], blocked[1::2], strict=True):
        clock.run(until=start)
        clock.now = end
    while not connection.lost and connection.heard != answer:
        clock.run(until=max(clock.now, min(due for due, *_ in clock.timers)))
    assert (clock.now if connection.lost else None) == lost
    assert connection.pings == [8.0]


async def test_a_loop_that_is_blocked_right_after_a_ping_keeps_its_connection() -> None:
    async with FrameServer(silent) as server, connected(server, keepalive=KeepAlive(0.05, 0.2)) as transport:
        running = asyncio.ensure_future(call(transport))
        await server.until(lambda: server.requests)
        connection = transport._connection
        assert connection is not None
        ping, blocks = connection.ping, iter([0.4])

        def block_and_ping() -> None:
            asyncio.get_running_loop().call_soon(time.sleep, next(blocks, 0))
            ping()

        connection.ping = block_and_ping  # type: ignore[method-assign]
        await server.until(lambda: server.peer.of(PING))
        await server.until(lambda: connection.pong or connection.closed)
        assert not connection.closed
        server.peer.answer(1)
        assert await running == b"answer"


@pytest.mark.case("KA-03", "KA-04")
def test_nothing_is_sent_while_no_call_runs_and_a_call_after_a_long_silence_comes_behind_a_ping() -> None:
    clock, connection, watch = watched()
    connection.busy = False
    clock.run(until=500.0)
    assert not connection.pings
    assert not clock.timers
    assert watch.asleep
    connection.busy = True
    watch.wake()
    assert connection.pings == [500.0]
    clock.run(until=505.0)
    assert not connection.lost


@pytest.mark.case("KA-04")
async def test_a_ping_goes_ahead_of_a_call_after_a_long_silence() -> None:
    keepalive = KeepAlive(0.03, 5)
    async with FrameServer() as server, connected(server, keepalive=keepalive) as transport:
        assert await call(transport) == b"answer"
        connection, loop = transport._connection, asyncio.get_running_loop()
        assert connection is not None
        watch = connection._watch
        assert watch is not None
        while not watch.asleep or loop.time() - connection.heard < keepalive.interval:  # type: ignore[operator]
            await asyncio.sleep(0.005)
        server.peer.frames.clear()
        assert await call(transport) == b"answer"
        assert [f.type for f in server.peer.frames][:2] == [PING, HEADERS]


@pytest.mark.case("KA-05")
def test_the_default_is_a_ping_a_minute_and_what_is_asked_for_is_taken_as_it_is() -> None:
    assert KeepAlive() == KeepAlive(interval=60.0, timeout=20.0)
    assert KeepAlive(interval=1.0).interval == 1.0


# -- GOAWAY, and other ends


@pytest.mark.case("H2-6.8-11")
async def test_a_goaway_between_two_calls() -> None:
    def script(peer: Peer, stream: int) -> None:
        peer.answer(stream)
        if len(server.peers) == 1:
            peer.send(peer.goaway(stream))

    async with FrameServer(script) as server, connected(server) as transport:
        assert await call(transport) == b"answer"
        assert await call(transport) == b"answer"
        assert [len(peer.requests) for peer in server.peers] == [1, 1]


@pytest.mark.case("H2-6.8-14")
@pytest.mark.case("H2-6.8-13")
async def test_an_upload_that_the_goaway_allows_is_completed() -> None:
    payload = bytes(range(256)) * (2 * MiB // 256)
    async with FrameServer(first={INITIAL_WINDOW: 1_000}) as server, connected(server) as transport:
        running = asyncio.ensure_future(call(transport, payload))
        await server.until(lambda: server.peer.messages[1])
        server.peer.send(server.peer.goaway(1))
        assert await running == b"answer"
        assert server.peer.messages[1] == message(payload)
        await server.until(lambda: server.peer.closed)


@pytest.mark.case("H2-6.8-14")
async def test_a_drained_connection_is_closed_by_the_client() -> None:
    async with FrameServer(silent) as server, connected(server) as transport:
        running = asyncio.ensure_future(call(transport))
        await server.until(lambda: server.requests)
        server.peer.send(server.peer.goaway(1))
        server.peer.answer(1)
        assert await running == b"answer"
        await server.until(lambda: server.peer.closed)


@pytest.mark.case("H2-6.8-17")
async def test_a_goaway_that_crosses_a_request() -> None:
    async with FrameServer(silent) as server, connected(server) as transport:
        first = asyncio.ensure_future(call(transport))
        await server.until(lambda: server.requests == 1)
        second = asyncio.ensure_future(call(transport))
        await server.until(lambda: server.requests == 2)
        server.peer.send(server.peer.goaway(1))  # it had not seen the second one when it wrote this
        with pytest.raises(errors.ConnectionLost) as caught:
            await second
        assert caught.value.unprocessed
        server.peer.answer(1)
        assert await first == b"answer"


@pytest.mark.case("H2-6.8-17", "H2-6.8-12")
async def test_a_call_that_has_not_left_when_the_goaway_comes_is_not_sent() -> None:
    async with FrameServer(silent) as server, connected(server) as transport:
        first = asyncio.ensure_future(call(transport))
        await server.until(lambda: server.requests == 1)
        connection, peer = transport._connection, server.peer
        assert connection is not None
        second = transport.open(METHOD, (), first=[b"ask"])
        connection.data_received(peer.goaway(1))  # in the same turn of the loop
        with pytest.raises(errors.ConnectionLost) as caught:
            await second.read()
        assert caught.value.unprocessed
        peer.answer(1)
        assert await first == b"answer"
        await server.until(lambda: peer.closed)
        assert len(peer.of(HEADERS)) == 1


@pytest.mark.case("H2-6.8-18", "H2-6.8-16")
@pytest.mark.parametrize("written", [True, False])
async def test_the_connection_ends_in_the_turn_in_which_a_call_begins(written: bool) -> None:
    async with FrameServer(silent) as server, connected(server) as transport:
        connection = transport._connection
        assert connection is not None
        stream = transport.open(METHOD, (), first=[b"ask"])
        if written:
            connection._flush()
        assert connection._transport is not None
        connection._transport.abort()
        connection.connection_lost(None)
        with pytest.raises(errors.ConnectionLost) as caught:
            await stream.read()
        assert caught.value.unprocessed is not written


@pytest.mark.case("H2-4.1-05")
@pytest.mark.parametrize("amid", ["frame header", "payload", "header block"])
async def test_the_connection_ends_inside_a_frame(amid: str) -> None:
    async with FrameServer(silent) as server, connected(server) as transport:
        calls = [asyncio.ensure_future(call(transport)) for _ in range(3)]
        await server.until(lambda: server.requests == 3)
        peer = server.peer
        cut = {
            "frame header": b"\0\0",
            "payload": peer.response(1) + frame(DATA, 0, 1, message(bytes(100)))[:50],
            "header block": frame(HEADERS, 0, 1, b"\x88"),
        }[amid]
        peer.send(cut)
        peer.writer.close()
        for running in calls:
            with pytest.raises(errors.ConnectionLost) as caught:
                await running
            assert not caught.value.unprocessed


@pytest.mark.case("H2-5.4-01", "AT-15")
async def test_a_violation_closes_the_socket_within_a_second_though_the_server_reads_nothing() -> None:
    async with FrameServer(first={INITIAL_WINDOW: 64 * MiB}, credit=False) as server, connected(server) as transport:
        server.peer.send(frame(8, 0, 0, (64 * MiB).to_bytes(4, "big")))
        server.reading.clear()
        running = asyncio.ensure_future(call(transport, bytes(48 * MiB)))
        connection = transport._connection
        assert connection is not None
        while not connection.paused:
            await asyncio.sleep(0.001)
        server.peer.send(frame(PING, 0, 3, bytes(8)))
        with pytest.raises(errors.ConnectionLost, match="violated HTTP/2"):
            await running
        begin = time.monotonic()
        await asyncio.wait_for(asyncio.shield(connection._gone), 10)
        assert time.monotonic() - begin < 4  # one second, and what a busy machine adds
        server.reading.set()


@pytest.mark.case("H2-5.4-02", "H2-5.4-04")
async def test_one_goaway_tells_the_first_violation() -> None:
    async with FrameServer(silent) as server, connected(server) as transport:
        running = asyncio.ensure_future(call(transport))
        await server.until(lambda: server.requests)
        peer = server.peer
        peer.send(frame(PING, 0, 3, bytes(8)), frame(8, 0, 0, bytes(4)), answered(message(b"late"))(peer, 1))
        with pytest.raises(errors.ConnectionLost, match="violated HTTP/2"):
            await running
        await server.until(lambda: peer.closed)
        assert len(peer.of(GOAWAY)) == 1


# -- resets


@pytest.mark.case("H2-6.4-15")
@pytest.mark.parametrize("code", [NO_ERROR, CANCEL, REFUSED, 2])
async def test_a_reset_is_never_answered_by_one_and_nothing_is_sent_after_it(code: int) -> None:
    async with FrameServer(first={INITIAL_WINDOW: 10}, credit=False) as server, connected(server) as transport:
        stream = transport.open(METHOD, ())
        writing = asyncio.ensure_future(stream.write([bytes(1_000)]))
        await server.until(lambda: len(server.peer.messages[1]) == 10)
        server.peer.send(server.peer.reset(1, code), settings({INITIAL_WINDOW: 1 << 20}))
        with pytest.raises(errors.ConnectionLost):
            await writing
        with pytest.raises(errors.HeadraceError):
            await stream.read()
        stream.cancel()
        await stream.half_close()
        server.peer.send(frame(PING, 0, 0, b"all read"))
        await server.until(lambda: server.peer.of(PING))
        assert not server.peer.of(RST)
        assert len(server.peer.messages[1]) == 10


# -- limits of streams


@pytest.mark.case("H2-5.1.2-08", "G-FR-13")
async def test_a_stream_that_still_sends_counts_until_it_is_reset() -> None:
    """The frame check of the server counts a stream until both of its halves have ended."""
    async with FrameServer(
        on_headers=lambda peer, stream: peer.send(answered(message(b"early"))(peer, stream)), first={MAX_STREAMS: 1}
    ) as server:
        server.on_request = silent
        async with connected(server) as transport:
            streams = [transport.open(METHOD, ()) for _ in range(5)]
            for stream in streams:
                assert await stream.read() == b"early"
                assert await stream.read() is None
            resets = server.peer.of(RST)
            assert [f.stream for f in resets] == [1, 3, 5, 7, 9][: len(resets)]
            assert all(f.payload == bytes(4) for f in resets)  # NO_ERROR


@pytest.mark.case("H2-5.1.2-09", "H2-6.9-14")
async def test_a_thousand_large_calls_at_once() -> None:
    content, asked = bytes(range(256)) * 64, bytes(10_000)

    def script(peer: Peer, stream: int) -> None:
        peer.send(answered(message(content))(peer, stream))

    async with FrameServer(script) as server, connected(server) as transport:
        results = await asyncio.gather(*(call(transport, asked, timeout=60) for _ in range(1_000)))
        assert set(results) == {content}
        assert all(body == message(asked) for body in server.peer.messages.values())
        assert len(server.peer.messages) == 1_000
        connection = transport._connection
        assert connection is not None
        assert connection.engine.output.window == server.peer.check.window


@pytest.mark.case("H2-5.1.2-05")
async def test_waits_that_are_cancelled_or_time_out_leak_no_room() -> None:
    async with FrameServer(silent, first={MAX_STREAMS: 2}) as server, connected(server) as transport:
        holding = [transport.open(METHOD, (), first=[b"ask"]) for _ in range(2)]
        await server.until(lambda: server.requests == 2)
        waiting = [asyncio.ensure_future(call(transport, timeout=0.05)) for _ in range(500)]
        waiting += [asyncio.ensure_future(call(transport)) for _ in range(500)]
        await asyncio.sleep(0)
        for task in waiting[500:]:
            task.cancel()
        seen = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(error) for error in seen} == {errors.DeadlineExceeded, asyncio.CancelledError}
        assert not transport._waiting
        for stream in holding:
            stream.cancel()
        server.on_request = answer
        assert set(await asyncio.gather(*(call(transport) for _ in range(20)))) == {b"answer"}
        assert len(server.peer.of(HEADERS)) == 22


# -- messages and their ends


class Endless(bytes):
    """Says that it is as long as a message cannot be."""

    def __len__(self) -> int:
        return 1 << 32


@pytest.mark.case("G-FR-08")
async def test_a_message_whose_length_grpc_cannot_write_is_refused_before_the_wire() -> None:
    async with FrameServer() as server, connected(server) as transport:
        with pytest.raises(errors.PayloadTooLarge, match="4,294,967,296 bytes"):
            await transport.unary(METHOD, [Endless()], (), 10)
        with pytest.raises(errors.PayloadTooLarge):
            await transport.open(METHOD, (), first=[Endless()]).read()
        stream = transport.open(METHOD, ())
        with pytest.raises(errors.PayloadTooLarge):
            await stream.write([b"x", Endless()])
        await stream.write([b"small"])  # the call lives
        await stream.half_close()
        assert await stream.read() == b"answer"
        assert len(server.peer.of(HEADERS)) == 1
        assert list(server.peer.messages.values()) == [message(b"small")]


@pytest.mark.case("G-ST-22", "H2-6.8-16")
async def test_a_status_followed_by_the_end_of_the_connection_is_the_result() -> None:
    def script(peer: Peer, stream: int) -> None:
        peer.answer(stream)
        peer.writer.close()

    async with FrameServer(script) as server, connected(server) as transport:
        assert await call(transport) == b"answer"


@pytest.mark.case("H2-6.1-03", "H2-6.1-04", "H2-6.9-17")
@pytest.mark.parametrize("padding", [255, None])
async def test_a_large_answer_in_tiny_frames(padding: int | None) -> None:
    content = bytes(314_159)

    def script(peer: Peer, stream: int) -> None:
        task.append(asyncio.create_task(send(peer, stream)))

    async def send(peer: Peer, stream: int) -> None:
        peer.send(peer.response(stream))
        data = message(content)
        for start in range(0, len(data), 5 * 400):
            part = data[start : start + 2_000]
            pieces = [part[n : n + 5] for n in range(0, len(part), 5)]
            if padding is None:
                peer.send(*(frame(DATA, 0, stream, piece) for piece in pieces))
            else:
                tail = bytes(padding)
                peer.send(*(frame(DATA, 8, stream, bytes((padding,)) + piece + tail) for piece in pieces))
            await peer.writer.drain()
        peer.send(peer.trailers(stream))

    task: list[asyncio.Task[None]] = []
    async with FrameServer(script) as server, connected(server) as transport:
        assert await call(transport, timeout=60) == content
        if padding is not None:
            granted = {f.stream: 0 for f in server.peer.of(8)}
            for update in server.peer.of(8):
                granted[update.stream] += int.from_bytes(update.payload, "big")
            sent = (len(content) + 5 + 4) // 5 * 261 - 1
            assert granted[1] > sent - (4 << 20)  # padding and its length octet are given back too
        await asyncio.gather(*task)


@pytest.mark.case("G-FR-14")
async def test_writing_to_a_call_that_has_ended_is_quiet_or_its_own_error() -> None:
    async with FrameServer(on_headers=Peer.answer) as server, connected(server) as transport:
        stream = transport.open(METHOD, ())
        assert await stream.read() == b"answer"
        assert await stream.read() is None
        with contextlib.suppress(errors.ConnectionLost):
            await stream.write([b"late"])
        await stream.half_close()
        assert await stream.read() is None
        assert not [f for f in server.peer.of(DATA) if f.flags & END]


async def test_a_connection_whose_stream_ids_are_used_up_is_left_for_a_new_one() -> None:
    async with FrameServer(lambda peer, stream: peer.answer(stream)) as server, connected(server) as transport:
        assert transport._connection is not None
        transport._connection.engine.next_id = (1 << 31) - 3
        assert transport.healthy
        assert await call(transport) == b"answer"
        assert transport.healthy
        assert await call(transport) == b"answer"
        assert not transport.healthy
        assert await asyncio.gather(*(call(transport) for _ in range(3))) == [b"answer"] * 3
        assert transport.healthy
        assert len(server.peers) == 2
        await server.until(lambda: server.peers[0].closed)


async def test_a_transport_that_is_retired_or_closed_is_not_healthy() -> None:
    for end in (H2Transport.retire, H2Transport.discard, lambda transport: transport.close(0)):
        async with FrameServer(lambda peer, stream: peer.answer(stream)) as server, connected(server) as transport:
            assert transport.healthy
            if (ending := end(transport)) is not None:
                await ending
            assert not transport.healthy
