"""Holding things back until a test releases them: timing in tests without sleeping."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable


class Turnstile:
    """Lets everything pass until `hold`; then each waits until it is released, by name or by turn.

    Args:
        on_arrival: called whenever somebody has begun to wait.
    """

    def __init__(self, on_arrival: Callable[[], object] = lambda: None) -> None:
        self._on_arrival = on_arrival
        self._holding = False
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []
        self._passes: Counter[str] = Counter()  # released by name before they came
        self._free = 0  # released by turn before they came

    @property
    def waiting(self) -> list[str]:
        """The names of the waiters, in the order in which they came."""
        return [name for name, future in self._waiting if not future.done()]

    def hold(self) -> None:
        """Let nothing pass from now on."""
        if not self._holding:
            self._holding = True
            self._passes.clear()
            self._free = 0

    def release(self, *names: str) -> None:
        """Let these pass, now or when they come; without names: all, and those that come later."""
        if not names:
            self._holding = False
            self._open(len(self._waiting))
        for name in names:
            waiter = next((future for n, future in self._waiting if n == name and not future.done()), None)
            if waiter is None:
                self._passes[name] += 1
            else:
                waiter.set_result(None)

    def release_next(self, count: int = 1) -> None:
        """Let the next ones pass, in the order in which they came or come."""
        if self._holding:
            self._free += count - self._open(count)

    async def passing(self, name: str) -> None:
        """Wait until it may pass."""
        if not self._holding:
            return
        if self._passes[name]:
            self._passes[name] -= 1
            return
        if self._free:
            self._free -= 1
            return
        entry = (name, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        self._on_arrival()
        try:
            await entry[1]
        finally:
            self._waiting.remove(entry)

    def _open(self, count: int) -> int:
        opened = 0
        for _, future in self._waiting:
            if opened < count and not future.done():
                future.set_result(None)
                opened += 1
        return opened
