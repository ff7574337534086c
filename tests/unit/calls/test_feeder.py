"""A wake-up that is not lost, and the feeder of a source."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest

from headrace.calls.feeder import Feeder
from headrace.calls.signal import Signal
from headrace.calls.stats import Tally
from headrace.errors import ClosedError, ConfigError, DeadlineExceeded, InputError, SourceError
from headrace.flow.pipe import EndOfPipe, Pipe
from headrace.inputs import Input
from headrace.inputs.prepared import Prepared
from headrace.sources.iterables import source

pytestmark = pytest.mark.core


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# -- the signal


async def test_a_signal_wakes_who_waits_and_is_not_lost_before() -> None:
    signal = Signal()
    waiting = asyncio.create_task(signal.wait())
    await turns()
    assert not waiting.done()
    signal.set()
    signal.set()
    await asyncio.wait_for(waiting, 1)
    again = asyncio.create_task(signal.wait())
    await turns()
    assert not again.done()  # two at once are one
    signal.set()
    await again
    signal.set()
    await asyncio.wait_for(signal.wait(), 1)


@pytest.mark.parametrize("after", [False, True])
async def test_a_cancelled_wait_loses_no_signal(after: bool) -> None:
    signal = Signal()
    waiting = asyncio.create_task(signal.wait())
    await turns()
    if after:
        signal.set()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert waiting.cancelled()
    signal.set()
    await asyncio.wait_for(signal.wait(), 1)


# -- the feeder


class Feed:
    def __init__(self, items: list[Any]) -> None:
        self.items = items
        self.closed = 0

    async def __aiter__(self) -> AsyncIterator[Any]:
        try:
            for item in self.items:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            self.closed += 1


async def convert(raw: object) -> Prepared:
    if raw == "bad":
        raise InputError("it is bad", input_id="b")
    if raw == "gone":
        raise SourceError("unreachable")
    if raw == "wrong":
        raise ConfigError("which type?")
    return Prepared(Input.from_text(str(raw)), f"id-{raw}")


class Pipeful:
    """A pipe as what a feeder fills."""

    reads_ahead = True

    def __init__(self, items: int, in_order: bool = True) -> None:
        self.pipe: Pipe[Prepared] = Pipe(items)
        self.offers = 0
        self.in_order = in_order

    async def room(self) -> int:
        await self.pipe.ready()
        return self.pipe.room

    def offer(self, items: Sequence[Prepared]) -> int:
        self.offers += 1
        return self.pipe.send_some(items)

    async def put(self, item: Prepared) -> None:
        await self.pipe.send(item)

    def end(self) -> None:
        self.pipe.close_sender()


def spawn(work: Callable[[], Awaitable[None]], name: str) -> asyncio.Task[None]:
    return asyncio.create_task(work(), name=name)  # type: ignore[arg-type]


def feeding(items: Any, room: int = 100, making: Any = None, in_order: bool = True) -> tuple[Feeder, Pipeful, Tally]:
    intake, tally = Pipeful(room, in_order), Tally()
    return Feeder(source(items), making or convert, tally, intake, spawn), intake, tally


def drain(pipe: Pipe[Prepared]) -> list[Prepared]:
    found = []
    while (pulled := pipe.receive_nowait()) is not None:
        found.append(pulled)
    return found


async def test_it_fills_the_pipe_and_ends_it() -> None:
    feeder, intake, tally = feeding(Feed(["a", "b"]))
    await feeder.run()
    assert [(p.position, p.error) for p in drain(intake.pipe)] == [(0, None), (1, None)]
    assert tally.pulled == 2
    assert intake.offers == 2
    with pytest.raises(EndOfPipe):
        await intake.pipe.receive()


def convert_now(raw: object) -> Prepared:
    if raw == "bad":
        raise InputError("it is bad", input_id="b")
    if raw == "wrong":
        raise ConfigError("which type?")
    return Prepared(Input.from_text(str(raw)), f"id-{raw}")


async def test_what_an_async_iterator_gives_without_waiting_goes_in_together() -> None:
    gate = asyncio.Event()

    async def items() -> AsyncIterator[str]:
        for name in ("a", "b", "c", "d"):
            yield name
        await gate.wait()
        yield "e"

    feeder, intake, tally = feeding(items(), making=convert_now)
    task = asyncio.create_task(feeder.run())
    await turns()
    assert [p.id for p in intake.pipe.queue] == ["id-a", "id-b", "id-c", "id-d"]  # they do not wait for the next one
    assert intake.offers == 2  # the first alone: its size says how many there is room for
    gate.set()
    await asyncio.wait_for(task, 1)
    assert [(p.id, p.position) for p in drain(intake.pipe)][4:] == [("id-e", 4)]
    assert tally.pulled == 5


async def test_an_iterator_may_wait_for_the_answer_to_what_it_gave() -> None:
    intake: Pipeful

    async def items() -> AsyncIterator[int]:
        for number in range(5):
            yield number
            while len(intake.pipe) <= number:
                await asyncio.sleep(0)

    feeder, intake, _ = feeding(items(), making=convert_now)
    await asyncio.wait_for(feeder.run(), 1)
    assert len(intake.pipe) == 5


@pytest.mark.parametrize("last", [ValueError("mine"), "wrong", None])
async def test_what_came_before_the_end_or_a_failure_goes_in(last: object) -> None:
    feeder, intake, _ = feeding(Feed(["a", "b", "bad", *([last] if last else [])]), making=convert_now)
    if last:
        with pytest.raises((ValueError, ConfigError)):
            await feeder.run()
    else:
        await feeder.run()
    assert [p.id for p in drain(intake.pipe)] == ["id-a", "id-b", "b"]


async def test_what_is_larger_than_expected_waits_for_room_of_its_own() -> None:
    feeder, intake, tally = feeding(Feed(["x", "y", "z" * 50, "v", "w"]), making=convert_now)
    intake.pipe = Pipe(100, size_bytes=10, size=lambda item: item.size_bytes)
    task = asyncio.create_task(feeder.run())
    await turns(50)
    assert [p.size_bytes for p in intake.pipe.queue] == [1, 1]
    assert tally.pulled == 3
    assert len(drain(intake.pipe)) == 2
    await turns(50)
    assert [p.size_bytes for p in drain(intake.pipe)] == [50]
    await asyncio.wait_for(task, 1)
    assert [p.position for p in drain(intake.pipe)] == [3, 4]


async def test_what_is_bad_alone_goes_in_with_its_error() -> None:
    feeder, intake, _ = feeding(Feed(["a", "bad", "gone", "c"]))
    await feeder.run()
    found = drain(intake.pipe)
    assert [type(p.error) for p in found] == [type(None), InputError, SourceError, type(None)]
    assert [p.id for p in found[1:3]] == ["b", "item-2"]


async def test_what_takes_too_long_is_an_error_of_its_own() -> None:
    async def making(raw: object) -> Prepared:
        if raw == "slow":
            raise DeadlineExceeded("reading it took longer than 2 s")
        return Prepared(Input.from_text(str(raw)), f"id-{raw}")

    feeder, intake, _ = feeding(["a", "slow", "c"], making=making)
    await feeder.run()
    assert [type(p.error) for p in drain(intake.pipe)] == [type(None), DeadlineExceeded, type(None)]


async def test_it_pulls_no_further_than_there_is_room() -> None:
    feeder, intake, tally = feeding(Feed(list(range(10))), room=3)
    task = asyncio.create_task(feeder.run())
    await turns(50)
    assert tally.pulled == 3
    intake.pipe.receive_nowait()
    await turns(50)
    assert tally.pulled == 4
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize(
    "error", [ValueError("mine"), ConfigError("mine"), ClosedError("another client of mine is closed"), KeyError()]
)
async def test_the_users_failure_comes_out_as_itself(error: Exception) -> None:
    feeder, _, _ = feeding(Feed(["a", error]))
    with pytest.raises(type(error)) as caught:
        await asyncio.wait_for(feeder.run(), 1)
    assert caught.value is error


async def test_what_no_input_can_be_made_of_at_all_is_the_streams_failure() -> None:
    feeder, _, _ = feeding(Feed(["a", "wrong"]))
    tasks: list[asyncio.Task[None]] = []
    feeder._spawn = lambda work, name: tasks.append(spawn(work, name)) or tasks[-1]  # type: ignore[func-returns-value]
    await feeder.run()
    assert [type(task.exception()) for task in tasks] == [type(None), ConfigError]


async def test_what_is_made_after_the_end_goes_nowhere() -> None:
    started, release = asyncio.Event(), asyncio.Event()

    async def slow(raw: object) -> Prepared:
        started.set()
        await release.wait()
        return Prepared(Input.from_text(str(raw)), f"id-{raw}")

    feeder, intake, tally = feeding(Feed(["a"]), making=slow)
    task = asyncio.create_task(feeder.run())
    await started.wait()
    feeder.stopped = True  # its cancellation comes too late
    release.set()
    task_error = (await asyncio.gather(task, return_exceptions=True))[0]
    assert task_error is None or isinstance(task_error, asyncio.CancelledError)
    assert tally.pulled == 1
    assert not len(intake.pipe)
