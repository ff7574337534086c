"""What a matched stream sends next: what goes again first, then what the pipe holds, packed within the window."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable

from headrace.calls.batching import MAX_IN_FLIGHT, Packing, Room
from headrace.calls.duplex.ledger import Entry, Ledger
from headrace.calls.feeder import Pulled
from headrace.flow.pipe import Pipe
from headrace.flow.window import Gate


class Outbox:
    """Makes the requests of one stream.

    Args:
        enter: takes what has left the pipe into the books; None where it ends there because it is bad.
    """

    def __init__(
        self,
        pipe: Pipe[Pulled],
        gate: Gate,
        ledger: Ledger,
        packing: Packing,
        enter: Callable[[Pulled, int], Entry | None],
    ) -> None:
        self.again: deque[Entry] = deque()  # to be sent again before anything new
        self.fresh = 0  # inputs of the last request that were never sent before
        self.held = False  # what waits gathers until a request is answered
        self._pipe = pipe
        self._gate = gate
        self._ledger = ledger
        self._packing = packing
        self._enter = enter
        self._half = min(packing.inputs, gate.most) / 2
        self._probing = False
        self._since: float | None = None  # when what waits for company was first seen

    def sendable(self) -> bool:
        """Drop what is too old; tell whether something could be sent now, company aside."""
        self._pipe.purge()
        size = self._pipe.waiting
        return bool(self.again) or (size is not None and self._gate.fits(size))

    def resend(self, entries: Iterable[Entry]) -> None:
        """Send these before anything new: all that is not answered, in order."""
        self.again = deque(entries)

    def enter_waiting(self) -> int:
        """Take what waits in the pipe into the window, as far as that admits it, to be sent later; tell how many."""
        entered = 0
        while (waiting := self._pipe.first()) is not None and self._gate.fits(waiting[1]):
            self._pipe.receive_nowait()
            fresh = self._enter(waiting[0], waiting[1])
            if fresh is not None:
                self.again.append(fresh)
                entered += 1
        return entered

    def take(self, head_bytes: int) -> list[Entry]:
        """Take the inputs of the next request; none where there is none, or where it is better to wait for more."""
        entries: list[Entry] = []
        self.fresh = 0
        room = Room(self._packing, head_bytes)
        if self._probing and self._ledger.probing:
            return entries
        self._probing = False
        while self.again:
            entry = self.again[0]
            if entry.answer is None:  # it may have timed out while waiting
                if entry.suspect:
                    return self._probe(entry) if not entries and not self._ledger.on_wire else entries
                if entries and (entry.alone or not room.take(entry.item, entry.size)):
                    return entries
                if not entries:
                    room.take(entry.item, entry.size)
                entries.append(entry)
            self.again.popleft()
            if entry.alone and entries:
                return entries
        if not entries and self._gathering():
            return entries
        self._since = None
        again, most = len(entries), self._packing.inputs
        while len(entries) < most and (waiting := self._pipe.first()) is not None:
            pulled, size, _ = waiting
            if not self._gate.fits(size) or not (pulled.error is not None or room.take(pulled.item, size)):
                break
            self._pipe.receive_nowait()
            fresh = self._enter(pulled, size)
            if fresh is not None:
                entries.append(fresh)
        self.fresh = len(entries) - again
        return entries

    def _probe(self, entry: Entry) -> list[Entry]:
        """Send one by itself, with nothing else under way."""
        self.again.popleft()
        self._probing = True
        return [entry]

    def patience(self) -> float | None:
        """Tell how many seconds what waits may still wait for company; None: until something else happens."""
        if self._since is None:
            return None
        return max(0.0, self._since + self._packing.wait - time.monotonic())

    def _gathering(self) -> bool:
        """Whether what waits in the pipe is better kept a while."""
        self.held = False
        packing, pipe = self._packing, self._pipe
        waiting = len(pipe)
        if packing.inputs == 1 or not waiting:
            return False
        if self._gate.room < self._half <= self._ledger.untaken:
            return True  # the consumer is what all wait for: not a request for every answer that it takes
        if pipe.complete or not pipe.room or waiting >= packing.inputs or pipe.bytes >= packing.bytes:
            return False
        if self._ledger.under_way >= MAX_IN_FLIGHT:
            self.held = True
            return True
        if not packing.wait:
            return False
        if self._since is None:
            self._since = time.monotonic()
        return time.monotonic() - self._since < packing.wait
