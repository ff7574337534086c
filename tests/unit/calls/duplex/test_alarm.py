"""Timers that a loop which stood still does not fool."""

from __future__ import annotations

import asyncio
import time

import pytest

from headrace.calls.duplex.alarm import Alarm, Standstill

pytestmark = pytest.mark.core


async def test_an_alarm_rings_at_the_earliest_time_and_once() -> None:
    rung: list[float] = []
    done = asyncio.Event()

    def ring() -> None:
        rung.append(time.monotonic())
        done.set()

    alarm, now = Alarm(ring), time.monotonic()
    alarm.set(now + 60)
    alarm.set(now + 0.02)
    alarm.set(now + 30)
    await asyncio.wait_for(done.wait(), 5)
    assert rung[0] >= now + 0.019
    await asyncio.sleep(0)
    assert len(rung) == 1
    alarm.set(now)
    alarm.cancel()
    await asyncio.sleep(0.01)
    assert len(rung) == 1


async def test_an_overdue_alarm_lets_what_has_arrived_be_read_first() -> None:
    order: list[str] = []
    done = asyncio.Event()
    alarm = Alarm(lambda: (order.append("rings"), done.set())[0])  # type: ignore[func-returns-value]
    start = time.monotonic()
    alarm.set(start + 0.01)
    time.sleep(0.2)

    async def reads() -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        alarm.set(start + 0.01)  # as for an input that waits since then
        order.append("read")

    await reads()
    await asyncio.wait_for(done.wait(), 5)
    assert order == ["read", "rings"]


async def test_a_standstill_is_reported_once_and_steps_or_other_reasons_are_none() -> None:
    rung: list[float] = []
    done = asyncio.Event()
    counts, stands = [0], [True]

    def ring(seconds: float) -> None:
        rung.append(seconds)
        done.set()

    watch = Standstill(0.2, lambda: (counts[0],), lambda: stands[0], ring)
    watch.watch()
    for _ in range(10):
        await asyncio.sleep(0.04)
        counts[0] += 1
    stands[0] = False
    await asyncio.sleep(0.3)
    assert not rung
    stands[0] = True
    await asyncio.wait_for(done.wait(), 5)
    await asyncio.sleep(0.2)
    assert len(rung) == 1
    assert rung[0] >= 0.2
