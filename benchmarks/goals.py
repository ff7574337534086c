"""What is to be reached: ratios to a reference that is measured in the same round, and amounts of memory.

Source of the limits: measurements made before headrace was written, of what the best client of each kind reached over
grpc.aio on two cores, and of what the work itself costs (protobuf, a hop between tasks, a read of a file).
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
    peer: str = "headrace"


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

GOALS = (
    Goal("unary, 64 at once", Run("unary-64"), Run("unary-64", RAW), cost_ratio, 1.0, "x", "1.0 (SDK 1.1-2.0)"),
    Goal("unary, 1,900 a second", Run("unary-fixed"), Run("unary-fixed", RAW), cost_ratio, 1.05, "x", "1.0"),
    Goal("unary, one at a time", Run("unary-1"), Run("unary-1", RAW), cost_ratio, 1.0, "x", "0.6 (sync stub)"),
    Goal("our layers, a call", Run("layers-unary", "headrace-layers"), None, microseconds, 15, "us", "SDK 40-55"),
    Goal("100 paced token streams, a token", Run(PACED), Run(PACED, RAW), cost_ratio, 1.05, "x", "0.9"),
    Goal("tokens in a burst, a token", Run("tokens-burst"), Run("tokens-burst", RAW), cost_ratio, 1.0, "x", "0.23"),
    Goal(
        "bulk inputs against the SDK's predict in 64 threads",
        Run("bulk"),
        Run("unary-64", "sdk-threads"),
        gain,
        40,
        "times",
        "1",
        at_least=True,
    ),
    Goal(
        "bulk inputs against the SDK's stream",
        Run("bulk"),
        Run("duplex", "sdk-stream"),
        gain,
        20,
        "times",
        "1",
        at_least=True,
    ),
    Goal("uploads of 20 MiB", Run("upload-1"), Run("upload-1", RAW), gain, 4, "times", "1.6", at_least=True),
    Goal(
        "extra memory of uploads, 4 at once",
        Run("upload-4"),
        None,
        copies(4 * UPLOAD),
        2.2,
        "payloads",
        "4-6",
    ),
    Goal("extra memory of uploads, one at a time", Run("upload-1"), None, copies(UPLOAD), 2.2, "payloads", "3"),
    Goal("extra memory of 10,000 inputs at once", Run("at-once"), None, megabytes, 6, "MB", "222"),
    Goal("drift of memory over 1,000,000 inputs of a stream", Run("long-stream"), None, megabytes, 1, "MB", "flat"),
    Goal("cold import", Run("cold-import"), Run("cold-import", "sdk-threads"), cost_ratio, 0.25, "x", "0.34"),
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
