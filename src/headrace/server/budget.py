"""How many bytes of requests the server holds at a time, over all calls."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections import OrderedDict, deque
from typing import Any

from headrace.server.pixels import trim

MAX_MESSAGE_BYTES = (128 << 20) + (1 << 20)  # of one request: the protocol's 128 MB and its envelope
WAIT_SECONDS = 30.0  # that a call waits for room before it is refused
LARGE_BYTES = 8 << 20  # of a request, after which memory is given back to the system
TRIM_SECONDS = 1.0  # after it, and again as long as requests are being answered
ARRIVAL_SECONDS = 120.0  # that a request may take to arrive if others wait for its room


class Arrival:
    """A request on its way in; the task is its call's, which holds it and ends with it."""

    __slots__ = ("since", "task")

    def __init__(self) -> None:
        task = asyncio.current_task()
        self.task: weakref.ref[asyncio.Task[Any]] | None = weakref.ref(task) if task is not None else None
        self.since: float = time.monotonic()


class Budget:
    """A number of bytes that all calls share.

    The size of a request is known only when it has arrived. So an arriving one counts with the maximum size, and only
    so many arrive at a time; the others wait, and their bytes stay with their callers.

    A stream's next request may come at any time, so streams only stop reading while too much is in use.

    Args:
        limit: bytes of all requests; one request is always let in, whatever its size.
        message: bytes that one request has at most.
    """

    def __init__(self, limit: int, message: int = MAX_MESSAGE_BYTES) -> None:
        self._limit = limit
        self._message = message
        self._used = 0
        self._arriving: OrderedDict[Arrival, None] = OrderedDict()
        self._waiting: OrderedDict[Arrival, asyncio.Future[None]] = OrderedDict()
        self._streams: deque[asyncio.Future[None]] = deque()
        self._trimming: asyncio.TimerHandle | None = None

    async def arrive(self) -> Arrival | None:
        """Wait until a request may arrive, and count it; None if that takes too long."""
        arrival = Arrival()
        if self._room and not self._waiting:
            self._arriving[arrival] = None
            return arrival
        self._end_the_slow()
        waiter = self._waiting[arrival] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await waiter
        except TimeoutError:
            self.arrived(arrival, 0)
            return None
        except BaseException:
            self.arrived(arrival, 0)
            raise
        return arrival

    def arrived(self, arrival: Arrival, size: int) -> None:
        """Count a request that has arrived; size 0: it never will."""
        self._arriving.pop(arrival, None)
        self._waiting.pop(arrival, None)
        self.take(size)
        self._go_on()

    async def read(self) -> None:
        """Wait until a stream may read its next request."""
        while self._used >= self._limit:
            waiter = asyncio.get_running_loop().create_future()
            self._streams.append(waiter)
            await waiter

    def take(self, size: int) -> None:
        """Count the request of a stream."""
        self._used += size
        if size >= LARGE_BYTES and self._trimming is None:
            self._trimming = asyncio.get_running_loop().call_later(TRIM_SECONDS, self._trim)

    def _trim(self) -> None:
        self._trimming = None
        if self._used:
            self._trimming = asyncio.get_running_loop().call_later(TRIM_SECONDS, self._trim)
        else:
            threading.Thread(target=trim, name="trim", daemon=True).start()

    def release(self, size: int) -> None:
        """Give back the bytes of a request that is answered."""
        self._used -= size
        self._go_on()

    @property
    def _room(self) -> bool:
        arriving = len(self._arriving)
        return not (self._used or arriving) or self._used + (arriving + 1) * self._message <= self._limit

    def _go_on(self) -> None:
        while self._waiting and self._room:
            arrival, waiter = self._waiting.popitem(last=False)
            if not waiter.done():  # otherwise its call has just ended
                arrival.since = time.monotonic()
                self._arriving[arrival] = None
                waiter.set_result(None)
        while self._streams and self._used < self._limit:
            stream = self._streams.popleft()
            if not stream.done():
                stream.set_result(None)

    def _end_the_slow(self) -> None:
        """End calls whose request has been arriving for too long: their callers may be gone."""
        now = time.monotonic()
        for arrival in self._arriving:
            if now - arrival.since < ARRIVAL_SECONDS:
                return
            task = arrival.task() if arrival.task is not None else None
            if task is not None:
                task.cancel()
