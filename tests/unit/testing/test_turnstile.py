"""Holding back and letting go."""

import asyncio

import pytest

from headrace.testing import Turnstile


async def arrive(turnstile: Turnstile, *names: str) -> dict[str, asyncio.Task[None]]:
    tasks = {name: asyncio.create_task(turnstile.passing(name)) for name in names}
    await asyncio.sleep(0)
    return tasks


async def passed(tasks: dict[str, asyncio.Task[None]]) -> list[str]:
    for _ in range(3):
        await asyncio.sleep(0)
    return [name for name, task in tasks.items() if task.done()]


async def test_an_open_gate_holds_nobody() -> None:
    turnstile = Turnstile()
    await turnstile.passing("a")
    turnstile.release_next()  # not kept for later
    turnstile.hold()
    tasks = await arrive(turnstile, "b")
    assert await passed(tasks) == []
    turnstile.release()
    assert await passed(tasks) == ["b"]


async def test_they_are_released_by_name_by_turn_and_all() -> None:
    turnstile = Turnstile()
    turnstile.hold()
    tasks = await arrive(turnstile, "a", "b", "c", "d", "e")
    assert turnstile.waiting == ["a", "b", "c", "d", "e"]
    turnstile.release("d")
    assert await passed(tasks) == ["d"]
    turnstile.release_next(2)
    assert turnstile.waiting == ["c", "e"]
    assert await passed(tasks) == ["a", "b", "d"]
    turnstile.release()
    assert await passed(tasks) == ["a", "b", "c", "d", "e"]
    assert turnstile.waiting == []


async def test_a_release_may_come_before_who_it_is_for() -> None:
    turnstile = Turnstile()
    turnstile.hold()
    turnstile.release("b")
    turnstile.release_next()
    tasks = await arrive(turnstile, "a", "b", "c")
    assert await passed(tasks) == ["a", "b"]
    turnstile.release()
    assert await passed(tasks) == ["a", "b", "c"]


async def test_the_same_name_waits_twice() -> None:
    turnstile = Turnstile()
    turnstile.hold()
    first, second = await arrive(turnstile, "a"), await arrive(turnstile, "a")
    turnstile.release("a")
    assert await passed(first) == ["a"]
    assert await passed(second) == []
    turnstile.release("a")
    assert await passed(second) == ["a"]


async def test_who_is_cancelled_leaves_the_line() -> None:
    turnstile = Turnstile()
    turnstile.hold()
    tasks = await arrive(turnstile, "a", "b")
    tasks["a"].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks["a"]
    assert turnstile.waiting == ["b"]
    turnstile.release_next()
    assert await passed(tasks) == ["a", "b"]


async def test_what_was_released_in_advance_does_not_outlive_the_hold() -> None:
    turnstile = Turnstile()
    turnstile.hold()
    turnstile.release("a")
    turnstile.release_next()
    turnstile.release()
    turnstile.hold()
    tasks = await arrive(turnstile, "a", "b")
    assert await passed(tasks) == []
    turnstile.release()
    assert await passed(tasks) == ["a", "b"]
