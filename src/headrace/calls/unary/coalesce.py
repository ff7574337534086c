"""Concurrent single calls of one kind in one request, without their noticing: micro-batching.

A lane is what may go together: one loop, one model with its parameters and routing (the request's template), the same
metadata and options. A call on an idle lane goes at once; while requests are under way calls gather, and go out
together when one is done. Each call keeps its own answer, error, timeout and cancel.

One future a call, one task a request.
"""

from __future__ import annotations

import asyncio
import copy
import math
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import replace

from headrace import events
from headrace.calls.batching import Packing, Room
from headrace.calls.deadline import Deadline
from headrace.calls.session import Counts, Phase, Session
from headrace.calls.unary.lists import predict_many, predict_one
from headrace.config import Coalesce, Limits
from headrace.errors import ConfigError, HeadraceError, ServerError
from headrace.inputs import Input
from headrace.results import Prediction
from headrace.transport.base import Metadata

GRACE = 1.0  # seconds that a request may take longer than its calls: each of these has its own words for a timeout


class Coalescer:
    """Sends single inputs, those of concurrent calls together; called as `predict_one` is."""

    def __init__(self, settings: Coalesce, limits: Limits) -> None:
        self.settings = settings
        self.limits = limits
        self.packing = Packing(
            min(settings.inputs, limits.inputs_per_request),
            min(settings.bytes, limits.request_bytes),
            limits.videos_per_request,
            settings.wait,
        )
        self._lanes: dict[Hashable, _Lane] = {}

    def __repr__(self) -> str:
        return f"<Coalescer {len(self._lanes)} lanes>"

    async def __call__(
        self,
        session: Session,
        head: bytes,
        item: Input,
        *,
        timeout: float | Deadline | None,
        warm_up: float | None = None,
        metadata: Metadata = (),
    ) -> Prediction:
        """Send one input, loaded and checked, with an id, maybe together with others.

        Raises:
            HeadraceError: the input's error.
        """
        size = item.size_bytes
        if len(head) + size >= self.packing.bytes:  # it fills a request by itself
            return await predict_one(session, head, item, timeout=timeout, warm_up=warm_up, metadata=metadata)
        loop = asyncio.get_running_loop()
        key = (id(loop), id(session), head, metadata)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(self, session, head, metadata, lambda: self._lanes.pop(key, None))
        deadline = timeout.copy() if isinstance(timeout, Deadline) else Deadline.after(timeout)
        call = _Call(item, size, deadline, warm_up, loop.create_future())
        session.counts.calls += 1
        lane.join(call)
        try:
            return await call.answer
        except asyncio.CancelledError:
            lane.leave(call)
            raise

    async def close(self) -> None:
        """Wait for the requests of the running loop, whose connections are closed already."""
        loop = asyncio.get_running_loop()
        tasks = [task for lane in list(self._lanes.values()) for task in lane.tasks if task.get_loop() is loop]
        if tasks:
            await asyncio.wait(tasks)


class _Call:
    """One call that waits for its answer."""

    __slots__ = ("answer", "deadline", "item", "over", "request", "size", "warm_up")

    def __init__(
        self,
        item: Input,
        size: int,
        deadline: Deadline,
        warm_up: float | None,
        answer: asyncio.Future[Prediction],
    ) -> None:
        self.item = item
        self.size = size
        self.deadline = deadline
        self.warm_up = warm_up
        self.answer = answer
        self.request: _Request | None = None
        self.over = False  # answered, failed, timed out or cancelled


class _Request:
    """The calls that go out together."""

    __slots__ = ("calls", "left", "task")

    def __init__(self) -> None:
        self.calls: list[_Call] = []
        self.left = 0  # those that still wait
        self.task: asyncio.Task[None] | None = None

    def fill(self, calls: list[_Call]) -> None:
        """Take calls in."""
        self.calls = calls
        self.left = len(calls)
        for call in calls:
            call.request = self


class _Heard(events.Emitter):
    """Passes events on, and tells of waiting for a deploying model, which is on no call's own time."""

    __slots__ = ("_emit", "_warming")

    def __init__(self, emit: events.Emitter, warming: Callable[[float], None]) -> None:
        super().__init__()
        self._emit = emit
        self._warming = warming

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.WarmUp):
            self._warming(event.delay)
        self._emit(event)


class _Lane:
    """Calls that may go together: those that wait, and the requests under way."""

    def __init__(
        self,
        coalescer: Coalescer,
        session: Session,
        head: bytes,
        metadata: Metadata,
        idle: Callable[[], object],
    ) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self._coalescer = coalescer
        self._packing = coalescer.packing
        self._most = coalescer.settings.requests
        self._session = session
        self._head = head
        self._metadata = metadata
        self._idle = idle
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Call] = deque()
        self._waiting_bytes = 0
        self._requests: set[_Request] = set()
        self._starting: asyncio.TimerHandle | asyncio.Task[None] | None = None  # what will take those that wait
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf

    def join(self, call: _Call) -> None:
        """Take in a call."""
        self._waiting.append(call)
        self._waiting_bytes += call.size
        if call.deadline.at < self._timer_at:
            self._arm(call.deadline.at)
        packing = self._packing
        if len(self._waiting) >= packing.inputs or self._waiting_bytes >= packing.bytes:
            self._launch(self._take())
        elif self._starting is None and len(self.tasks) < self._most:
            self._starting = self._loop.call_later(packing.wait, self._launch) if packing.wait else self._launch()

    def leave(self, call: _Call) -> None:
        """Let a call go: it is not sent any more, or its answer is thrown away."""
        if call.over:
            return
        self._settle(call)
        if call.request is None:
            self._waiting.remove(call)
            self._waiting_bytes -= call.size
        elif not call.request.left and call.request.task is not None:
            call.request.task.cancel()  # nobody waits for it

    def _settle(self, call: _Call) -> None:
        call.over = True
        if call.request is not None:
            call.request.left -= 1

    def _launch(self, calls: list[_Call] | None = None) -> asyncio.Task[None]:
        """Start a request with these calls, or with those that wait once its task begins: all of one turn go along."""
        request = _Request()
        if calls is not None:
            request.fill(calls)
        elif isinstance(self._starting, asyncio.TimerHandle):
            self._starting.cancel()
        request.task = task = self._loop.create_task(self._run(request), name="headrace-coalesce")
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
                call.answer.cancel()
            raise
        except Exception as error:
            for call in request.calls:
                self._fail(call, error)

    def _ended(self, request: _Request, task: asyncio.Task[None]) -> None:
        """Send what has gathered meanwhile; give the lane up where nothing has."""
        self.tasks.discard(task)
        self._requests.discard(request)
        if self._starting is task:
            self._starting = None  # it was cancelled before it began
        if self._waiting:
            if not isinstance(self._starting, asyncio.Task):
                self._launch()
        elif not self.tasks:
            for handle in (self._timer, self._starting):
                if isinstance(handle, asyncio.TimerHandle):
                    handle.cancel()
            self._idle()

    def _take(self) -> list[_Call]:
        """Take the calls of one request."""
        found: list[_Call] = []
        ids: set[str] = set()
        room = Room(self._packing, len(self._head))
        waiting = self._waiting
        while waiting and len(found) < self._packing.inputs:
            call = waiting[0]
            if call.item.id in ids or not room.take(call.item, call.size):
                break
            ids.add(call.item.id)
            found.append(waiting.popleft())
            self._waiting_bytes -= call.size
        return found

    async def _send_one(self, call: _Call) -> None:
        """Send a call that found no company as if there were no lanes."""
        deadline, call.deadline = call.deadline, Deadline.after(None)  # it keeps its own time from here on
        session = self._session
        session.counts.calls -= 1  # it is counted again
        try:
            prediction = await predict_one(
                session, self._head, call.item, timeout=deadline, warm_up=call.warm_up, metadata=self._metadata
            )
        except HeadraceError as error:
            session.counts.failures -= 1  # as above
            self._fail(call, error)
            return
        if not call.over:
            self._settle(call)
            call.answer.set_result(prediction)

    async def _send(self, request: _Request) -> None:
        calls = request.calls
        counts, shared = Counts(), self._session.counts

        def counted() -> None:
            shared.attempts += counts.attempts
            shared.retries += counts.retries
            counts.attempts = counts.retries = 0

        def deliver(position: int, prediction: Prediction) -> None:
            counted()
            call = calls[position]
            if prediction.error is not None:
                self._fail(call, prediction.error)
            elif not call.over:
                self._settle(call)
                prediction.position = 0
                call.answer.set_result(prediction)

        def warming(delay: float) -> None:
            for call in calls:
                if call.warm_up is None:
                    call.deadline.extend(delay)

        latest = max(call.deadline.at for call in calls)
        try:
            await predict_many(
                replace(self._session, counts=counts, emit=_Heard(self._session.emit, warming)),
                self._head,
                {position: call.item for position, call in enumerate(calls)},
                self._coalescer.limits,
                deadline=Deadline(latest + GRACE, latest + GRACE - time.monotonic()),
                warm_up=None if any(call.warm_up is None for call in calls) else math.inf,
                metadata=self._metadata,
                deliver=deliver,
                wanted=lambda position: not calls[position].over,
                packed=True,
            )
        finally:
            counted()

    def _fail(self, call: _Call, error: Exception) -> None:
        """Give a call its error: one of its own, as several may be raised from one failure."""
        if call.over:
            return
        self._settle(call)
        if isinstance(error, HeadraceError):
            self._session.counts.failures += 1
            error = copy.copy(error)
        if isinstance(error, ServerError):
            error.input_id = error.input_id or call.item.id
        call.answer.set_exception(error)

    # --- time

    def _arm(self, when: float) -> None:
        """Set the lane's one timer to the first deadline."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = when
        if when != math.inf:
            self._timer = self._loop.call_later(max(0.0, when - time.monotonic()), self._expire)

    def _expire(self) -> None:
        now, first = time.monotonic(), math.inf
        for call in [*self._waiting, *(call for request in self._requests for call in request.calls)]:
            if call.over:
                continue
            if call.deadline.at > now:
                first = min(first, call.deadline.at)
                continue
            phase = Phase("waiting for its turn" if call.request is None else "waiting for the answer")
            self._session.counts.failures += 1
            self.leave(call)
            call.answer.set_exception(
                phase.deadline_exceeded(f"input {call.item.id}", call.deadline, self._session.channels.target)
            )
        self._arm(first)


def coalescer(coalesce: Coalesce | bool, limits: Limits) -> Coalescer | None:
    """Make what a client's `coalesce` asks for, or None.

    Raises:
        ConfigError: it is neither a bool nor a `Coalesce`.
    """
    if not isinstance(coalesce, Coalesce | bool):
        raise ConfigError(f"coalesce must be True, False or headrace.Coalesce(...), not {coalesce!r:.60}")
    return Coalescer(Coalesce() if coalesce is True else coalesce, limits) if coalesce else None


__all__ = ["Coalescer", "coalescer"]
