"""Timers: one that rings at the earliest of many times, and one that rings when something makes no progress."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

STILL = 0.05  # seconds that a timer may be late before the event loop counts as blocked
GRACE = 1.0  # maximum seconds that are given back after the loop was blocked


class Alarm:
    """Calls `ring` at the earliest time it was set to.

    After the event loop was blocked, answers that arrived are read first: the alarm rings as much later as it is late.

    Attributes:
        is_set: it is going to ring.
    """

    __slots__ = ("_again", "_handle", "_ring", "_when", "is_set")

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._handle: asyncio.TimerHandle | None = None
        self._when = 0.0
        self._again = False
        self.is_set: bool = False

    def set(self, when: float) -> None:
        """Ring at this time of `time.monotonic`, or earlier if it is set to that."""
        if self._handle is not None:
            if self._when <= when or self._again:
                return
            self._handle.cancel()
        self._when = when
        self.is_set = True
        self._handle = asyncio.get_running_loop().call_later(max(0.0, when - time.monotonic()), self._due)

    def cancel(self) -> None:
        """Do not ring."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
            self.is_set = False

    def _due(self) -> None:
        self._handle = None
        self.is_set = False
        now = time.monotonic()
        late = now - self._when
        if late > STILL and not self._again:
            self._again = True
            self.set(now + min(late, GRACE))
            return
        self._again = False
        self._ring()


LOOKS = 4  # in the time that something may stand still


class Standstill:
    """Checks now and then whether something makes progress: cheaper than noting each step.

    Args:
        limit: seconds.
        counts: what changes with each step.
        stands: whether progress is expected now.
        ring: called once, with the seconds without progress.
    """

    def __init__(
        self,
        limit: float,
        counts: Callable[[], tuple[int, ...]],
        stands: Callable[[], bool],
        ring: Callable[[float], None],
    ) -> None:
        self._limit = limit
        self._counts = counts
        self._stands = stands
        self._ring = ring
        self._seen: tuple[int, ...] = ()
        self._since = self._looked = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """Look now, and again after a while."""
        now, every = time.monotonic(), self._limit / LOOKS
        counts = self._counts()
        loop_stood_still = now - self._looked > 2 * every + STILL
        if counts != self._seen or loop_stood_still or not self._stands():
            self._since = now
        elif now - self._since >= self._limit:
            self._ring(now - self._since)
            return
        self._seen, self._looked = counts, now
        self._timer = asyncio.get_running_loop().call_later(every, self.watch)

    def cancel(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
