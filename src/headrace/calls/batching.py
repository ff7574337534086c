"""How inputs are packed into requests: by count, by bytes and videos, and how long they wait for each other.

One policy for streams, `map` and coalesced calls: what waits goes out immediately while little is in flight; under load
inputs are batched.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from headrace.config import MiB
from headrace.errors import HeadraceError
from headrace.inputs.prepared import Prepared
from headrace.status import Kind, fatal, kind_of

MAX_IN_FLIGHT = 4  # in-flight requests at which inputs start to be batched
AUTO_BYTES: int = MiB  # bytes from which a request's fixed cost no longer matters; servers commonly accept 4 MiB


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What fits into a request.

    Attributes:
        inputs: inputs at most; 1: no batching.
        bytes: bytes at most, the template included; an input that is larger goes by itself.
        videos: videos at most.
        wait: seconds that an input waits for others, though nothing is in flight.
    """

    inputs: int = 1
    bytes: int = 128 * MiB
    videos: int = 1
    wait: float = 0.0

    @property
    def window(self) -> int:
        """Inputs in flight by default: enough for `MAX_IN_FLIGHT` full requests."""
        return max(16, MAX_IN_FLIGHT * self.inputs)

    @property
    def prefetch(self) -> int:
        """Inputs that wait before the window by default: enough for the next request."""
        return max(4, self.inputs)


class BatchSpace:
    """The remaining room of one request."""

    __slots__ = ("_bytes", "_first", "_inputs", "_videos")

    def __init__(self, batching: BatchLimits, head_bytes: int) -> None:
        self._inputs = batching.inputs
        self._bytes = batching.bytes - head_bytes
        self._videos = batching.videos
        self._first = True

    def take(self, item: Prepared) -> bool:
        """Take an input in if it fits; the first one always does."""
        return self.fill((item,)) > 0

    def fill(self, items: Iterable[Prepared]) -> int:
        """Take inputs in, in order, until one does not fit; return how many. Unsendable ones take no room."""
        count = 0
        for item in items:
            if item.error is None:
                size, videos = item.share()
                if not self._first and (self._inputs < 1 or size > self._bytes or videos > self._videos):
                    break
                self._first = False
                self._inputs -= 1
                self._bytes -= size
                self._videos -= videos
            count += 1
        return count


def is_splittable(error: HeadraceError) -> bool:
    """Return whether one input may be to blame for a request that failed as a whole, so that it is worth splitting."""
    return kind_of(error) in _SPLITTABLE and not fatal(error) and getattr(error, "name", "") != "UNIMPLEMENTED"


_SPLITTABLE = frozenset({Kind.INVALID, Kind.INPUT, Kind.TOO_LARGE, Kind.AMBIGUOUS, Kind.UNKNOWN})

__all__ = ["AUTO_BYTES", "MAX_IN_FLIGHT", "BatchLimits", "BatchSpace", "is_splittable"]
