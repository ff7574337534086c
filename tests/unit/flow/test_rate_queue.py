"""Calls that wait for the rate start in their order, however late the loop or a callback makes their timers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from headrace.errors import ClosedError
from headrace.flow.rate import Rate
from headrace.flow.rate_queue import RateQueue

pytestmark = pytest.mark.core

COUNT = 30
PER_SECOND = 500.0  # 2 ms apart
BLOCKED = 0.01  # seconds in which five calls become due


class Line:
    """Lets calls wait, numbered by their arrival, and notes who started."""

    def __init__(self, per_second: float | None = PER_SECOND) -> None:
        self.rate = Rate(per_second)
        self.queue = RateQueue(asyncio.get_running_loop())
        self.arrived = 0
        self.started: list[int] = []
        self.waits: list[float] = []
        self.on_wait: Callable[[float], object] = self.waits.append

    def call(self, timeout: float | None = None) -> asyncio.Task[None]:
        return asyncio.ensure_future(self.wait(timeout))

    async def wait(self, timeout: float | None = None) -> None:
        number, self.arrived = self.arrived, self.arrived + 1
        await self.queue.wait(self.rate, timeout, self.on_wait)
        self.started.append(number)

    def calls(self, count: int = COUNT) -> list[asyncio.Task[None]]:
        return [self.call() for _ in range(count)]


def block() -> None:
    time.sleep(BLOCKED)


async def nothing(line: Line) -> None:
    """Let the loop be."""


async def slow_callbacks(line: Line) -> None:
    """Stop each third call for five turns, between its look at the clock and its wait."""

    def on_wait(_: float) -> None:
        if line.arrived % 3 == 0:
            block()

    line.on_wait = on_wait


async def a_blocked_loop(line: Line) -> None:
    """Let several become due in one turn of the loop."""
    for _ in range(5):
        await asyncio.sleep(0.003)
        block()


async def late_calls(line: Line) -> None:
    """Call at the moment when those before are due, and their timer is late."""
    for number in range(10):
        block()
        task = line.call()
        await asyncio.sleep(0)
        if number % 2:
            await task


async def a_rate_that_is_lifted(line: Line) -> None:
    """Let all become due at once."""
    await asyncio.sleep(0.01)
    line.rate._now = None


@pytest.mark.parametrize("trouble", [nothing, slow_callbacks, a_blocked_loop, late_calls, a_rate_that_is_lifted])
async def test_they_start_in_their_order(trouble: Callable[[Line], Any]) -> None:
    line = Line()
    troubling = asyncio.ensure_future(trouble(line))
    await asyncio.sleep(0)
    tasks = line.calls()
    await asyncio.wait_for(asyncio.gather(*tasks, troubling), 20)
    while len(line.started) < line.arrived:
        await asyncio.sleep(0.01)
    assert line.started == list(range(line.arrived))


async def test_a_call_that_comes_later_does_not_pass_one_that_may_start_and_has_not_run() -> None:
    line = Line()
    waiting = line.calls(3)
    await asyncio.sleep(0)
    time.sleep(BLOCKED)
    line.queue._wake(line.rate)  # as its timer does, right before this task goes on
    later = line.call()
    await line.wait()
    await asyncio.gather(*waiting, later)
    assert line.started == [0, 1, 2, 3, 4]


async def test_they_are_as_far_apart_as_the_rate_says() -> None:
    line = Line(100.0)
    start = time.monotonic()
    await asyncio.gather(*line.calls(11))
    assert time.monotonic() - start >= 0.099
    assert len(line.waits) == 10  # the first starts at once


async def test_without_a_rate_nobody_waits() -> None:
    line = Line(None)
    await asyncio.gather(*line.calls(1000))
    assert line.started == list(range(1000))
    assert line.waits == []


async def test_those_behind_one_that_stops_waiting_move_up() -> None:
    line = Line(20.0)
    tasks = line.calls(60)
    await asyncio.sleep(0)
    for task in tasks[1:59]:
        task.cancel()
    await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 2)  # not three seconds
    assert line.started == [0, 59]


async def test_a_cancel_together_with_the_turn_stops_nobody() -> None:
    line = Line(PER_SECOND)
    tasks = line.calls(4)
    await asyncio.sleep(0)
    block()
    line.queue._wake(line.rate)  # wakes all, before any has run
    tasks[2].cancel()
    await asyncio.wait(tasks)
    assert tasks[2].cancelled()
    assert line.started == [0, 1, 3]
    await asyncio.wait_for(line.call(), 5)


async def test_a_turn_that_does_not_come_in_time_is_a_timeout() -> None:
    line = Line(1.0)
    first, late, patient = line.call(), line.call(timeout=0.02), line.call(timeout=60)
    await first
    with pytest.raises(TimeoutError):
        await late
    await asyncio.wait_for(patient, 1.9)  # it moved up
    assert line.started == [0, 2]


async def test_closing_ends_the_wait() -> None:
    line = Line(0.1)
    tasks = line.calls(5)
    await asyncio.sleep(0)
    line.queue.refuse(ClosedError("the client is closed"))
    outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 2)
    assert outcomes[0] is None
    assert [type(outcome) for outcome in outcomes[1:]] == [ClosedError] * 4
