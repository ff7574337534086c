"""The way from a thread to the loop: bounded, ordered, every drop counted."""

from __future__ import annotations

import asyncio
import threading

import pytest

from headrace.errors import ConfigError
from headrace.flow.pipe import EndOfPipe, Overflow
from headrace.sources.handover import Handover


async def drained(handover: Handover[int]) -> list[int]:
    found = []
    while True:
        try:
            found.append(await handover.take())
        except EndOfPipe:
            return found


async def test_a_full_one_makes_the_thread_wait_and_keeps_all_in_order() -> None:
    handover: Handover[int] = Handover(2)

    def produce() -> None:
        for number in range(500):
            assert handover.put(number)
        handover.end()

    thread = threading.Thread(target=produce)
    thread.start()
    found = []
    while True:
        try:
            found.append(await handover.take())
        except EndOfPipe:
            break
        assert len(handover) <= 2
    thread.join()
    assert found == list(range(500))
    assert (handover.put_count, handover.drops) == (500, {})


@pytest.mark.parametrize(
    ("overflow", "left", "cause"), [("latest", [9], "latest"), ("drop_oldest", [7, 8, 9], "drop_oldest")]
)
async def test_what_is_live_never_waits(overflow: Overflow, left: list[int], cause: str) -> None:
    handover: Handover[int] = Handover(3, overflow=overflow)
    for number in range(10):
        assert handover.put(number)
    handover.end()
    assert await drained(handover) == left
    assert handover.drops == {cause: 10 - len(left)}


async def test_drop_newest_keeps_what_was_first() -> None:
    handover: Handover[int] = Handover(3, overflow="drop_newest")
    for number in range(10):
        handover.put(number)
    handover.end()
    assert await drained(handover) == [0, 1, 2]
    assert (handover.put_count, handover.drops) == (10, {"drop_newest": 7})


async def test_counts_fit_together_at_any_moment() -> None:
    handover: Handover[int] = Handover(1, overflow="latest")
    thread = threading.Thread(target=lambda: [handover.put(number) for number in range(20_000)])
    thread.start()
    while thread.is_alive():
        put, drops, inside = handover.counts()
        assert put == drops.get("latest", 0) + inside
    thread.join()
    assert handover.counts() == (20_000, {"latest": 19_999}, 1)


async def test_what_is_too_old_is_dropped() -> None:
    now = [0.0]
    handover: Handover[int] = Handover(10, max_age=1.0, clock=lambda: now[0])
    handover.put(0)
    now[0] = 0.9
    handover.put(1)
    now[0] = 1.5
    assert await handover.take() == 1
    assert handover.drops == {"max_age": 1}


async def test_closing_frees_the_thread_and_counts_what_was_inside() -> None:
    handover: Handover[int] = Handover(1)
    handover.put(0)
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(handover.put(1)))
    thread.start()
    handover.close()
    handover.close()
    thread.join(5)
    assert answers == [False]
    assert (handover.put_count, handover.drops) == (1, {"closed": 1})


async def test_a_failure_comes_after_what_is_inside_and_once() -> None:
    handover: Handover[int] = Handover(2)
    handover.put(1)
    handover.end(ValueError("broken"))
    assert await handover.take() == 1
    with pytest.raises(ValueError, match="broken"):
        await handover.take()
    with pytest.raises(EndOfPipe):
        await handover.take()


async def test_a_cancelled_take_loses_nothing() -> None:
    handover: Handover[int] = Handover(2)
    waiting = asyncio.create_task(handover.take())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    thread = threading.Thread(target=handover.put, args=(7,))
    thread.start()
    assert await handover.take() == 7
    thread.join()


async def test_wrong_settings() -> None:
    for settings in ({"items": 0}, {"items": 1, "overflow": "spill"}, {"items": 1, "max_age": 0}):
        with pytest.raises(ConfigError):
            Handover(**settings)
