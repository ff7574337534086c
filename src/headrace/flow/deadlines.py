"""Timeouts of many calls with few timers: those that end within the same twentieth of a second share one."""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Callable, Iterable
from typing import Protocol, TypeAlias

FAR = 1e8  # seconds beyond which a deadline is none
_GRAIN = 50  # milliseconds; a call ends at most so much late
_EXACT = 1.0  # seconds up to which a timeout is exact to a millisecond
_LOOK = 0.5  # seconds after which a call that still runs is entered; less than `_EXACT`


class Timed(Protocol):
    """Something with a deadline.

    Attributes:
        bucket: what has the same deadline; None: it is in none.
    """

    bucket: Bucket | None

    def expired(self) -> None:
        """The deadline is over."""


#: In the order in which they were added.
Bucket: TypeAlias = dict[Timed, None]
Running: TypeAlias = Callable[[], Iterable[tuple[Timed, float]]]


class Deadlines:
    """The deadlines of calls of one event loop.

    Args:
        running: gives the calls that are not over, with their deadlines. Most calls are over long before theirs: with
            `running`, one of more than a second costs nothing here unless it still runs half a second later.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, running: Running | None = None) -> None:
        self._loop = loop
        self._time = loop.time
        self._running = running
        self._buckets: dict[int, Bucket] = {}  # by the millisecond in which they end
        self._order: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._look: asyncio.TimerHandle | None = None  # at what runs

    def add(self, call: Timed, seconds: float) -> float:
        """Tell a call when so many seconds are over; short timeouts are exact to a millisecond. Gives that time."""
        when = self._time() + seconds
        if seconds <= _EXACT:
            self._enter(call, when, 1)
        elif self._running is None:
            self._enter(call, when, _GRAIN)
        elif self._look is None:
            self._look = self._loop.call_later(_LOOK, self._enter_running)
        return when

    @staticmethod
    def remove(call: Timed) -> None:
        """Forget a call."""
        if call.bucket is not None:
            del call.bucket[call]
            call.bucket = None

    def clear(self) -> None:
        """Forget all calls."""
        self._buckets.clear()
        self._order.clear()
        for timer in (self._timer, self._look):
            if timer is not None:
                timer.cancel()
        self._timer = self._look = None

    def _enter_running(self) -> None:
        assert self._running is not None
        self._look = None
        for call, when in self._running():
            if call.bucket is None:
                self._enter(call, when, _GRAIN)

    def _enter(self, call: Timed, when: float, grain: int) -> None:
        number = (int(when * 1000) // grain + 1) * grain
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = {}
            heapq.heappush(self._order, number)
            if self._order[0] == number:
                self._arm(number)
        bucket[call] = None
        call.bucket = bucket

    def _arm(self, number: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(number / 1000, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = math.floor(self._loop.time() * 1000 + 1e-6)
        while self._order and self._order[0] <= now:
            for call in list(self._buckets.pop(heapq.heappop(self._order))):
                self.remove(call)
                call.expired()
        while self._order and not self._buckets[self._order[0]]:  # all of them ended in time
            del self._buckets[heapq.heappop(self._order)]
        if self._order:
            self._arm(self._order[0])


__all__ = ["FAR", "Bucket", "Deadlines"]
