"""From a thread to the event loop: bounded, with a policy for when it is full, every drop counted by its cause."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

from headrace.flow.pipe import EndOfPipe, Overflow, checked_limit

T = TypeVar("T")


class ThreadQueue(Generic[T]):
    """Items of one thread for one event loop; a full one makes the thread wait (`block`) or drops.

    Args:
        items: how many it holds at most (at least 1); `latest` holds one.
        overflow: as for pipes: "block", "drop_oldest", "drop_newest" or "latest".
        max_age: seconds after which an item is dropped instead of taken.
        on_drop: called with the item and the cause, in either thread; it must neither wait nor raise.
        clock: seconds, for tests.
    """

    def __init__(
        self,
        items: int,
        *,
        overflow: Overflow = "block",
        max_age: float | None = None,
        on_drop: Callable[[T, str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = checked_limit(items, overflow, max_age)
        self._overflow = overflow
        self._max_age = math.inf if max_age is None else max_age
        self._on_drop = on_drop
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[T, float]] = deque()
        self._changed = threading.Condition()
        self._waiters: list[asyncio.Future[None]] = []
        self._ended = self._closed = False
        self._failure: BaseException | None = None
        self.put_count: int = 0
        self.drops: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._queue)

    def counts(self) -> tuple[int, dict[str, int], int]:
        """Return at one moment: items put in, drops by cause, items inside."""
        with self._changed:
            return self.put_count, dict(self.drops), len(self._queue)

    # --- in the thread

    def put(self, item: T) -> bool:
        """Put an item in; False when nobody takes it any more (it is not counted then)."""
        with self._changed:
            if self._overflow == "block":
                self._changed.wait_for(lambda: self._closed or len(self._queue) < self._limit)
            if self._closed:
                return False
            self.put_count += 1
            if self._overflow == "drop_newest" and len(self._queue) >= self._limit:
                self._drop(item, "drop_newest")
                return True
            while len(self._queue) >= self._limit:
                self._drop(self._queue.popleft()[0], self._overflow)
            self._queue.append((item, self._clock()))
        self._wake()
        return True

    def end(self, failure: BaseException | None = None) -> None:
        """Say that nothing follows; `take` raises the failure after what is inside."""
        with self._changed:
            self._ended, self._failure = True, failure or self._failure
        self._wake()

    # --- in the loop

    async def ready(self) -> None:
        """Wait until there is an item, or the end."""
        while True:
            with self._changed:
                self._purge()
                if self._queue or self._ended or self._closed:
                    return
                waiter = self._loop.create_future()
                self._waiters.append(waiter)
            await waiter

    async def take(self) -> T:
        """Take the oldest item, waiting for one. A cancelled take lost nothing.

        Raises:
            EndOfPipe: there is nothing more.
            BaseException: what the thread gave to `end`.
        """
        while True:
            await self.ready()
            with self._changed:
                if self._queue:
                    item, _ = self._queue.popleft()
                    self._changed.notify_all()
                    return item
                failure, self._failure = self._failure, None
            if failure is not None:
                raise failure
            raise EndOfPipe

    async def __aiter__(self) -> AsyncIterator[T]:
        while True:
            try:
                item = await self.take()
            except EndOfPipe:
                return
            yield item

    def close(self) -> None:
        """Stop taking; queued items are dropped with the cause "closed". Idempotent; any thread may call it."""
        with self._changed:
            self._closed = True
            while self._queue:
                self._drop(self._queue.popleft()[0], "closed")
            self._changed.notify_all()
        self._wake()

    def _purge(self) -> None:
        oldest = self._clock() - self._max_age
        while self._queue and self._queue[0][1] < oldest:
            self._drop(self._queue.popleft()[0], "max_age")
            self._changed.notify_all()

    def _drop(self, item: T, cause: str) -> None:
        self.drops[cause] = self.drops.get(cause, 0) + 1
        if self._on_drop is not None:
            self._on_drop(item, cause)

    def _wake(self) -> None:
        with self._changed:
            waiters, self._waiters = self._waiters, []
        if waiters:
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
                self._loop.call_soon_threadsafe(_settle, waiters)


def _settle(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)


__all__ = ["ThreadQueue"]
