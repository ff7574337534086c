"""Micro-batching: concurrent single calls of one kind share a request.

What may go together shares a `BatchQueue`: one loop, one model with its parameters and routing (the request's
template), the same metadata and options. Each call keeps its own answer, error, timeout and cancel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

from headrace.calls.batching import BatchLimits
from headrace.calls.deadline import Deadline
from headrace.calls.session import Session
from headrace.calls.unary.batch_queue import BatchQueue, QueuedCall
from headrace.calls.unary.single import predict_one
from headrace.config import Coalesce, Limits
from headrace.errors import ConfigError
from headrace.inputs.prepared import Prepared
from headrace.results import Prediction
from headrace.transport.base import Metadata

SETTLING = 0.05  # seconds in which answered requests finish; others wait to be sent again


class Coalescer:
    """Sends single inputs, batching those of concurrent calls; a drop-in for `predict_one`."""

    def __init__(self, settings: Coalesce, limits: Limits) -> None:
        self.settings = settings
        self.limits = limits
        self.batching: BatchLimits = BatchLimits(
            min(settings.inputs, limits.inputs_per_request),
            min(settings.bytes, limits.request_bytes),
            limits.videos_per_request,
            settings.wait,
        )
        self._queues: dict[Hashable, BatchQueue] = {}

    def __repr__(self) -> str:
        return f"<Coalescer {len(self._queues)} queues>"

    async def __call__(
        self,
        session: Session,
        head: bytes,
        item: Prepared,
        metadata: Metadata,
        timeout: float | Deadline | None,
        warm_up: float | None,
    ) -> Prediction:
        """Send one input, loaded and checked, with an id, maybe together with others.

        Raises:
            HeadraceError: the input's error.
        """
        size = item.size_bytes
        if len(head) + size >= self.batching.bytes:  # it fills a request by itself
            return await predict_one(session, head, item, metadata, timeout, warm_up)
        loop = asyncio.get_running_loop()
        key = (id(loop), id(session), head, metadata)
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = BatchQueue(
                self.batching,
                self.settings.requests,
                self.limits,
                session,
                head,
                metadata,
                on_idle=lambda: self._queues.pop(key, None),
            )
        deadline = timeout.copy() if isinstance(timeout, Deadline) else Deadline.after(timeout)
        call = QueuedCall(item, size, deadline, warm_up, loop.create_future())
        session.counts.calls += 1
        queue.join(call)
        try:
            return await call.answer
        except asyncio.CancelledError:
            queue.leave(call)
            raise

    async def close(self, grace: float) -> None:
        """End the calls of the running loop, whose connections are closed already, within `grace` seconds.

        Answers that arrived are delivered; calls that wait, also for another attempt, fail with `ClosedError`.
        """
        loop = asyncio.get_running_loop()
        queues = [queue for queue in list(self._queues.values()) if queue.loop is loop]
        for queue in queues:
            queue.close()
        tasks = [task for queue in queues for task in queue.tasks]
        if tasks:
            _, asleep = await asyncio.wait(tasks, timeout=min(grace, SETTLING))
            for task in asleep:
                task.cancel()
            if asleep:
                await asyncio.wait(asleep, timeout=grace)


def coalescer(coalesce: Coalesce | bool, limits: Limits) -> Coalescer | None:
    """Make the settings for a client's `coalesce`, or None.

    Raises:
        ConfigError: it is neither a bool nor a `Coalesce`.
    """
    if not isinstance(coalesce, Coalesce | bool):
        raise ConfigError(f"coalesce must be True, False or headrace.Coalesce(...), not {coalesce!r:.60}")
    return Coalescer(Coalesce() if coalesce is True else coalesce, limits) if coalesce else None


__all__ = ["Coalescer", "coalescer"]
