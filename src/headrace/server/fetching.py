"""The progress of downloading a model's weights. Callers learn it immediately and need not wait for it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from headrace.server.model import Card

Report = Callable[[str, int, int], None]
#: Fetches what a model needs before it can be loaded, and reports how far that is; blocking.
Prepare = Callable[[Card, Report], None]


class Fetching:
    """One run of fetching; made on the event loop, reported to from the thread that fetches."""

    def __init__(self) -> None:
        self.began: asyncio.Event = asyncio.Event()
        self.running: bool = False
        self._loop = asyncio.get_running_loop()
        self._name = ""
        self._done = self._total = self._first = 0
        self._since = 0.0

    def report(self, name: str, done: int, total: int) -> None:
        """So many bytes of a weight are there (thread side)."""
        if name != self._name:
            self._name, self._first, self._since = name, done, time.monotonic()
        self._done, self._total = done, total
        if not self.running and done < total:
            self.running = True
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self.began.set)

    def end(self) -> None:
        """All is there (thread side)."""
        self.running = False

    def state(self) -> tuple[int, int, float]:
        """Return bytes done, bytes in all, and the seconds that the rest will take at the speed so far (0: unknown)."""
        came, seconds = self._done - self._first, time.monotonic() - self._since
        remaining = (self._total - self._done) * seconds / came if came > 0 else 0.0
        return self._done, self._total, min(remaining, 86_400.0)
