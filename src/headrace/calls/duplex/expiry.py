"""When the entries of a stream time out. Pure; no clock."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence

from headrace.calls.duplex.entry import Entry


class Expiry:
    """The deadlines of entries; one that has an answer times out no more."""

    __slots__ = ("_in_order", "_others")

    def __init__(self) -> None:
        self._in_order: deque[Entry] = deque()  # most of them: each ends no earlier than the one before
        self._others: list[tuple[float, Entry]] = []  # a heap: those that were given more time

    def add(self, entries: Sequence[Entry], deadline: float, unanswered: int) -> None:
        """Add entries that have the same deadline.

        Args:
            unanswered: how many entries have no answer; of the others not many more are kept.
        """
        in_order = self._in_order
        if len(in_order) > 2 * unanswered + 64:  # answered ones, with what they hold, behind one that waits
            in_order = deque(entry for entry in in_order if entry.answer is None and not entry.extended)
            self._in_order = in_order
        if not in_order or in_order[-1].deadline <= deadline:
            in_order.extend(entries)
        else:
            for entry in entries:
                heapq.heappush(self._others, (deadline, entry))

    def extend(self, entry: Entry, seconds: float) -> None:
        """Give an entry more time."""
        entry.deadline += seconds
        entry.extended = True
        heapq.heappush(self._others, (entry.deadline, entry))

    def next(self) -> float | None:
        """Return when the next entry without an answer times out, or None."""
        in_order, others = self._in_order, self._others
        while in_order and (in_order[0].answer is not None or in_order[0].extended):
            in_order.popleft()
        while others:
            when, entry = others[0]
            if entry.answer is None and entry.deadline == when:
                return min(when, in_order[0].deadline) if in_order else when
            heapq.heappop(others)
        return in_order[0].deadline if in_order else None

    def take(self, now: float) -> list[Entry]:
        """Take out the entries that have timed out."""
        expired: list[Entry] = []
        while (when := self.next()) is not None and when <= now:
            if self._in_order and self._in_order[0].deadline == when:
                expired.append(self._in_order.popleft())
            else:
                expired.append(heapq.heappop(self._others)[1])
        return expired
