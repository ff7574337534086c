"""Calls that may share requests: those that wait, and the requests in flight.

A call on an idle queue goes immediately; while requests are in flight calls are batched, and go when one is done.
One future a call, one task a request.
"""

from __future__ import annotations

import asyncio
import copy
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from headrace import events
from headrace.calls.batching import BatchLimits, BatchSpace
from headrace.calls.deadline import Deadline
from headrace.calls.retry import Attempts
from headrace.calls.session import CallState, Counts, Session
from headrace.calls.unary.lists import predict_many
from headrace.calls.unary.single import predict_one
from headrace.config import Limits
from headrace.emitter import Emitter
from headrace.errors import ClosedError, HeadraceError, ServerError
from headrace.inputs.prepared import Prepared
from headrace.results import Prediction
from headrace.support.ids import named
from headrace.transport.base import Metadata

GRACE = 1.0  # seconds that a request may take longer than its calls, so that each call's own timeout error comes first
STILL = 0.05  # seconds that a timer may be late; beyond that the loop was blocked, and answers may have arrived
SECOND_LOOK = 0.02  # seconds that these get to be delivered


class QueuedCall:
    """One call that waits for its answer."""

    __slots__ = ("answer", "deadline", "item", "request", "settled", "size", "warm_up")

    def __init__(
        self,
        item: Prepared,
        size: int,
        deadline: Deadline,
        warm_up: float | None,
        answer: asyncio.Future[Prediction],
    ) -> None:
        self.item: Prepared = item
        self.size: int = size
        self.deadline: Deadline = deadline
        self.warm_up: float | None = warm_up
        self.answer: asyncio.Future[Prediction] = answer
        self.request: _Request | None = None
        self.settled: bool = False

    @property
    def over(self) -> bool:
        """Whether nobody waits: it has its answer or error, or its caller was cancelled."""
        return self.settled or self.answer.done()


class _Request:
    """The calls that go out together."""

    __slots__ = ("calls", "remaining", "task")

    def __init__(self) -> None:
        self.calls: list[QueuedCall] = []
        self.remaining: int = 0  # those that are not settled
        self.task: asyncio.Task[None] | None = None

    def fill(self, calls: list[QueuedCall]) -> None:
        """Take calls in."""
        self.calls = calls
        self.remaining = len(calls)
        for call in calls:
            call.request = self


class _WarmUpListener(Emitter):
    """Passes events on, and notes waiting for a deploying model, which counts in no call's timeout."""

    __slots__ = ("_emit", "_warming")

    def __init__(self, emit: Emitter, warming: Callable[[float], None]) -> None:
        super().__init__()
        self._emit = emit
        self._warming = warming

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.WarmUp):
            self._warming(event.delay)
        self._emit(event)


class BatchQueue:
    """Calls that may go together.

    Args:
        batching: what fits into a request.
        max_in_flight: requests in flight at which calls start to be batched.
        on_idle: called when nothing waits and nothing is in flight.

    Attributes:
        tasks: those of the requests in flight.
    """

    def __init__(
        self,
        batching: BatchLimits,
        max_in_flight: int,
        limits: Limits,
        session: Session,
        head: bytes,
        metadata: Metadata,
        *,
        on_idle: Callable[[], object],
    ) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self._batching = batching
        self._max_in_flight = max_in_flight
        self._limits = limits
        self._session = session
        self._head = head
        self._metadata = metadata
        self._on_idle = on_idle
        self._waiting: deque[QueuedCall] = deque()
        self._waiting_bytes = 0
        self._requests: set[_Request] = set()
        self._starting: asyncio.TimerHandle | asyncio.Task[None] | None = (
            None  # the task that will send the waiting calls
        )
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._looked_again = False

    def join(self, call: QueuedCall) -> None:
        """Queue a call."""
        self._waiting.append(call)
        self._waiting_bytes += call.size
        if call.deadline.at < self._timer_at:
            self._arm(call.deadline.at)
        batching = self._batching
        if len(self._waiting) >= batching.inputs or self._waiting_bytes >= batching.bytes:
            self._launch(self._take())
        elif self._starting is None and len(self.tasks) < self._max_in_flight:
            self._starting = self.loop.call_later(batching.wait, self._launch) if batching.wait else self._launch()

    def leave(self, call: QueuedCall) -> None:
        """Drop a call whose caller was cancelled: it is not sent any more, or its answer is discarded."""
        if self._settle(call):
            self._cancel_if_unwanted(call.request)

    def close(self) -> None:
        """Fail the waiting calls."""
        while self._waiting:
            self._finish(self._waiting[0], ClosedError("the client is closed"))
        self._idle_if_empty()

    # --- the end of a call

    def _finish(self, call: QueuedCall, outcome: Prediction | Exception) -> None:
        """End a call with its prediction or error, unless it is over; the only place that does."""
        waited = not call.answer.done()  # otherwise its caller was cancelled, and leaves in its next step
        if not self._settle(call) or not waited:
            return
        if isinstance(outcome, Prediction):
            outcome.position = 0
            call.answer.set_result(outcome)
            return
        if isinstance(outcome, HeadraceError):
            self._session.counts.failures += 1
            outcome = copy.copy(outcome)  # one of its own, as several may be raised from one failure
        if isinstance(outcome, ServerError):
            outcome.input_id = outcome.input_id or call.item.id
        call.answer.set_exception(outcome)

    def _settle(self, call: QueuedCall) -> bool:
        """Remove a call; False if it was settled before."""
        if call.settled:
            return False
        call.settled = True
        if call.request is not None:
            call.request.remaining -= 1
        else:
            self._waiting.remove(call)
            self._waiting_bytes -= call.size
        return True

    def _cancel_if_unwanted(self, request: _Request | None) -> None:
        if request is not None and not request.remaining and request.task is not None:
            request.task.cancel()

    # --- requests

    def _launch(self, calls: list[QueuedCall] | None = None) -> asyncio.Task[None]:
        """Start a request with these calls, or with those waiting when its task begins: all of one loop turn."""
        request = _Request()
        if calls is not None:
            request.fill(calls)
        elif isinstance(self._starting, asyncio.TimerHandle):
            self._starting.cancel()
        request.task = task = self.loop.create_task(self._run(request), name="headrace-coalesce")
        if calls is None:
            self._starting = task
        self._requests.add(request)
        self.tasks.add(task)
        task.add_done_callback(lambda _: self._ended(request, task))
        return task

    async def _run(self, request: _Request) -> None:
        if self._starting is request.task:
            self._starting = None
        if not request.calls:
            request.fill(self._take())
        if not request.calls:
            return
        try:
            await (self._send(request) if len(request.calls) > 1 else self._send_one(request.calls[0]))
        except asyncio.CancelledError:
            for call in request.calls:
                self._finish(call, ClosedError("the client was closed during the call"))
            raise
        except Exception as error:
            for call in request.calls:
                self._finish(call, error)

    def _ended(self, request: _Request, task: asyncio.Task[None]) -> None:
        """Send the calls that have been queued meanwhile; drop the queue if there are none."""
        if request.remaining:  # it was cancelled before its first step
            for call in request.calls:
                self._finish(call, ClosedError("the client was closed during the call"))
        self.tasks.discard(task)
        self._requests.discard(request)
        if self._starting is task:
            self._starting = None  # it was cancelled before it began
        if self._waiting and not isinstance(self._starting, asyncio.Task):
            self._launch()
        self._idle_if_empty()

    def _idle_if_empty(self) -> None:
        if self._waiting or self.tasks:
            return
        for handle in (self._timer, self._starting):
            if isinstance(handle, asyncio.TimerHandle):
                handle.cancel()
        self._timer = self._starting = None
        self._timer_at = math.inf
        self._on_idle()

    def _take(self) -> list[QueuedCall]:
        """Take the calls of one request."""
        batch: list[QueuedCall] = []
        ids: set[str] = set()
        space = BatchSpace(self._batching, len(self._head))
        waiting = self._waiting
        while waiting and len(batch) < self._batching.inputs:
            call = waiting[0]
            if call.over:  # its caller was cancelled in this turn of the loop
                self._settle(call)
                continue
            if call.item.id in ids or not space.take(call.item):
                break
            ids.add(call.item.id)
            call.item.position = len(batch)
            batch.append(waiting.popleft())
            self._waiting_bytes -= call.size
        return batch

    async def _send_one(self, call: QueuedCall) -> None:
        """Send a call that is alone in its batch as if there was no queue."""
        deadline, call.deadline = (
            call.deadline,
            Deadline.after(None),
        )  # `predict_one` enforces the deadline from here on
        session = self._session
        session.counts.calls -= 1  # it is counted again
        try:
            prediction = await predict_one(
                session, self._head, call.item, timeout=deadline, warm_up=call.warm_up, metadata=self._metadata
            )
        except HeadraceError as error:
            session.counts.failures -= not call.over  # as above
            self._finish(call, error)
            return
        self._finish(call, prediction)

    async def _send(self, request: _Request) -> None:
        calls = request.calls
        counts, shared = Counts(), self._session.counts

        def count() -> None:
            shared.attempts += counts.attempts
            shared.retries += counts.retries
            counts.attempts = counts.retries = 0

        def deliver(predictions: Sequence[Prediction]) -> None:
            count()
            for prediction in predictions:
                self._finish(calls[prediction.position], prediction.error or prediction)

        def attempts_of(position: int) -> Attempts:
            call = calls[position]
            emit = _WarmUpListener(self._session.emit, lambda delay: _extend([call], delay))
            return replace(self._session, emit=emit).attempts(warm_up=call.warm_up, fresh=False)

        latest = max(call.deadline.at for call in calls)
        emit = _WarmUpListener(self._session.emit, lambda delay: _extend(calls, delay))
        try:
            await predict_many(
                replace(self._session, counts=counts, emit=emit),
                self._head,
                [call.item for call in calls],
                self._limits,
                deadline=Deadline(latest + GRACE, latest + GRACE - time.monotonic()),
                warm_up=None if any(call.warm_up is None for call in calls) else math.inf,
                metadata=self._metadata,
                deliver=deliver,
                is_open=lambda position: not calls[position].over,
                attempts_of=attempts_of,
                packed=True,
            )
        finally:
            count()

    # --- time

    def _arm(self, when: float) -> None:
        """Set the queue's one timer to the first deadline."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = when
        if when != math.inf:
            self._timer = self.loop.call_later(max(0.0, when - time.monotonic()), self._expire)

    def _expire(self) -> None:
        """Fail the calls whose deadline has passed; after a blocked loop, arrived answers are delivered first."""
        now, first = time.monotonic(), math.inf
        if now - self._timer_at > STILL and not self._looked_again:
            self._looked_again = True
            self._arm(now + SECOND_LOOK)
            return
        self._looked_again = False
        for call in [*self._waiting, *(call for request in self._requests for call in request.calls)]:
            if call.over:
                continue
            if call.deadline.at > now:
                first = min(first, call.deadline.at)
                continue
            phase = CallState("waiting for its turn" if call.request is None else "waiting for the answer")
            target = self._session.channels.target
            self._finish(call, phase.deadline_exceeded(named(call.item.id), call.deadline, target))
            self._cancel_if_unwanted(call.request)
        self._arm(first)


def _extend(calls: list[QueuedCall], seconds: float) -> None:
    """Extend the deadlines of calls without their own timeout while a model is deployed."""
    for call in calls:
        if call.warm_up is None:
            call.deadline.extend(seconds)


__all__ = ["BatchQueue", "QueuedCall"]
