"""What the calls of a client share: turns, places, what failures do to them, and what a timeout says."""

from __future__ import annotations

import asyncio

import pytest

from headrace import events
from headrace.calls.deadline import Deadline
from headrace.calls.session import CallState, Session
from headrace.channels.manager import ChannelManager
from headrace.config import Limits, RetryPolicy, Timeouts, Transmission
from headrace.emitter import Emitter
from headrace.errors import ClosedError, DeadlineExceeded, PredictionFailed, Throttled
from headrace.flow.rate import Budget, Rate
from headrace.status import server_error
from headrace.target import Target
from headrace.testing import MemoryServer

pytestmark = pytest.mark.core

TARGET = Target.parse("http://localhost:1")


def session_of(rate: float | None = None, got: list[events.Event] | None = None, connections: int = 8) -> Session:
    emit = Emitter((got if got is not None else []).append)
    limits = Limits(streams_per_connection=1, connections=connections)
    channels = ChannelManager(TARGET, Transmission(), MemoryServer(), limits, emit)
    secret = (("authorization", "Key CANARY"),)
    return Session(channels, RetryPolicy(), Timeouts(), Rate(rate), Budget(10.0, 0.5, 0.0), secret, emit)


async def test_turns_come_at_the_rate_and_waiting_is_reported_once() -> None:
    got: list[events.Event] = []
    session = session_of(50.0, got)
    loop = asyncio.get_running_loop()
    start = loop.time()
    await asyncio.gather(
        *(session.wait_for_rate() for _ in range(4))
    )  # one after another, a late one spares the next its wait
    assert 0.055 < loop.time() - start < 5.0
    assert [type(event) for event in got] == [events.Throttled] * 3
    await session.channels.close(0)


async def test_a_turn_that_is_cancelled_is_the_next_ones() -> None:
    session = session_of(2.0)
    await session.wait_for_rate()
    waiting = [asyncio.create_task(session.wait_for_rate()) for _ in range(20)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await asyncio.wait_for(session.wait_for_rate(), 2)
    await session.channels.close(0)


async def test_a_place_is_waited_for_only_so_long() -> None:
    session = session_of(connections=1)
    connection = await session.acquire(5.0)
    with pytest.raises(DeadlineExceeded, match=r"the only connection was at its stream limit for 0\.02 s \(Limits"):
        await session.acquire(0.02)
    connection.release()
    assert await session.acquire(0.02) is connection
    await session.channels.close(0)
    with pytest.raises(ClosedError):
        await session.acquire(0.02)


async def test_a_throttle_lowers_rate_and_calls_at_once_and_nothing_else_does() -> None:
    session = session_of(100.0)
    connection = await session.acquire()
    concurrency = session.channels.pool().concurrency
    before = concurrency.limit
    session.failed(server_error(10030))
    assert (session.rate.per_second, concurrency.limit) == (100.0, before)
    session.failed(Throttled("slow down", code=11005))
    assert session.rate.per_second == 50.0
    assert concurrency.limit < before
    for _ in range(10):
        connection.succeeded()
    assert concurrency.limit > 1
    await session.channels.close(0)


async def test_new_calls_fill_the_retry_budget_and_further_looks_do_not() -> None:
    session = session_of()
    for _ in range(5):
        session.budget.spend()
    session.attempts()
    assert session.budget.tokens == 5.5
    session.attempts(fresh=False)
    assert session.budget.tokens == 5.5
    assert session.attempts(warm_up=7.0).warm_up == 7.0
    assert session.attempts().warm_up == 600.0
    await session.channels.close(0)


async def test_it_does_not_show_the_credential() -> None:
    session = session_of()
    assert "CANARY" not in repr(session)
    await session.channels.close(0)


def test_a_timeout_says_what_was_going_on() -> None:
    failure = PredictionFailed("busy")
    error = CallState("connecting", failure, attempt=3).deadline_exceeded("input a", Deadline.after(2.5), TARGET)
    assert str(error) == "input a took longer than 2.5 s (connecting, attempt 3); the last failure was: busy"
    assert (error.attempt, error.target, error.__cause__) == (3, "http://localhost:1", failure)
    quiet = CallState().deadline_exceeded("x", Deadline.after(1.0), TARGET)
    assert str(quiet) == "x took longer than 1 s (waiting for its turn, attempt 1)"


async def test_a_closed_client_takes_note_of_what_still_arrives() -> None:
    """Answers and failures of its last calls come after the close has begun, and must reach whoever waits for them."""
    session = session_of()
    connection = await session.acquire()
    await session.channels.close(0)
    connection.succeeded()
    session.failed(server_error(11005))
