"""Events of a client: `Client(on_event=callable)` gets each of them synchronously.

Metrics and progress bars are built on them. An exception that the callable raises is logged, never propagated.
The logger "headrace" has a line for a change of the transport (WARNING), for each retry and resume (INFO), and for each
connection made or lost (DEBUG).

A client imports this module with its first event: a program that starts, calls once and ends has none to report.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

logger: logging.Logger = logging.getLogger("headrace")


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
class TransportChanged:
    """The client goes on over another `transport` ("grpc"): two connections in a row ended by a violation of HTTP/2.

    `reason` is the last one. The calls go on; it is worth a report all the same.
    """

    target: str
    transport: str
    reason: str


@dataclass(frozen=True, slots=True)
class RetryScheduled:
    """Attempt number `attempt` failed for `reason`; the next one starts in `delay` seconds."""

    attempt: int
    delay: float
    reason: str
    code: int | None = None


@dataclass(frozen=True, slots=True)
class WarmUp:
    """The model is still deploying; asked again in `delay` seconds, `waited` so far of `budget` (seconds).

    `percent` is how far the server says it is; None if it does not say.
    """

    waited: float
    budget: float
    delay: float
    code: int
    description: str
    percent: int | None = None


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


Event = (
    Connected
    | Disconnected
    | TransportChanged
    | RetryScheduled
    | WarmUp
    | Throttled
    | Resumed
    | Dropped
    | Hedged
    | ServerLog
)
OnEvent = Callable[[Event], object]


#: The log line of each event: level and format, which the fields of the event fill.
_LINES: dict[type, tuple[int, str]] = {
    Connected: (logging.DEBUG, "connected to {target} (connection {connection}) in {seconds:.3f} s"),
    Disconnected: (logging.DEBUG, "disconnected from {target} (connection {connection})"),
    TransportChanged: (
        logging.WARNING,
        (
            "two connections to {target} in a row broke by a violation of HTTP/2, so calls go over {transport} from "
            "now on; please report it: {reason}"
        ),
    ),
    RetryScheduled: (logging.INFO, "attempt {attempt} failed, trying again in {delay:.3f} s: {reason}"),
    WarmUp: (logging.INFO, "the model is not ready, asking again in {delay:.3f} s: {description} ({code})"),
    Resumed: (logging.INFO, "the stream is opened again (resume {resumes}, {unanswered} inputs unanswered): {reason}"),
    Hedged: (logging.INFO, "no answer for {seconds:.3g} s, a second attempt starts beside the first"),
}


def log(event: Event) -> None:
    """Write an event to the logger "headrace": retries and resumes as INFO, connections as DEBUG."""
    level, line = _LINES.get(type(event), (logging.NOTSET, ""))
    if line and logger.isEnabledFor(level):
        fields = {name: getattr(event, name) for name in type(event).__slots__}
        logger.log(level, "%s", line.format(**fields))
