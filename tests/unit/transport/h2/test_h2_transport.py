"""The lean transport against a server that sends frames as a test says: ends of calls, GOAWAY, limits, windows."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import zlib
from collections.abc import Callable

import pytest

from headrace import errors
from headrace.config import KeepAlive, Target
from headrace.transport.h2.metadata import timeout_text
from headrace.transport.h2.transport import authority_of
from tests.support.frames import (
    DATA,
    END,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW,
    MAX_HEADER_LIST,
    MAX_STREAMS,
    PING,
    RST,
    WINDOW,
    FrameServer,
    Peer,
    answer,
    frame,
    message,
    settings,
)  # fmt: skip
from tests.support.h2calls import (
    CALM,
    CANCEL,
    GRPC,
    HTML,
    INSECURE,
    INTERNAL,
    METHOD,
    NO_ERROR,
    PROTOCOL,
    REFUSED,
    MiB,
    answered,
    call,
    connected,
    headers_then_reset,
    only,
    reset,
)  # fmt: skip

pytestmark = pytest.mark.core


# -- ends of calls


ENDS: list[tuple[str, Callable[[Peer, int], bytes], type[Exception], str, bool]] = [
    # id, what the server sends, class, what the message has, unprocessed
    ("H2-6.4-03", headers_then_reset(NO_ERROR), errors.ConnectionLost, "NO_ERROR", False),
    (
        "H2-6.4-05",
        lambda peer, stream: answered(message(b"x"), status=None)(peer, stream) + peer.reset(stream, NO_ERROR),
        errors.ConnectionLost,
        "NO_ERROR",
        False,
    ),
    ("H2-6.4-06", reset(NO_ERROR), errors.ConnectionLost, "NO_ERROR", False),
    ("H2-6.4-08", reset(REFUSED), errors.ConnectionLost, "REFUSED_STREAM", True),
    ("H2-6.4-09", headers_then_reset(REFUSED), errors.ConnectionLost, "REFUSED_STREAM", False),
    ("H2-6.4-10", reset(CANCEL), errors.ConnectionLost, "CANCEL", False),
    ("H2-6.4-11 calm", reset(CALM), errors.Throttled, "ENHANCE_YOUR_CALM", False),
    ("H2-6.4-11 insecure", reset(INSECURE), errors.PermissionDenied, "INADEQUATE_SECURITY", False),
    *[
        (f"H2-6.4-12 {code}", reset(code), errors.ConnectionLost, "the server reset", False)
        for code in (1, 2, 3, 4, 5, 6, 9, 10, 13)
    ],
    ("H2-6.4-13", reset(0xFF), errors.ConnectionLost, "0xff", False),
    ("H2-6.4-13 largest", reset((1 << 32) - 1), errors.ConnectionLost, "0xffffffff", False),
    ("G-FR-05 prefix", answered(b"\0\0"), errors.PredictionFailed, "inside a message", False),
    ("G-FR-05 message", answered(b"\0\0\0\0\5abc"), errors.PredictionFailed, "inside a message", False),
    ("G-FR-06", answered(message(b"x", 2)), errors.PredictionFailed, "flags 2", False),
    ("G-FR-06 all bits", answered(message(b"x", 255)), errors.PredictionFailed, "flags 255", False),
    ("G-FR-05 other status", answered(b"\0\0", status="5"), errors.NotFound, "NOT_FOUND", False),
    ("G-FR-07", answered(b"\0\xff\xff\xff\xff"), errors.PayloadTooLarge, "4,294,967,295", False),
    ("G-FR-09", answered(), errors.PredictionFailed, "no answer", False),
    ("G-FR-10", answered(message(b"a") + message(b"b")), errors.PredictionFailed, "more than one", False),
    ("G-FR-11", answered(message(b"a"), status="5"), errors.NotFound, "NOT_FOUND", False),
    (
        "G-ST-01",
        only(GRPC, ("grpc-status", "16"), ("grpc-message", "bad%20key")),
        errors.AuthError,
        "bad key",
        False,
    ),
    ("G-ST-04", only(GRPC, ("grpc-status", "0"), body=message(b"x")), errors.PredictionFailed, "trailers", False),
    ("G-ST-05", only(GRPC), errors.PredictionFailed, "without a status", False),
    (
        "G-ST-06",
        lambda peer, stream: peer.response(stream) + frame(DATA, END, stream, message(b"x")),
        errors.PredictionFailed,
        "without trailers",
        False,
    ),
    *[
        (f"G-ST-07 {status}", only(HTML, status=str(status)), cls, str(status), False)
        for status, cls in (
            (400, errors.ConnectFailed),
            (401, errors.AuthError),
            (403, errors.PermissionDenied),
            (404, errors.ConnectFailed),
            (413, errors.PayloadTooLarge),
            (429, errors.Throttled),
            (500, errors.ConnectionLost),
            (503, errors.ConnectionLost),
            (204, errors.ConnectFailed),
            (302, errors.ConnectFailed),
            (408, errors.ConnectionLost),
            (409, errors.ConnectFailed),
            (412, errors.ConnectFailed),
            (415, errors.ConnectFailed),
            (418, errors.ConnectFailed),
            (421, errors.ConnectFailed),
            (431, errors.PayloadTooLarge),
            (502, errors.ConnectionLost),
            (504, errors.ConnectionLost),
            (800, errors.ConnectionLost),
        )
    ],
    ("G-ST-08", only(HTML, status="502", body=b"<h1>Bad\n gateway"), errors.ConnectionLost, "<h1>Bad gateway", False),
    ("G-ST-09", only(HTML, ("grpc-status", "5"), status="503"), errors.NotFound, "NOT_FOUND", False),
    ("G-ST-10", only(HTML, body=b"hello"), errors.ConnectFailed, "text/html; hello", False),
    *[
        (f"G-ST-10 {kind}", only(("content-type", kind), body=b"hello"), errors.ConnectFailed, f"{kind}; hello", False)
        for kind in ("image/jpeg", "application/grpc-web", "application/grpcx")
    ],
    *[
        (f"G-ST-14 {text}", answered(status=text), errors.PredictionFailed, "does not exist", False)
        for text in ("", "x", "-1", "17", "999", "1e1", "00")
    ],
    (
        "G-ST-03",
        answered(message(b"a"), status="5", fields=[("grpc-status", "0")]),
        errors.NotFound,
        "NOT_FOUND",
        False,
    ),
    ("G-ST-13", only(("grpc-status", "7")), errors.PermissionDenied, "PERMISSION_DENIED", False),
    (
        "G-ST-15",
        lambda peer, stream: peer.response(stream) + peer.trailers(stream, "0", ("grpc-status", "9")),
        errors.PredictionFailed,
        "does not exist: '0, 9'",
        False,
    ),
    (
        "G-ST-16",
        only(GRPC, ("grpc-status", "5"), ("grpc-message", "%e2%98%ba%F0%9F%98%88")),
        errors.NotFound,
        "☺😈",
        False,
    ),
    ("G-ST-17", only(GRPC, ("grpc-status", "5"), ("grpc-message", "50% of %ff%")), errors.NotFound, "50% of", False),
    ("AT-22", only(GRPC, ("grpc-status", "5"), ("grpc-message", "a%1b[2Jb")), errors.NotFound, "a\\x1b[2Jb", False),
    (
        "AT-22 other headers",
        only(("content-type", "text/\x1b[2Jb"), ("location", "/\x1b[3J"), status="302"),
        errors.ConnectFailed,
        "to /\\x1b[3J; text/\\x1b[2Jb",
        False,
    ),
    ("G-CP-03", answered(message(b"x", 1)), errors.PredictionFailed, "compressed", False),
    (
        "G-CP-04",
        answered(message(b"x", 1), fields=[("grpc-encoding", "zstd")]),
        errors.PredictionFailed,
        "'zstd'",
        False,
    ),
    (
        "G-CP-05",
        answered(message(gzip.compress(b"x" * 99)[:-9], 1), fields=[("grpc-encoding", "gzip")]),
        errors.PredictionFailed,
        "cut off",
        False,
    ),
    *[
        (
            f"G-CP-05 {name}",
            answered(message(packed, 1), fields=[("grpc-encoding", encoding)]),
            errors.PredictionFailed,
            text,
            False,
        )
        for name, encoding, packed, text in (
            ("broken", "gzip", b"\x1f\x8b" + bytes(20), "cannot be decompressed"),
            ("broken deflate", "deflate", b"no zlib", "cannot be decompressed"),
            ("over-long", "gzip", gzip.compress(b"x") + b"more", "cut off or too long"),
            ("two members", "gzip", gzip.compress(b"x") * 2, "cut off or too long"),
        )
    ],
    (
        "G-CP-06",
        answered(message(gzip.compress(bytes(4 * MiB)), 1), fields=[("grpc-encoding", "gzip")]),
        errors.PayloadTooLarge,
        "when decompressed",
        False,
    ),
]


@pytest.mark.case("AT-22")
@pytest.mark.parametrize("cut", [False, True], ids=["whole", "byte by byte"])
@pytest.mark.parametrize(("write", "cls", "text", "unprocessed"), [e[1:] for e in ENDS], ids=[e[0] for e in ENDS])
async def test_ends_of_a_call(
    write: Callable[[Peer, int], bytes], cls: type[Exception], text: str, unprocessed: bool, cut: bool
) -> None:
    waiting: list[int] = []

    def script(peer: Peer, stream: int) -> None:
        if not waiting:  # the other call is answered last
            waiting.append(stream)
            return
        data = write(peer, stream)
        for piece in [data[n : n + 1] for n in range(len(data))] if cut and len(data) < 2_000 else [data]:
            peer.send(piece)

    async with FrameServer(script) as server, connected(server, message_bytes=2 * MiB) as transport:
        other = asyncio.ensure_future(call(transport))
        await server.until(lambda: waiting)
        with pytest.raises(cls) as caught:
            await call(transport)
        assert type(caught.value) is cls
        assert text in str(caught.value)
        assert str(caught.value).isprintable()
        assert getattr(caught.value, "unprocessed", False) is unprocessed
        server.peer.answer(waiting[0])
        assert await other == b"answer"
        assert len(server.peers) == 1
        assert len(server.peer.of(RST, 3)) <= 1


@pytest.mark.case("G-CP-02", "G-FR-03", "G-FR-04", "G-CP-07", "G-CP-04")
@pytest.mark.parametrize(
    ("write", "messages"),
    [
        (answered(b"\0\0\0\0\0"), [b""]),
        (answered(message(b"a") * 300), [b"a"] * 300),
        (answered(*(bytes((byte,)) for byte in message(b"abc"))), [b"abc"]),
        (answered(message(gzip.compress(b"a"), 1), message(b"b"), fields=[("grpc-encoding", "gzip")]), [b"a", b"b"]),
        (answered(message(zlib.compress(b"a"), 1), fields=[("grpc-encoding", "deflate")]), [b"a"]),
        (answered(message(b"", 1), fields=[("grpc-encoding", "gzip")]), [b""]),
        (answered(message(b"a"), fields=[("grpc-encoding", "zstd")]), [b"a"]),
    ],
)
async def test_messages_that_arrive(write: Callable[[Peer, int], bytes], messages: list[bytes]) -> None:
    def script(peer: Peer, stream: int) -> None:
        peer.send(write(peer, stream))

    async with FrameServer(script) as server, connected(server) as transport:
        stream = transport.open(METHOD, (), first=[b"ask"])
        for expected in messages:
            assert await stream.read() == expected
        assert await stream.read() is None
        assert await stream.read() is None


@pytest.mark.case("G-ST-11")
@pytest.mark.parametrize("kind", ["application/grpc+proto", "application/grpc;a=b", "Application/GRPC"])
async def test_g_st_11_kinds_of_content_that_are_grpc(kind: str) -> None:
    def script(peer: Peer, stream: int) -> None:
        head = peer.headers(stream, (":status", "200"), ("content-type", kind))
        peer.send(head, frame(DATA, 0, stream, message(b"yes")), peer.trailers(stream))

    async with FrameServer(script) as server, connected(server) as transport:
        assert await call(transport) == b"yes"


@pytest.mark.case("G-ST-02", "G-FR-12", "G-FR-15")
@pytest.mark.parametrize("status", range(17))
async def test_g_st_02_statuses_of_trailers_after_messages(status: int) -> None:
    def script(peer: Peer, stream: int) -> None:
        peer.send(answered(message(b"a"), message(b"b"), status=str(status))(peer, stream))

    async with FrameServer(on_headers=script) as server, connected(server) as transport:
        stream = transport.open(METHOD, ())
        assert await stream.read() == b"a"
        assert await stream.read() == b"b"
        if not status:
            assert await stream.read() is None
            return
        with pytest.raises(errors.HeadraceError) as caught:
            await stream.read()
        assert not isinstance(caught.value, errors.ConfigError)
        with pytest.raises(type(caught.value)):
            await stream.read()


@pytest.mark.case("G-ST-21")
@pytest.mark.parametrize(
    ("field", "hint"),
    [(("retry-after", "3"), 3.0), (("grpc-retry-pushback-ms", "250"), 0.25), (("retry-after", "soon"), None)],
)
async def test_g_st_21_hints_when_to_come_back(field: tuple[str, str], hint: float | None) -> None:
    def script(peer: Peer, stream: int) -> None:
        peer.send(only(GRPC, ("grpc-status", "8"), field)(peer, stream))

    async with FrameServer(script) as server, connected(server) as transport:
        with pytest.raises(errors.Throttled) as caught:
            await call(transport)
        assert caught.value.retry_after == hint


@pytest.mark.case("AT-23")
async def test_at_23_no_secret_is_in_an_error() -> None:
    def script(peer: Peer, stream: int) -> None:
        peer.send(only(GRPC, ("grpc-status", "5"))(peer, stream))

    async with FrameServer(script) as server, connected(server) as transport:
        with pytest.raises(errors.NotFound) as caught:
            await transport.unary(METHOD, [b""], [("authorization", "Key hush")], 5)
        assert "hush" not in repr(caught.value) + repr(transport)


@pytest.mark.case("H2-6.4-04")
async def test_h2_6_4_04_whole_messages_before_a_reset_are_read() -> None:
    def script(peer: Peer, stream: int) -> None:
        peer.send(answered(message(b"whole") + b"\0\0\0\0\x09part", status=None)(peer, stream), peer.reset(stream, 0))

    async with FrameServer(script) as server, connected(server) as transport:
        stream = transport.open(METHOD, (), first=[b""])
        assert await stream.read() == b"whole"
        with pytest.raises(errors.ConnectionLost, match="NO_ERROR"):
            await stream.read()


@pytest.mark.case("H2-6.4-07", "G-FR-13", "G-FR-14")
async def test_h2_6_4_07_trailers_before_our_end_are_the_result_and_stop_the_sending() -> None:
    def script(peer: Peer, stream: int) -> None:
        peer.send(answered(message(b"early"))(peer, stream), peer.reset(stream, NO_ERROR))

    async with FrameServer(on_headers=script) as server, connected(server) as transport:
        stream = transport.open(METHOD, ())
        with contextlib.suppress(errors.ConnectionLost):
            while True:
                await stream.write([bytes(MiB)])
        assert await stream.read() == b"early"
        assert await stream.read() is None
        await stream.half_close()


# -- GOAWAY


@pytest.mark.case("H2-6.8-03", "H2-6.8-14")
async def test_h2_6_8_03_calls_above_the_last_stream_are_unprocessed() -> None:
    async with FrameServer(lambda peer, stream: None) as server, connected(server) as transport:
        calls = [asyncio.ensure_future(call(transport)) for _ in range(3)]
        await server.until(lambda: server.requests == 3)
        old = server.peer
        old.send(old.goaway(1, 11, b"too_many_pings"))
        for late in calls[1:]:
            with pytest.raises(errors.ConnectionLost, match="too_many_pings") as caught:
                await late
            assert caught.value.unprocessed
        assert not transport.healthy
        server.on_request = answer
        assert await call(transport) == b"answer"  # on a new connection, while the old one has a call
        assert len(server.peers) == 2
        assert not old.closed
        old.answer(1)
        assert await calls[0] == b"answer"
        await server.until(lambda: old.closed)
        assert transport.healthy


@pytest.mark.case("H2-6.8-04")
async def test_h2_6_8_04_a_goaway_in_two_phases() -> None:
    async with FrameServer(lambda peer, stream: None) as server, connected(server) as transport:
        calls = [asyncio.ensure_future(call(transport)) for _ in range(2)]
        await server.until(lambda: server.requests == 2)
        old = server.peer
        old.send(old.goaway((1 << 31) - 1))
        while transport.healthy:
            await asyncio.sleep(0.001)
        assert not any(one.done() for one in calls)
        old.send(old.goaway(1))
        with pytest.raises(errors.ConnectionLost) as caught:
            await calls[1]
        assert caught.value.unprocessed
        old.answer(1)
        assert await calls[0] == b"answer"


@pytest.mark.case("H2-6.8-05", "H2-6.8-06", "H2-6.8-09")
async def test_h2_6_8_05_and_06_the_last_stream_is_processed_and_after_zero_none_is() -> None:
    async with FrameServer(lambda peer, stream: None) as server, connected(server) as transport:
        for last in (1, 0):
            running = asyncio.ensure_future(call(transport))
            await server.until(lambda: server.peer.requests)
            peer = server.peer
            peer.send(peer.goaway(last, 2, b"why"))
            if last:
                peer.answer(1)
                assert await running == b"answer"
            else:
                with pytest.raises(errors.ConnectionLost, match="INTERNAL_ERROR: why") as caught:
                    await running
                assert caught.value.unprocessed
            await server.until(lambda: peer.closed)  # noqa: B023
            await transport.connect(5)


@pytest.mark.case("H2-6.8-07")
async def test_h2_6_8_07_a_goaway_and_the_end_at_once() -> None:
    async with FrameServer(lambda peer, stream: None) as server, connected(server) as transport:
        calls = [asyncio.ensure_future(call(transport)) for _ in range(2)]
        await server.until(lambda: server.requests == 2)
        server.peer.send(server.peer.goaway(1))
        server.peer.writer.close()
        seen = await asyncio.gather(*calls, return_exceptions=True)
        assert [getattr(error, "unprocessed", None) for error in seen] == [False, True]


@pytest.mark.case("H2-6.8-19")
async def test_h2_6_8_19_connections_that_go_away_again_and_again_lose_nothing() -> None:
    def script(peer: Peer, stream: int) -> None:
        peer.answer(stream)
        done.append(stream)
        if len(done) % 50 == 0:
            peer.send(peer.goaway(stream))

    done: list[int] = []
    async with FrameServer(script) as server, connected(server) as transport:

        async def one() -> int:
            """Send again what was not processed, as the pool does."""
            for attempt in range(100):
                try:
                    assert await call(transport) == b"answer"
                    return attempt
                except errors.ConnectionLost as error:
                    if not error.unprocessed:
                        raise
            raise AssertionError("no end")

        for _ in range(10):
            await asyncio.gather(*(one() for _ in range(60)))
        assert len(server.peers) >= 10
        answered_ = sum(len(peer.requests) for peer in server.peers)
        assert answered_ >= 600


@pytest.mark.case("H2-6.8-08", "H2-6.8-15")
async def test_h2_6_8_08_an_answer_a_goaway_and_the_end_in_one_piece() -> None:
    def script(peer: Peer, stream: int) -> None:
        peer.send(answered(message(b"last"))(peer, stream), peer.goaway(stream))
        peer.writer.close()

    async with FrameServer(script) as server, connected(server) as transport:
        assert await call(transport) == b"last"
        server.on_request = answer
        assert await call(transport) == b"answer"
        assert len(server.peers) == 2


@pytest.mark.case("H2-6.8-12")
async def test_h2_6_8_12_calls_that_wait_for_room_move_to_the_next_connection() -> None:
    async with FrameServer(lambda peer, stream: None, first={MAX_STREAMS: 1}) as server, connected(server) as transport:
        calls = [asyncio.ensure_future(call(transport)) for _ in range(5)]
        await server.until(lambda: server.requests == 1)
        server.on_request = answer
        old = server.peer
        old.send(old.goaway(1))
        assert await asyncio.gather(*calls[1:]) == [b"answer"] * 4
        assert len(old.of(HEADERS)) == 1
        old.answer(1)
        assert await calls[0] == b"answer"


@pytest.mark.case("H2-6.8-16")
async def test_h2_6_8_16_calls_of_a_connection_that_ends() -> None:
    async with FrameServer(lambda peer, stream: None) as server, connected(server) as transport:
        running = asyncio.ensure_future(call(transport))
        await server.until(lambda: server.requests == 1)
        server.peer.writer.transport.abort()
        with pytest.raises(errors.ConnectionLost) as caught:
            await running
        assert not caught.value.unprocessed


@pytest.mark.case("H2-5.4-03", "H2-5.4-02")
async def test_h2_5_4_03_a_violation_ends_the_connection_and_what_waits_goes_on_elsewhere() -> None:
    async with FrameServer(lambda peer, stream: None, first={MAX_STREAMS: 3}) as server, connected(server) as transport:
        calls = [asyncio.ensure_future(call(transport)) for _ in range(8)]
        await server.until(lambda: server.requests == 3)
        server.on_request = answer
        old = server.peer
        old.send(frame(PING, 0, 3, bytes(8)))
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(result) for result in results[:3]] == [errors.ConnectionLost] * 3
        assert "violated HTTP/2" in str(results[0])
        assert results[3:] == [b"answer"] * 5
        await server.until(lambda: old.closed)
        assert old.of(GOAWAY)[0].payload[:8] == bytes(4) + PROTOCOL.to_bytes(4, "big")


@pytest.mark.case("H2-6.8-20")
async def test_h2_6_8_20_closing_with_grace() -> None:
    async with FrameServer(lambda peer, stream: None) as server, connected(server) as transport:
        calls = [asyncio.ensure_future(call(transport)) for _ in range(2)]
        await server.until(lambda: server.requests == 2)
        closing = asyncio.ensure_future(transport.close(0.3))
        await server.until(lambda: server.peer.of(GOAWAY))
        server.peer.answer(1)
        assert await calls[0] == b"answer"
        with pytest.raises(errors.ClosedError):
            await calls[1]
        await closing
        await server.until(lambda: server.peer.closed)
        assert server.peer.of(GOAWAY)[0].payload == bytes(8)
        assert server.peer.of(RST, 3)


# -- limits of streams


@pytest.mark.case("H2-5.1.2-01", "H2-5.1.1-01")
async def test_h2_5_1_2_01_no_more_streams_than_the_server_allows() -> None:
    async def later(peer: Peer, stream: int) -> None:
        await asyncio.sleep(0.001)
        peer.answer(stream)

    tasks: list[asyncio.Task[None]] = []
    async with (
        FrameServer(
            lambda peer, stream: tasks.append(asyncio.create_task(later(peer, stream))), first={MAX_STREAMS: 2}
        ) as server,
        connected(server) as transport,
    ):
        assert transport.max_streams == 2
        assert await asyncio.gather(*(call(transport) for _ in range(30))) == [b"answer"] * 30
        assert server.peer.most_open == 2
        ids = [f.stream for f in server.peer.of(HEADERS)]
        assert ids == list(range(1, 61, 2))


@pytest.mark.case("H2-5.1.2-03", "G-DL-04")
async def test_h2_5_1_2_03_zero_and_then_more() -> None:
    async with FrameServer(first={MAX_STREAMS: 0}) as server, connected(server) as transport:
        seen: list[int | None] = []
        transport.on_max_streams = lambda: seen.append(transport.max_streams)
        with pytest.raises(errors.DeadlineExceeded):
            await call(transport, timeout=0.05)
        order: list[int] = []

        async def numbered(number: int) -> None:
            await call(transport)
            order.append(number)

        calls = [asyncio.ensure_future(numbered(number)) for number in range(5)]
        await asyncio.sleep(0)
        calls[2].cancel()
        await asyncio.sleep(0)
        assert not server.peer.of(HEADERS)
        server.peer.send(settings({MAX_STREAMS: 1}))
        await asyncio.gather(*calls, return_exceptions=True)
        assert order == [0, 1, 3, 4]
        assert seen == [1]
        assert len(server.peer.of(HEADERS)) == 4


@pytest.mark.case("H2-5.1.2-02")
async def test_h2_5_1_2_02_lowered_below_what_runs() -> None:
    async with FrameServer(lambda peer, stream: None) as server, connected(server) as transport:
        calls = [asyncio.ensure_future(call(transport)) for _ in range(3)]
        await server.until(lambda: server.requests == 3)
        server.peer.send(settings({MAX_STREAMS: 1}))
        while transport.max_streams != 1:
            await asyncio.sleep(0.001)
        waiting = asyncio.ensure_future(call(transport))
        server.peer.answer(1)
        server.peer.answer(3)
        await asyncio.gather(*calls[:2])
        assert server.requests == 3
        server.on_request = answer
        server.peer.answer(5)
        assert await waiting == b"answer"


@pytest.mark.case("H2-5.1.2-05")
async def test_h2_5_1_2_05_cancelled_calls_leak_no_room() -> None:
    async with FrameServer(lambda peer, stream: None, first={MAX_STREAMS: 2}) as server, connected(server) as transport:
        for _ in range(20):
            calls = [asyncio.ensure_future(call(transport)) for _ in range(5)]
            await asyncio.sleep(0)
            for one in calls:
                one.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        server.on_request = answer
        assert await call(transport) == b"answer"


@pytest.mark.case("H2-5.1.2-07")
async def test_h2_5_1_2_07_without_a_limit_there_is_one_of_our_own() -> None:
    async with FrameServer(lambda peer, stream: None) as server, connected(server) as transport:
        calls = [asyncio.ensure_future(call(transport)) for _ in range(1_100)]
        await server.until(lambda: server.requests == 1_000)
        assert server.peer.most_open == 1_000
        for stream in list(server.peer.open):
            server.peer.answer(stream)
        server.on_request = answer
        assert set(await asyncio.gather(*calls)) == {b"answer"}


# -- windows


@pytest.mark.case("H2-6.9-07")
async def test_h2_6_9_07_a_write_waits_for_its_window_and_the_others_go_on() -> None:
    async with FrameServer(first={INITIAL_WINDOW: 10}, credit=False) as server, connected(server) as transport:
        blocked = transport.open(METHOD, ())
        writing = asyncio.ensure_future(blocked.write([bytes(100)]))
        await server.until(lambda: len(server.peer.messages[1]) == 10)
        assert await call(transport, b"abc") == b"answer"
        assert not writing.done()
        blocked.cancel()
        with pytest.raises(errors.ConnectionLost):
            await writing
        await server.until(lambda: server.peer.of(RST, 1))
        with pytest.raises(errors.DeadlineExceeded):
            await call(transport, bytes(100), timeout=0.05)


@pytest.mark.case("H2-6.9-13")
async def test_h2_6_9_13_messages_far_above_every_window_both_ways() -> None:
    payload = bytes(range(256)) * (20 * MiB // 256)

    def script(peer: Peer, stream: int) -> None:
        assert peer.messages[stream] == message(payload)
        task.append(asyncio.create_task(flood(peer, stream)))

    task: list[asyncio.Task[None]] = []

    async def flood(peer: Peer, stream: int) -> None:
        """Send as the windows allow."""
        data = message(payload)
        peer.send(peer.response(stream))
        seen = sent = 0
        granted = 4 * MiB
        while sent < len(data):
            for update in peer.of(WINDOW, stream)[seen:]:
                granted += int.from_bytes(update.payload, "big")
                seen += 1
            size = min(65_536, granted - sent, len(data) - sent)
            if size <= 0:
                await peer.server.until(lambda: len(peer.of(WINDOW, stream)) > seen)  # noqa: B023
                continue
            peer.send(frame(DATA, 0, stream, data[sent : sent + size]))
            sent += size
            await peer.writer.drain()
        peer.send(peer.trailers(stream))

    async with FrameServer(script) as server, connected(server) as transport:
        assert await call(transport, payload, timeout=60) == payload
        call_ = transport.open(METHOD, (), first=[payload])
        assert await call_.read() == payload
        assert await call_.read() is None


@pytest.mark.case("H2-6.9-12")
async def test_h2_6_9_12_a_stream_that_nobody_reads_gets_no_credit() -> None:
    def script(peer: Peer, stream: int) -> None:
        if stream == 1:
            peer.send(peer.response(stream), frame(DATA, 0, stream, message(bytes(1_000))) * 4_000)
        else:
            peer.answer(stream)

    async with FrameServer(script) as server, connected(server) as transport:
        unread = transport.open(METHOD, (), first=[b""])
        await server.until(lambda: server.requests)
        assert await call(transport) == b"answer"
        assert not server.peer.of(WINDOW, 1)
        for _ in range(4_000):
            assert await unread.read() == bytes(1_000)
        await server.until(lambda: server.peer.of(WINDOW, 1))
        unread.cancel()


def in_frames(stream: int, content: bytes) -> list[bytes]:
    """Write content in DATA frames of 16 KiB."""
    return [frame(DATA, 0, stream, content[at : at + 16_384]) for at in range(0, len(content), 16_384)]


async def test_h2_6_9_12_large_messages_that_nobody_reads_get_no_credit_either() -> None:
    large = [bytes(1 << 20) for _ in range(3)]

    def script(peer: Peer, stream: int) -> None:
        if stream == 1:
            content = b"".join(map(message, (b"small", *large)))
            peer.send(peer.response(stream), *in_frames(stream, content))
        else:
            peer.answer(stream)

    async with FrameServer(script) as server, connected(server) as transport:
        unread = transport.open(METHOD, (), first=[b""])
        await server.until(lambda: server.requests)
        assert await call(transport) == b"answer"
        assert not server.peer.of(WINDOW, 1)
        assert [await unread.read() for _ in range(4)] == [b"small", *large]
        await server.until(lambda: server.peer.of(WINDOW, 1))
        unread.cancel()


async def test_h2_6_9_12_a_message_over_the_window_comes_once_those_before_it_were_read() -> None:
    content = message(b"small") + message(bytes(6 << 20))
    window = (4 << 20) - 100

    def script(peer: Peer, stream: int) -> None:
        peer.send(peer.response(stream), *in_frames(stream, content[:window]))

    async with FrameServer(script) as server, connected(server) as transport:
        reading = transport.open(METHOD, (), first=[b""])
        assert await reading.read() == b"small"
        await server.until(lambda: server.peer.of(WINDOW, 1))
        server.peer.send(*in_frames(1, content[window:]))
        assert await reading.read() == bytes(6 << 20)
        reading.cancel()


async def test_h2_6_9_12_padding_that_nobody_counts_as_read_is_given_back() -> None:
    padded = [frame(DATA, 8, 1, b"\xff" + message(b"") + bytes(255))] * 1_000  # 261 bytes for each message of 5
    rounds = 40  # 10 MiB in all: without credit for the padding, the window would end

    def script(peer: Peer, stream: int) -> None:
        peer.send(peer.response(stream))

    async with FrameServer(script) as server, connected(server) as transport:
        reading = transport.open(METHOD, (), first=[b""])
        await server.until(lambda: server.requests)
        for _ in range(rounds):
            server.peer.send(*padded)
            for _ in range(1_000):
                assert await reading.read() == b""
        reading.cancel()


# -- deadlines and cancelling


@pytest.mark.case("G-DL-08", "G-DL-01", "G-DL-02")
async def test_g_dl_the_server_is_told_what_is_left() -> None:
    async with FrameServer(first={MAX_STREAMS: 0}) as server, connected(server) as transport:
        assert not server.peer.requests
        waiting = asyncio.ensure_future(call(transport, timeout=10))
        await asyncio.sleep(0)  # it has begun, and its time runs
        await asyncio.sleep(0.1)
        server.peer.send(settings({MAX_STREAMS: 9}))
        await waiting
        assert await call(transport, timeout=None) == b"answer"
        assert await call(transport, timeout=float("inf")) == b"answer"
        with pytest.raises(errors.DeadlineExceeded):
            await call(transport, timeout=0)
        first, *others = (fields.get("grpc-timeout") for fields in server.peer.requests.values())
        assert first is not None
        assert 9_000 < int(first.removesuffix("m")) <= 9_901
        assert others == [None, None]


@pytest.mark.case("G-DL-03", "G-DL-05")
async def test_g_dl_03_the_clock_ends_a_call_and_the_server_hears_of_it() -> None:
    async with FrameServer(lambda peer, stream: None) as server, connected(server) as transport:
        with pytest.raises(errors.DeadlineExceeded):
            await call(transport, timeout=0.05)
        await server.until(lambda: server.peer.of(RST, 1))
        assert server.peer.of(RST, 1)[0].payload == CANCEL.to_bytes(4, "big")
        server.peer.answer(1)  # after the end
        server.on_request = answer
        assert await call(transport) == b"answer"


@pytest.mark.case("H2-6.4-10")
async def test_h2_6_4_10_a_cancel_of_the_server_after_the_deadline_is_the_deadline() -> None:
    async with FrameServer(lambda peer, stream: None) as server, connected(server) as transport:
        running = asyncio.ensure_future(call(transport, timeout=2.0))
        await server.until(lambda: server.requests)
        (waiting,) = transport._connection.engine.streams.values()  # type: ignore[union-attr]
        waiting.owner.deadline = asyncio.get_running_loop().time() - 0.001  # over, and the timer has not run yet
        server.peer.send(server.peer.reset(1, CANCEL))
        with pytest.raises(errors.DeadlineExceeded):
            await running


@pytest.mark.case("G-CA-06")
async def test_g_ca_06_a_cancelled_task_cancels_its_call() -> None:
    async with FrameServer(lambda peer, stream: None) as server, connected(server) as transport:
        running = asyncio.ensure_future(call(transport))
        await server.until(lambda: server.requests)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await server.until(lambda: server.peer.of(RST, 1))
        assert len(server.peer.of(RST)) == 1


# -- metadata


@pytest.mark.case("G-FR-01", "G-CP-01", "G-MD-05", "G-FR-02")
async def test_g_fr_01_the_headers_of_a_request() -> None:
    async with FrameServer() as server, connected(server) as transport:
        await transport.unary(METHOD, [b"x"], [("Authorization", "Key s"), ("a-bin", "\xff\xfe")], 3)
        fields = server.peer.requests[1]
        assert list(fields)[:5] == [":method", ":scheme", ":path", ":authority", "grpc-timeout"]
        assert fields[":authority"] == f"127.0.0.1:{server.port}"
        assert fields[":path"] == METHOD
        assert fields["te"] == "trailers"
        assert fields["grpc-timeout"] == "3000m"
        assert fields["grpc-accept-encoding"] == "identity,deflate,gzip"
        assert fields["a-bin"] == "//4"
        assert server.peer.of(DATA, 1)[-1].flags == END


@pytest.mark.case("G-MD-07")
@pytest.mark.parametrize(
    "pair",
    [
        ("a b", "x"),
        (":path", "/"),
        ("grpc-timeout", "1S"),
        ("te", "x"),
        ("content-length", "9"),
        ("transfer-encoding", "x"),
        ("a", "x\r\nb: y"),
        ("a", "\xe9"),
    ],
)
async def test_g_md_07_metadata_that_cannot_be_sent(pair: tuple[str, str]) -> None:
    async with FrameServer() as server, connected(server) as transport:
        with pytest.raises(errors.ConfigError, match="metadata"):
            await transport.unary(METHOD, [b"x"], [pair], 3)
        with pytest.raises(errors.ConfigError, match="metadata"):
            await transport.open(METHOD, [pair]).read()
        assert not server.peer.of(HEADERS)


@pytest.mark.case("G-MD-08")
async def test_g_md_08_metadata_over_the_servers_limit() -> None:
    async with FrameServer(first={MAX_HEADER_LIST: 1_000}) as server, connected(server) as transport:
        assert await call(transport) == b"answer"
        with pytest.raises(errors.PayloadTooLarge, match="1,000"):
            await transport.unary(METHOD, [b"x"], [("a", "x" * 1_000)], 3)
        assert len(server.peer.of(HEADERS)) == 1


# -- keepalive


@pytest.mark.case("KA-01")
async def test_ka_01_a_silent_connection_is_given_up() -> None:
    server = FrameServer(lambda peer, stream: None, pong=False)
    async with server, connected(server, keepalive=KeepAlive(0.05, 0.1)) as transport:
        with pytest.raises(errors.ConnectionLost, match="ping"):
            await call(transport)
        assert len(server.peer.of(PING)) == 1
        assert not transport.healthy


@pytest.mark.case("KA-03")
async def test_ka_03_pings_only_while_calls_run() -> None:
    server = FrameServer(lambda peer, stream: None)
    async with server, connected(server, keepalive=KeepAlive(0.02, 0.5)) as transport:
        await asyncio.sleep(0.1)
        assert not server.peer.of(PING)
        running = asyncio.ensure_future(call(transport))
        await server.until(lambda: len(server.peer.of(PING)) > 1)
        server.peer.answer(1)
        await running


@pytest.mark.case("KA-07")
async def test_ka_07_pings_are_rarer_after_a_complaint() -> None:
    async with FrameServer() as server, connected(server, keepalive=KeepAlive(7, 5)) as transport:
        server.peer.send(server.peer.goaway(0, CALM, b"too_many_pings"))
        await server.until(lambda: server.peer.closed)
        assert await call(transport) == b"answer"
        assert transport._keepalive.interval == 14


@pytest.mark.case("H2-6.9-16")
async def test_h2_6_9_16_a_reset_wakes_a_writer() -> None:
    async with FrameServer(first={INITIAL_WINDOW: 10}, credit=False) as server, connected(server) as transport:
        stream = transport.open(METHOD, ())
        writing = asyncio.ensure_future(stream.write([bytes(100)]))
        await server.until(lambda: server.peer.messages[1])
        server.peer.send(server.peer.reset(1, INTERNAL))
        with pytest.raises(errors.ConnectionLost):
            await writing
        with pytest.raises(errors.ConnectionLost, match="INTERNAL_ERROR"):
            await stream.read()


# -- its parts


@pytest.mark.case("G-DL-01")
@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1e-6, "1m"),
        (0.0015, "2m"),
        (60, "60000m"),
        (99_999.999, "99999999m"),
        (100_000.5, "100001S"),
        (3e8, "5000000M"),
        (1e12, "99999999H"),
    ],
)
def test_g_dl_01_how_a_timeout_is_written(seconds: float, text: str) -> None:
    assert timeout_text(seconds) == text


@pytest.mark.case("G-MD-09")
@pytest.mark.parametrize(
    ("address", "authority"),
    [
        ("http://example.org:8080", "example.org:8080"),
        ("https://example.org", "example.org"),
        ("http://[::1]:5000", "[::1]:5000"),
        ("unix:/tmp/s", "localhost"),
    ],
)
def test_g_md_09_the_authority(address: str, authority: str) -> None:
    assert authority_of(Target.parse(address)) == authority
