"""Unary calls: one message each way, with queueing, attempts and waits under one deadline."""

from __future__ import annotations

import asyncio
import functools
import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from headrace.calls.deadline import Deadline
from headrace.calls.session import CallState, Session
from headrace.channels.connection import Connection
from headrace.errors import DeadlineExceeded, HeadraceError, ServerError, TransportError, drop_traceback
from headrace.flow.rate import Waited
from headrace.status import Kind, kind_of
from headrace.support.ids import named
from headrace.transport.base import Buffer, Metadata

if TYPE_CHECKING:
    from headrace.calls.retry import Attempts

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

CLOCKS = 0.005  # seconds by which the transport's clock may be ahead of ours


class Request(Protocol[T_co]):
    """What a call sends, and what it makes of the answer."""

    def parts(self) -> Sequence[Buffer]:
        """Encode it, in parts: for each attempt, once that is admitted, so that calls that wait hold no copies."""

    def parse(self, raw: bytes) -> T_co:
        """Turn the response into the result.

        Raises:
            ServerError: the failure that it tells of, which may be retried.
        """


class Encoded(Generic[T]):
    """A request that is encoded already, with the function that parses its response."""

    __slots__ = ("_parse", "_parts")

    def __init__(self, parts: Sequence[Buffer], parse: Callable[[bytes], T]) -> None:
        self._parts = parts
        self._parse = parse

    def parts(self) -> Sequence[Buffer]:
        """Return it."""
        return self._parts

    def parse(self, raw: bytes) -> T:
        """Parse the response."""
        return self._parse(raw)


async def unary(
    session: Session,
    method: str,
    request: Request[T],
    metadata: Metadata,
    timeout: float | Deadline | None,
    warm_up: float | None = None,
    label: str = "the call",
    input_id: str = "",
) -> T:
    """Make a call until it succeeds, fails for good, or its deadline is over.

    Each attempt is admitted first, and the transport keeps its deadline: no timer of ours is around the answer, so one
    that arrived in time is delivered even if the event loop stood still meanwhile.

    Args:
        request: what is sent, and how its response is parsed.
        timeout: seconds for everything: waiting for a turn, attempts, waits between them; or a deadline that has
            begun already (it stays as it is). None: no limit, but for the transport's own. The resolution is 1 ms, and
            50 ms from a second on.
        warm_up: seconds that waiting for a deploying model may take, within the timeout; None: the configured budget,
            on top of the timeout.
        label: the call's name in messages.
        input_id: of the one input that it is for, which names it too.

    Raises:
        DeadlineExceeded: the timeout is over; the message says what it was doing, the cause is the last failure.
        HeadraceError: the failure that was final.
    """
    # Ten thousand calls may wait here: each local variable is 80 kB of theirs.
    now = time.monotonic()
    headers = (*session.metadata, *metadata) if metadata else session.metadata
    session.counts.calls += 1
    session.budget.calls += 1
    if isinstance(timeout, Deadline):
        ends, seconds = timeout.at, timeout.seconds
    else:
        seconds = math.inf if timeout is None else timeout
        ends = now + seconds
    attempts: Attempts | None = None
    last: HeadraceError | None = None
    try:
        while True:
            try:
                if session.policy.hedge_after is not None:
                    return await _hedged(session, method, request, headers, ends, session.policy.hedge_after)
                # As `_attempt`, but in this coroutine: one more costs a call as much as its admission.
                connection = session.channels.pool().admit(now, session.rate)
                if connection is None:
                    turn = session.queue(ends)
                    try:
                        await turn
                        connection = await session.admit(ends)
                    except BaseException:
                        turn.leave()
                        raise
                    now = time.monotonic()
                remaining = _remaining(session, ends, now)
                session.counts.attempts += 1
                succeeded = False
                try:
                    raw = await connection.transport.unary(method, request.parts(), headers, remaining)
                    connection.last_answer = time.monotonic()
                    result = request.parse(raw)
                    succeeded = True
                    return result
                except TransportError as error:
                    _explain(error, session, connection, ends, remaining)
                    raise
                finally:
                    connection.leave(succeeded)
            except HeadraceError as error:
                drop_traceback(error)  # one that holds its own frames would live on with them, and with the request
                session.failed(error)
                attempts = attempts or session.attempts(warm_up=warm_up, fresh=False)
                delay = attempts.after(_retryable(error))
                if delay is None:
                    raise
                if warm_up is None and kind_of(error) is Kind.WARMING:
                    ends += delay  # waiting for a deploying model has a budget of its own
                last = error
            session.counts.retries += 1
            await _pause(delay, ends)
            now = time.monotonic()
    except Waited as error:
        session.counts.failures += 1
        label = named(input_id) if input_id else label
        raise CallState(error.doing, last, attempts.number if attempts is not None else 1).deadline_exceeded(
            label, Deadline(ends, seconds), session.channels.target
        ) from last
    except HeadraceError as error:
        session.counts.failures += 1
        if isinstance(error, ServerError):
            error.input_id = error.input_id or input_id or None
        raise


async def _hedged(
    session: Session, method: str, request: Request[T], headers: Metadata, ends: float, after: float
) -> T:
    """Make an attempt, and another one beside it if it takes longer than `after` seconds."""
    from headrace.calls.hedge import hedged  # few clients hedge

    return await hedged(functools.partial(_attempt, session, method, request, headers, ends), after, session)


async def _attempt(session: Session, method: str, request: Request[T], headers: Metadata, ends: float) -> T:
    """Make one of the attempts of a hedged call, which run in tasks of their own.

    Raises:
        Waited: the call's time is over.
        HeadraceError: the attempt failed.
    """
    now = time.monotonic()
    connection = session.channels.pool().admit(now, session.rate)
    if connection is None:
        turn = session.queue(ends)
        try:
            await turn
            connection = await session.admit(ends)
        except BaseException:
            turn.leave()
            raise
        now = time.monotonic()
    remaining = _remaining(session, ends, now)
    session.counts.attempts += 1
    succeeded = False
    try:
        raw = await connection.transport.unary(method, request.parts(), headers, remaining)
        connection.last_answer = time.monotonic()
        result = request.parse(raw)
        succeeded = True
        return result
    except TransportError as error:
        _explain(error, session, connection, ends, remaining)
        raise
    finally:
        connection.leave(succeeded)


def _remaining(session: Session, ends: float, now: float) -> float | None:
    """Return how long an attempt may take that starts now: what remains of its call, or less; None: any time."""
    remaining = ends - now
    limit = session.timeouts.attempt
    if limit is not None and limit < remaining:
        return limit
    return None if remaining == math.inf else remaining if remaining > 0.0 else 0.0


def _explain(
    error: TransportError, session: Session, connection: Connection, ends: float, seconds: float | None
) -> None:
    """Note a failed attempt of `seconds`; if its time was over, raise what that means for the call.

    Raises:
        Waited: the call's time is over.
        DeadlineExceeded: the attempt's own time is over.
    """
    if not isinstance(error, DeadlineExceeded):
        connection.failed(error)
    elif ends - time.monotonic() < CLOCKS:
        raise Waited("waiting for the answer") from None
    elif seconds is not None and seconds == session.timeouts.attempt:
        message = f"{session.channels.target}: one attempt took longer than {seconds:g} s"
        raise DeadlineExceeded(message, target=error.target) from None


def _retryable(error: HeadraceError) -> HeadraceError:
    """An attempt's own timeout, with total time left, is a lost attempt: it may be made again."""
    if isinstance(error, DeadlineExceeded):
        return TransportError(str(error), target=error.target, status=error.status)
    return error


async def _pause(delay: float, ends: float) -> None:
    """Wait before the next attempt.

    Raises:
        Waited: the call's time is over before that.
    """
    remaining = ends - time.monotonic()
    await asyncio.sleep(min(delay, max(0.0, remaining)))
    if delay >= remaining:
        raise Waited(f"waiting {delay:.3g} s to try again")
