"""Hedging: a slow call gets a second attempt; one answer counts, the other attempt ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

import headrace
from headrace import RetryPolicy, errors, events
from headrace.testing import Fail, ModelDouble, ReceivedInput

pytestmark = pytest.mark.core

Connect = Callable[..., headrace.Model]


def echo(item: ReceivedInput) -> str:
    return item.text


async def test_a_slow_call_gets_a_second_attempt_and_the_first_answer_wins(connect: Connect) -> None:
    got: list[events.Event] = []
    double = ModelDouble(echo)
    model = connect(double, retry=RetryPolicy(hedge_after=0.01), on_event=got.append)
    double.hold()
    task = asyncio.create_task(model.predict_by_bytes("x"))
    await double.received(2)
    double.release_next()
    assert (await task).text == "x"
    await double.server.until(lambda: sum(call.cancelled for call in double.server.calls) == 1)
    assert events.Hedged(0.01) in got
    assert model.client.stats.running == 0


async def test_a_quick_call_gets_none(connect: Connect) -> None:
    double = ModelDouble(echo)
    await connect(double, retry=RetryPolicy(hedge_after=5.0)).predict_by_bytes("x")
    assert double.attempts.total() == 1


async def test_without_budget_there_is_no_hedging(connect: Connect) -> None:
    double = ModelDouble(echo)
    model = connect(double, retry=RetryPolicy(hedge_after=0.005, budget=0.0))
    double.hold()
    task = asyncio.create_task(model.predict_by_bytes("x"))
    await double.received(1)
    await asyncio.sleep(0.03)
    assert double.attempts.total() == 1
    double.release()
    await task


async def test_a_failed_first_attempt_waits_for_the_second(connect: Connect) -> None:
    first = asyncio.Event()

    async def answer(item: ReceivedInput) -> str | Fail:
        if item.attempt == 1:
            await first.wait()
            return Fail(11001)
        return "second"

    double = ModelDouble(answer)
    model = connect(double, retry=RetryPolicy(hedge_after=0.005))
    task = asyncio.create_task(model.predict_by_bytes("x"))
    await double.received(2)
    assert (await task).text == "second"
    first.set()


async def test_when_both_fail_the_failure_is_reported(connect: Connect) -> None:
    double = ModelDouble(lambda item: Fail(11001))
    model = connect(double, retry=RetryPolicy(hedge_after=0.005))
    double.hold()
    task = asyncio.create_task(model.predict_by_bytes("x"))
    await double.received(2)
    double.release()
    with pytest.raises(errors.AuthError):
        await task


async def test_a_cancelled_hedge_cancels_both(connect: Connect) -> None:
    double = ModelDouble(echo)
    model = connect(double, retry=RetryPolicy(hedge_after=0.005))
    double.hold()
    task = asyncio.create_task(model.predict_by_bytes("x"))
    await double.received(2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await double.server.until(lambda: all(call.cancelled for call in double.server.calls))
