"""Whole answers in one step: exactly what the same frames do one by one, and only where nothing is unusual."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from fuzz.targets import frame_by_frame
from headrace.errors import HeadraceError
from headrace.transport.h2.calls import UnaryCall
from headrace.transport.h2.engine import Engine, H2Limits, events
from headrace.transport.h2.engine.headers import block
from headrace.transport.h2.engine.streams import Stream
from tests.support.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END,
    END_HEADERS,
    GOAWAY,
    HEADERS,
    PING,
    RST,
    SETTINGS,
    WINDOW,
    FrameServer,
    Peer,
    frame,
    message,
)  # fmt: skip
from tests.support.h2calls import HTML, METHOD, answered, call, connected

pytestmark = pytest.mark.core

LIMITS = H2Limits(frame_bytes=16_384, stream_window_bytes=65_535, connection_window_bytes=65_535)
ALL = END | END_HEADERS
OK, PLAIN = block([(":status", "200"), ("content-type", "application/grpc")]), block([("grpc-status", "0")])
ERROR = block([("grpc-status", "5"), ("grpc-message", "not there")])
MEASURED = block([(":status", "200"), ("content-length", "8")])
CONTENT = b"\0\0\0\0\3abc"
Write = Callable[[int], list[bytes]]


def opening(headers: bytes = OK, flags: int = END_HEADERS) -> Write:
    return lambda stream: [frame(HEADERS, flags, stream, headers)]


def content(data: bytes = CONTENT, flags: int = 0) -> Write:
    return lambda stream: [frame(DATA, flags, stream, data)]


def ending(trailers: bytes = PLAIN, flags: int = ALL) -> Write:
    return lambda stream: [frame(HEADERS, flags, stream, trailers)]


def joined(*parts: Write) -> Write:
    return lambda stream: [piece for part in parts for piece in part(stream)]


def raw(type_: int, flags: int = 0, payload: bytes = b"") -> Write:
    return lambda stream: [frame(type_, flags, stream, payload)]


def elsewhere(type_: int, payload: bytes = b"", flags: int = 0, stream: int = 0) -> Write:
    return lambda _: [frame(type_, flags, stream, payload)]


ANSWER = joined(opening(), content(), ending())
#: What is one answer, taken in one step.
WHOLE: dict[str, Write] = {
    "a message": ANSWER,
    "an error after content": joined(opening(), content(), ending(ERROR)),
    "4 KiB": joined(opening(), content(bytes(4_096)), ending()),
    "after 1xx": joined(opening(block([(":status", "103")])), ANSWER),
    "a length in the trailers, which says nothing there": joined(
        opening(), content(), ending(block([("content-length", "1")]))
    ),
}
#: What goes frame by frame.
OTHERS: dict[str, Write] = {
    "trailers only": opening(block([(":status", "200"), ("grpc-status", "5")]), ALL),
    "no content": joined(opening(), ending()),
    "empty content": joined(opening(), content(b""), ending()),
    "content twice": joined(opening(), content(), content(), ending()),
    "content above 4 KiB": joined(opening(), content(bytes(4_097)), ending()),
    "the length as it is": joined(opening(MEASURED), content(), ending()),
    "another length": joined(opening(MEASURED), content(b"x"), ending()),
    "another status": joined(opening(block([(":status", "404")])), content(), ending()),
    "no status": joined(opening(PLAIN), content(), ending()),
    "a status in the trailers": joined(opening(), content(), ending(OK)),
    "1xx that ends": joined(opening(block([(":status", "103")]), ALL), content(), ending()),
    "trailers that do not end": joined(opening(), content(), ending(flags=END_HEADERS)),
    "content that ends": joined(opening(), content(flags=END), ending()),
    "no trailers": joined(opening(), content(flags=END)),
    "padded content": joined(opening(), content(b"\2" + CONTENT + bytes(2), 8), ending()),
    "padded trailers": joined(opening(), content(), ending(b"\1" + PLAIN + b"\0", ALL | 8)),
    "a priority": joined(opening(bytes(5) + OK, END_HEADERS | 32), content(), ending()),
    "an unknown flag": joined(opening(), content(flags=0x40), ending()),
    "an unknown flag of headers": joined(opening(flags=END_HEADERS | 0x40), content(), ending()),
    "trailers in two frames": joined(
        opening(), content(), ending(PLAIN[:5], END), raw(CONTINUATION, END_HEADERS, PLAIN[5:])
    ),
    "a ping between": joined(opening(), elsewhere(PING, bytes(8)), content(), ending()),
    "content of another stream": joined(opening(), elsewhere(DATA, CONTENT, 0, 1), ending()),
    "trailers of another stream": joined(opening(), content(), elsewhere(HEADERS, PLAIN, ALL, 1)),
    "the reserved bit": lambda stream: [piece[:5] + bytes((piece[5] | 0x80,)) + piece[6:] for piece in ANSWER(stream)],
    "a reset": joined(opening(), content(), raw(RST, 0, bytes(4))),
    "an answer again": joined(ANSWER, ANSWER),
    "after a reset": joined(raw(RST, 0, bytes(4)), ANSWER),
    "a block that cannot be decoded": joined(opening(), content(), ending(b"\xff\xff")),
    "an empty name": joined(opening(), content(), ending(b"\0\0\0")),
    "a list over the limit": joined(opening(block([(":status", "200"), ("a", "x" * 70_000)])), content(), ending()),
    "a stream that was never opened": joined(opening(), content(), elsewhere(HEADERS, PLAIN, ALL, 9_999)),
    "a frame that is too long": joined(opening(), content(bytes(16_385)), ending()),
    "trailers that begin as others do": joined(opening(), content(), ending(PLAIN + block([("a", "b")]))),
    "trailers that are too long": joined(
        opening(), content(), lambda stream: [frame(HEADERS, ALL, stream, PLAIN + bytes(1 << 16))]
    ),
    "a GOAWAY": joined(opening(), elsewhere(GOAWAY, (1).to_bytes(4, "big") + bytes(4)), content(), ending()),
    "settings": joined(opening(), elsewhere(SETTINGS), content(), ending()),
    "idle frames": joined(*[opening()], *[content(b"")] * 900, content(), ending()),
}


def begun(
    limits: H2Limits = LIMITS, *, acknowledged: bool = True, window: int = 65_535, used: int = 0
) -> tuple[Engine, list[Stream]]:
    """Give an engine with streams, half of which have more to send, and all blocks of usual answers in its cache.

    `window` is that of the streams, `used` how much of the connection's is.
    """
    engine = Engine(limits)
    engine.receive(frame(SETTINGS) + (frame(SETTINGS, ACK) if acknowledged else b""))
    for number, write in enumerate(write for name, write in WHOLE.items() if name != "4 KiB"):
        engine.request(b"\x83", end=True)
        engine.receive(b"".join(write(2 * number + 1)))
    streams = [engine.request(b"\x83", end=number % 2 == 0) for number in range(8)]
    for stream in streams:
        stream.receive_window = window
    engine.uncredited = used
    engine.take_output()
    return engine, streams


@dataclasses.dataclass
class Outcome:
    """What an engine did with some bytes."""

    answers: int
    facts: tuple[Any, ...]


def outcome(pieces: list[bytes], **options: Any) -> Outcome:
    engine, streams = begun(**options)
    reported: list[events.Event] = []
    for piece in pieces:
        reported += engine.receive(piece)
    content: dict[int, bytes] = {}
    order: list[Any] = []
    for event in frame_by_frame(reported):
        if isinstance(event, events.Content):
            before = content.get(event.stream.id, b"")
            content[event.stream.id] = before + bytes(event.data) + b"|" * event.end
            if not order or order[-1] != event.stream.id:
                order.append(event.stream.id)
            assert event.size >= len(event.data)
        else:
            fields = getattr(event, "fields", None)
            order.append((type(event).__name__, getattr(event, "code", None), fields and fields.items))
    written = b"".join(map(bytes, engine.take_output()))
    state = (engine.idle, engine.uncredited, engine._resets, engine.failure, list(engine.streams), engine.replies)
    known = list(engine.decoder.cache)
    return Outcome(
        sum(isinstance(event, events.Answer) for event in reported),
        (order, content, written, state, known, [dataclasses.astuple(stream) for stream in streams]),
    )


def cut(dice: random.Random, data: bytes) -> list[bytes]:
    places = sorted(dice.randrange(len(data) + 1) for _ in range(dice.randrange(1, 6)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


@pytest.mark.parametrize("write", WHOLE.values(), ids=WHOLE)
def test_an_answer_is_one_event_where_its_blocks_came_before(write: Write) -> None:
    _, streams = begun()
    limits = dataclasses.replace(LIMITS, connection_window_bytes=1 << 20)  # none of it is given back
    together = [write(stream.id) for stream in streams]
    whole = outcome([b"".join(frames) for frames in together], limits=limits)
    assert whole.answers == len(streams)
    apart = outcome([piece for frames in together for piece in frames], limits=limits)
    assert apart.answers == 0
    assert whole.facts == apart.facts
    data = b"".join(map(b"".join, together))
    assert outcome([data], limits=limits) == whole  # all of them at once
    unknown = outcome([data], limits=limits, acknowledged=False)  # the server may use a table
    assert unknown.answers == 0
    assert unknown.facts[:4] == whole.facts[:4]


@pytest.mark.parametrize("write", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("half_closed", [True, False], ids=["", "request goes on"])
def test_what_is_no_usual_answer_goes_frame_by_frame(write: Write, half_closed: bool) -> None:
    _, streams = begun()
    stream = streams[4 if half_closed else 5].id
    frames = [*ANSWER(streams[2].id), *write(stream), *ANSWER(streams[6].id)]
    whole, apart = outcome([b"".join(frames)]), outcome(frames)
    assert whole.facts == apart.facts
    assert 1 <= whole.answers <= 2 + (write is OTHERS["an answer again"])
    data = b"".join(frames)
    for place in range(1, len(data), max(1, len(data) // 150)):
        assert outcome([data[:place], data[place:]]).facts == apart.facts, place


@pytest.mark.parametrize(
    ("limits", "start", "size", "answers"),
    [
        ({}, {"used": 32_766 - 8_000}, 1_000, 8),  # of 32,767 that are used, all are given back
        ({}, {"used": 32_767 - 8_000}, 1_000, 7),
        ({}, {"used": 32_767 - 7_999}, 1_000, 7),
        ({}, {"used": 65_535}, 1_000, 0),  # the server may send no more
        ({}, {"window": 1_000}, 1_000, 8),
        ({}, {"window": 999}, 1_000, 0),
        ({"header_list_bytes": 2_048}, {}, 10, 8),
        ({"header_list_bytes": 2_047}, {}, 10, 0),  # the cache may have a block that is over it
        ({"header_list_bytes": 80}, {}, 10, 0),  # the headers are over it
        ({"frame_bytes": 2_048}, {}, 2_048, 8),
        ({"frame_bytes": 2_048}, {}, 2_049, 0),
        ({"frame_bytes": 100}, {}, 100, 0),
    ],
)
def test_limits_hold_as_they_do_frame_by_frame(
    limits: dict[str, int], start: dict[str, int], size: int, answers: int
) -> None:
    _, streams = begun()
    changed = dataclasses.replace(LIMITS, **limits)
    frames = [joined(opening(), content(bytes(size)), ending())(stream.id) for stream in streams]
    whole = outcome([b"".join(map(b"".join, frames))], limits=changed, **start)
    apart = outcome([piece for answer in frames for piece in answer], limits=changed, **start)
    assert whole.facts == apart.facts
    assert whole.answers == answers


def test_any_frames_cut_anywhere_come_to_the_same() -> None:
    """Answers of all kinds on eight streams, in any order, with any frame changed: the step never shows."""
    writes = [*WHOLE.values(), *WHOLE.values(), *OTHERS.values()]
    answers = 0
    for number in range(250):
        dice = random.Random(number)
        _, streams = begun()
        frames = [
            piece for stream in dice.sample(streams, 8) for piece in dice.choice([*[ANSWER] * 20, *writes])(stream.id)
        ]
        if dice.random() < 0.3:
            place = dice.randrange(len(frames))
            changed = bytearray(frames[place])
            changed[dice.randrange(min(len(changed), 30))] = dice.choice((0, 1, 4, 5, 8, 9, dice.randrange(256)))
            frames[place] = bytes(changed)
        data = b"".join(frames)
        used = dice.choice((0, 0, 32_700, 65_500))
        whole, apart, pieces = (outcome(way, used=used) for way in ([data], frames, cut(dice, data)))
        assert whole.facts == pieces.facts, number
        if all(len(piece) == 9 + int.from_bytes(piece[:3], "big") for piece in frames):
            assert apart.answers == 0, number
        assert whole.facts == apart.facts, number
        answers += whole.answers
    assert answers > 600


# -- what calls make of them

ZIPPED = zlib.compress(b"abc", wbits=31)
ENCODED = (("grpc-encoding", "gzip"),)
RESULTS: dict[str, tuple[Callable[[Peer, int], bytes], str]] = {
    "success": (answered(message(b"abc")), "b'abc'"),
    "an empty message": (answered(message(b"")), "b''"),
    "an error after the message": (answered(message(b"abc"), status="5"), "NOT_FOUND"),
    "no status": (answered(message(b"abc"), status=""), "UNKNOWN"),
    "two messages": (answered(message(b"abc") * 2), "more than one response"),
    "part of a message": (answered(message(b"abc")[:-1]), "inside a message"),
    "a message too long": (answered(message(bytes(1_001))), "limit is 1,000"),
    "the longest message": (answered(message(bytes(1_000))), repr(bytes(1_000))),
    "a message and a part": (answered(message(b"abc") + b"\0"), "inside a message"),
    "a compressed message": (answered(message(ZIPPED, 1), fields=ENCODED), "b'abc'"),
    "an uncompressed one among them": (answered(message(b"abc"), fields=ENCODED), "b'abc'"),
    "a compressed message, and no encoding": (answered(message(ZIPPED, 1)), "the encoding is none"),
    "a page": (
        lambda peer, stream: b"".join(
            (
                peer.headers(stream, (":status", "200"), HTML),
                frame(DATA, 0, stream, b"<p>too busy"),
                peer.trailers(stream),
            )
        ),
        "too busy",
    ),
}


@pytest.mark.parametrize(("write", "result"), RESULTS.values(), ids=RESULTS)
async def test_a_call_has_the_same_result_whole_and_frame_by_frame(
    write: Callable[[Peer, int], bytes], result: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole: list[events.Answer] = []
    take = UnaryCall.take_answer

    def counted(self: UnaryCall, event: events.Answer) -> None:
        whole.append(event)
        take(self, event)

    monkeypatch.setattr(UnaryCall, "take_answer", counted)
    results = []

    def script(peer: Peer, stream: int) -> None:
        peer.send(write(peer, stream))

    async with FrameServer(script) as server, connected(server, message_bytes=1_000) as transport:
        for _ in range(5):
            try:
                results.append(repr(await call(transport)))
            except HeadraceError as error:
                results.append(f"{error!r} {error}")
        stream = transport.open(METHOD, (), first=[b"ask"])
        with contextlib.suppress(HeadraceError):
            results.append(repr(await stream.read()))
            if result.startswith("b'"):
                assert results[-1] == results[0]
        stream.cancel()
        assert server.peer.check.problems == []
    assert len(whole) >= 2  # the blocks of the first ones are new
    assert result in results[0]
    assert len(set(results[:5])) == 1


# -- tasks that go on while the rest of a receive waits


def answered_together(number: int) -> FrameServer:
    """Make a server that answers so many calls in one write, when all of them have come."""

    def script(peer: Peer, stream: int) -> None:
        streams = sorted(peer.messages)
        if len(streams) % number == 0:
            peer.send(b"".join(answered(message(b"%d" % one))(peer, one) for one in streams[-number:]))

    return FrameServer(script)


async def test_who_goes_on_first_can_cancel_the_next_one_though_its_answer_has_come() -> None:
    async with answered_together(3) as server, connected(server) as transport:
        tasks: list[asyncio.Task[bytes]] = []

        async def first() -> bytes:
            answer = await call(transport)
            tasks[1].cancel()
            return answer + await call(transport)

        tasks += [asyncio.create_task(first()), *(asyncio.create_task(call(transport)) for _ in range(2))]
        await asyncio.wait(tasks[1:])
        assert tasks[1].cancelled()
        assert await tasks[2] == b"5"
        await asyncio.gather(call(transport), call(transport))  # with the second call of the first task
        assert (await tasks[0])[:1] == b"1"
        assert server.peer.check.problems == []


def test_a_task_that_ends_the_program_takes_nothing_from_the_others() -> None:
    async def start() -> list[asyncio.Task[bytes]]:
        async def ends() -> bytes:
            await call(transport)
            raise KeyboardInterrupt

        server = await stack.enter_async_context(answered_together(3))
        transport = await stack.enter_async_context(connected(server))
        return [asyncio.ensure_future(one) for one in (ends(), call(transport), call(transport))]

    stack = contextlib.AsyncExitStack()
    with asyncio.Runner() as runner:
        tasks = runner.run(start())
        with pytest.raises(KeyboardInterrupt):
            runner.get_loop().run_until_complete(asyncio.wait(tasks))
        assert runner.get_loop().run_until_complete(asyncio.gather(*tasks[1:])) == [b"3", b"5"]
        runner.get_loop().run_until_complete(stack.aclose())


@pytest.mark.parametrize(("used", "given_back"), [(32_666, False), (32_667, True)])
def test_half_of_the_connections_window_is_given_back_at_once(used: int, given_back: bool) -> None:
    _, streams = begun()
    data = b"".join(joined(opening(), content(bytes(100)))(streams[0].id))
    whole = outcome([data], used=used)
    assert whole.facts == outcome([data[start : start + 7] for start in range(0, len(data), 7)], used=used).facts
    assert (whole.facts[2] == frame(WINDOW, 0, 0, (32_767).to_bytes(4, "big"))) is given_back
