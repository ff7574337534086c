"""What happens inside, as plain facts: `Client(on_event=callable)` gets each of them synchronously.

Meters, logs and progress bars sit on these. An exception that the callable raises is logged, never propagated.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

logger = logging.getLogger("headrace")


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection is ready; `connection` counts them from 0, `seconds` is how long it took."""

    target: str
    connection: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Disconnected:
    """A connection was lost or closed; it is made again on next use."""

    target: str
    connection: int


@dataclass(frozen=True, slots=True)
class RetryScheduled:
    """Attempt number `attempt` failed for `reason`; the next one starts in `delay` seconds."""

    attempt: int
    delay: float
    reason: str
    code: int | None = None


@dataclass(frozen=True, slots=True)
class WarmUp:
    """The model is still deploying; asked again in `delay` seconds, `waited` so far of `budget` (seconds)."""

    waited: float
    budget: float
    delay: float
    code: int
    description: str
    percent: int = 0


@dataclass(frozen=True, slots=True)
class Throttled:
    """The server throttles (`code`) or the client's own rate limit holds a call back (None) for `delay` seconds."""

    delay: float
    code: int | None = None


@dataclass(frozen=True, slots=True)
class Resumed:
    """A stream was opened again and `unanswered` inputs are sent once more."""

    unanswered: int
    resumes: int
    reason: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """One input was dropped for `cause`: "drop_oldest", "drop_newest", "latest", "max_age" or "closed"."""

    input_id: str
    position: int
    cause: str


@dataclass(frozen=True, slots=True)
class Hedged:
    """A slow unary call got a second, concurrent attempt after `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ServerLog:
    """The embedded server says something worth showing, such as the download of weights (bytes done, total or 0)."""

    name: str
    done: int = 0
    total: int = 0


Event = Connected | Disconnected | RetryScheduled | WarmUp | Throttled | Resumed | Dropped | Hedged | ServerLog
OnEvent = Callable[[Event], object]


class Emitter:
    """Hands events to the user's callable; without one, emitting costs a comparison."""

    __slots__ = ("_callable",)

    def __init__(self, on_event: OnEvent | None = None) -> None:
        self._callable = on_event

    def __call__(self, event: Event) -> None:
        if self._callable is None:
            return
        try:
            self._callable(event)
        except Exception:
            logger.exception("on_event raised on %s", type(event).__name__)
