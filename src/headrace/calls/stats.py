"""Counts: the running ones of a stream of inputs, and the snapshots of streams and clients that users get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from headrace.support.frozen import FrozenDict, counts


@dataclass(slots=True)
class Tally:
    """The running counts of a stream."""

    pulled: int = 0
    sent: int = 0
    received: int = 0
    errors: int = 0
    resumed: int = 0
    retries: int = 0
    drops: dict[str, int] = field(default_factory=dict)

    @property
    def open(self) -> int:
        """Inputs that were pulled and have no end yet."""
        return self.pulled - self.received - self.errors - sum(self.drops.values())

    def drop(self, cause: str, number: int = 1) -> None:
        """Count dropped inputs."""
        if number:
            self.drops[cause] = self.drops.get(cause, 0) + number

    def snapshot(self, in_flight: int, peak_in_flight: int, lag: float) -> StreamStats:
        """Make the user's snapshot of these counts, with what only the stream knows."""
        counts = {name: getattr(self, name) for name in _COUNTED}
        return StreamStats(
            **counts,
            dropped=sum(self.drops.values()),
            drops=FrozenDict(self.drops),
            in_flight=in_flight,
            peak_in_flight=peak_in_flight,
            lag=lag,
        )


_COUNTED = [field.name for field in fields(Tally) if field.name != "drops"]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What happened to the inputs of a stream.

    Attributes:
        sent: inputs written, those sent again counted again.
        errors: inputs that ended as an error.
        dropped: inputs dropped, the sum of `drops`.
        drops: cause ("drop_oldest", "drop_newest", "latest", "max_age", "closed") -> inputs.
        in_flight: inputs sent whose answer the consumer has not taken.
        resumed: how often the call was opened again.
    """

    sent: int = 0
    errors: int = 0
    dropped: int = 0
    drops: Mapping[str, int] = field(default_factory=FrozenDict)
    in_flight: int = 0
    resumed: int = 0

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        return _html(self, type(self).__name__)


@dataclass(frozen=True, slots=True)
class StreamStats(Outcomes):
    """A snapshot of a stream: `sent`, `errors`, `dropped`, `drops`, `in_flight`, `resumed`, and these.

    Attributes:
        pulled: inputs taken from the source; each ends as one of `received`, `errors` and `dropped`.
        received: predictions that arrived.
        peak_in_flight: the largest `in_flight` so far.
        retries: inputs sent again because their answer asked for it.
        lag: seconds since the oldest unanswered input left the pipe.
    """

    pulled: int = 0
    received: int = 0
    peak_in_flight: int = 0
    retries: int = 0
    lag: float = 0.0

    def __str__(self) -> str:
        return counts(self, "pulled", "sent", "received", "errors", "dropped")


@dataclass(frozen=True, slots=True)
class ClientStats:
    """A snapshot of a client: its counts since it was made, and its present state."""

    calls: int
    attempts: int
    retries: int
    resumes: int
    failures: int
    connections: int
    connected: int
    running: int
    waiting: int
    requests_per_second: float | None
    retry_budget: float

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        return _html(self, "ClientStats")


def _html(stats: Outcomes | ClientStats, title: str) -> str:
    from headrace.support import htmltext

    values = {item.name: getattr(stats, item.name) for item in fields(stats)}
    if isinstance(drops := values.get("drops"), Mapping):
        values["drops"] = ", ".join(f"{cause} {count}" for cause, count in drops.items()) or "none"
    shown = {name: round(value, 4) if isinstance(value, float) else value for name, value in values.items()}
    return htmltext.facts(title, shown.items())
