"""What was recorded on a wire is what is replayed without one: predictions, errors, counts."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from headrace import HeadraceError, Input, RetryPolicy, Timeouts
from headrace.testing import Fail, GrpcFail, ModelDouble, ReceivedInput, Tape
from tests.support.rig import WIRES, Wire
from tests.support.tapes import Log, recording, replaying

pytestmark = pytest.mark.core

QUICK = RetryPolicy(initial=0.001, cap=0.002, warm_up_cap=0.002)
REASON = b"\x08\x0e\x12\x02no\x1a\x1a\x0a\x0dtest.T/Reason\x12\x09why so it"


def shout(item: ReceivedInput) -> Any:
    return item.text.upper()


def fails_first(failure: Any) -> Callable[[ReceivedInput], Any]:
    return lambda item: failure if item.attempt == 1 else item.text


def fails_on(text: str, failure: Any) -> Callable[[ReceivedInput], Any]:
    return lambda item: failure if item.text == text else item.text


def letters(count: int) -> list[str]:
    return [f"{number} {chr(97 + number % 26)}" for number in range(count)]


async def predicts(log: Log) -> None:
    await log.predict("a")
    await log.predict("b", inference_params={"temperature": 0.5, "stop": ["x"]}, metadata=[("tenant", "blue")])
    await log.predict(["c", "d", "c"])


async def one_input(log: Log) -> None:
    await log.predict("bad")


async def many_inputs(log: Log) -> None:
    await log.predict(["a", "bad", "b"])


async def generates(log: Log) -> None:
    await log.generate("go")


async def generates_and_leaves(log: Log) -> None:
    await log.generate("go", leave_after=2)
    await log.generate("go", leave_after=4)


async def streams(log: Log) -> None:
    await log.stream(letters(30))


async def streams_a_few(log: Log) -> None:
    await log.stream(letters(12))


async def streams_unordered(log: Log) -> None:
    await log.stream(letters(30), ordered=False)


async def streams_packed(log: Log) -> None:
    await log.stream(letters(200), batch="auto")


async def streams_packed_in_tens(log: Log) -> None:
    await log.stream(letters(100), batch=10)


async def streams_and_leaves(log: Log) -> None:
    await log.stream(letters(50), leave_after=3)


async def streams_freely(log: Log) -> None:
    await log.stream(letters(5), matched=False)


async def asks_what_there_is(log: Log) -> None:
    log.lines.append([model.id for model in await log.client.models(user_id="u", app_id="a")])
    try:
        log.lines.append((await log.model.info()).model_type_id)
        log.lines.append(await log.model.methods())
    except HeadraceError as error:
        log.error(error)
    await log.predict("a", input_type=None)


async def maps(log: Log) -> None:
    async for prediction in log.model.map(letters(60), input_type="text", batch="auto", on_error="yield"):
        log.prediction(prediction)


async def predicts_at_once(log: Log) -> None:
    async def one(text: str) -> None:
        for _ in range(int(text) % 3):
            await asyncio.sleep(0)
        results[text] = (await log.model.predict(text, input_type="text")).text

    results: dict[str, str] = {}
    await asyncio.gather(*(one(str(number)) for number in range(40)))
    log.lines += sorted(results.items())


async def named_inputs(log: Log) -> None:
    await log.stream([Input.from_bytes(text, input_type="text", id=f"frame-{text}") for text in "abc"])


@dataclass(frozen=True)
class Life:
    """One row of the table."""

    name: str
    live: Callable[[Log], Awaitable[None]]
    function: Callable[[ReceivedInput], Any] = shout
    double: dict[str, Any] = field(default_factory=dict)
    client: dict[str, Any] = field(default_factory=dict)
    wires: tuple[Wire, ...] = WIRES
    prepare: Callable[[ModelDouble], object] = id


def pieces(*parts: Any) -> Callable[[ReceivedInput], Any]:
    return lambda item: list(parts)


BATCHED = {"streams_packed": streams_packed, "streams_packed_in_tens": streams_packed_in_tens}
LIVES = [
    Life("predict", predicts),
    Life("predict, throttled first", one_input, fails_first(11005)),
    Life("predict, warming with progress", one_input, fails_first(Fail(21352, "loading", time_remaining=1))),
    Life("predict, refused input", one_input, fails_on("bad", Fail(30300, "no text"))),
    Life("predict, refused key", one_input, fails_on("bad", Fail(11009, "no such key", envelope_only=True))),
    Life("predict, some fail", many_inputs, fails_on("bad", 30300)),
    Life("predict, all refused, then split", many_inputs, fails_on("bad", Fail(30300, "no", envelope_only=True))),
    Life("predict, gRPC status", one_input, fails_on("bad", GrpcFail("INVALID_ARGUMENT", "no such thing"))),
    Life("predict, hint", one_input, fails_first(GrpcFail("RESOURCE_EXHAUSTED", "later", retry_after=0.01))),
    Life("predict, told to stop", one_input, fails_on("bad", GrpcFail("UNAVAILABLE", "go", retry_after=-1.0))),
    Life("predict, reset", one_input, fails_first(GrpcFail("UNAVAILABLE", "gone", broken=True))),
    Life("predict, refused unseen", one_input, fails_first(GrpcFail("UNAVAILABLE", "full", unprocessed=True))),
    Life("predict, always down", one_input, fails_on("bad", GrpcFail("UNAVAILABLE", "down"))),
    Life("predict, hedged", one_input, client={"retry": RetryPolicy(hedge_after=30.0)}),
    Life("predict, coalesced", predicts_at_once, client={"coalesce": True}),
    Life("predict, at once", predicts_at_once),
    Life("look-ups", asks_what_there_is),
    Life("look-up refused", asks_what_there_is, prepare=lambda double: double.reply("GetModel", 21200)),
    Life("generate", generates, pieces("one ", "two ", "three")),
    Life("generate, nothing", generates, pieces()),
    Life("generate, breaks", generates, pieces("one ", "two ", GrpcFail("UNAVAILABLE", "the server stops"))),
    Life("generate, fails midway", generates, pieces("one ", Fail(10020, "the model fell over"))),
    Life("generate, throttled first", generates, lambda item: 11005 if item.attempt == 1 else ["a", "b"]),
    Life("generate, left", generates_and_leaves, pieces("a", "b", "c", "d", "e", "f")),
    Life("stream", streams),
    Life("stream, unordered", streams_unordered, double={"answering": "as_ready"}),
    Life("stream, answers at the end", streams_a_few, double={"answering": "at_end"}),
    Life("stream, no ids", streams, double={"echo_ids": False}),
    Life("stream, named inputs", named_inputs),
    Life("stream, left", streams_and_leaves),
    Life("stream, one fails", streams, fails_on("3 d", 30300)),
    Life("stream, one throttled", streams, fails_first(11005)),
    Life("stream, refused key", streams, lambda item: Fail(11009, "no such key", envelope_only=True)),
    Life("stream, ends with a status", streams, fails_on("7 h", GrpcFail("PERMISSION_DENIED", "not you"))),
    Life("stream, no more", streams, fails_on("7 h", GrpcFail("UNAVAILABLE", "down", retry_after=-1.0))),
    Life("stream, breaks", streams, wires=("memory",), prepare=lambda double: double.server.break_after(messages=11)),
    Life("stream, packed", streams_packed),
    Life("stream, packed, no ids", streams_packed_in_tens, double={"echo_ids": False}),
    Life("stream, packed, some fail", streams_packed, lambda item: 30300 if item.text[0] == "7" else item.text),
    Life("stream, free", streams_freely),
    Life("stream, free, at the end", streams_freely, double={"answering": "at_end"}),
    Life("map", maps, fails_on("7 h", 30300)),
]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.name)
async def test_a_life_is_replayed_as_it_was_recorded(life: Life, wire: Wire, tmp_path: Path) -> None:
    if wire not in life.wires:
        pytest.skip("this fault is made in memory")
    double = ModelDouble(life.function, **life.double)
    life.prepare(double)
    options = {"retry": QUICK, **life.client}
    path = tmp_path / "life.jsonl"
    async with recording(path, wire, double, **options) as client:
        recorded = Log(client)
        await life.live(recorded)
    calls = len(double.server.calls)
    assert calls
    async with replaying(path, **options) as client:
        replayed = Log(client)
        await life.live(replayed)
    assert replayed.lines == recorded.lines
    assert client.stats.attempts == calls or life.name in ("map", "predict, coalesced")  # time decides what is packed
    assert len(double.server.calls) == calls


@pytest.mark.parametrize("wire", WIRES)
async def test_every_call_is_replayed_and_none_is_left(wire: Wire, tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    async with recording(path, wire, ModelDouble(shout)) as client:
        log = Log(client)
        await predicts(log)
        await streams(log)
    tape = Tape(path)
    assert [call.method for call in tape.unused] == ["PostModelOutputs"] * 3 + ["StreamModelOutputs"]
    async with replaying(path) as client:
        await predicts(Log(client))
    async with replaying(path) as client:
        replayed: Any = client._calls.channels._factory
        await predicts(Log(client))
        assert [call.method for call in replayed.unused] == ["StreamModelOutputs"]
        await streams(Log(client))
        assert replayed.unused == []


async def test_a_server_that_is_down_is_replayed_as_down_and_then_as_back(tmp_path: Path) -> None:
    path = tmp_path / "down.jsonl"
    double = ModelDouble(shout)
    retry = RetryPolicy(attempts=3, initial=0.001, cap=0.002)

    async def live(log: Log, then: Callable[[str], object]) -> None:
        await log.predict("a")
        then("down")
        await log.predict("b")
        then("up")
        await log.predict("c")

    async with recording(path, "memory", double, retry=retry) as client:
        recorded = Log(client)
        changes = {"down": double.server.kill, "up": double.server.restart}
        await live(recorded, lambda name: changes[name]())
    assert "ConnectFailed" in [line[0] for line in recorded.lines if isinstance(line, tuple)]
    async with replaying(path, retry=retry) as client:
        replayed = Log(client)
        await live(replayed, id)
    assert replayed.lines == recorded.lines


async def test_a_call_that_timed_out_does_so_again_after_its_own_timeout(tmp_path: Path) -> None:
    path = tmp_path / "slow.jsonl"
    double = ModelDouble(shout)
    double.hold()
    async with recording(path, "memory", double) as client:
        recorded = Log(client)
        await recorded.predict("a", timeout=0.2)
        double.release()
    async with replaying(path) as client:
        replayed = Log(client)
        await replayed.predict("a", timeout=0.2)
    assert replayed.lines == recorded.lines
    assert recorded.lines[0][0] == "DeadlineExceeded"


async def test_an_input_that_was_never_answered_times_out_again(tmp_path: Path) -> None:
    path = tmp_path / "slow.jsonl"
    double = ModelDouble(shout, answering="as_ready")
    double.hold()
    for name in ("a", "c"):
        double.release(name)
    inputs = [Input.from_bytes(name, input_type="text", id=name) for name in "abc"]
    timeouts = Timeouts(input=0.3)
    async with recording(path, "memory", double, timeouts=timeouts) as client:
        recorded = Log(client)
        await recorded.stream(inputs)
    async with replaying(path, timeouts=timeouts) as client:
        replayed = Log(client)
        await replayed.stream(inputs)
    assert replayed.lines == recorded.lines
    assert "DeadlineExceeded" in [line[0] for line in recorded.lines if isinstance(line, tuple)]


@pytest.mark.parametrize("order", list(itertools.permutations("abc")), ids="".join)
async def test_concurrent_calls_may_come_in_any_order(order: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "any.jsonl"
    async with recording(path, "memory", ModelDouble(shout)) as client:
        for text in "abc":
            await Log(client).predict(text)
    async with replaying(path) as client:
        answers = await asyncio.gather(*(Log(client).model.predict(text, input_type="text") for text in order))
    assert [answer.text for answer in answers] == [text.upper() for text in order]


async def test_calls_alike_are_replayed_in_recorded_order(tmp_path: Path) -> None:
    path = tmp_path / "dice.jsonl"
    numbers = itertools.count()
    async with recording(path, "memory", ModelDouble(lambda item: str(next(numbers)))) as client:
        for _ in range(3):
            await Log(client).predict("roll")
    async with replaying(path) as client:
        answers = [(await Log(client).model.predict("roll", input_type="text")).text for _ in range(3)]
    assert answers == ["0", "1", "2"]
