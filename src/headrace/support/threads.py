"""Blocking work in daemon threads: a caller can stop waiting for it immediately, and the program can end.

The event loop's own pool joins its threads when the program ends, so that one stalled read (a dead network mount, a
pipe that nobody writes to) would keep the program alive.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import queue
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

IDLE_SECONDS = 0.1  # a thread that has had nothing to do for so long ends
SLOTS = 32  # concurrent file reads and picture encodings of a loop

_Job = tuple["Future[Any]", Callable[..., Any], tuple[Any, ...]]


class DaemonThreads:
    """Threads that start when there is work and end when there is none; they never delay the interpreter's exit."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._idle = 0  # idle threads without a queued job

    def submit(self, function: Callable[..., T], *args: Any) -> Future[T]:
        """Run a function in an idle thread, or in a new one."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # a submitted job always runs: what it opens must be closed
        with self._lock:
            self._jobs.put((future, function, args))
            if self._idle:
                self._idle -= 1
                return future
        threading.Thread(target=self._work, name="headrace-io", daemon=True).start()
        return future

    def _work(self) -> None:
        while (job := self._next()) is not None:
            future, function, args = job
            try:
                result = function(*args)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
                del result
            del job, future, function, args  # an idle thread keeps nothing alive
            with self._lock:
                self._idle += 1

    def _next(self) -> _Job | None:
        try:
            return self._jobs.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            pass
        with self._lock:  # a job submitted at this moment relies on this thread
            if not self._jobs.empty():
                return self._jobs.get_nowait()
            self._idle -= 1
            return None


_threads = DaemonThreads()


def _after_fork() -> None:
    global _threads
    _threads = DaemonThreads()  # no thread of the parent exists here


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


async def in_thread(function: Callable[..., T], *args: Any, discard: Callable[[T], object] | None = None) -> T:
    """Run a blocking function in a daemon thread, in the caller's context; a cancelled caller does not wait for it.

    Args:
        discard: gets the result if the caller was cancelled meanwhile, such as a file to be closed.
    """
    future = _threads.submit(contextvars.copy_context().run, function, *args)
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        if discard is not None:

            def leftover(done: Future[T]) -> None:
                if done.exception() is None:
                    discard(done.result())

            future.add_done_callback(leftover)
        raise


_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


@asynccontextmanager
async def slot() -> AsyncIterator[None]:
    """Wait for one of the loop's slots for reading files and encoding pictures."""
    loop = asyncio.get_running_loop()
    semaphore = _slots.get(loop)
    if semaphore is None:
        semaphore = _slots[loop] = asyncio.Semaphore(SLOTS)
    async with semaphore:
        yield


__all__ = ["SLOTS", "in_thread", "slot"]
