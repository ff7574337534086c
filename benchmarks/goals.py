"""What is to be reached: ratios to a reference that is measured in the same round, and amounts of memory.

Source of the limits: measurements of what HTTP/2 framing in Python costs alone, of what the best client of each kind
reaches, and of what the work itself costs (protobuf, a hop between tasks, a read of a file). `best` is from the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.protocol import Sample

MB = 1e6


@dataclass(frozen=True, slots=True)
class Run:
    """A client in a cell."""

    cell: str
    peer: str = "headrace-h2"


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure with its limit.

    Args:
        title: what is measured.
        ours: whose figure it is.
        against: the reference; None: the figure stands for itself.
        value: of our sample, or of ours and the reference's.
        limit: most, or least where `at_least`.
        unit: how the figure reads.
        best: what the best other client reached when the limits were set.
    """

    title: str
    ours: Run
    against: Run | None
    value: Callable[..., float]
    limit: float
    unit: str
    best: str
    at_least: bool = False

    def met(self, value: float) -> bool:
        """Tell whether a figure reaches the limit."""
        return value >= self.limit if self.at_least else value <= self.limit


def cost(sample: Sample) -> float:
    """CPU seconds of a unit."""
    return sample.cpu_s / sample.n


def cost_ratio(ours: Sample, against: Sample) -> float:
    """How much of the reference's CPU time a unit takes."""
    return cost(ours) / cost(against)


def gain(ours: Sample, against: Sample) -> float:
    """How many times as much is done with the same CPU time."""
    return cost(against) / cost(ours)


def speed_up(ours: Sample, against: Sample) -> float:
    """How many times as much is done in the same time."""
    return (ours.n / ours.wall_s) / (against.n / against.wall_s)


def microseconds(ours: Sample) -> float:
    """CPU microseconds of a unit."""
    return cost(ours) * 1e6


def megabytes(ours: Sample) -> float:
    """Extra memory in MB."""
    return (ours.extra_rss_bytes or 0) / MB


def copies(payload: int) -> Callable[[Sample], float]:
    """Make the measure of extra memory in payloads of so many bytes that are under way."""
    return lambda ours: (ours.extra_rss_bytes or 0) / payload


RAW = "raw"
UPLOAD = 20 << 20
PACED = "tokens-paced-100"


def _against_raw(title: str, cell: str, limit: float, best: str) -> Goal:
    """Make a goal that is a ratio to the raw stub's cost of the same."""
    return Goal(title, Run(cell), Run(cell, RAW), cost_ratio, limit, "x", best)


def _layers(title: str, kind: str, limit: float, best: str) -> Goal:
    return Goal(title, Run(f"layers-{kind}", "headrace-layers"), None, microseconds, limit, "us", best)


GOALS = (
    _against_raw("unary, 64 at once", "unary-64", 0.25, "1.0 (SDK 1.1-2.0)"),
    _against_raw("unary, 16 at once", "unary-16", 0.30, "1.2 (SDK)"),
    _against_raw("unary, one at a time", "unary-1", 0.40, "0.6 (sync stub)"),
    _against_raw("unary, 1,900 a second", "unary-fixed", 0.50, "1.0"),
    _against_raw("duplex, an input", "duplex", 0.25, "0.47 (grpclib)"),
    _against_raw("tokens in a burst, a token", "tokens-burst", 0.15, "0.93"),
    _against_raw("100 paced token streams, a token", PACED, 0.50, "0.95"),
    _against_raw("one paced token stream, a token", "tokens-paced-1", 0.80, "1.0"),
    _layers("our layers, a call", "unary", 6, "SDK 40-55"),
    _layers("our layers, a token", "tokens", 2, ""),
    _layers("our layers, a duplex input", "duplex", 14, ""),
    _layers("our layers, a packed input", "bulk", 7, ""),
    Goal("bulk against the SDK's batches", Run("bulk"), Run("bulk", "sdk-batch"), cost_ratio, 0.8, "x", "1"),
    Goal("uploads of 20 MiB", Run("upload-1"), Run("upload-1", RAW), gain, 8, "times", "1.9", at_least=True),
    Goal("extra memory of uploads, 4 at once", Run("upload-4"), None, copies(4 * UPLOAD), 0.3, "payloads", "4-6"),
    Goal("extra memory of uploads, one at a time", Run("upload-1"), None, copies(UPLOAD), 0.3, "payloads", "3"),
    Goal("extra memory of 10,000 inputs at once", Run("at-once"), None, megabytes, 6, "MB", "22"),
    Goal("extra memory of 10,000 gathered calls", Run("gathered"), None, megabytes, 25, "MB", "222"),
    Goal("drift of memory over 1,000,000 inputs of a stream", Run("long-stream"), None, megabytes, 1, "MB", "flat"),
    Goal(
        "import, client, first call", Run("cold-call"), Run("cold-call", "sdk-threads"), cost_ratio, 0.22, "x", "0.42"
    ),
    Goal(
        "live frames, window 8 against window 1",
        Run("live-8"),
        Run("live-1"),
        speed_up,
        7.5,
        "times",
        "11.9 (a claim)",
        at_least=True,
    ),
)
