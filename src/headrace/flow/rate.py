"""How fast and how many: a rate of calls, a limit of calls at once, and a budget for retries; all pure but for waiting.

Source of the limit's rule: additive increase, multiplicative decrease (Chiu and Jain, 1989).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

Clock = Callable[[], float]


class Rate:
    """Spaces call starts so that at most `per_second` start in any second; adapts when the server throttles.

    A reservation is made at once and tells how long to wait: no lock, no queue, usable from any thread. After a
    throttle the rate falls to what the server has let through in the last second and creeps up again.

    Args:
        per_second: calls a second, or None: any number, until the server throttles.
        clock: seconds, for tests.
    """

    BURST_SECONDS = 0.1  # an idle client may start so much of a second's calls at once
    BACK_OFF = 0.95  # of the measured rate after a throttle
    CREEP = 0.02  # growth a second, as a share of the rate

    def __init__(self, per_second: float | None, clock: Clock = time.monotonic) -> None:
        self._most = per_second
        self._now: float | None = per_second
        self._clock = clock
        self._next = clock()
        self._successes: deque[float] = deque()
        self._changed = clock()

    @property
    def per_second(self) -> float | None:
        """The rate now, or None: unlimited."""
        return self._now

    def reserve(self) -> float:
        """Take the next start and tell how many seconds to wait for it."""
        if self._now is None:
            return 0.0
        now = self._clock()
        self._creep(now)
        self._next = max(self._next, now - self.BURST_SECONDS)
        wait = self._next - now
        self._next += 1.0 / self._now
        return max(0.0, wait)

    def succeeded(self) -> None:
        """Note a call that the server let through."""
        now = self._clock()
        self._successes.append(now)
        while self._successes and self._successes[0] < now - 1.0:
            self._successes.popleft()

    def throttled(self) -> None:
        """Note a call that the server refused as too many; acts once in half a second."""
        now = self._clock()
        if now - self._changed < 0.5 and self._now is not None and self._now != self._most:
            return
        while self._successes and self._successes[0] < now - 1.0:
            self._successes.popleft()
        measured = max(1.0, len(self._successes) * self.BACK_OFF)
        self._now = min(measured, self._now) if self._now is not None else measured
        self._changed = now
        self._next = max(self._next, now)

    def _creep(self, now: float) -> None:
        """Grow after a quiet second; a rate that was unlimited is so again once it has grown tenfold."""
        if self._now is None or self._now == self._most or now - self._changed < 1.0:
            return
        seconds = now - self._changed
        self._now *= (1.0 + self.CREEP) ** seconds
        self._changed = now
        if self._most is not None and self._now > self._most:
            self._now = self._most


class Concurrency:
    """Admits calls while fewer than a limit run; the limit halves on a throttle and grows by one a full round.

    Belongs to one event loop. Waiting calls are admitted first come, first served.
    """

    __slots__ = ("_clock", "_cut", "_limit", "_most", "_running", "_waiters")

    def __init__(self, most: int, clock: Clock = time.monotonic) -> None:
        self._most = most
        self._limit = float(most)
        self._running = 0
        self._cut = -1.0
        self._clock = clock
        self._waiters: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """Most calls at once now."""
        return int(self._limit)

    @property
    def running(self) -> int:
        """Calls running now."""
        return self._running

    @property
    def waiting(self) -> int:
        """Calls waiting now."""
        return len(self._waiters)

    async def acquire(self) -> None:
        """Wait for a place and take it; a cancelled wait took none."""
        if self._running < self.limit and not self._waiters:
            self._running += 1
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter  # whoever wakes us has counted us as running
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.release()
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
            raise

    def release(self) -> None:
        """Give the place back."""
        self._running -= 1
        self._admit()

    def succeeded(self) -> None:
        """Note a success: one more place after as many successes as there are places."""
        if self._limit < self._most:
            self._limit = min(float(self._most), self._limit + 1.0 / self._limit)
            self._admit()

    def throttled(self) -> None:
        """Note a throttle: half of what runs now, at most once in a tenth of a second."""
        now = self._clock()
        if now - self._cut >= 0.1:
            self._cut = now
            self._limit = max(1.0, min(self._limit, float(self._running)) / 2)

    def _admit(self) -> None:
        while self._waiters and self._running < self.limit:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._running += 1
                waiter.set_result(None)


class Budget:
    """A token bucket that bounds how many retries a client adds to a server in trouble.

    Args:
        most: tokens when full; None: any number of retries.
        ratio: tokens that each new call puts in.
        per_second: tokens that time puts in.
    """

    __slots__ = ("_clock", "_most", "_per_second", "_ratio", "_tokens", "_when")

    def __init__(self, most: float | None, ratio: float, per_second: float, clock: Clock = time.monotonic) -> None:
        self._most = most
        self._ratio = ratio
        self._per_second = per_second
        self._clock = clock
        self._tokens = most or 0.0
        self._when = clock()

    @property
    def tokens(self) -> float:
        """Retries that could be made now."""
        return self._tokens

    def called(self) -> None:
        """Note a new call."""
        if self._most is not None:
            self._tokens = min(self._most, self._tokens + self._ratio)

    def spend(self) -> bool:
        """Take the token of one retry; False when there is none."""
        if self._most is None:
            return True
        now = self._clock()
        self._tokens = min(self._most, self._tokens + (now - self._when) * self._per_second)
        self._when = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
