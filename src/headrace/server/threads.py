"""Daemon worker threads for models, and bounded bridges between them and the event loop.

The standard executor joins its threads when the interpreter ends, so one long model call would hold up a shutdown;
these threads do not. A bridge carries values one way and makes the faster side wait, so nothing piles up.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from headrace.server.failures import ordinary

T = TypeVar("T")

_Job = tuple["Future[Any]", Callable[[], Any]]


class Workers:
    """At most `size` daemon threads, started when first needed."""

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._size = size
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._started = 0
        self._waiting = 0  # threads without a job
        self._closed = False
        self._replaced: set[Future[Any]] = set()  # abandoned jobs; their threads end when they return

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """Run `function` in a thread; the future is never cancelled once it runs."""
        future: Future[T] = Future()
        with self._changed:
            self._jobs.append((future, function))
            if len(self._jobs) > self._waiting and self._started < self._size:
                self._start()
            else:
                self._changed.notify()
        return future

    def replace(self, future: Future[Any]) -> bool:
        """Abandon a job: another thread may start in place of its own. False if it is done already."""
        with self._changed:
            if future.done():
                return False
            self._replaced.add(future)
            self._size += 1
            if self._jobs:
                self._start()
        return True

    def _start(self) -> None:
        self._started += 1
        threading.Thread(target=self._work, name=f"{self._name}-{self._started}", daemon=True).start()

    async def run(self, function: Callable[[], T]) -> T:
        """Run `function` in a thread and wait for it; a cancelled wait leaves the thread to finish."""
        return await asyncio.wrap_future(self.submit(function))

    def close(self) -> None:
        """Let the threads end after the jobs that are there."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _next(self) -> _Job | None:
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: self._jobs or self._closed)
            self._waiting -= 1
            return self._jobs.popleft() if self._jobs else None

    def _work(self) -> None:
        while (job := self._next()) is not None:
            future, function = job
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except BaseException as error:  # raised in the waiting call
                    future.set_exception(ordinary(error))
            if self._was_replaced(future):
                return
            del future, function, job

    def _was_replaced(self, future: Future[Any]) -> bool:
        with self._changed:
            if future not in self._replaced:
                return False
            self._replaced.discard(future)
            self._size -= 1
            self._started -= 1
            return True


async def in_thread(function: Callable[[], T], name: str = "headrace-once") -> T:
    """Run one blocking function in a daemon thread of its own."""
    workers = Workers(name, 1)
    try:
        return await workers.run(function)
    finally:
        workers.close()


class ToThread(Generic[T]):
    """Values from the event loop to a thread that iterates; `put` waits while `capacity` values are untaken."""

    def __init__(self, capacity: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._values: deque[T] = deque()
        self._capacity = capacity
        self._changed = threading.Condition()
        self._space = asyncio.Event()
        self._ended = False

    async def put(self, value: T) -> None:
        """Hand over a value (loop side)."""
        while len(self._values) >= self._capacity:
            self._space.clear()
            if len(self._values) >= self._capacity:
                await self._space.wait()
        with self._changed:
            self._values.append(value)
            self._changed.notify_all()

    def end(self) -> None:
        """End the values: the thread's iteration stops after the queued ones."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._values or self._ended)
                if not self._values:
                    return
                value = self._values.popleft()
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._space.set)
            yield value
