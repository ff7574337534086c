"""A timeout becomes a deadline once, when a call starts, and is passed down as a point in time."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from headrace.errors import DeadlineExceeded, HeadraceError


class Deadline:
    """A point in monotonic time; `seconds` is the timeout that it came from (inf: none)."""

    __slots__ = ("at", "seconds")

    def __init__(self, at: float, seconds: float) -> None:
        self.at: float = at
        self.seconds: float = seconds

    @classmethod
    def after(cls, seconds: float | None, since: float | None = None) -> Deadline:
        """Make the deadline that is `seconds` away, from now or from a point in monotonic time; None: never."""
        if seconds is None or seconds == math.inf:
            return cls(math.inf, math.inf)
        return cls((time.monotonic() if since is None else since) + seconds, seconds)

    def copy(self) -> Deadline:
        """Make another one that can be extended by itself."""
        return Deadline(self.at, self.seconds)

    @property
    def remaining(self) -> float:
        """Remaining seconds, at least 0; inf when there is no deadline."""
        return max(0.0, self.at - time.monotonic()) if self.at != math.inf else math.inf

    @property
    def or_none(self) -> float | None:
        """Remaining seconds, or None when there is no deadline."""
        return None if self.at == math.inf else self.remaining

    def extend(self, seconds: float) -> None:
        """Move the deadline: waiting with its own budget does not count."""
        self.at += seconds


@asynccontextmanager
async def within(deadline: Deadline, doing: str) -> AsyncIterator[None]:
    """Bound what a block awaits.

    Raises:
        DeadlineExceeded: the time is over; the message says what it was `doing`.
    """
    try:
        async with asyncio.timeout(deadline.or_none) as scope:
            yield
    except TimeoutError as error:
        if isinstance(error, HeadraceError) or not scope.expired():
            raise
        raise DeadlineExceeded(f"{doing} took longer than {deadline.seconds:g} s") from None
