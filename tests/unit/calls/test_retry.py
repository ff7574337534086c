"""The retry engine: what is tried again, how often, when; and the table of conformance through the whole client."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import headrace
from headrace import events
from headrace.calls.retry import RETRIED, Attempts
from headrace.config import Limits, RetryPolicy, Timeouts
from headrace.errors import (
    AuthError,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    HeadraceError,
    InputError,
    PredictionFailed,
)
from headrace.flow.rate import Budget
from headrace.status import Kind, server_error
from headrace.testing import Fail, GrpcFail, ModelDouble, ReceivedInput
from tests.support.cases import run_together

pytestmark = pytest.mark.core

TABLE = json.loads((Path(__file__).parents[2] / "conformance" / "retry.json").read_text())


class Clock:
    """Seconds that only a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def attempts_of(
    policy: RetryPolicy | None = None,
    *,
    unit: float | None = 1.0,
    budget: Budget | None = None,
    warm_up: float = 600.0,
    clock: Clock | None = None,
    got: list[events.Event] | None = None,
) -> Attempts:
    policy = policy or RetryPolicy()
    return Attempts(
        policy,
        budget or Budget(None, 0, 0),
        warm_up,
        (got if got is not None else []).append,
        random.random if unit is None else lambda: unit,
        clock or Clock(),
    )


TRANSIENT, AMBIGUOUS, THROTTLED, WARMING = (server_error(code) for code in (10030, 10020, 11005, 21351))


def delays(attempts: Attempts, error: HeadraceError, most: int = 1000) -> list[float]:
    """All delays until it gives up."""
    found: list[float] = []
    while len(found) < most and (delay := attempts.after(error)) is not None:
        found.append(delay)
    return found


# -- how often


@pytest.mark.parametrize("most", [1, 2, 5])
@pytest.mark.parametrize("error", [TRANSIENT, ConnectionLost("x"), ConnectFailed("x")])
def test_a_passing_failure_is_tried_so_often(error: HeadraceError, most: int) -> None:
    attempts = attempts_of(RetryPolicy(attempts=most))
    assert len(delays(attempts, error)) == most - 1
    assert attempts.number == most
    assert error.attempt == most  # type: ignore[attr-defined]


@pytest.mark.parametrize("error", [AuthError("x"), InputError("x"), DeadlineExceeded("x"), server_error(12345)])
def test_what_is_final_is_never_tried_again(error: HeadraceError) -> None:
    assert attempts_of().after(error) is None


def test_an_ambiguous_failure_and_a_throttle_have_counts_of_their_own() -> None:
    policy = RetryPolicy(attempts=5, ambiguous_attempts=3, throttled_attempts=9)
    assert len(delays(attempts_of(policy), AMBIGUOUS)) == 2
    assert len(delays(attempts_of(policy), THROTTLED)) == 8


def test_all_failures_of_a_call_count_together() -> None:
    attempts = attempts_of(RetryPolicy(attempts=4, ambiguous_attempts=2))
    for error in (TRANSIENT, AMBIGUOUS, ConnectionLost("x")):
        assert attempts.after(error) is not None
    assert attempts.after(TRANSIENT) is None


def test_what_the_server_never_saw_is_sent_again_at_once_and_not_counted() -> None:
    attempts = attempts_of(RetryPolicy(attempts=2, unprocessed=30), budget=Budget(0.0, 0, 0), unit=None)
    refused = ConnectionLost("x", unprocessed=True)
    found = delays(attempts, refused)
    assert len(found) == 30
    assert all(0.001 <= delay <= 0.010 for delay in found)
    assert attempts.number == 1


# -- how long


@given(st.integers(0, 40), st.floats(0, 1))
def test_delays_are_drawn_from_zero_to_a_bound_that_doubles_up_to_the_cap(failures: int, unit: float) -> None:
    attempts = attempts_of(RetryPolicy(attempts=50, initial=0.1, multiplier=2.0, cap=8.0), unit=unit)
    for number in range(failures + 1):
        delay = attempts.after(TRANSIENT)
        assert delay == pytest.approx(unit * min(8.0, 0.1 * 2**number))


def test_jitter_is_full() -> None:
    policy = RetryPolicy(initial=1.0, cap=1.0)
    found = [attempts_of(policy, unit=None).after(TRANSIENT) or 0.0 for _ in range(2000)]
    assert all(0 <= delay <= 1 for delay in found)
    assert 0.45 < sum(found) / len(found) < 0.55
    assert min(found) < 0.05
    assert max(found) > 0.95


def test_a_servers_hint_is_a_lower_bound_up_to_its_cap() -> None:
    policy = RetryPolicy(initial=0.1, hint_cap=30.0)
    assert attempts_of(policy, unit=0.0).after(server_error(10030, retry_after=7.0)) == 7.0
    assert attempts_of(policy, unit=1.0).after(server_error(10030, retry_after=0.01)) == 0.1
    assert attempts_of(policy).after(server_error(11005, retry_after=3600.0)) == 30.0
    assert attempts_of(policy, unit=0.0).after(ConnectionLost("x", retry_after=2.0)) == 2.0


@pytest.mark.parametrize(
    "error",
    [
        server_error(10030, retry_after=-0.001),
        ConnectionLost("x", retry_after=-1.0),
        server_error(11005, retry_after=-1.0),
    ],
)
def test_a_negative_hint_asks_not_to_come_back(error: HeadraceError) -> None:
    assert attempts_of(RetryPolicy()).after(error) is None


def test_very_many_attempts_do_not_overflow() -> None:
    attempts = attempts_of(RetryPolicy(attempts=5000, multiplier=10.0))
    assert max(delays(attempts, TRANSIENT, 4000)) == 8.0
    clock = Clock()
    warm = attempts_of(warm_up=float("inf"), clock=clock)
    for _ in range(4000):
        delay = warm.after(WARMING)
        assert delay is not None
        assert delay <= 5.0
        clock.now += delay


# -- the budget


def test_retries_stop_when_the_budget_is_spent() -> None:
    budget = Budget(3.0, 0, 0)
    assert len(delays(attempts_of(RetryPolicy(attempts=10), budget=budget), TRANSIENT)) == 3
    assert attempts_of(budget=budget).after(AMBIGUOUS) is None


def test_a_server_that_cannot_be_reached_and_a_deploying_model_cost_no_budget() -> None:
    budget = Budget(0.0, 0, 0)
    assert attempts_of(budget=budget).after(ConnectFailed("x")) is not None
    assert attempts_of(budget=budget).after(WARMING) is not None


# -- a model that deploys


def test_a_deploying_model_is_looked_at_within_its_budget_at_capped_intervals() -> None:
    clock = Clock()
    got: list[events.Event] = []
    attempts = attempts_of(RetryPolicy(attempts=2), warm_up=60.0, clock=clock, unit=None, got=got)
    while (delay := attempts.after(WARMING)) is not None:
        assert 0 < delay <= 5.0
        clock.now += delay
    assert clock.now == pytest.approx(160.0)
    polls = [event for event in got if isinstance(event, events.WarmUp)]
    assert len(polls) == len(got) >= 12
    assert polls[0].waited == 0
    assert all(earlier.waited < later.waited for earlier, later in itertools.pairwise(polls))
    assert all(event.budget == 60.0 and event.code == 21351 for event in polls)


def test_the_servers_estimate_is_believed_up_to_the_cap() -> None:
    error = server_error(21351, retry_after=500.0)
    assert attempts_of(RetryPolicy(warm_up_cap=4.0), unit=0.0).after(error) == 4.0
    assert attempts_of(RetryPolicy(warm_up_cap=4.0), unit=0.0).after(server_error(21351, retry_after=1.5)) == 1.5


@pytest.mark.parametrize("percent", [None, 40])
def test_the_event_says_how_far_the_model_is(percent: int | None) -> None:
    got: list[events.Event] = []
    attempts_of(got=got).after(server_error(21351, percent=percent))
    assert [event.percent for event in got if isinstance(event, events.WarmUp)] == [percent]


def test_waiting_for_a_model_and_retries_are_apart() -> None:
    clock = Clock()
    attempts = attempts_of(RetryPolicy(attempts=3), clock=clock)
    for _ in range(10):
        clock.now += attempts.after(WARMING) or 0
    assert len(delays(attempts, TRANSIENT)) == 2


# -- what is told


def test_every_retry_is_reported_with_its_reason() -> None:
    got: list[events.Event] = []
    attempts = attempts_of(got=got)
    attempts.after(TRANSIENT)
    attempts.after(THROTTLED)
    assert got == [
        events.RetryScheduled(1, 0.1, str(TRANSIENT), 10030),
        events.Throttled(0.2, 11005),
        events.RetryScheduled(2, 0.2, str(THROTTLED), 11005),
    ]


# -- the table, through the whole client


class Failing:
    """A model that fails as a row of the table says, and remembers how often it was asked."""

    def __init__(self, row: dict[str, Any]) -> None:
        self.row = row
        self.asked = 0

    def __call__(self, item: ReceivedInput) -> list[Any]:
        self.asked += 1
        if self.row["fails"] != "always" and self.asked > self.row["fails"]:
            return ["good"]
        answer = self.row["answer"]
        failure: Fail | GrpcFail
        if "code" in answer:
            failure = Fail(answer["code"])
        else:
            failure = GrpcFail(answer["grpc"], answer["details"], **answer.get("facts", {}))
        return ["good"] * self.row["after"] + [failure]


async def ending(model: headrace.Model, shape: str) -> str:
    """Call, and tell how it ended: "ok", or the error's class."""
    try:
        if shape == "predict":
            assert (await model.predict_by_bytes("x")).text == "good"
        elif shape == "generate":
            assert await model.generate_by_bytes("x").text() == "good"
        else:
            async with model.stream_by_bytes(["x"]) as stream:
                [prediction] = [p async for p in stream]
            if prediction.error is not None:
                raise prediction.error
            assert prediction.text == "good"
    except HeadraceError as error:
        return type(error).__name__
    return "ok"


@pytest.mark.parametrize("shape", ["predict", "generate", "stream"])
@pytest.mark.parametrize("kind_", sorted({row["class"] for row in TABLE["rows"]}))
async def test_the_client_conforms_to_the_table(kind_: str, shape: str) -> None:
    rows = [row for row in TABLE["rows"] if (row["class"], row["shape"]) == (kind_, shape)]
    await run_together({json.dumps(row): conforms(row) for row in rows})


async def conforms(row: dict[str, Any]) -> None:
    failing = Failing(row)
    async with headrace.Client(
        base_url="http://localhost:1",
        transport=ModelDouble(failing),
        retry=RetryPolicy(**TABLE["policy"]),
        timeouts=Timeouts(warm_up=TABLE["warm_up"]),
        limits=Limits(requests_per_second=None),
    ) as client:
        outcome = await ending(client.model("u/a/models/m"), row["shape"])
    least, most = row["attempts"]
    assert (outcome, failing.asked >= least, most is None or failing.asked <= most) == (row["outcome"], True, True), (
        failing.asked
    )


def test_the_table_has_every_class_and_shape() -> None:
    rows = TABLE["rows"]
    local = {"ok", "mixed", "marker", "connect", "connection", "unprocessed", "timeout"}
    assert {row["class"] for row in rows} == {kind.value for kind in Kind} - local
    assert {row["shape"] for row in rows} == {"predict", "generate", "stream"}
    retried = {row["class"] for row in rows if row["fails"] == 1}
    assert retried == {kind.value for kind in RETRIED} - local


async def test_a_thousand_failing_calls_burden_the_server_by_a_fifth_at_most() -> None:
    failing = Failing({"after": 0, "fails": "always", "answer": {"code": 10030}})
    policy = RetryPolicy(initial=0.001, cap=0.002, budget_per_second=1e-9)
    async with headrace.Client(
        base_url="http://localhost:1",
        transport=ModelDouble(failing),
        retry=policy,
        limits=Limits(requests_per_second=None),
    ) as client:
        model = client.model("u/a/models/m")
        found = await asyncio.gather(*[model.predict_by_bytes("x") for _ in range(1000)], return_exceptions=True)
    assert {type(error) for error in found} == {PredictionFailed}
    assert 1000 < failing.asked <= 1200


async def test_lists_and_maps_burden_it_no_more() -> None:
    failing = Failing({"after": 0, "fails": "always", "answer": {"code": 10030}})
    policy = RetryPolicy(initial=0.001, cap=0.002, budget_per_second=1e-9, budget=10.0)
    async with headrace.Client(
        base_url="http://localhost:1",
        transport=ModelDouble(failing),
        retry=policy,
        limits=Limits(requests_per_second=None),
    ) as client:
        model = client.model("u/a/models/m")
        async for prediction in model.map(["x"] * 300, on_error="yield"):
            assert prediction.error is not None
        assert 300 < failing.asked <= 360
        failing.asked = 0
        with pytest.raises(PredictionFailed):
            await model.predict(["x"] * 300)
    assert failing.asked <= 2 * 300


@pytest.mark.parametrize(("percents", "given_up_after"), [([1, 2, 3, 4], None), ([5, 5, 5, 5], 2), ([0, 0, 0], 2)])
def test_a_warm_up_that_comes_on_is_not_given_up(percents: list[int], given_up_after: int | None) -> None:
    clock = Clock()
    attempts = attempts_of(warm_up=60.0, clock=clock)
    for number, percent in enumerate(percents):
        delay = attempts.after(server_error(21351, percent=percent))
        if number == given_up_after:
            assert delay is None
            return
        assert delay is not None
        clock.now += 40


def test_progress_without_end_is_no_progress() -> None:
    clock = Clock()
    attempts = attempts_of(warm_up=60.0, clock=clock)
    for number in range(3000):
        if attempts.after(server_error(21351, percent=number % 2 + 1)) is None:
            assert number < 1100
            return
        clock.now += 40
    raise AssertionError("it waits for ever")
