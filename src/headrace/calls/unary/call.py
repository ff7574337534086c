"""Unary calls: one message each way, with queueing, attempts and waits under one deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from headrace.calls.deadline import Deadline
from headrace.calls.hedge import hedged
from headrace.calls.session import Phase, Session
from headrace.channels.manager import Connection
from headrace.errors import ConnectFailed, DeadlineExceeded, HeadraceError, ServerError, TransportError, frameless
from headrace.status import Kind, kind_of
from headrace.transport.base import Buffer, Metadata

T = TypeVar("T")


async def unary(
    session: Session,
    method: str,
    parts: Sequence[Buffer],
    judge: Callable[[bytes], T],
    *,
    metadata: Metadata = (),
    timeout: float | Deadline | None,
    warm_up: float | None = None,
    what: str = "the call",
    input_id: str = "",
) -> T:
    """Make a call until it succeeds, fails for good, or its deadline is over.

    Args:
        parts: the request message, in parts.
        judge: turns the response into the result, or raises a `ServerError`, which may be retried.
        timeout: seconds for everything: waiting for a turn, attempts, waits between them; or a deadline that has
            begun already (it stays as it is). None: no limit, but for the transport's own.
        warm_up: seconds that waiting for a deploying model may take, within the timeout; None: the configured budget,
            on top of the timeout.
        what: the call's name in messages.
        input_id: of the one input that it is for, which names it too.

    Raises:
        DeadlineExceeded: the timeout is over; the message says what it was doing, the cause is the last failure.
        HeadraceError: the failure that was final.
    """
    began = time.monotonic()
    headers = (*session.metadata, *metadata) if metadata else session.metadata
    session.counts.calls += 1
    session.budget.called()
    failure: HeadraceError | None = None
    connection = session.at_once()
    left = timeout.or_none if isinstance(timeout, Deadline) else timeout
    placed = False
    if connection is None and (line := session.line()) is not None:
        try:
            await line.acquire(left)
        except TimeoutError:
            session.counts.failures += 1
            over = timeout if isinstance(timeout, Deadline) else Deadline.after(timeout, began)
            what = f"input {input_id}" if input_id else what
            raise Phase().deadline_exceeded(what, over, session.channels.target) from None
        connection = session.after_line(line)
        placed = connection is None
        if left is not None:
            left = max(0.0, left - (time.monotonic() - began))
    if connection is not None:  # nothing to wait for but the answer, and for that the transport keeps the time
        limit = session.timeouts.attempt
        if limit is not None and (left is None or limit < left):
            left = limit
        session.counts.attempts += 1
        try:
            raw = await connection.transport.unary(method, parts, headers, left)
            connection.last_answer = time.monotonic()
            return judge(raw)
        except HeadraceError as error:
            failure = frameless(_noted(error, session, connection, left))
        finally:
            connection.leave(failure is None)
    phase = Phase("waiting for the answer", failed=failure) if failure is not None else Phase(placed=placed)
    failure = None  # an error that holds its own frame would live on with it, and with the request
    if input_id:
        what = f"input {input_id}"
    try:
        # A copy: waiting for a deploying model may extend it.
        deadline = timeout.copy() if isinstance(timeout, Deadline) else Deadline.after(timeout, began)
        return await _patiently(session, method, parts, judge, headers, deadline, warm_up, what, phase)
    except HeadraceError as error:
        session.counts.failures += 1
        if isinstance(error, ServerError):
            error.input_id = error.input_id or input_id or None
        raise


async def _patiently(
    session: Session,
    method: str,
    parts: Sequence[Buffer],
    judge: Callable[[bytes], T],
    headers: Metadata,
    deadline: Deadline,
    warm_up: float | None,
    what: str,
    phase: Phase,
) -> T:
    """Make the call with all that it may have to wait for."""
    try:
        async with asyncio.timeout(deadline.or_none) as scope:

            def warming(delay: float) -> None:
                if warm_up is None:  # waiting for a deploying model has a budget of its own
                    deadline.extend(delay)
                    if (left := deadline.or_none) is not None:
                        scope.reschedule(asyncio.get_running_loop().time() + left)

            return await _attempt_until_done(session, method, parts, judge, headers, deadline, warm_up, phase, warming)
    except TimeoutError as error:
        if isinstance(error, HeadraceError) and not _over(deadline):
            raise  # an attempt's own timeout, final
        raise phase.deadline_exceeded(what, deadline, session.channels.target) from phase.last


async def _attempt_until_done(
    session: Session,
    method: str,
    parts: Sequence[Buffer],
    judge: Callable[[bytes], T],
    headers: Metadata,
    deadline: Deadline,
    warm_up: float | None,
    phase: Phase,
    warming: Callable[[float], None],
) -> T:
    """Make attempts until one is final."""
    attempts = session.attempts(warm_up=warm_up, fresh=False)
    hedge_after = session.policy.hedge_after
    while True:
        phase.attempt = attempts.made
        try:
            if phase.failed is not None:
                error, phase.failed = phase.failed, None
                raise error
            if hedge_after is None:
                return await _attempt(session, method, parts, judge, headers, deadline, phase)
            return await hedged(
                lambda: _attempt(session, method, parts, judge, headers, deadline, phase), hedge_after, session
            )
        except HeadraceError as error:
            session.failed(error)
            delay = attempts.after(_retryable(error, deadline))
            if delay is None:
                raise
            phase.last = frameless(error)
            if kind_of(error) is Kind.WARMING:
                warming(delay)
        session.counts.retries += 1
        phase.doing = f"waiting {delay:.3g} s to try again"
        await asyncio.sleep(delay)


async def _attempt(
    session: Session,
    method: str,
    parts: Sequence[Buffer],
    judge: Callable[[bytes], T],
    headers: Metadata,
    deadline: Deadline,
    phase: Phase,
) -> T:
    phase.doing = "waiting for its turn"
    concurrency = session.channels.home().concurrency
    if phase.placed:
        phase.placed = False
    else:
        await concurrency.acquire()
    try:
        await session.turn()
        connection = await session.channels.acquire()
        try:
            phase.doing = "connecting"
            await connection.connect()
            phase.doing = "waiting for the answer"
            result = judge(await _send(session, connection, method, parts, headers, deadline.or_none))
            concurrency.succeeded()
            return result
        finally:
            connection.release()
    finally:
        concurrency.release()


async def _send(
    session: Session,
    connection: Connection,
    method: str,
    parts: Sequence[Buffer],
    headers: Metadata,
    left: float | None,
) -> bytes:
    session.counts.attempts += 1
    limit = session.timeouts.attempt
    if limit is not None and (left is None or limit < left):
        left = limit
    try:
        raw = await connection.transport.unary(method, parts, headers, left)
    except TransportError as error:
        raise _noted(error, session, connection, left) from None
    connection.answered()
    return raw


def _noted(error: HeadraceError, session: Session, connection: Connection, seconds: float | None) -> HeadraceError:
    """Note what an attempt's failure says of its connection; one whose own time was over says so."""
    if not isinstance(error, TransportError):
        return error
    if error.unprocessed and not isinstance(error, ConnectFailed):
        connection.refused()
    if isinstance(error, DeadlineExceeded) and seconds is not None and seconds == session.timeouts.attempt:
        return DeadlineExceeded(
            f"{session.channels.target}: one attempt took longer than {seconds:g} s", target=error.target
        )
    return error


def _retryable(error: HeadraceError, deadline: Deadline) -> HeadraceError:
    """An attempt's own timeout, with total time left, is a lost attempt: it may be made again."""
    if isinstance(error, DeadlineExceeded) and not _over(deadline):
        return TransportError(str(error), target=error.target, status=error.status)
    return error


def _over(deadline: Deadline) -> bool:
    """Whether the total time is over, by a clock that may be a little behind the transport's."""
    return deadline.remaining < 0.005
