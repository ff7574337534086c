"""Counts of a stream of frames, and the one line that shows them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping  # noqa: F401 - named by the types of the fields that are inherited
from dataclasses import dataclass

from headrace.calls.stats import Outcomes


@dataclass(frozen=True, slots=True)
class FrameStats(Outcomes):
    """A snapshot: `sent`, `errors`, `dropped`, `drops`, `in_flight`, `resumed` (see `StreamStats`), and these.

    While frames are queued or in flight, `frames` exceeds the sum of predictions, errors and drops by them;
    at the end `frames == predictions + errors + dropped`.

    Attributes:
        frames: frames of the source (not counting those that sampling leaves out).
        predictions: answers that arrived.
        queued: frames that wait to be sent.
        window: frames that may be in flight now.
        fps_in: frames of the source a second, over the last seconds.
        fps_out: answers taken a second, likewise.
        latency: seconds from a frame's leaving the queue to the taking of its answer, the newest one's.
        age: seconds since the newest answer's frame was captured; 0 before the first answer.
        reconnects: how often live sources were opened again.
        mode: "stream" or "unary".
    """

    frames: int = 0
    predictions: int = 0
    queued: int = 0
    window: int = 0
    fps_in: float = 0.0
    fps_out: float = 0.0
    latency: float = 0.0
    age: float = 0.0
    reconnects: int = 0
    mode: str = "stream"

    def __str__(self) -> str:
        return meter(self)


class FrameRate:
    """Frames a second over the last seconds, from samples of a running count."""

    __slots__ = ("_samples", "_spacing", "_span")

    def __init__(self, span: float = 3.0, spacing: float = 0.1) -> None:
        self._span = span
        self._spacing = spacing
        self._samples: deque[tuple[float, int]] = deque()

    def look(self, now: float, count: int) -> float:
        """Note the count and return the rate; 0 before some time has passed."""
        samples = self._samples
        if not samples or now - samples[-1][0] >= self._spacing:
            samples.append((now, count))
        while len(samples) > 2 and now - samples[1][0] >= self._span:
            samples.popleft()
        then, before = samples[0]
        return (count - before) / (now - then) if now - then >= self._spacing else 0.0


def meter(stats: FrameStats) -> str:
    """Write the counts in one line: rates, in flight, queue, drops by cause, age of the newest answer."""
    parts = [
        f"{stats.fps_in:.1f} fps in",
        f"{stats.fps_out:.1f} out",
        f"{stats.in_flight}/{stats.window} in flight",
        f"{stats.queued} queued",
    ]
    if stats.drops:
        causes = ", ".join(f"{cause} {number}" for cause, number in sorted(stats.drops.items()))
        parts.append(f"{stats.dropped} dropped ({causes})")
    if stats.errors:
        parts.append(f"{stats.errors} errors")
    if stats.predictions:
        parts.append(f"age {stats.age * 1000:.0f} ms")
    if stats.reconnects:
        parts.append(f"{stats.reconnects} reconnects")
    return ", ".join(parts)
