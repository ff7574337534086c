"""A wake-up for one task, which is not lost when it comes before the task waits."""

from __future__ import annotations

import asyncio


class Signal:
    """Wakes the one task that waits; a set signal is not lost.

    Attributes:
        is_set: the next wait ends immediately; for those who would set it again for each of many items.
    """

    __slots__ = ("_waiter", "is_set")

    def __init__(self) -> None:
        self.is_set: bool = False
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        """Wake the task, or let its next wait end immediately; repeated calls count once."""
        if not self.is_set:
            self.is_set = True
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)

    async def wait(self, seconds: float | None = None) -> None:
        """Wait until it is set, at most so many seconds."""
        if not self.is_set:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = None if seconds is None else loop.call_later(seconds, self.set)
            try:
                await self._waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()
        self.is_set = False
