"""Holding back and letting go."""

import asyncio

import pytest

from headrace.testing import Gate


async def arrive(gate: Gate, *names: str) -> dict[str, asyncio.Task[None]]:
    tasks = {name: asyncio.create_task(gate.passing(name)) for name in names}
    await asyncio.sleep(0)
    return tasks


async def passed(tasks: dict[str, asyncio.Task[None]]) -> list[str]:
    for _ in range(3):
        await asyncio.sleep(0)
    return [name for name, task in tasks.items() if task.done()]


async def test_an_open_gate_holds_nobody() -> None:
    gate = Gate()
    await gate.passing("a")
    gate.release_next()  # not kept for later
    gate.hold()
    tasks = await arrive(gate, "b")
    assert await passed(tasks) == []
    gate.release()
    assert await passed(tasks) == ["b"]


async def test_they_are_released_by_name_by_turn_and_all() -> None:
    gate = Gate()
    gate.hold()
    tasks = await arrive(gate, "a", "b", "c", "d", "e")
    assert gate.waiting == ["a", "b", "c", "d", "e"]
    gate.release("d")
    assert await passed(tasks) == ["d"]
    gate.release_next(2)
    assert gate.waiting == ["c", "e"]
    assert await passed(tasks) == ["a", "b", "d"]
    gate.release()
    assert await passed(tasks) == ["a", "b", "c", "d", "e"]
    assert gate.waiting == []


async def test_a_release_may_come_before_who_it_is_for() -> None:
    gate = Gate()
    gate.hold()
    gate.release("b")
    gate.release_next()
    tasks = await arrive(gate, "a", "b", "c")
    assert await passed(tasks) == ["a", "b"]
    gate.release()
    assert await passed(tasks) == ["a", "b", "c"]


async def test_the_same_name_waits_twice() -> None:
    gate = Gate()
    gate.hold()
    first, second = await arrive(gate, "a"), await arrive(gate, "a")
    gate.release("a")
    assert await passed(first) == ["a"]
    assert await passed(second) == []
    gate.release("a")
    assert await passed(second) == ["a"]


async def test_who_is_cancelled_leaves_the_line() -> None:
    gate = Gate()
    gate.hold()
    tasks = await arrive(gate, "a", "b")
    tasks["a"].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks["a"]
    assert gate.waiting == ["b"]
    gate.release_next()
    assert await passed(tasks) == ["a", "b"]


async def test_what_was_released_in_advance_does_not_outlive_the_hold() -> None:
    gate = Gate()
    gate.hold()
    gate.release("a")
    gate.release_next()
    gate.release()
    gate.hold()
    tasks = await arrive(gate, "a", "b")
    assert await passed(tasks) == []
    gate.release()
    assert await passed(tasks) == ["a", "b"]
