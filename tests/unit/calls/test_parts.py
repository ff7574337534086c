"""What the working parts of streams share: a wake-up that is not lost, and the feeder of a source."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from headrace.calls.parts import Feeder, Pulled, Signal, Tally
from headrace.errors import ClosedError, ConfigError, InputError, SourceError
from headrace.flow.pipe import EndOfPipe, Pipe
from headrace.inputs import Input
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


async def convert(raw: object) -> Input:
    if isinstance(raw, Input):
        return raw
    if raw == "bad":
        raise InputError("it is bad", input_id="b")
    if raw == "gone":
        raise SourceError("unreachable")
    if raw == "wrong":
        raise ConfigError("which type?")
    return Input.from_text(str(raw))


def feeding(items: list[Any], room: int = 100) -> tuple[Feeder, Pipe[Pulled], Tally, Feed, list[int]]:
    pipe: Pipe[Pulled] = Pipe(room)
    tally, feed, woken = Tally(), Feed(items), [0]

    def wake() -> None:
        woken[0] += 1

    return Feeder(source(feed), convert, pipe, tally, wake, 1000), pipe, tally, feed, woken


def drain(pipe: Pipe[Pulled]) -> list[Pulled]:
    found = []
    while (pulled := pipe.receive_nowait()) is not None:
        found.append(pulled)
    return found


async def test_it_fills_the_pipe_and_ends_it() -> None:
    feeder, pipe, tally, feed, woken = feeding(["a", "b"])
    await feeder.run()
    assert [(p.position, p.error) for p in drain(pipe)] == [(0, None), (1, None)]
    assert (tally.pulled, feed.closed, feeder.in_hand, woken) == (2, 1, 0, [3])
    with pytest.raises(EndOfPipe):
        await pipe.receive()


async def test_what_is_bad_alone_goes_in_with_its_error() -> None:
    feeder, pipe, *_ = feeding(["a", "bad", "gone", "c"])
    await feeder.run()
    found = drain(pipe)
    assert [type(p.error) for p in found] == [type(None), InputError, SourceError, type(None)]
    assert [p.item.id for p in found[1:3]] == ["b", "item-2"]


async def test_it_pulls_no_further_than_there_is_room() -> None:
    feeder, pipe, tally, feed, _ = feeding(list(range(10)), room=3)
    task = asyncio.create_task(feeder.run())
    await turns(50)
    assert tally.pulled == 3
    pipe.receive_nowait()
    await turns(50)
    assert tally.pulled == 4
    pipe.close_receiver()
    await asyncio.wait_for(task, 1)
    assert feed.closed == 1


@pytest.mark.parametrize(
    "error", [ValueError("mine"), ConfigError("mine"), ClosedError("another client of mine is closed")]
)
async def test_the_users_failure_comes_out_as_itself_and_the_source_is_closed(error: Exception) -> None:
    feeder, _, _, feed, _ = feeding(["a", error])
    with pytest.raises(type(error)) as caught:
        await asyncio.wait_for(feeder.run(), 1)
    assert caught.value is error
    assert feed.closed == 1


async def test_what_no_input_can_be_made_of_at_all_ends_it() -> None:
    feeder, _, _, feed, _ = feeding(["a", "wrong", "b"])
    with pytest.raises(ConfigError):
        await feeder.run()
    assert feed.closed == 1


async def test_what_is_in_hand_when_it_ends_is_known() -> None:
    started = asyncio.Event()

    async def slow(raw: object) -> Input:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    pipe: Pipe[Pulled] = Pipe(1)
    feeder = Feeder(source(Feed(["a"])), slow, pipe, Tally(), lambda: None, 1000)
    task = asyncio.create_task(feeder.run())
    await started.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert feeder.in_hand == 1


async def test_closing_is_done_once() -> None:
    feeder, _, _, feed, _ = feeding(["a"])
    await feeder.run()
    await feeder.close()
    assert feed.closed == 1
