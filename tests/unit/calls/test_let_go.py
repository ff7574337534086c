"""Inputs are let go of when their calls are over, failed ones too: at once, not when the collector comes by."""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace import RetryPolicy
from headrace.calls.duplex.ledger import Ledger
from headrace.config import Window
from headrace.errors import DeadlineExceeded, HeadraceError, InputError, drop_traceback
from headrace.flow.window import FlowWindow
from headrace.inputs import Input
from headrace.inputs.prepared import Prepared
from headrace.results import Prediction
from headrace.testing import GrpcFail
from tests.support.rig import WIRES, Rig, Wire, quiet_server, rigged

pytestmark = pytest.mark.core

NUMBER = 12
REFUSED = 21301  # a code of the server's that is not tried again


class Payload(bytearray):
    """Bytes that can be watched."""


class Watch:
    """Makes payloads, and counts those that somebody still holds."""

    def __init__(self) -> None:
        self.alive = self.peak = self.made = 0

    def payload(self) -> Payload:
        made = Payload(b"x" * 100)
        weakref.finalize(made, self._gone)
        self.made += 1
        self.alive += 1
        self.peak = max(self.peak, self.alive)
        return made

    def several(self, number: int = NUMBER) -> Iterator[Payload]:
        for _ in range(number):
            yield self.payload()

    def _gone(self) -> None:
        self.alive -= 1


@pytest.fixture
def watch() -> Iterator[Watch]:
    gc.collect()
    gc.disable()
    yield Watch()
    gc.enable()


def in_the_end(failure: Any) -> Callable[[Any], Any]:
    """Fail the first two attempts at each input."""
    return lambda item: failure if item.attempt <= 2 else "fine"


@contextlib.asynccontextmanager
async def serving(wire: Wire, folder: Path, function: Callable[[Any], Any]) -> AsyncIterator[Rig]:
    retry = RetryPolicy(initial=0.001)
    async with rigged(wire, folder, function, double={"server": quiet_server()}, retry=retry) as rig:
        yield rig


async def one(rig: Rig, watch: Watch) -> str:
    try:
        return (await rig.model.predict_by_bytes(watch.payload(), "video")).text
    except HeadraceError as error:
        return type(error).__name__


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    "answer",
    [
        lambda _: "fine",
        lambda _: REFUSED,
        lambda _: GrpcFail("INVALID_ARGUMENT"),
        in_the_end(GrpcFail("UNAVAILABLE")),
    ],
    ids=["fine", "refused", "broken", "broken twice"],
)
async def test_single_calls(wire: Wire, tmp_path: Path, watch: Watch, answer: Callable[[Any], Any]) -> None:
    async with serving(wire, tmp_path, answer) as rig:
        texts = {await one(rig, watch) for _ in range(NUMBER)}
        assert len(texts) == 1
        assert watch.made == NUMBER
        assert watch.alive <= 1
        assert watch.peak <= 2


@pytest.mark.parametrize("answer", [lambda _: REFUSED, lambda _: GrpcFail("INVALID_ARGUMENT")], ids=["code", "grpc"])
async def test_lists(tmp_path: Path, watch: Watch, answer: Callable[[Any], Any]) -> None:
    async with serving("memory", tmp_path, answer) as rig:
        for _ in range(NUMBER):
            with contextlib.suppress(HeadraceError):
                await rig.model.predict(list(watch.several(4)), "video")
        assert watch.made == 4 * NUMBER
        assert watch.peak <= 8


@pytest.mark.parametrize("batch", [None, 4])
@pytest.mark.parametrize("wire", WIRES)
async def test_failed_predictions_hold_no_inputs(wire: Wire, tmp_path: Path, watch: Watch, batch: int | None) -> None:
    async with serving(wire, tmp_path, lambda _: GrpcFail("INVALID_ARGUMENT")) as rig:
        mapped = rig.model.map(
            watch.several(10 * NUMBER), input_type="video", concurrency=2, batch=batch, on_error="yield"
        )
        kept = [prediction async for prediction in mapped]
        assert len(kept) == watch.made == 10 * NUMBER
        assert all(prediction.error is not None for prediction in kept)
        assert watch.peak <= 4 * (batch or 1)
        del mapped
        gc.collect()  # the stream's own tasks
        assert watch.alive == 0


def test_an_input_that_timed_out_leaves_its_id_only(watch: Watch) -> None:
    ledger = Ledger(True, FlowWindow(Window(None)))
    (entry,) = ledger.enter([Prepared(Input.from_bytes(watch.payload(), "video"), "a")], 0.0, 1.0)
    ledger.sent([entry])
    assert watch.alive == 1
    ledger.time_out(entry, DeadlineExceeded("late"))
    assert watch.alive == 0
    assert ledger.knows("a")
    assert ledger.late
    taken = ledger.take()
    assert taken is entry
    assert taken.item.id == "a"


def test_answered_inputs_are_let_go_of_behind_one_that_waits(watch: Watch) -> None:
    ledger = Ledger(False, FlowWindow(Window(None)))
    for position in range(1000):
        item = Prepared(Input.from_bytes(watch.payload(), "video"), f"i-{position}", position=position)
        (entry,) = ledger.enter([item], float(position), 1e6)
        ledger.sent([entry])
        if position:
            ledger.settle(entry, Prediction(b"", (), input_id=item.id, position=position))
            ledger.broken()
            ledger.take()
    del item, entry
    assert watch.alive < 150
    first = ledger.next_deadline()
    assert first == 1e6
    assert [entry.position for entry in ledger.expired(1e6)] == [0]


def test_an_error_that_is_kept_has_no_frames() -> None:
    def fail() -> None:
        try:
            raise ValueError("first")
        except ValueError:
            raise InputError("second") from None

    def caused() -> None:
        try:
            raise ValueError("first")
        except ValueError as error:
            raise InputError("second") from error

    with pytest.raises(InputError) as caught:
        fail()
    error = caught.value
    assert Prediction.failed(error).error is error
    assert error.__traceback__ is None
    assert error.__context__ is None
    with pytest.raises(InputError) as caught:
        caused()
    error = drop_traceback(caught.value)
    assert error.__traceback__ is None
    assert isinstance(error.__cause__, ValueError)
    assert error.__cause__.__traceback__ is not None  # the user's, often
