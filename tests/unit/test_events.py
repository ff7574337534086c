"""Events reach the user's callable, and what that raises reaches nobody."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any, get_args

import pytest

from headrace import events
from headrace.emitter import Emitter
from headrace.events import Connected, Dropped, Event, RetryScheduled


def test_events_are_handed_over_at_once_and_in_order() -> None:
    got: list[Event] = []
    emit = Emitter(got.append)
    emit(Connected("h", 0, 0.1))
    emit(Dropped("a", 3, "max_age"))
    assert got == [Connected("h", 0, 0.1), Dropped("a", 3, "max_age")]


def test_without_a_callable_nothing_happens() -> None:
    Emitter()(Connected("h", 0, 0.1))


def test_what_the_callable_raises_is_logged_and_goes_no_further(caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: Event) -> None:
        raise RuntimeError("my meter is broken")

    with caplog.at_level(logging.ERROR, "headrace"):
        Emitter(broken)(RetryScheduled(1, 0.5, "throttled", 11005))
    [record] = caplog.records
    assert "RetryScheduled" in record.getMessage()
    assert record.exc_info is not None
    assert "my meter is broken" in str(record.exc_info[1])


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_goes_through(signal: type[BaseException]) -> None:
    def interrupted(event: Event) -> None:
        raise signal

    with pytest.raises(signal):
        Emitter(interrupted)(Connected("h", 0, 0.1))


def test_every_event_is_a_frozen_documented_value() -> None:
    classes: set[Any] = {c for c in vars(events).values() if dataclasses.is_dataclass(c)}
    assert set(get_args(Event)) == classes
    for cls in classes:
        assert cls.__dataclass_params__.frozen
        assert cls.__doc__
