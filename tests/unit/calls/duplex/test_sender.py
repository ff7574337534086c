"""What a stream sends next, and what it finds on the way that is not to be sent."""

from __future__ import annotations

import itertools

import pytest

from headrace.calls.batching import BatchLimits
from headrace.calls.duplex.ledger import Ledger
from headrace.calls.duplex.sender import Outbox
from headrace.calls.feeder import Pulled
from headrace.config import Window
from headrace.errors import InputError
from headrace.flow.pipe import Pipe
from headrace.flow.window import FlowWindow
from headrace.inputs import Input
from headrace.inputs.prepared import Prepared

pytestmark = pytest.mark.core


class Stream:
    """An outbox with what surrounds it; `put` numbers the inputs, a name with "!" is a bad one."""

    def __init__(self, batch: int = 1, window: int | None = None, **pipe: object) -> None:
        self.dropped: list[str] = []
        self.pipe: Pipe[Pulled] = Pipe(64, on_drop=lambda pulled, _: self.dropped.append(pulled.item.id), **pipe)  # type: ignore[arg-type]
        self.ledger = Ledger(True, FlowWindow(Window(window)))
        self.outbox = Outbox(self.pipe, self.ledger, BatchLimits(batch), 60.0)

    def put(self, *names: str) -> None:
        for position, name in enumerate(names):
            error = InputError("bad") if "!" in name else None
            item = Prepared(Input.from_text(name), name)
            assert self.pipe.send_nowait(Pulled(position, item, item.size_bytes, error))
        self.pipe.close_sender()

    def take(self) -> list[str]:
        entries, self.rejected = self.outbox.take(0)
        if entries:
            self.ledger.sent(entries)
        return [entry.name for entry in entries]


def test_bad_inputs_are_rejected_on_the_way_and_count_in_the_window() -> None:
    stream = Stream(batch=3)
    stream.put("a!", "b", "c!", "d")
    assert stream.take() == ["b", "d"]
    assert [(entry.name, str(error)) for entry, error in stream.rejected] == [("a!", "bad"), ("c!", "bad")]
    assert stream.ledger.window.items == 4
    assert stream.outbox.fresh == 2


def test_no_more_leaves_the_pipe_than_the_window_admits() -> None:
    stream = Stream(batch=3, window=2)
    stream.put("a", "b", "c")
    assert stream.take() == ["a", "b"]
    assert stream.take() == []
    assert len(stream.pipe) == 1


def test_what_enters_ahead_of_its_request_is_sent_in_order() -> None:
    stream = Stream(batch=4, window=3)
    stream.put("a", "b!", "c", "d")
    entered, rejected = stream.outbox.enter_waiting()
    assert (entered, [entry.name for entry, _ in rejected], len(stream.pipe)) == (2, ["b!"], 1)
    assert stream.take() == ["a", "c"]
    assert stream.outbox.fresh == 0  # these were counted when they entered


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
