"""The way from a thread to the loop: bounded, ordered, every drop counted."""

from __future__ import annotations

import asyncio
import threading

import pytest

from headrace.errors import ConfigError
from headrace.flow.pipe import EndOfPipe, Overflow
from headrace.flow.thread_queue import ThreadQueue


async def drained(queue: ThreadQueue[int]) -> list[int]:
    found = []
    while True:
        try:
            found.append(await queue.take())
        except EndOfPipe:
            return found


async def test_a_full_one_makes_the_thread_wait_and_keeps_all_in_order() -> None:
    queue: ThreadQueue[int] = ThreadQueue(2)

    def produce() -> None:
        for number in range(500):
            assert queue.put(number)
        queue.end()

    thread = threading.Thread(target=produce)
    thread.start()
    found = []
    while True:
        try:
            found.append(await queue.take())
        except EndOfPipe:
            break
        assert len(queue) <= 2
    thread.join()
    assert found == list(range(500))
    assert (queue.put_count, queue.drops) == (500, {})


@pytest.mark.parametrize(
    ("overflow", "left", "cause"), [("latest", [9], "latest"), ("drop_oldest", [7, 8, 9], "drop_oldest")]
)
async def test_what_is_live_never_waits(overflow: Overflow, left: list[int], cause: str) -> None:
    queue: ThreadQueue[int] = ThreadQueue(3, overflow=overflow)
    for number in range(10):
        assert queue.put(number)
    queue.end()
    assert await drained(queue) == left
    assert queue.drops == {cause: 10 - len(left)}


async def test_drop_newest_keeps_what_was_first() -> None:
    queue: ThreadQueue[int] = ThreadQueue(3, overflow="drop_newest")
    for number in range(10):
        queue.put(number)
    queue.end()
    assert await drained(queue) == [0, 1, 2]
    assert (queue.put_count, queue.drops) == (10, {"drop_newest": 7})


async def test_counts_fit_together_at_any_moment() -> None:
    queue: ThreadQueue[int] = ThreadQueue(1, overflow="latest")
    thread = threading.Thread(target=lambda: [queue.put(number) for number in range(20_000)])
    thread.start()
    while thread.is_alive():
        put, drops, inside = queue.counts()
        assert put == drops.get("latest", 0) + inside
    thread.join()
    assert queue.counts() == (20_000, {"latest": 19_999}, 1)


async def test_what_is_too_old_is_dropped() -> None:
    now = [0.0]
    queue: ThreadQueue[int] = ThreadQueue(10, max_age=1.0, clock=lambda: now[0])
    queue.put(0)
    now[0] = 0.9
    queue.put(1)
    now[0] = 1.5
    assert await queue.take() == 1
    assert queue.drops == {"max_age": 1}


async def test_the_room_of_what_is_too_old_goes_to_the_thread_that_waits() -> None:
    now = [0.0]
    queue: ThreadQueue[int] = ThreadQueue(1, max_age=1.0, clock=lambda: now[0])
    queue.put(0)
    thread = threading.Thread(target=queue.put, args=(1,))
    thread.start()
    while not queue._changed._waiters:  # type: ignore[attr-defined]  # there is nothing else to see of a thread that waits
        await asyncio.sleep(0)
    now[0] = 2.0
    async with asyncio.timeout(10):
        assert await queue.take() == 1
    thread.join()
    assert queue.drops == {"max_age": 1}


async def test_closing_frees_the_thread_and_counts_what_was_inside() -> None:
    queue: ThreadQueue[int] = ThreadQueue(1)
    queue.put(0)
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(queue.put(1)))
    thread.start()
    queue.close()
    queue.close()
    thread.join(5)
    assert answers == [False]
    assert (queue.put_count, queue.drops) == (1, {"closed": 1})


async def test_a_failure_comes_after_what_is_inside_and_once() -> None:
    queue: ThreadQueue[int] = ThreadQueue(2)
    queue.put(1)
    queue.end(ValueError("broken"))
    assert await queue.take() == 1
    with pytest.raises(ValueError, match="broken"):
        await queue.take()
    with pytest.raises(EndOfPipe):
        await queue.take()


async def test_a_cancelled_take_loses_nothing() -> None:
    queue: ThreadQueue[int] = ThreadQueue(2)
    waiting = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    thread = threading.Thread(target=queue.put, args=(7,))
    thread.start()
    assert await queue.take() == 7
    thread.join()


async def test_wrong_settings() -> None:
    for settings in ({"items": 0}, {"items": 1, "overflow": "spill"}, {"items": 1, "max_age": 0}):
        with pytest.raises(ConfigError):
            ThreadQueue(**settings)
