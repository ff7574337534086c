"""The connections of one event loop: made when calls wait for them, handed out first come, first served."""

from __future__ import annotations

import asyncio
import functools
import time
import weakref
from collections import deque
from collections.abc import Callable

from headrace.channels.assign import DOUBT, NEW, QUIET, assign
from headrace.channels.connection import Connection
from headrace.errors import ClosedError
from headrace.flow.rate import Concurrency, Rate
from headrace.flow.rate_queue import RateQueue

WATCH = 0.5  # seconds between two looks whether connections are still there


class LoopPool:
    """The connections of one event loop.

    A call gets a connected connection with room, or waits. Connecting is the pool's work, not a call's: as many
    attempts run as the waiting calls need, and a call takes whichever connection has room first.

    Args:
        make: makes a connection of this pool.
        max_connections: how many there may be.
        max_calls: concurrent unary calls, over all connections.
        connect_timeout: seconds of one attempt to connect.
    """

    __slots__ = (
        "__weakref__",
        "_connect_timeout",
        "_make",
        "_max_connections",
        "_watch",
        "_woken",
        "concurrency",
        "connections",
        "loop",
        "rate_queue",
        "waiters",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        make: Callable[[LoopPool], Connection],
        max_connections: int,
        max_calls: int,
        connect_timeout: float,
    ) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self.connections: list[Connection] = []
        self.waiters: deque[asyncio.Future[Connection]] = deque()
        self.concurrency: Concurrency = Concurrency(max_calls)
        self.rate_queue: RateQueue = RateQueue(loop)
        self._make = make
        self._max_connections = max_connections
        self._connect_timeout = connect_timeout
        self._watch: asyncio.TimerHandle | None = None
        self._woken = 0  # calls that have got a connection and have not run yet: none passes them

    @property
    def connected(self) -> bool:
        """Whether any connection is connected."""
        return any(connection.ready for connection in self.connections)

    def admit(self, now: float, rate: Rate) -> Connection | None:
        """Admit a unary call that has nothing to wait for: no queue, no rate, no connecting; else None.

        An admitted call takes a slot of the concurrency limit and of its connection; `Connection.leave` returns both.

        Args:
            now: `time.monotonic`, which the caller has at hand.
            rate: the client's.
        """
        concurrency = self.concurrency
        if self.waiters or concurrency.turns or concurrency.running >= concurrency.limit:
            return None
        connection = self.find(now)
        if connection is None or not rate.start(now):
            return None
        concurrency.running += 1
        connection.enter(now)
        return connection

    def find(self, now: float) -> Connection | None:
        """Find a connected connection with room, to be used immediately; waiting calls come first."""
        connections = self.connections
        if len(connections) == 1:  # the usual case, and nothing to choose
            connection = connections[0]
            calls = connection.calls
            quiet = calls and now - connection.last_answer > QUIET
            if calls < connection.limit and not quiet and connection.ready and connection.transport.healthy:
                return connection
        while True:
            chosen = assign(connections, self._max_connections, now)
            if chosen is None or chosen is NEW or not chosen.ready:
                return None
            if chosen.transport.healthy:
                return chosen
            chosen.lost()

    async def acquire(self, timeout: float | None = None) -> Connection:
        """Take a place on a connected connection; give it back with `release`. A cancelled wait took none.

        Raises:
            ConnectFailed: none is connected, and none can be made.
            ClosedError: the client was closed meanwhile.
            TimeoutError: there was no room within `timeout` seconds.
        """
        now = time.monotonic()
        connection = None if self.waiters or self._woken else self.find(now)
        if connection is not None:
            connection.enter(now)
            return connection
        waiter: asyncio.Future[Connection] = self.loop.create_future()
        self.waiters.append(waiter)
        timer = self.loop.call_later(timeout, _give_up, waiter) if timeout is not None else None
        try:
            if not self._woken:
                self.serve()
            return await waiter
        except BaseException:
            self._drop(waiter)
            raise
        finally:
            if _admitted(waiter):
                self._woken -= 1
                if self.waiters:
                    self.serve()
            if timer is not None:
                timer.cancel()

    def serve(self) -> None:
        """Give waiting calls the connections that have room, and connect more if that is not enough."""
        now = time.monotonic()
        waiters = self.waiters
        while waiters:
            if waiters[0].done():
                waiters.popleft()
                continue
            connection = self.find(now)
            if connection is None:
                self._connect_for(len(waiters), now)
                self._keep_watch()
                return
            connection.enter(now)
            self._woken += 1
            waiters.popleft().set_result(connection)

    def refuse(self, error: BaseException) -> None:
        """Fail the calls that wait."""
        waiters = self.waiters
        while waiters:
            waiter = waiters.popleft()
            if not waiter.done():
                waiter.set_exception(error)

    def look(self) -> bool:
        """Note the connections that were lost; whether there is anything to look at again."""
        for connection in self.connections:
            if connection.ready and not connection.transport.healthy:
                connection.lost()
        self.serve()
        return bool(self.waiters) or self.connected

    def _drop(self, waiter: asyncio.Future[Connection]) -> None:
        """Forget a call that stopped waiting; cancel attempts to connect that nobody waits for."""
        if _admitted(waiter):
            waiter.result().release()
        elif waiter in self.waiters:
            self.waiters.remove(waiter)
        if not self.waiters:
            for connection in self.connections:
                if connection.connecting is not None:
                    connection.connecting.cancel()

    def _connect_for(self, waiting: int, now: float) -> None:
        """Connect until there will be room for all waiting calls, or the limit of connections is reached."""
        idle = [connection for connection in self.connections if connection.connecting is None]
        room = sum(c.limit - c.calls for c in self.connections if c.connecting is not None)
        limit = self._max_connections - (len(self.connections) - len(idle))
        while room < waiting:
            connection = assign(idle, limit, now)
            if connection is NEW:
                connection = self._make(self)
                self.connections.append(connection)
            elif connection is None or connection.ready:
                return
            elif room > 0 and now - connection.failed_at < DOUBT:
                return  # another attempt runs: that one is waited for first
            else:
                idle.remove(connection)
            limit -= 1
            room += max(1, connection.limit - connection.calls)
            self._connect(connection, now)

    def _connect(self, connection: Connection, now: float) -> None:
        attempt = self.loop.create_task(connection.transport.connect(self._connect_timeout), name="headrace-connect")
        connection.connecting, connection.connecting_since = attempt, now
        attempt.add_done_callback(functools.partial(self._connected, connection))

    def _connected(self, connection: Connection, attempt: asyncio.Task[None]) -> None:
        now = time.monotonic()
        started, connection.connecting, connection.connecting_since = connection.connecting_since, None, None
        assert started is not None
        error = None if attempt.cancelled() else attempt.exception()
        if error is None and not attempt.cancelled() and not connection.transport.healthy:
            error = connection.ended_at_once()  # else the calls that wait would connect again and again
        if error is not None:
            connection.failed_at = now
            if not self.connected and all(other.connecting is None for other in self.connections):
                self.refuse(error)
        elif not attempt.cancelled():
            connection.opened(now - started)
            self._keep_watch()
        self.serve()

    def _keep_watch(self) -> None:
        if self._watch is None:
            self._watch = self.loop.call_later(WATCH, _look, weakref.ref(self))

    def stop(self) -> None:
        """Stop watching the connections, and refuse the waiting calls."""
        if self._watch is not None:
            self._watch.cancel()
        self.refuse(ClosedError("the client is closed"))
        self.rate_queue.refuse(ClosedError("the client is closed"))


def _look(reference: weakref.ref[LoopPool]) -> None:
    """Check a pool's connections periodically; the timer keeps neither the pool nor a connection alive."""
    pool = reference()
    if pool is not None:
        pool._watch = None
        if pool.look():
            pool._keep_watch()


def _admitted(waiter: asyncio.Future[Connection]) -> bool:
    return waiter.done() and not waiter.cancelled() and waiter.exception() is None


def _give_up(waiter: asyncio.Future[Connection]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())


__all__ = ["LoopPool"]
