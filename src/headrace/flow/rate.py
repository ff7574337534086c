"""Rate limit, concurrency limit and retry budget of a client; pure except for waiting.

Source of the limit's rule: additive increase, multiplicative decrease (Chiu and Jain, 1989).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Callable

from headrace.flow.deadlines import FAR, Bucket, Deadlines

Clock = Callable[[], float]


class Rate:
    """Spaces call starts evenly: at most `per_second` become due in any second; adapts when the server throttles.

    A call takes a ticket and starts when it is due: no lock, usable from any thread; `RateQueue` keeps the order of the
    calls of a loop. After a throttle the rate falls, by as much as the server refuses; while calls wait for it, it
    grows again: fast up to where it was throttled, slowly past that, and fast again when the server evidently allows
    more.

    Args:
        per_second: calls a second, or None: any number, until the server throttles.
        clock: seconds, for tests.
    """

    LOOK_AGAIN = 0.25  # seconds after which a waiting call looks whether the rate has changed
    EPISODE = 0.5  # seconds in which throttles count as one
    SLOWEST = 1.0  # calls a second
    FIRST = 10.0  # lowest first rate after a throttle, even after few calls: a guess to start from
    FAST, SLOW = 2.0, 1.02  # growth a second
    UNLIMITED = 10_000.0  # calls a second that count as unlimited
    MARKS = 0.05  # seconds between two looks at the count of starts

    def __init__(self, per_second: float | None, clock: Clock = time.monotonic) -> None:
        self._max = per_second
        self._now: float | None = per_second
        self._clock = clock
        self._when = clock()
        self._issued = 0
        self._due = 0.0  # tickets up to this may start
        self._given_back: set[int] = set()
        self._ceiling = math.inf  # the rate that was throttled last
        self._cut = -math.inf
        self._started = 0  # calls
        self._marks: deque[tuple[float, int]] = deque()  # how many had started before, at times of the last second
        self._next_mark = -math.inf
        self._throttles: deque[float] = deque()

    @property
    def per_second(self) -> float | None:
        """The rate now, or None: unlimited."""
        return self._now

    def start(self, now: float) -> bool:
        """Start a call now if no rate is in force; False if it has to take a ticket."""
        if self._now is not None:
            return False
        if now >= self._next_mark:
            self._mark(now)
        self._started += 1
        return True

    def take(self) -> int:
        """Take the ticket of the next start."""
        self._advance(self._clock())
        self._issued += 1
        return self._issued - 1

    def until(self, ticket: int) -> float:
        """Return how many seconds to wait before asking again; 0: the ticket is due."""
        self._advance(self._clock())
        if self._now is not None and self._due < ticket - 1e-6:
            return min((ticket - self._due) / self._now, self.LOOK_AGAIN)
        return 0.0

    def wait(self, ticket: int) -> float:
        """Return how many seconds to wait before asking again; 0: the call starts now."""
        seconds = self.until(ticket)
        if seconds == 0:
            if self._when >= self._next_mark:
                self._mark(self._when)
            self._started += 1
        return seconds

    def give_back(self, ticket: int) -> None:
        """Return the ticket of a call that will not start: calls behind it move up."""
        if ticket > self._due:
            self._given_back.add(ticket)

    def throttled(self) -> None:
        """Note a call that the server refused as too many."""
        now = self._clock()
        self._throttles.append(now)
        if now - self._cut < self.EPISODE:
            return
        self._advance(now)
        self._cut = now
        self._forget(now)
        started = self._started - self._marks[0][1] if self._marks else 0  # in the last second
        refused = len(self._throttles) / max(1, started)
        throttled_at = self._now if self._now is not None else max(self.FIRST, float(started))
        # A first throttle of a client without a rate says little: what came just before may be a burst.
        self._ceiling = throttled_at if self._now is not None else math.inf
        self._now = max(min(self.SLOWEST, throttled_at), throttled_at * min(0.95, max(0.5, 1.0 - refused)))

    def _mark(self, now: float) -> None:
        """Note how many calls have started; a mark now and then costs less than the time of each start."""
        self._forget(now)
        self._marks.append((now, self._started))
        self._next_mark = now + self.MARKS

    def _forget(self, now: float) -> None:
        """Keep the last second."""
        while self._marks and self._marks[0][0] < now - 1.0:
            self._marks.popleft()
        while self._throttles and self._throttles[0] < now - 1.0:
            self._throttles.popleft()

    def _advance(self, now: float) -> None:
        """Let tickets become due, and the rate grow, for the time since the last look."""
        seconds, self._when = max(0.0, now - self._when), max(self._when, now)
        if self._now is None:
            self._due = self._issued
            self._given_back.clear()
            return
        following = math.floor(self._due) + 1
        self._due += min(self._now * seconds, max(1.0, self._now * self.LOOK_AGAIN))  # no burst after a standstill
        while self._given_back and following <= self._due:
            if following in self._given_back:
                self._given_back.remove(following)
                self._due += 1
            following += 1
        if self._due >= self._issued:
            self._due = self._issued  # nobody waits: unused time is not saved, and says nothing about the limit
        elif self._now != self._max and now - self._cut >= self.EPISODE:
            self._grow(min(seconds, self.LOOK_AGAIN))

    def _grow(self, seconds: float) -> None:
        assert self._now is not None
        near = self._ceiling * 0.95 <= self._now < self._ceiling * 1.1
        grown = self._now * (self.SLOW if near else self.FAST) ** seconds
        self._now = min(grown, self._ceiling * 0.95) if self._now < self._ceiling * 0.95 else grown
        if self._max is not None:
            self._now = min(self._now, self._max)
        elif self._now > min(10 * self._ceiling, self.UNLIMITED):
            self._now = None  # the server throttles no more


class Waited(TimeoutError):
    """A call's time was over before it was admitted; `doing` says what it was waiting for."""

    def __init__(self, doing: str) -> None:
        super().__init__(doing)
        self.doing = doing


class Turn(asyncio.Future[None]):
    """The turn of a call that queues for a place; done when the call has it.

    Attributes:
        bucket: where `Deadlines` keeps it.
    """

    __slots__ = ("_concurrency", "bucket")

    def __init__(self, concurrency: Concurrency, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._concurrency = concurrency
        self.bucket: Bucket | None = None

    def expired(self) -> None:
        """The call has waited for too long."""
        if not self.done():
            self.set_exception(Waited("waiting for its turn"))

    def leave(self) -> None:
        """Leave the queue, or give the place back, if awaiting the turn failed or what the place was for."""
        if self.done() and not self.cancelled() and self.exception() is None:
            self._concurrency.release()
        else:
            self._concurrency.forget(self)


class Concurrency:
    """Admits calls while fewer than a limit run; the limit halves on a throttle and grows by one a full round.

    Belongs to one event loop. Waiting calls are admitted first come, first served.

    Attributes:
        limit: how many calls may run at once now.
        running: calls running now.
        turns: of the calls that wait.
    """

    __slots__ = ("_clock", "_cut", "_deadlines", "_exact_limit", "_max_calls", "limit", "running", "turns")

    def __init__(self, max_calls: int, clock: Clock = time.monotonic) -> None:
        self.limit: int = max_calls
        self.running: int = 0
        self.turns: deque[Turn] = deque()
        self._max_calls = max_calls
        self._exact_limit = float(max_calls)  # it grows by fractions
        self._cut = -1.0
        self._clock = clock
        self._deadlines: Deadlines | None = None

    @property
    def waiting(self) -> int:
        """Calls waiting now."""
        return len(self.turns)

    def enter(self) -> bool:
        """Take a place if one is free; calls that wait come first."""
        if self.turns or self.running >= self.limit:
            return False
        self.running += 1
        return True

    def queue(self, timeout: float | None = None) -> Turn:
        """Queue a call: awaiting the turn takes a place. If that fails or is cancelled, `Turn.leave` has to be called.

        Args:
            timeout: seconds after which awaiting it raises `Waited`; if they are more than one, up to 50 ms late.
        """
        loop = asyncio.get_running_loop()
        turn = Turn(self, loop)
        if self.enter():
            turn.set_result(None)
            return turn
        self.turns.append(turn)
        if timeout is not None and timeout < FAR:
            if self._deadlines is None:
                self._deadlines = Deadlines(loop)
            self._deadlines.add(turn, timeout)
        return turn

    def forget(self, turn: Turn) -> None:
        """Take a call out of the queue, if it is in it."""
        with contextlib.suppress(ValueError):
            self.turns.remove(turn)
        self._end_wait(turn)

    def release(self) -> None:
        """Give the place back."""
        self.running -= 1
        if self.turns:
            self._admit()

    def leave(self, succeeded: bool) -> None:
        """Give the place back. Only a success lets the limit grow: not a failure, and not a call that was cancelled."""
        self.running -= 1
        if succeeded and self.limit < self._max_calls:
            self.succeeded()
        if self.turns:
            self._admit()

    def succeeded(self, count: int = 1) -> None:
        """Note successes: one more place after as many successes as there are places."""
        if self.limit < self._max_calls:
            self._set_limit(min(float(self._max_calls), self._exact_limit + count / self._exact_limit))
            self._admit()

    def throttled(self) -> None:
        """Note a throttle: half of what runs now, at most once in a tenth of a second."""
        now = self._clock()
        if now - self._cut >= 0.1:
            self._cut = now
            self._set_limit(max(1.0, min(self._exact_limit, float(self.running)) / 2))

    def _set_limit(self, limit: float) -> None:
        self._exact_limit = limit
        self.limit = int(limit)

    def _admit(self) -> None:
        while self.turns and self.running < self.limit:
            turn = self.turns.popleft()
            self._end_wait(turn)
            if not turn.done():
                self.running += 1
                turn.set_result(None)

    def _end_wait(self, turn: Turn) -> None:
        if self._deadlines is not None:
            self._deadlines.remove(turn)


class Budget:
    """A token bucket that bounds how many retries a client adds to a server in trouble.

    Args:
        limit: tokens when full; None: any number of retries.
        ratio: tokens that each new call puts in.
        per_second: tokens that time puts in.

    Attributes:
        calls: how many new calls were made since the last look at the tokens; callers count them here.
    """

    __slots__ = ("_clock", "_limit", "_per_second", "_ratio", "_tokens", "_when", "calls")

    def __init__(self, limit: float | None, ratio: float, per_second: float, clock: Clock = time.monotonic) -> None:
        self.calls: int = 0
        self._limit = limit
        self._ratio = ratio
        self._per_second = per_second
        self._clock = clock
        self._tokens = limit or 0.0
        self._when = clock()

    @property
    def tokens(self) -> float:
        """Retries that could be made now; inf if there is no budget."""
        if self._limit is None:
            return math.inf
        calls, self.calls = self.calls, 0
        self._tokens = min(self._limit, self._tokens + self._ratio * calls)
        return self._tokens

    def spend(self) -> bool:
        """Take the token of one retry; False when there is none."""
        if self._limit is None:
            return True
        now = self._clock()
        self._tokens = min(self._limit, self.tokens + (now - self._when) * self._per_second)
        self._when = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
