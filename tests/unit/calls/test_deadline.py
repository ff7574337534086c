"""Timeouts become points in time once."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from headrace.calls.deadline import Deadline

pytestmark = pytest.mark.core


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("headrace.calls.deadline.time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_time_runs_down_to_zero_and_no_further(now: list[float]) -> None:
    deadline = Deadline.after(5.0)
    assert (deadline.seconds, deadline.remaining, deadline.or_none) == (5.0, 5.0, 5.0)
    now[0] += 4.0
    assert deadline.remaining == 1.0
    now[0] += 4.0
    assert deadline.remaining == deadline.or_none == 0.0


@pytest.mark.parametrize("seconds", [None, math.inf])
def test_none_is_never(seconds: float | None) -> None:
    deadline = Deadline.after(seconds)
    assert deadline.remaining == math.inf
    assert deadline.or_none is None
    deadline.extend(5.0)
    assert deadline.or_none is None


def test_waiting_with_a_budget_of_its_own_does_not_count(now: list[float]) -> None:
    deadline = Deadline.after(5.0)
    now[0] += 4.0
    deadline.extend(10.0)
    assert deadline.remaining == 11.0
    assert deadline.seconds == 5.0  # what the user gave, for messages
