"""Unary calls: one message each way, with queueing, attempts and waits under one deadline."""

from __future__ import annotations

import asyncio
import functools
import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from headrace.calls.deadline import Deadline
from headrace.calls.hedge import hedged
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
    *,
    metadata: Metadata = (),
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
    now = time.monotonic()
    headers = (*session.metadata, *metadata) if metadata else session.metadata
    session.counts.calls += 1
    session.budget.called()
    if isinstance(timeout, Deadline):
        ends, seconds = timeout.at, timeout.seconds
    else:
        seconds = math.inf if timeout is None else timeout
        ends = now + seconds
    hedge_after = session.policy.hedge_after
    attempts: Attempts | None = None
    last: HeadraceError | None = None
    try:
        while True:
            try:
                if hedge_after is None:
                    connection = session.admit_nowait(now)
                    if connection is None:
                        turn = session.queue(ends)
                        try:
                            await turn  # in no coroutine of its own: many calls may wait
                            connection = await session.admit(ends)
                        except BaseException:
                            turn.leave()
                            raise
                        now = time.monotonic()
                    return await _attempt(session, connection, method, request, headers, ends, now)
                return await hedged(
                    functools.partial(_admitted, session, method, request, headers, ends), hedge_after, session
                )
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
        state = CallState(error.doing, last, attempts.number if attempts is not None else 1)
        label = named(input_id) if input_id else label
        raise state.deadline_exceeded(label, Deadline(ends, seconds), session.channels.target) from last
    except HeadraceError as error:
        session.counts.failures += 1
        if isinstance(error, ServerError):
            error.input_id = error.input_id or input_id or None
        raise


async def _admitted(session: Session, method: str, request: Request[T], headers: Metadata, ends: float) -> T:
    """Make an attempt, once it is admitted."""
    connection = session.admit_nowait(time.monotonic())
    if connection is None:
        turn = session.queue(ends)
        try:
            await turn
            connection = await session.admit(ends)
        except BaseException:
            turn.leave()
            raise
    return await _attempt(session, connection, method, request, headers, ends, time.monotonic())


async def _attempt(
    session: Session,
    connection: Connection,
    method: str,
    request: Request[T],
    headers: Metadata,
    ends: float,
    now: float,
) -> T:
    """Make an attempt that has been admitted; only the answer is awaited, and the transport enforces the deadline.

    Args:
        now: `time.monotonic`, which the caller has at hand.

    Raises:
        Waited: the call's time is over.
        HeadraceError: the attempt failed.
    """
    timeout = None if ends == math.inf else ends - now if ends > now else 0.0
    limit = session.timeouts.attempt
    if limit is not None and (timeout is None or limit < timeout):
        timeout = limit
    session.counts.attempts += 1
    succeeded = False
    try:
        raw = await connection.transport.unary(method, request.parts(), headers, timeout)
        connection.last_answer = time.monotonic()
        result = request.parse(raw)
        succeeded = True
        return result
    except DeadlineExceeded as error:
        if ends - time.monotonic() < CLOCKS:
            raise Waited("waiting for the answer") from None
        if timeout is not limit:
            raise
        message = f"{session.channels.target}: one attempt took longer than {limit:g} s"
        raise DeadlineExceeded(message, target=error.target) from None
    except TransportError as error:
        connection.failed(error)
        raise
    finally:
        connection.leave(succeeded)


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
