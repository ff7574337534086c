"""Waiting without a turn of the event loop: who goes on when, and what cancelling does."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from headrace.flow.waiter import InlineWaiter

pytestmark = pytest.mark.core
NAME = contextvars.ContextVar("NAME", default="")


class Waiting:
    """A task that waits, and what it has done."""

    def __init__(self, name: str = "one") -> None:
        self.waiter = InlineWaiter(asyncio.get_running_loop())
        self.steps: list[str] = []
        self.task = asyncio.create_task(self._wait(name))

    async def _wait(self, name: str) -> None:
        NAME.set(name)
        self.steps.append("waits")
        try:
            await self.waiter
        except asyncio.CancelledError as error:
            self.steps.append(f"cancelled: {error}")
            raise
        self.steps.append(f"{NAME.get()} goes on")


def in_a_callback(call: object) -> asyncio.Future[object]:
    """Call something in a callback of the event loop, which no task runs."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[object] = loop.create_future()
    loop.call_soon(lambda: done.set_result(call()))  # type: ignore[operator]
    return done


async def test_open_lets_the_task_go_on_within_the_call_and_in_its_own_context() -> None:
    one, two = Waiting("one"), Waiting("two")
    await asyncio.sleep(0)
    assert one.steps == two.steps == ["waits"]

    def seen() -> list[list[str]]:
        one.waiter.open()
        first = [*one.steps]
        two.waiter.open()
        return [first, [*two.steps]]

    assert await in_a_callback(seen) == [["waits", "one goes on"], ["waits", "two goes on"]]
    await asyncio.gather(one.task, two.task)


async def test_open_soon_lets_it_go_on_a_turn_later_and_once() -> None:
    one = Waiting()
    await asyncio.sleep(0)
    one.waiter.open_soon()  # in a task
    one.waiter.open_soon()
    one.waiter.open()
    assert one.steps == ["waits"]
    await one.task
    assert one.steps == ["waits", "one goes on"]


async def test_nobody_who_waits_later_sees_an_earlier_open() -> None:
    one = Waiting()
    one.waiter.open()
    one.waiter.open_soon()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert one.steps == ["waits"]
    one.waiter.open_soon()
    await one.task


@pytest.mark.parametrize("opened", ["", "before", "after"])
async def test_cancelling(opened: str) -> None:
    one = Waiting()
    await asyncio.sleep(0)
    if opened == "before":
        one.waiter.open_soon()
    one.task.cancel("enough")
    if opened == "after":
        await in_a_callback(one.waiter.open)  # the cancel has come first, and holds
    with pytest.raises(asyncio.CancelledError):
        await one.task
    assert one.steps == ["waits", "cancelled: enough"]
