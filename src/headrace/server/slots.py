"""The slots of one model: a limited number of calls works at a time, a bounded number waits, none works forever.

A method that hangs is abandoned after a timeout: its input fails, its slot and its thread are replaced, and waiting
calls go on. A thread cannot be ended from outside, so it stays until the method returns.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from typing import Any

from headrace.server.envelope import PREDICTION_FAILED, QUEUE_FULL
from headrace.server.model import ModelError
from headrace.server.threads import Workers

MAX_WAITING = 8192  # inputs of one model that wait for a slot
TIMEOUT = 900.0  # seconds that a call may work without giving anything


class Watch:
    """How long a call has worked since it last gave or took something; used in the loop and in threads."""

    def __init__(self) -> None:
        self._since: float | None = None

    def pause(self) -> None:
        """Stop the clock: it waits for an item, or for its answer to be taken."""
        self._since = None

    def resume(self) -> None:
        """Now it works."""
        self._since = time.monotonic()

    def seconds(self, now: float) -> float:
        """Return how long it has worked."""
        since = self._since
        return 0.0 if since is None else now - since


class _Work:
    """A call that holds a slot: a task of the loop, or a job of a thread whose answer is waited for."""

    __slots__ = ("answer", "job", "overdue", "task", "watch")

    def __init__(self, watch: Watch | None, task: asyncio.Task[Any] | None = None) -> None:
        self.watch = watch or Watch()
        self.watch.resume()
        self.task = task
        self.answer: asyncio.Future[Any] | None = None
        self.job: Future[Any] | None = None
        self.overdue = False


class Slots:
    """Slots for calls of one model, on the event loop and in threads.

    Args:
        model_id: for messages and names of threads.
        size: calls that work at a time.
        timeout: seconds that each may work without giving anything.
    """

    def __init__(self, model_id: str, size: int, timeout: float = TIMEOUT) -> None:
        self.timeout = timeout
        self._model_id = model_id
        self._free = asyncio.Semaphore(size)
        self._waiting = 0
        self._workers = Workers(f"model-{model_id}", size)
        self._working: set[_Work] = set()
        self._timer: asyncio.TimerHandle | None = None

    @contextlib.asynccontextmanager
    async def hold(self, watch: Watch | None = None) -> AsyncIterator[None]:
        """Hold a slot while the block runs on the loop.

        Raises:
            ModelError: 40030 too many wait, 21313 the block worked for too long, and was cancelled.
        """
        await self._acquire()
        task = asyncio.current_task()
        assert task is not None
        work = _Work(watch, task)
        self._begin(work)
        try:
            yield
        except asyncio.CancelledError:
            if work.overdue and not task.uncancel():
                raise self._overdue() from None
            raise
        finally:
            self._end(work)
            self._free.release()

    async def run(self, function: Callable[[], Any], watch: Watch | None = None) -> Any:
        """Run a blocking function in a thread. Its slot stays taken until it returns, also when nobody waits for it.

        Raises:
            ModelError: 40030 too many wait, 21313 it worked for too long.
        """
        await self._acquire()
        loop = asyncio.get_running_loop()
        work = _Work(watch)
        answer = work.answer = loop.create_future()
        job = work.job = self._workers.submit(function)
        self._begin(work)

        def returned(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._returned, work)

        job.add_done_callback(returned)
        try:
            return await answer
        finally:
            job.cancel()  # only if it has not begun

    def _returned(self, work: _Work) -> None:
        self._end(work)
        if work.overdue:
            return
        self._free.release()
        if work.answer is not None and work.job is not None:
            _settle(work.answer, work.job)

    def _give_up(self, work: _Work) -> None:
        work.overdue = True
        if work.task is not None:
            work.task.cancel()
            return
        assert work.job is not None
        if not self._workers.replace(work.job):  # it has returned just now
            work.overdue = False
            return
        self._free.release()
        answer, work.answer = work.answer, None  # a hanging thread must not keep its caller in memory
        if answer is not None and not answer.done():
            answer.set_exception(self._overdue())

    async def close(self, function: Callable[[], Any] | None) -> Any:
        """Run a last function in a thread, and let the threads end."""
        try:
            return None if function is None else await self._workers.run(function)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._workers.close()

    async def _acquire(self) -> None:
        if self._waiting >= MAX_WAITING:
            message = f"{self._waiting} inputs wait for model {self._model_id} already; try again later"
            raise ModelError(QUEUE_FULL, message)
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1

    def _overdue(self) -> ModelError:
        message = f"model {self._model_id} gave no answer for {self.timeout:g} seconds; the call was abandoned"
        return ModelError(PREDICTION_FAILED, message)

    # One timer for all that work; it is never later than the first of them is due.

    def _begin(self, work: _Work) -> None:
        self._working.add(work)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.timeout, self._look)

    def _end(self, work: _Work) -> None:
        self._working.discard(work)

    def _look(self) -> None:
        """Cancel jobs that have worked for too long, and look again when the next one may have."""
        now = time.monotonic()
        self._timer = None
        for work in [work for work in self._working if work.watch.seconds(now) >= self.timeout]:
            self._working.discard(work)
            self._give_up(work)
        if self._working:
            longest = max(work.watch.seconds(now) for work in self._working)
            self._timer = asyncio.get_running_loop().call_later(self.timeout - longest, self._look)


def _settle(answer: asyncio.Future[Any], done: Future[Any]) -> None:
    """Deliver a thread's result to the waiting call."""
    if answer.done():
        return
    if done.cancelled():
        answer.cancel()
    elif (error := done.exception()) is not None:
        answer.set_exception(error)
    else:
        answer.set_result(done.result())
