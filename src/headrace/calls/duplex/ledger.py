"""The ledger of a matched duplex stream: which input awaits which answer. Pure; no I/O and no clock.

Every input that enters is in exactly one state until the consumer has taken its one answer:
waiting to be sent -> on the wire -> (waiting to be sent again ->) answered -> taken.
"""

from __future__ import annotations

import enum
import secrets
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

from headrace.calls.duplex.entry import Entry
from headrace.calls.duplex.expiry import Expiry
from headrace.calls.responses import Envelope, id_of
from headrace.errors import HeadraceError, ServerError, StreamBroken
from headrace.flow.window import FlowWindow
from headrace.inputs.prepared import Prepared
from headrace.results import Output, Prediction
from headrace.v2 import resources_pb2 as pb

MAX_LATE = 65536  # ids of timed-out inputs whose answers may still come
MAX_KEPT = 16 * 1024  # bytes of an answered input that may be kept until its deadline


class Matching(enum.Enum):
    """How answers find their inputs."""

    OPEN = "open"  # no answer yet
    BY_ID = "by id"
    BY_ORDER = "by order"


class Mismatch(Exception):
    """The answers cannot be matched to the inputs; the text says why."""


@dataclass(slots=True)
class Ledger:
    """The entries of one stream.

    Args:
        ordered: deliver answers in the order of the inputs.
        window: entries that have entered, and may still be answered, or whose answer is not taken. One that timed out
            keeps its place after that if a late answer may still come in its place.
    """

    ordered: bool
    window: FlowWindow
    matching: Matching = Matching.OPEN
    received: int = 0
    _next_seq: int = 0
    _next_taken: int = 0
    _request: int = 0
    _open: dict[str, Entry] = field(default_factory=dict)  # id -> not yet answered, in the order of entering
    _wire: deque[Entry] = field(default_factory=deque)  # sent and not answered, in order (timed-out ones stay)
    _done: dict[int, Entry] = field(default_factory=dict)  # seq -> answered, not taken
    _ready: deque[Entry] = field(default_factory=deque)  # answered, not taken, in order of answers
    _expiry: Expiry = field(default_factory=Expiry)
    _late: dict[str, Entry] = field(default_factory=dict)
    _awaited: dict[int, int] = field(default_factory=dict)  # request -> inputs of it that await their answer

    def __len__(self) -> int:
        """Inputs that have entered and whose answer is not taken."""
        return len(self._open) + len(self._done) + len(self._ready)

    @property
    def unanswered(self) -> list[Entry]:
        """Entries without an answer, in the order of leaving the pipe."""
        return list(self._open.values())

    @property
    def open_count(self) -> int:
        """How many entries have no answer yet."""
        return len(self._open)

    @property
    def untaken(self) -> int:
        """How many entries are answered, and their answer is not taken."""
        return len(self._done) + len(self._ready)

    @property
    def under_way(self) -> int:
        """How many requests are sent and await an answer, not counting those that timed out."""
        return len(self._awaited)

    @property
    def on_wire(self) -> int:
        """How many entries are sent and not answered, not counting those that timed out."""
        return sum(entry.answer is None for entry in self._wire)

    @property
    def late(self) -> bool:
        """Whether the answer of an input that timed out may still come."""
        return bool(self._late) or any(entry.answer is not None for entry in self._wire)

    def knows(self, input_id: str) -> bool:
        """Whether an input with this id awaits its answer, or its late answer may still come."""
        return input_id in self._open or input_id in self._late

    @property
    def suspects(self) -> list[Entry]:
        """Entries that a too large message may belong to: those of the first request if answers come in order."""
        waiting = [entry for entry in self._wire if entry.answer is None]
        if self.matching is Matching.BY_ORDER:
            return [entry for entry in waiting if entry.request == waiting[0].request]
        return waiting

    @property
    def probing(self) -> bool:
        """Whether a suspect is in flight, so that nothing else may be sent."""
        return bool(self._wire) and any(entry.suspect and entry.answer is None for entry in self._wire)

    def stream_broken(self, failure: BaseException, why: str) -> StreamBroken:
        """Make the error of a stream that broke and is not reopened; `why` gives the reason for that."""
        error = StreamBroken(
            f"the stream broke after {self.received} answers, {len(self._open)} inputs unanswered; {why}: {failure}",
            received=self.received,
            unanswered=[entry.name for entry in self._open.values()],
        )
        error.code = getattr(failure, "code", None)
        return error

    def stalled(self, seconds: float) -> StreamBroken:
        """Make the error of inputs that fill the window, or block a batch, and get no answer."""
        unanswered = [entry.name for entry in self._open.values()]
        before = " any more" if self.received else ""
        return StreamBroken(
            f"{len(unanswered) or len(self._wire)} inputs are in flight, no more can be sent, and the server has not "
            f"answered any of them for {seconds:.3g} s{before}: it may answer only after the last input, or not at "
            "all. Use window=None (only the bytes limit) without batch, or model.map (concurrent unary calls)",
            received=self.received,
            unanswered=unanswered,
        )

    def enter(self, items: Sequence[Prepared], now: float, timeout: float) -> list[Entry]:
        """Take in inputs that leave the pipe; one whose id is in flight already travels under one of ours.

        They count in the window immediately, even if the window would not admit them.
        """
        open_, late, seq, deadline = self._open, self._late, self._next_seq, now + timeout
        entries: list[Entry] = []
        total = 0
        for item in items:
            name, size = item.id, item.size_bytes
            if name in open_ or name in late:
                item = item.named(f"again-{secrets.token_hex(12)}")
            open_[item.id] = entry = Entry(seq, item, name, size, now, deadline)
            entries.append(entry)
            seq += 1
            total += size
        self._next_seq = seq
        self.window.take(total, len(entries))
        self._expiry.add(entries, deadline, len(open_))
        return entries

    def sent(self, entries: Sequence[Entry]) -> None:
        """Note that entries go out in one request."""
        self._request = request = self._request + 1
        self._awaited[request] = company = len(entries)
        for entry in entries:
            entry.request = request
            entry.company = company
        self._wire.extend(entries)

    def extend(self, entry: Entry, seconds: float) -> None:
        """Give an entry more time."""
        self._expiry.extend(entry, seconds)

    def match_single(self, output: pb.Output) -> Entry | None:
        """Find the input of a response with one good output in the simple case; None: use `match`.

        It leaves the wire but stays open until `settle`.
        """
        input_id, wire = output.input.id, self._wire
        if input_id:
            entry = self._open.get(input_id)
            if entry is None or entry.request < 0 or self.matching is not Matching.BY_ID:
                return None
            wire.remove(entry)
        else:
            entry = wire[0] if wire else None
            if entry is None or entry.company > 1 or entry.answer is not None or self.matching is not Matching.BY_ORDER:
                return None
            wire.popleft()
        self.received += 1
        if entry.company == 1:
            self._awaited.pop(entry.request, None)
        else:
            self._awaits_no_more(entry.request)
        entry.request = -1
        return entry

    def match(self, response: Envelope) -> list[tuple[Entry, Prediction | ServerError]]:
        """Find the inputs that a response answers; they leave the wire but stay open until `settle` or `again`.

        Timed-out inputs among them are left out: their answer is discarded.

        Raises:
            Mismatch: an unknown id, a mix of answers with and without ids, or a wrong number of answers.
        """
        self.received += 1
        ids = self._ids(response)
        return list(self._by_ids(response, ids)) if ids else self._in_order(response)

    def _ids(self, response: Envelope) -> list[str]:
        """Return the inputs' ids that the answers carry; none if they are to be matched by order."""
        answers = response.answers
        ids = [answer.input.id if type(answer) is pb.Output else id_of(answer) for answer in answers]
        with_ids = any(ids)
        if not with_ids and self.matching is Matching.BY_ORDER:
            return []
        nameless = next((answer for answer in answers if isinstance(answer, ServerError)), None)
        if with_ids and not all(ids):
            raise Mismatch("a response has outputs with and without input ids") from nameless
        if not answers:
            return []
        mode = Matching.BY_ID if with_ids else Matching.BY_ORDER
        if self.matching is mode:
            return ids
        failed = all(isinstance(answer, ServerError) for answer in answers)
        if self.matching is Matching.OPEN:
            if not failed:  # a refusal may come from somebody else, such as a gateway while a model starts
                self._decide(mode)
        elif not (failed and with_ids):
            raise Mismatch(
                f"answers were matched {self.matching.value} so far; this one can only be matched {mode.value}"
            ) from nameless
        return ids if with_ids else []

    def _decide(self, mode: Matching) -> None:
        """Fix the way of matching at the first good answer."""
        self.matching = mode
        if mode is Matching.BY_ID:
            for entry in [e for e in self._wire if e.answer is not None]:
                self._off_wire(entry)  # timed out before the first answer: known by id alone from now on
        else:
            self._late.clear()

    def _by_ids(self, response: Envelope, ids: Sequence[str]) -> Iterator[tuple[Entry, Prediction | ServerError]]:
        by_id: dict[str, list[Output | ServerError]] = {}
        for input_id, answer in zip(ids, response.answers, strict=True):
            by_id.setdefault(input_id, []).append(answer)
        raw = response.raw if len(by_id) == 1 else None  # of several inputs: each gets a response of its own
        for input_id, answers in by_id.items():
            entry = self._open.get(input_id)
            if entry is None or entry.request < 0:
                late = self._late.pop(input_id, None)
                if late is None:
                    raise Mismatch(f"the server answered input {input_id!r}, which is not waiting for an answer")
                if late.request >= 0:  # nothing has said yet how answers are matched
                    self._off_wire(late)
                continue
            self._off_wire(entry)
            yield entry, _result(entry, answers, raw, response)

    def _in_order(self, response: Envelope) -> list[tuple[Entry, Prediction | ServerError]]:
        wire = self._wire
        if not wire:
            raise Mismatch("the server sent an answer after every input sent was answered")
        request = wire[0].request
        if self.matching is Matching.BY_ID and wire[-1].request != request:
            raise Mismatch("the answer has no input id, and several requests wait for one") from response.failure
        group: list[Entry] = []
        while wire and wire[0].request == request:
            group.append(wire.popleft())
        answers, head, failure = response.answers, response.head, response.failure
        single = len(group) == 1
        matched: list[tuple[Entry, Prediction | ServerError]] = []
        if response.failure is None and not single and len(answers) != len(group):
            raise Mismatch(
                f"{len(answers)} answers came for a request with {len(group)} inputs, and they don't say for which"
            )
        self._awaited.pop(request, None)
        for index, entry in enumerate(group):
            entry.request = -1
            if entry.taken:
                self.window.free(entry.size)
            if entry.answer is not None:  # timed out meanwhile
                self._late.pop(entry.item.id, None)
            elif failure is not None:
                matched.append((entry, failure))
            elif single:
                matched.append((entry, _result(entry, answers, response.raw, response)))
            elif isinstance(answer := answers[index], ServerError):
                matched.append((entry, answer))
            else:
                matched.append((entry, Prediction(None, (answer,), head, entry.name, entry.item.position)))
        return matched

    def settle(self, entry: Entry, answer: Prediction) -> None:
        """Give an open entry its one answer."""
        del self._open[entry.item.id]
        entry.answer = answer
        if source := entry.item.source:
            answer.source = source
        if entry.size > MAX_KEPT:
            entry.item = entry.item.emptied()
        if self.ordered:
            self._done[entry.seq] = entry
        else:
            self._ready.append(entry)

    def take(self) -> Entry | None:
        """Take the next entry whose answer can be delivered, or None; its place in the window is free then."""
        if self.ordered:
            entry = self._done.pop(self._next_taken, None)
        else:
            entry = self._ready.popleft() if self._ready else None
        if entry is None:
            return None
        self._next_taken += 1
        entry.taken = True
        if entry.request < 0:
            self.window.free(entry.size)
        return entry

    def next_deadline(self) -> float | None:
        """When the next open entry times out, or None."""
        return self._expiry.next()

    def expired(self, now: float) -> list[Entry]:
        """Entries that have timed out; `time_out` settles each."""
        return self._expiry.take(now)

    def time_out(self, entry: Entry, error: HeadraceError) -> None:
        """Settle an entry with its timeout; its late answer will be discarded.

        If matching is by order, its place on the wire (and its slot) stays taken until that answer comes.
        """
        on_wire = entry.request >= 0
        if on_wire and self.matching is Matching.BY_ID:
            self._off_wire(entry)
        elif on_wire:
            self._awaits_no_more(entry.request)
        if on_wire and self.matching is not Matching.BY_ORDER:
            self._late[entry.item.id] = entry
            if len(self._late) > MAX_LATE:
                self._late.pop(next(iter(self._late)))
        self.settle(entry, Prediction.failed(error, input_id=entry.name, position=entry.position))
        entry.item = entry.item.emptied()  # its late answer is known by the id

    def broken(self) -> list[Entry]:
        """Note that the call is gone: nothing is on the wire, no late answer can come.

        Returns:
            The entries to send again, in order; resting ones return when their wait is over.
        """
        while self._wire:
            self._note_off_wire(self._wire.popleft())
        self._late.clear()
        return [entry for entry in self._open.values() if not entry.resting]

    def _off_wire(self, entry: Entry) -> None:
        self._wire.remove(entry)
        self._note_off_wire(entry)

    def _note_off_wire(self, entry: Entry) -> None:
        if entry.answer is None:
            self._awaits_no_more(entry.request)
        entry.request = -1
        if entry.taken:
            self.window.free(entry.size)

    def _awaits_no_more(self, request: int) -> None:
        """Note that one more input of a request needs no answer any more."""
        remaining = self._awaited.pop(request, 0) - 1
        if remaining > 0:
            self._awaited[request] = remaining


def _result(
    entry: Entry, answers: Sequence[Output | ServerError], raw: bytes | None, response: Envelope
) -> Prediction | ServerError:
    for answer in answers:
        if isinstance(answer, ServerError):
            return answer
    outputs = cast("Sequence[Output]", answers)
    return Prediction(raw, outputs, response.head, entry.name, entry.position)
