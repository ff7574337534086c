"""Timeouts of many calls with few timers: those that end within the same twentieth of a second share one."""

from __future__ import annotations

import asyncio
import heapq
import math
from typing import Protocol, TypeAlias

FAR = 1e8  # seconds beyond which a deadline is none
_GRAIN = 50  # milliseconds; a call ends at most so much late


class Timed(Protocol):
    """Something with a deadline.

    Attributes:
        bucket: what has the same deadline; None: it has none.
    """

    bucket: Bucket | None

    def expired(self) -> None:
        """The deadline is over."""


#: In the order in which they were added.
Bucket: TypeAlias = dict[Timed, None]


class Deadlines:
    """The deadlines of calls of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._buckets: dict[int, Bucket] = {}  # by the millisecond in which they end
        self._order: list[int] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, call: Timed, seconds: float) -> float:
        """Tell a call when so many seconds are over; short timeouts are exact to a millisecond. Gives that time."""
        when = self._loop.time() + seconds
        number = int(when * 1000) + 1
        if seconds > 1.0:
            number += -number % _GRAIN
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = {}
            heapq.heappush(self._order, number)
            if self._order[0] == number:
                self._arm(number)
        bucket[call] = None
        call.bucket = bucket
        return when

    def remove(self, call: Timed) -> None:
        """Forget a call."""
        if call.bucket is not None:
            call.bucket.pop(call, None)
            call.bucket = None

    def clear(self) -> None:
        """Forget all calls."""
        self._buckets.clear()
        self._order.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

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
