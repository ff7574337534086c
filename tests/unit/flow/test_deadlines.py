"""Many deadlines with few timers: never early, hardly late, in order."""

from __future__ import annotations

import asyncio
import random
import unittest.mock

import pytest

from headrace.flow.deadlines import Bucket, Deadlines

pytestmark = pytest.mark.core


async def test_deadlines_are_never_early_and_late_by_a_twentieth_of_a_second_at_most() -> None:
    class Clock:
        """A loop's clock and timers, at a time of ours."""

        now = 0.0
        due = 0.0

        def time(self) -> float:
            return self.now

        def call_at(self, when: float, _callback: object) -> asyncio.TimerHandle:
            self.due = when
            return unittest.mock.Mock()

    rng = random.Random(5)
    for _ in range(1_000):
        clock = Clock()
        clock.now = rng.uniform(0, 1e6)
        seconds = rng.choice((rng.uniform(0.001, 1.0), rng.uniform(1.0, 90.0)))
        deadlines = Deadlines(clock)  # type: ignore[arg-type]
        when = deadlines.add(unittest.mock.Mock(), seconds)
        assert when == clock.now + seconds
        assert when < clock.due + 1e-6
        assert clock.due - when < (0.0511 if seconds > 1.0 else 0.0011)


async def test_deadlines_end_in_their_order_and_those_that_ended_in_time_do_not() -> None:
    ended: list[float] = []

    class Timed:
        bucket: Bucket | None = None

        def __init__(self, seconds: float) -> None:
            self.seconds = seconds

        def expired(self) -> None:
            ended.append(self.seconds)

    deadlines = Deadlines(asyncio.get_running_loop())
    timed = [Timed(seconds) for seconds in (0.03, 0.01, 0.02, 0.01, 60.0)]
    for one in timed:
        deadlines.add(one, one.seconds)
    deadlines.remove(timed[2])
    while len(ended) < 3:
        await asyncio.sleep(0.005)
    assert ended == [0.01, 0.01, 0.03]
    deadlines.clear()


class Running:
    """A call, which runs among others until it is over or has expired."""

    def __init__(self, deadlines: Deadlines, calls: dict[Running, float], seconds: float) -> None:
        self.bucket: Bucket | None = None
        self.seconds = seconds
        self._calls = calls
        calls[self] = deadlines.add(self, seconds)

    def over(self) -> None:
        del self._calls[self]
        Deadlines.remove(self)

    def expired(self) -> None:
        del self._calls[self]


async def test_a_call_that_is_soon_over_enters_no_bucket_and_one_that_runs_on_expires() -> None:
    calls: dict[Running, float] = {}
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(loop, calls.items)
    begun = loop.time()
    brief, short, runs = (Running(deadlines, calls, seconds) for seconds in (60.0, 0.05, 1.1))
    assert brief.bucket is None
    assert short.bucket is not None
    brief.over()
    while short in calls:
        await asyncio.sleep(0.005)
    assert list(calls) == [runs]
    later = Running(deadlines, calls, 60.0)
    while runs in calls:
        await asyncio.sleep(0.005)
    assert loop.time() >= begun + 1.1
    assert later.bucket is not None
    assert brief.bucket is None
    later.over()
    last = Running(deadlines, calls, 1.01)  # after a look that had nothing more to do
    while last in calls:
        await asyncio.sleep(0.005)
    assert not calls
    deadlines.clear()
