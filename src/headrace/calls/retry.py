"""The retry engine: turns a failure and the attempts so far into a delay, or gives up. No I/O, no sleeping.

Delays: exponential backoff with full jitter (Brooker, "Exponential Backoff And Jitter", 2015).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from headrace import events
from headrace.config import RetryPolicy
from headrace.errors import HeadraceError, ServerError, TransportError
from headrace.flow.rate import Budget
from headrace.status import Kind, kind_of

RETRIED = frozenset(
    {Kind.WARMING, Kind.THROTTLE, Kind.TRANSIENT, Kind.AMBIGUOUS, Kind.CONNECT, Kind.CONNECTION, Kind.UNPROCESSED}
)

MAX_EXPONENT = 64  # every cap is reached by then; much larger values overflow a float
MAX_PROGRESS = 1000  # times that progress restarts the warm-up budget: a server may report progress forever


def _draw() -> float:
    import random  # costs as much as ten of our modules, and calls that succeed need none of it

    return random.random()


@dataclass(slots=True, eq=False, repr=False)
class Attempts:
    """The attempts of one call (or one input of a stream, or one opening of a stream).

    Args:
        policy: what is tried again.
        budget: the client's retry budget.
        warm_up: seconds that waiting for a deploying model may take without progress (`percent` of its error).
        emit: gets the events.
        unit: draws from 0 to 1, for tests.
    """

    policy: RetryPolicy
    budget: Budget
    warm_up: float
    emit: Callable[[events.Event], None]
    unit: Callable[[], float] = _draw
    clock: Callable[[], float] = time.monotonic
    number: int = 1
    _failures: int = field(default=0)
    _ambiguous: int = field(default=1)
    _throttles: int = field(default=1)
    _unprocessed: int = field(default=0)
    _polls: int = field(default=0)
    _warming_since: float | None = field(default=None)
    _percent: int = field(default=0)  # how far the model was at the last look
    _progress: int = field(default=0)  # how often it had advanced

    def after(self, error: HeadraceError) -> float | None:
        """Return how many seconds to wait before the next attempt, or None to give up. Emits the event."""
        kind = kind_of(error)
        if kind not in RETRIED or self.policy.attempts == 1 or _asks_to_stop(error):
            return self._given_up(error)
        if kind is Kind.WARMING:
            return self._wait_for_model(error)
        if kind is Kind.UNPROCESSED:
            self._unprocessed += 1
            if self._unprocessed > self.policy.unprocessed:
                return self._given_up(error)
            return 0.001 + 0.009 * self.unit()
        if kind is Kind.THROTTLE:
            self._throttles += 1
            if self._throttles > self.policy.throttled_attempts:
                return self._given_up(error)
        else:
            if kind is Kind.AMBIGUOUS:
                self._ambiguous += 1
            exhausted = self._failures + 2 > self.policy.attempts or self._ambiguous > self.policy.ambiguous_attempts
            # A server that can't be reached isn't burdened by another try: the budget is for those that can.
            if exhausted or (kind is not Kind.CONNECT and not self.budget.spend()):
                return self._given_up(error)
        delay = self._backoff(self._failures, error)
        self._failures += 1
        if kind is Kind.THROTTLE:
            self.emit(events.Throttled(delay, error.code))
        self.emit(events.RetryScheduled(self.number, delay, str(error), error.code))
        self.number += 1
        return delay

    def _wait_for_model(self, error: HeadraceError) -> float | None:
        now = self.clock()
        if self._has_progressed(error) or self._warming_since is None:
            self._warming_since = now
        waited = now - self._warming_since
        remaining = self.warm_up - waited
        if remaining <= 0:
            return self._given_up(error)
        bound = min(self.policy.warm_up_cap, 0.5 * 1.5 ** min(self._polls, MAX_EXPONENT))
        self._polls += 1
        delay = bound * (0.5 + 0.5 * self.unit())
        hint = _hint(error)
        if hint is not None:  # the server's estimate is a guess: look again within the cap all the same
            delay = max(delay, min(hint, self.policy.warm_up_cap))
        delay = min(delay, remaining)
        assert isinstance(error, ServerError)
        percent = getattr(error, "percent", None)
        self.emit(events.WarmUp(waited, self.warm_up, delay, error.code or 0, error.description, percent))
        self.number += 1
        return delay

    def _has_progressed(self, error: HeadraceError) -> bool:
        """Return whether the model's warm-up has progressed since the last look, such as fetching its weights."""
        percent = getattr(error, "percent", None) or 0
        if percent == self._percent or self._progress >= MAX_PROGRESS:
            return False
        self._percent = percent
        self._progress += 1
        return True

    def _backoff(self, failures: int, error: HeadraceError) -> float:
        bound = min(self.policy.cap, self.policy.initial * self.policy.multiplier ** min(failures, MAX_EXPONENT))
        delay = bound * self.unit()
        hint = _hint(error)
        return max(delay, min(hint, self.policy.hint_cap)) if hint is not None else delay

    def _given_up(self, error: HeadraceError) -> float | None:
        if isinstance(error, TransportError | ServerError):
            error.attempt = self.number
        return None


def _asks_to_stop(error: HeadraceError) -> bool:
    """Return whether the server asks not to be tried again (gRPC's negative grpc-retry-pushback-ms)."""
    hint = getattr(error, "retry_after", None)
    return hint is not None and hint < 0


def _hint(error: HeadraceError) -> float | None:
    hint = getattr(error, "retry_after", None)
    return float(hint) if hint is not None and hint >= 0 else None
