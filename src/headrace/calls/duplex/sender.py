"""What a matched stream sends next: inputs to send again first, then those of the pipe, batched within the window."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from headrace.calls.batching import MAX_IN_FLIGHT, BatchLimits, BatchSpace
from headrace.calls.duplex.entry import Entry
from headrace.calls.duplex.ledger import Ledger
from headrace.errors import HeadraceError
from headrace.flow.pipe import Pipe
from headrace.flow.rate import Budget
from headrace.inputs.prepared import Prepared

MAX_UNSENT = 64  # inputs that wait in the window to be sent


class Outbox:
    """Builds the requests of one stream; inputs taken from the pipe enter the ledger.

    Args:
        timeout: seconds that an input may take from then on.
        max_unsent: inputs that may wait in the window to be sent.
        budget: of retries; it grows with each input that enters.
        reject: ends an input that cannot be sent with its error.

    Attributes:
        queue: inputs in the window that are to be sent, before those in the pipe.
        gathers: inputs wait until a request is answered.
        rejected: inputs that cannot be sent have entered; whoever looks at it resets it.
    """

    def __init__(
        self,
        pipe: Pipe[Prepared],
        ledger: Ledger,
        batching: BatchLimits,
        timeout: float,
        max_unsent: int,
        budget: Budget,
        reject: Callable[[Entry, HeadraceError], None],
    ) -> None:
        self.queue: deque[Entry] = deque()
        self.gathers: bool = False
        self.rejected: bool = False
        self._pipe = pipe
        self._ledger = ledger
        self._window = ledger.window
        self._batching = batching
        self._timeout = timeout
        self._budget = budget
        self._reject = reject
        self._max_unsent = max_unsent
        self._half = min(batching.inputs, ledger.window.max_items) / 2
        self._probing = False
        self._since: float | None = None  # when what waits for others was first seen

    def sendable(self) -> bool:
        """Drop what is too old; return whether something could be sent now, even alone."""
        self._pipe.purge()
        return bool(self.queue) or self._window.admits(islice(self._pipe.queue, 1)) > 0

    def resend(self, entries: Iterable[Entry]) -> None:
        """Send these before anything new: all unanswered inputs, in order."""
        self.queue = deque(entries)

    def enter(self, items: Sequence[Prepared]) -> int:
        """Take inputs into the window, as far as it admits them, to be sent later; return how many."""
        count = self._window.admits(items)
        if count:
            self.queue.extend(self._enter(items[:count]))
        return count

    def enter_waiting(self) -> None:
        """As `enter`, with the inputs in the pipe, as long as few are still to be sent."""
        self._pipe.purge()
        count = min(self._window.admits(self._pipe.queue), self.room())
        if count > 0:
            self.queue.extend(self._enter(self._pipe.receive_some(count)))

    def room(self) -> int:
        """Return how many more inputs may enter before some are sent; those that have timed out are forgotten."""
        queue = self.queue
        while queue and queue[0].answer is not None:
            queue.popleft()
        return self._max_unsent - len(queue)

    def take(self, head_bytes: int) -> list[Entry]:
        """Take the inputs of the next request; none if there is none, or if it is better to wait for more."""
        entries: list[Entry] = []
        if self._probing and self._ledger.probing:
            return entries
        self._probing = False
        queue = self.queue
        if queue and self._batching.inputs == 1 and queue[0].answer is None and not queue[0].suspect:
            entries.append(queue.popleft())  # as nearly all, if each is a request
            return entries
        space = BatchSpace(self._batching, head_bytes)
        if queue and self._take_queued(entries, space):
            return entries
        if not entries and self._gathering():
            return entries
        self._since = None
        self._pipe.purge()
        waiting = self._pipe.queue
        count = self._window.admits(islice(waiting, space.fill(waiting)))
        if count:
            entries += self._enter(self._pipe.receive_some(count))
        return entries

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
                if entries and (entry.alone or not space.take(entry.item)):
                    return True
                if not entries:
                    space.take(entry.item)
                entries.append(entry)
            self.queue.popleft()
            if entry.alone and entries:
                return True
        return False

    def _enter(self, items: Sequence[Prepared]) -> list[Entry]:
        """Take inputs into the ledger; return the entries of those that can be sent."""
        entries = self._ledger.enter(items, time.monotonic(), self._timeout)
        for entry in entries:
            if entry.item.error is not None:
                entries = self._without_unsendable(entries)
                break
        self._budget.calls += len(entries)
        return entries

    def _without_unsendable(self, entries: list[Entry]) -> list[Entry]:
        self.rejected = True
        for entry in entries:
            if entry.item.error is not None:
                self._reject(entry, entry.item.error)
        return [entry for entry in entries if entry.item.error is None]

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
