"""The books of a duplex stream: whatever happens in which order, every input gets its own answer exactly once."""

from __future__ import annotations

import weakref

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headrace.calls.duplex.entry import Entry
from headrace.calls.duplex.ledger import MAX_LATE, Ledger, Matching, Mismatch
from headrace.calls.responses import Envelope
from headrace.config import Window
from headrace.errors import DeadlineExceeded, PredictionFailed, ServerError
from headrace.flow.window import FlowWindow
from headrace.inputs import Input
from headrace.inputs.prepared import Prepared
from headrace.results import Prediction
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import status_pb2

pytestmark = pytest.mark.core

OK = status_pb2.Status(code=10000)  # type: ignore[arg-type]


def output(entry: Entry, with_id: bool) -> pb.Output:
    made = pb.Output(data=pb.Data(text=pb.Text(raw=f"answer to {entry.seq}")))
    if with_id:
        made.input.id = entry.item.id
    return made


def response(*answers: pb.Output | ServerError, failure: ServerError | None = None) -> Envelope:
    return Envelope(b"raw", OK, answers, failure)


class Stream:
    """A ledger with what surrounds it: the inputs that wait to be sent, and a server that answers."""

    def __init__(self, ordered: bool = True, by_id: bool = True) -> None:
        self.window = FlowWindow(Window(None, 1))
        self.ledger = Ledger(ordered, self.window)
        self.by_id = by_id
        self.now = 0.0
        self.entered: list[Entry] = []
        self.waiting: list[Entry] = []
        self.wire: list[list[Entry]] = []
        self.taken: list[Entry] = []

    @property
    def freed(self) -> set[int]:
        """The entries whose places in the window are free."""
        held = {number for number in range(len(self.entered)) if self.window.bytes >> number & 1}
        assert self.window.items == len(held)
        assert self.window.bytes >> len(self.entered) == 0
        return set(range(len(self.entered))) - held

    def enter(self, input_id: str = "", timeout: float = 1e9) -> Entry:
        item = Prepared(Input.from_text("x"), input_id or f"i{len(self.entered)}")
        number = len(self.entered)
        item.position, item.size_bytes = number, 1 << number  # by its size the window shows which
        (entry,) = self.ledger.enter([item], self.now, timeout)
        self.entered.append(entry)
        self.waiting.append(entry)
        return entry

    def send(self, count: int = 1) -> list[Entry]:
        group = [entry for entry in self.waiting[:count] if entry.answer is None]
        self.waiting = self.waiting[count:]
        if group:
            self.ledger.sent(group)
            self.wire.append(group)
        return group

    def enter_and_send(self, number: int, batch: int = 1) -> list[Entry]:
        entries = [self.enter() for _ in range(number)]
        while self.waiting:
            self.send(batch)
        return entries

    def answer(self, request: int = 0) -> None:
        group = self.wire.pop(request)
        for entry, answer in self.ledger.match(response(*[output(entry, self.by_id) for entry in group])):
            assert isinstance(answer, Prediction)
            self.ledger.settle(entry, answer)

    def time_out(self) -> list[Entry]:
        expired = self.ledger.expired(self.now)
        for entry in expired:
            self.ledger.time_out(entry, DeadlineExceeded("too slow"))
        return expired

    def take(self) -> list[Entry]:
        found = []
        while (entry := self.ledger.take()) is not None:
            found.append(entry)
        self.taken += found
        return found


def test_a_late_refusal_by_id_frees_the_place_though_nothing_has_been_answered() -> None:
    stream = Stream(by_id=True)
    late = stream.enter(timeout=1.0)
    stream.enter()
    stream.send()
    stream.send()
    stream.now = 2.0
    assert stream.time_out() == stream.take() == [late]
    assert stream.freed == set()
    assert stream.ledger.match(response(PredictionFailed("no", input_id=late.item.id))) == []
    assert stream.freed == {0}
    assert stream.ledger.on_wire == 1


class Payload(bytearray):
    """Bytes whose end can be observed."""


@pytest.mark.parametrize("by_id", [True, False])
def test_a_large_payload_is_kept_until_its_answer_and_no_longer(by_id: bool) -> None:
    stream = Stream(by_id=by_id)
    payloads: list[weakref.ref[Payload]] = []

    def enter() -> Entry:
        payload = Payload(1 << 20)
        payloads.append(weakref.ref(payload))
        item = Prepared(Input.from_bytes(payload, "image"), f"i{len(payloads)}")
        (entry,) = stream.ledger.enter([item], 0.0, 60.0)
        stream.waiting.append(entry)
        return entry

    first = enter()  # waits for its answer, so that all deadlines after it stay in the queue
    for _ in range(20):
        enter()
    while stream.waiting:
        stream.send()
    if by_id:
        for _ in range(20):
            stream.answer(1)
        assert [payload() is not None for payload in payloads] == [True] + [False] * 20
        assert first.answer is None
    else:
        for count in range(20):
            stream.answer()
            assert sum(payload() is not None for payload in payloads) == 20 - count
        assert first.answer is not None


class LedgerMachine(RuleBasedStateMachine):
    """Random lives of a stream."""

    @initialize(ordered=st.booleans(), by_id=st.booleans())
    def make(self, ordered: bool, by_id: bool) -> None:
        self.stream = Stream(ordered, by_id)
        self.ledger = self.stream.ledger
        self.on_wire: set[int] = set()  # seq of entries whose place a late answer may still need

    @rule(input_id=st.sampled_from("abcd"), timeout=st.sampled_from([1.0, 2.0, 1e9]))
    def enter(self, input_id: str, timeout: float) -> None:
        entry = self.stream.enter(input_id, timeout)
        assert entry.name == input_id
        others = {other.item.id for other in self.stream.entered if other.answer is None and other is not entry}
        assert entry.item.id not in others

    @precondition(lambda self: self.stream.waiting)
    @rule(count=st.integers(1, 3))
    def send(self, count: int) -> None:
        self.on_wire.update(entry.seq for entry in self.stream.send(count))

    def pick(self, request: int) -> int:
        """By id answers come in any order, else in the order of the requests."""
        return request % len(self.stream.wire) if self.stream.by_id else 0

    def matched(self, answers: Envelope, group: list[Entry]) -> list[tuple[Entry, Prediction | ServerError]]:
        found = self.ledger.match(answers)
        assert [entry for entry, _ in found] == [entry for entry in group if entry.answer is None]
        self.on_wire -= {entry.seq for entry in group}
        if self.stream.by_id and self.ledger.matching is Matching.BY_ID:
            self.forget_timed_out()
        return found

    def forget_timed_out(self) -> None:
        self.on_wire -= {entry.seq for entry in self.stream.entered if entry.answer is not None}

    @precondition(lambda self: self.stream.wire)
    @rule(request=st.integers(0, 5))
    def answer(self, request: int) -> None:
        group = self.stream.wire.pop(self.pick(request))
        for entry, answer in self.matched(response(*[output(e, self.stream.by_id) for e in group]), group):
            assert isinstance(answer, Prediction)
            assert answer.text == f"answer to {entry.seq}"
            assert (answer.input_id, answer.position) == (entry.name, entry.position)
            self.ledger.settle(entry, answer)

    @precondition(lambda self: self.stream.wire and self.stream.by_id)
    @rule(request=st.integers(0, 5), count=st.integers(1, 2))
    def answer_in_part(self, request: int, count: int) -> None:
        group = self.stream.wire[self.pick(request)]
        part = group[:count]
        del group[:count]
        self.stream.wire = [group for group in self.stream.wire if group]
        for entry, answer in self.matched(response(*[output(e, True) for e in part]), part):
            assert isinstance(answer, Prediction)
            self.ledger.settle(entry, answer)

    @precondition(lambda self: self.stream.wire)
    @rule(request=st.integers(0, 5), again=st.booleans())
    def fail_every_output(self, request: int, again: bool) -> None:
        group = self.stream.wire.pop(self.pick(request))
        errors = [PredictionFailed("no", input_id=e.item.id if self.stream.by_id else None) for e in group]
        self.fail(self.matched(response(*errors), group), again)

    @precondition(lambda self: self.stream.wire and (len(self.stream.wire) == 1 or not self.stream.by_id))
    @rule(again=st.booleans())
    def fail_the_request(self, again: bool) -> None:
        if self.ledger.matching is Matching.BY_ID and len(self.ledger._wire) != len(self.stream.wire[0]):
            return  # part of it has timed out and left: nothing says any more whose failure it is
        group = self.stream.wire.pop(0)
        self.fail(self.matched(response(failure=PredictionFailed("no")), group), again)

    def fail(self, found: list[tuple[Entry, Prediction | ServerError]], again: bool) -> None:
        for entry, answer in found:
            assert isinstance(answer, ServerError)
            if again:
                self.stream.waiting.append(entry)
            else:
                self.ledger.settle(entry, Prediction.failed(answer))

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0]))
    def wait(self, seconds: float) -> None:
        self.stream.now += seconds
        due = [e for e in self.stream.entered if e.answer is None and e.deadline <= self.stream.now]
        assert sorted(self.stream.time_out(), key=lambda e: e.seq) == due
        if self.ledger.matching is Matching.BY_ID:
            self.forget_timed_out()
        following = self.ledger.next_deadline()
        assert following == min((e.deadline for e in self.ledger.unanswered), default=None)

    @precondition(lambda self: self.ledger.unanswered)
    @rule(pick=st.integers(0, 9))
    def extend(self, pick: int) -> None:
        open_ = self.ledger.unanswered
        self.ledger.extend(open_[pick % len(open_)], 1.0)

    @rule()
    def break_off(self) -> None:
        again = self.ledger.broken()
        assert again == [e for e in self.stream.entered if e.answer is None]
        self.stream.waiting = again
        self.stream.wire.clear()
        self.on_wire.clear()

    @rule()
    def take(self) -> None:
        for entry in self.stream.take():
            assert entry.answer is not None

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        stream, ledger = self.stream, self.ledger
        assert len(ledger) == len(stream.entered) - len(stream.taken)
        assert len(set(map(id, stream.taken))) == len(stream.taken)
        assert ledger.unanswered == [e for e in stream.entered if e.answer is None]
        assert ledger.open_count == len(ledger.unanswered)
        if ledger.ordered:
            assert [e.seq for e in stream.taken] == list(range(len(stream.taken)))
        waiting = {e.seq for e in stream.waiting}
        assert ledger.on_wire == sum(e.seq not in waiting for e in ledger.unanswered)
        assert ledger.under_way == sum(any(e.answer is None for e in group) for group in stream.wire)
        assert ledger.untaken == len(ledger) - ledger.open_count

    @invariant()
    def every_place_is_freed_once_and_not_before_its_time(self) -> None:
        expected = {entry.seq for entry in self.stream.taken} - self.on_wire
        assert self.stream.freed == expected

    def teardown(self) -> None:
        if not hasattr(self, "stream"):
            return
        while self.stream.waiting:
            self.send(1)
        while self.stream.wire:
            self.answer(0)
        self.take()
        self.nothing_is_lost_or_doubled()
        assert self.stream.freed == set(range(len(self.stream.entered)))
        assert not len(self.ledger)
        assert not self.ledger.late


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=150, stateful_step_count=40)


# -- single cases, for the eye


@pytest.mark.parametrize("by_id", [True, False])
def test_answers_come_in_the_order_of_the_inputs_when_ordered(by_id: bool) -> None:
    stream = Stream(by_id=by_id)
    entries = stream.enter_and_send(3)
    if by_id:
        stream.answer(2)
        stream.answer(1)
        assert stream.take() == []
    else:
        stream.answer()
        stream.answer()
        assert stream.take() == entries[:2]
    stream.answer()
    stream.take()
    assert stream.taken == entries


def test_answers_come_as_they_are_ready_when_not_ordered() -> None:
    stream = Stream(ordered=False)
    a, b, c = stream.enter_and_send(3)
    stream.answer(2)
    stream.answer(0)
    assert stream.take() == [c, a]
    stream.answer(0)
    assert stream.take() == [b]


def test_a_batch_is_matched_by_order_within_it() -> None:
    stream = Stream(by_id=False)
    entries = stream.enter_and_send(4, batch=2)
    stream.answer()
    assert stream.take() == entries[:2]
    assert [e.answer.text for e in entries[:2] if e.answer] == ["answer to 0", "answer to 1"]


def test_a_late_answer_by_id_is_discarded_and_its_place_was_freed() -> None:
    stream = Stream()
    slow, quick = stream.enter(timeout=1.0), stream.enter()
    stream.send()
    stream.send()
    stream.answer(1)
    stream.now = 2.0
    assert stream.time_out() == [slow]
    assert stream.take() == [slow, quick]
    assert stream.freed == {0, 1}
    assert stream.ledger.late
    assert stream.ledger.knows(slow.item.id)
    stream.answer()
    assert not stream.ledger.late
    assert stream.freed == {0, 1}


def test_by_order_the_place_stays_taken_until_the_late_answer_comes() -> None:
    stream = Stream(by_id=False)
    stream.enter(timeout=1.0)
    stream.enter()
    stream.send()
    stream.send()
    stream.now = 2.0
    stream.time_out()
    stream.take()
    assert not stream.freed
    stream.answer()
    assert stream.freed == {0}
    stream.answer()
    [second] = stream.take()
    assert second.answer is not None
    assert second.answer.text == "answer to 1"


def test_an_id_is_not_free_again_while_its_late_answer_may_come() -> None:
    stream = Stream()
    stream.enter("a", timeout=1.0)
    stream.send()
    stream.now = 2.0
    stream.time_out()
    assert stream.ledger.knows("a")
    other = stream.enter("b")
    stream.send()
    stream.answer(0)  # too late
    assert not stream.ledger.knows("a")
    assert other.answer is None


def test_by_order_an_id_is_free_again_when_its_input_timed_out() -> None:
    stream = Stream(by_id=False)
    stream.enter("a", timeout=1.0)
    stream.enter("b")
    stream.send()
    stream.send()
    stream.now = 2.0
    stream.time_out()
    stream.answer()
    assert not stream.ledger.knows("a")


@pytest.mark.parametrize("ordered", [True, False])
def test_after_a_break_nothing_late_is_awaited(ordered: bool) -> None:
    stream = Stream(ordered)
    first, second = stream.enter(timeout=1.0), stream.enter()
    stream.send(2)
    stream.now = 2.0
    stream.time_out()
    stream.take()
    assert stream.ledger.broken() == [second]
    assert stream.freed == {first.seq}
    assert not stream.ledger.late


def test_entries_that_rest_come_back_by_themselves() -> None:
    stream = Stream()
    resting, other = stream.enter_and_send(2)
    resting.resting = True
    assert stream.ledger.broken() == [other]
    assert stream.ledger.unanswered == [resting, other]


def test_what_is_remembered_of_late_answers_is_bounded() -> None:
    stream = Stream()
    stream.enter_and_send(1)
    stream.answer()
    stream.take()
    for number in range(MAX_LATE + 10):
        stream.enter(f"late{number}", timeout=1.0)
        stream.send()
    stream.now = 2.0
    stream.time_out()
    assert not stream.ledger.knows("late0")
    assert stream.ledger.knows("late10")


# -- answers that cannot be matched


def test_an_answer_for_nobody_is_a_mismatch() -> None:
    stream = Stream()
    [entry] = stream.enter_and_send(1)
    with pytest.raises(Mismatch, match="'stranger'"):
        stream.ledger.match(response(pb.Output(input=pb.Input(id="stranger"))))
    assert stream.ledger.unanswered == [entry]


def test_a_second_answer_to_the_same_input_is_a_mismatch() -> None:
    stream = Stream()
    [entry] = stream.enter_and_send(1)
    stream.answer()
    with pytest.raises(Mismatch):
        stream.ledger.match(response(output(entry, True)))


def test_an_answer_to_an_input_that_was_not_sent_is_a_mismatch() -> None:
    stream = Stream()
    stream.enter_and_send(1)
    waiting = stream.enter()
    with pytest.raises(Mismatch):
        stream.ledger.match(response(output(waiting, True)))


@pytest.mark.parametrize("first_by_id", [True, False])
def test_a_change_of_mind_is_a_mismatch(first_by_id: bool) -> None:
    stream = Stream(by_id=first_by_id)
    _, second, _ = stream.enter_and_send(3)
    stream.answer()
    with pytest.raises(Mismatch, match="matched by"):
        stream.ledger.match(response(output(second, not first_by_id)))


def test_outputs_with_and_without_ids_are_a_mismatch() -> None:
    stream = Stream()
    a, b = stream.enter_and_send(2, batch=2)
    with pytest.raises(Mismatch, match="with and without"):
        stream.ledger.match(response(output(a, True), output(b, False)))


@pytest.mark.parametrize("number", [1, 3])
def test_a_wrong_number_of_answers_to_a_batch_is_a_mismatch(number: int) -> None:
    stream = Stream(by_id=False)
    entries = stream.enter_and_send(2, batch=2)
    with pytest.raises(Mismatch, match="with 2 inputs"):
        stream.ledger.match(response(*[output(entries[0], False)] * number))


def test_an_answer_when_all_are_answered_is_a_mismatch() -> None:
    stream = Stream(by_id=False)
    [entry] = stream.enter_and_send(1)
    stream.answer()
    with pytest.raises(Mismatch, match="every input sent was answered"):
        stream.ledger.match(response(output(entry, False)))


def test_a_failure_of_nobody_in_particular_keeps_its_cause() -> None:
    stream = Stream()
    stream.enter_and_send(3)
    stream.answer()
    failure = PredictionFailed("try again", code=10030)
    with pytest.raises(Mismatch) as caught:
        stream.ledger.match(response(failure=failure))
    assert caught.value.__cause__ is failure


def test_several_outputs_for_one_input_are_one_prediction() -> None:
    stream = Stream()
    [entry] = stream.enter_and_send(1)
    [(_, answer)] = stream.ledger.match(response(output(entry, True), output(entry, True)))
    assert isinstance(answer, Prediction)
    assert len(answer) == 2


@pytest.mark.parametrize("by_id", [True, False])
def test_a_failure_without_ids_is_that_of_the_one_request_on_the_wire(by_id: bool) -> None:
    stream = Stream(by_id=by_id)
    stream.enter_and_send(1)
    stream.answer()
    entries = stream.enter_and_send(3, batch=3)
    failure = PredictionFailed("no")
    assert stream.ledger.match(response(failure=failure)) == [(entry, failure) for entry in entries]


def test_several_outputs_for_one_input_by_order_are_one_prediction() -> None:
    stream = Stream(by_id=False)
    [entry] = stream.enter_and_send(1)
    [(_, answer)] = stream.ledger.match(response(output(entry, False), output(entry, False)))
    assert isinstance(answer, Prediction)
    assert len(answer) == 2
