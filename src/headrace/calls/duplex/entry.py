"""One input of a matched duplex stream: its entry in the ledger."""

from __future__ import annotations

from headrace.calls.retry import Attempts
from headrace.inputs.prepared import Prepared
from headrace.results import Prediction


class Entry:
    """The state of one input between pipe and consumer.

    Attributes:
        seq: order of leaving the pipe; answers are delivered in it when ordered.
        name: the id that the user knows; that of `item` differs if two in flight have the same.
        size: bytes that it counts in the window.
        entered_at: when it entered the window.
        request: number of the request that it went with; -1: it is not on the wire.
        extended: it was given more time.
        resting: it waits before it is sent again.
        company: number of inputs in its request, itself included.
        alone: it is to be sent by itself: a request with others was refused as a whole.
        suspect: it is to be sent with nothing else in flight: its answer may be too large.
    """

    # Class attributes as defaults: an entry is made for each input, and few need other values.
    request: int = -1
    answer: Prediction | None = None
    attempts: Attempts | None = None
    taken: bool = False
    extended: bool = False
    resting: bool = False
    company: int = 1
    alone: bool = False
    suspect: bool = False

    def __init__(self, seq: int, item: Prepared, name: str, size: int, entered_at: float, deadline: float) -> None:
        self.seq = seq
        self.item = item
        self.name = name
        self.size = size
        self.entered_at = entered_at
        self.deadline = deadline

    @property
    def position(self) -> int:
        """Its place in the source."""
        return self.item.position

    def __lt__(self, other: Entry) -> bool:
        return self.seq < other.seq
