"""What a matched stream sends next: inputs to send again first, then those of the pipe, batched within the window."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import TypeAlias

from headrace.calls.batching import MAX_IN_FLIGHT, BatchLimits, BatchSpace
from headrace.calls.duplex.entry import Entry
from headrace.calls.duplex.ledger import Ledger
from headrace.calls.feeder import Pulled
from headrace.errors import HeadraceError
from headrace.flow.pipe import Pipe

#: Entries that could not be sent, each with what is wrong with its input.
Rejected: TypeAlias = list[tuple[Entry, HeadraceError]]


class Outbox:
    """Builds the requests of one stream; inputs taken from the pipe enter the ledger.

    Args:
        timeout: seconds that an input may take from then on.
    """

    def __init__(self, pipe: Pipe[Pulled], ledger: Ledger, batching: BatchLimits, timeout: float) -> None:
        self.queue: deque[Entry] = deque()  # in the ledger and to be sent, before those in the pipe
        self.fresh: int = 0  # inputs of the last request that were never sent before
        self.gathers: bool = False  # inputs wait until a request is answered
        self._pipe = pipe
        self._ledger = ledger
        self._window = ledger.window
        self._batching = batching
        self._timeout = timeout
        self._half = min(batching.inputs, ledger.window.max_items) / 2
        self._probing = False
        self._since: float | None = None  # when what waits for others was first seen

    def sendable(self) -> bool:
        """Drop what is too old; return whether something could be sent now, even alone."""
        self._pipe.purge()
        size = self._pipe.waiting
        return bool(self.queue) or (size is not None and self._window.fits(size))

    def resend(self, entries: Iterable[Entry]) -> None:
        """Send these before anything new: all unanswered inputs, in order."""
        self.queue = deque(entries)

    def enter_waiting(self) -> tuple[int, Rejected]:
        """Take inputs from the pipe into the window, as far as it admits them, to be sent later.

        Returns:
            How many inputs were taken in, and those that are not to be sent.
        """
        entered = len(self.queue)
        rejected: Rejected = []
        while (waiting := self._pipe.first()) is not None and self._window.fits(waiting[1]):
            self._enter(self.queue, rejected)
        return len(self.queue) - entered, rejected

    def take(self, head_bytes: int) -> tuple[list[Entry], Rejected]:
        """Take the inputs of the next request; none if there is none, or if it is better to wait for more.

        Returns:
            The inputs of the request, and those that turned out not to be sendable.
        """
        entries: list[Entry] = []
        rejected: Rejected = []
        self.fresh = 0
        if self._probing and self._ledger.probing:
            return entries, rejected
        self._probing = False
        queue = self.queue
        if queue and self._batching.inputs == 1 and queue[0].answer is None and not queue[0].suspect:
            entries.append(queue.popleft())  # as nearly all, if each is a request
            return entries, rejected
        space = BatchSpace(self._batching, head_bytes)
        if queue and self._take_queued(entries, space):
            return entries, rejected
        if not entries and self._gathering():
            return entries, rejected
        self._since = None
        before, limit = len(entries), self._batching.inputs
        while len(entries) < limit and (waiting := self._pipe.first()) is not None:
            pulled, size, _ = waiting
            if not self._window.fits(size) or not (pulled.error is not None or space.take(pulled.item, size)):
                break
            self._enter(entries, rejected)
        self.fresh = len(entries) - before
        return entries, rejected

    def _take_queued(self, entries: list[Entry], space: BatchSpace) -> bool:
        """Take queued inputs; return whether that completes the request."""
        while self.queue:
            entry = self.queue[0]
            if entry.answer is None:  # it may have timed out while waiting
                if entry.suspect:
                    if not entries and not self._ledger.on_wire:
                        self._probing = True  # by itself, with nothing else in flight
                        entries.append(self.queue.popleft())
                    return True
                if entries and (entry.alone or not space.take(entry.item, entry.size)):
                    return True
                if not entries:
                    space.take(entry.item, entry.size)
                entries.append(entry)
            self.queue.popleft()
            if entry.alone and entries:
                return True
        return False

    def _enter(self, entries: list[Entry] | deque[Entry], rejected: Rejected) -> None:
        """Take the first input out of the pipe into the books, unless it has just become too old."""
        pulled = self._pipe.receive_nowait()
        if pulled is None:
            return
        entry = self._ledger.enter(pulled.position, pulled.item, pulled.size, time.monotonic(), self._timeout)
        if pulled.error is None:
            entries.append(entry)
        else:
            rejected.append((entry, pulled.error))

    def patience(self) -> float | None:
        """Return how many seconds inputs may still wait for a batch; None: until something else happens."""
        if self._since is None:
            return None
        return max(0.0, self._since + self._batching.wait - time.monotonic())

    def _gathering(self) -> bool:
        """Whether inputs in the pipe should wait for a batch."""
        self.gathers = False
        batching, pipe = self._batching, self._pipe
        waiting = len(pipe)
        if batching.inputs == 1 or not waiting:
            return False
        if self._window.room < self._half <= self._ledger.untaken:
            return True  # the consumer is the bottleneck: do not send one request per answer taken
        if pipe.complete or not pipe.room or waiting >= batching.inputs or pipe.bytes >= batching.bytes:
            return False
        if self._ledger.under_way >= MAX_IN_FLIGHT:
            self.gathers = True
            return True
        if not batching.wait:
            return False
        if self._since is None:
            self._since = time.monotonic()
        return time.monotonic() - self._since < batching.wait
