"""What a stream sends next, and what it finds on the way that is not to be sent."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator

import pytest

from headrace.calls.batching import BatchLimits
from headrace.calls.duplex.entry import Entry
from headrace.calls.duplex.ledger import Ledger
from headrace.calls.duplex.sender import MAX_UNSENT, Outbox
from headrace.config import Window
from headrace.errors import HeadraceError, InputError
from headrace.flow.pipe import Pipe
from headrace.flow.rate import Budget
from headrace.flow.window import FlowWindow
from headrace.inputs import Input
from headrace.inputs.prepared import Prepared, Unsendable

pytestmark = pytest.mark.core


class Stream:
    """An outbox with what surrounds it; `put` numbers the inputs, a name with "!" is a bad one."""

    def __init__(self, batch: int = 1, window: int | None = None, **pipe: object) -> None:
        self.dropped: list[str] = []
        self.pipe: Pipe[Prepared] = Pipe(64, on_drop=lambda item, _: self.dropped.append(item.id), **pipe)  # type: ignore[arg-type]
        self.ledger = Ledger(True, FlowWindow(Window(window)))
        self.rejected: list[tuple[str, str]] = []
        self.budget = Budget(100.0, 1.0, 0.0)
        while self.budget.spend():
            pass
        self.outbox = Outbox(self.pipe, self.ledger, BatchLimits(batch), 60.0, MAX_UNSENT, self.budget, self.reject)

    def reject(self, entry: Entry, error: HeadraceError) -> None:
        self.rejected.append((entry.name, str(error)))

    def put(self, *names: str) -> None:
        for position, name in enumerate(names):
            bad = "!" in name
            item = Unsendable(name, InputError("bad"), "") if bad else Prepared(Input.from_text(name), name)
            item.position = position
            assert self.pipe.send_nowait(item)
        self.pipe.close_sender()

    def take(self) -> list[str]:
        entries = self.outbox.take(0)
        if entries:
            self.ledger.sent(entries)
        return [entry.name for entry in entries]


def test_bad_inputs_are_rejected_on_the_way_and_count_in_the_window() -> None:
    stream = Stream(batch=3)
    stream.put("a!", "b", "c!", "d")
    assert stream.take() == ["b", "d"]
    assert stream.rejected == [("a!", "bad"), ("c!", "bad")]
    assert stream.ledger.window.items == 4
    assert stream.budget.tokens == 2  # those that are sent are counted when they enter


def test_no_more_leaves_the_pipe_than_the_window_admits() -> None:
    stream = Stream(batch=3, window=2)
    stream.put("a", "b", "c")
    assert stream.take() == ["a", "b"]
    assert stream.take() == []
    assert len(stream.pipe) == 1


class Counted(deque[Prepared]):
    """A queue that counts the items that are looked at."""

    looks = 0

    def __iter__(self) -> Iterator[Prepared]:
        for item in super().__iter__():
            self.looks += 1
            yield item


def test_a_request_looks_at_no_more_of_a_long_queue_than_it_takes() -> None:
    stream = Stream(batch=3)
    stream.put(*map(str, range(60)))
    queue = stream.pipe.queue = Counted(stream.pipe.queue)
    for _ in range(20):
        assert len(stream.take()) == 3
    assert queue.looks <= 60 * 3


def test_what_enters_ahead_of_its_request_is_sent_in_order() -> None:
    stream = Stream(batch=4, window=3)
    stream.put("a", "b!", "c", "d")
    stream.outbox.enter_waiting()
    assert (len(stream.outbox.queue), stream.rejected, len(stream.pipe)) == (2, [("b!", "bad")], 1)
    assert stream.take() == ["a", "c"]
    assert stream.budget.tokens == 2  # these were counted when they entered


def test_what_goes_again_goes_first_and_alone_where_it_has_to() -> None:
    stream = Stream(batch=3)
    stream.put("a", "b", "c", "d")
    assert stream.take() == ["a", "b", "c"]
    again = stream.ledger.broken()
    again[1].alone = True
    stream.outbox.resend(again)
    assert [stream.take() for _ in range(4)] == [["a"], ["b"], ["c", "d"], []]


def test_a_suspect_goes_with_nothing_else_under_way() -> None:
    stream = Stream(batch=2)
    stream.put("a", "b", "c")
    assert stream.take() == ["a", "b"]
    again = stream.ledger.broken()
    again[0].suspect = True
    stream.outbox.resend(again)
    assert stream.take() == ["a"]
    assert stream.take() == []  # it is under way
    stream.ledger.broken()
    again[0].suspect = False
    stream.outbox.resend(again)
    assert stream.take() == ["a", "b"]


def test_an_input_that_becomes_too_old_as_it_is_taken_is_dropped_once() -> None:
    for reads in range(2, 8):
        times = itertools.chain([0.0] * reads, itertools.repeat(10.0))  # the time comes between any two looks at it
        stream = Stream(max_age=5.0, clock=lambda times=times: next(times))
        stream.put("a")
        taken = stream.take()
        assert len(taken) + len(stream.dropped) == 1
        assert stream.ledger.window.items == len(taken)
