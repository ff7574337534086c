"""One connection: its calls, its limit of concurrent calls, and its events."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

from headrace.errors import ConnectFailed, TransportError

if TYPE_CHECKING:
    from headrace.flow.rate import Concurrency
    from headrace.transport.base import Transport

MAX_CAUTION = 64  # maximum factor of the calls for which a limit is kept before it grows by one


class Owner(Protocol):
    """What a connection needs from its pool."""

    waiters: deque[asyncio.Future[Connection]]
    concurrency: Concurrency

    def serve(self) -> None:
        """Give waiting calls the connections that have room."""


class Listener(Protocol):
    """What hears of a connection, by its index."""

    def connected(self, index: int, seconds: float) -> None:
        """Note that it is connected, after `seconds` of connecting."""

    def disconnected(self, index: int) -> None:
        """Note that it was lost or closed."""


class Connection:
    """One connection of a `LoopPool` with its count of calls.

    `limit` falls when the server refuses a stream, and recovers: by one after as many calls as it allows (more, if
    the last try was refused again), and immediately when the connection is made again.
    """

    __slots__ = (
        "_admitted",
        "_caution",
        "_listener",
        "_our_limit",
        "_target",
        "_trying",
        "calls",
        "connecting",
        "connecting_since",
        "failed_at",
        "index",
        "last_answer",
        "limit",
        "max_calls",
        "pool",
        "ready",
        "transport",
    )

    def __init__(
        self,
        pool: Owner,
        index: int,
        transport: Transport,
        max_calls: int,
        target: str,
        listener: Listener,
    ) -> None:
        self.pool: Owner = pool
        self.index: int = index
        self.transport: Transport = transport
        self.calls: int = 0
        self.ready: bool = False
        self.last_answer: float = time.monotonic()
        self.connecting: asyncio.Task[None] | None = None
        self.connecting_since: float | None = None
        self.failed_at: float = -math.inf
        self.max_calls: int = max_calls  # concurrent calls that we and the server allow
        self._our_limit = max_calls
        self._target = target
        self._listener = listener
        self.limit: int = max_calls
        self._admitted = 0  # calls since the limit last changed
        self._caution = 1
        self._trying = False  # the limit has grown since a stream was refused
        transport.on_max_streams = self._server_limit_changed

    def __repr__(self) -> str:
        return f"<Connection {self.index} {'ready' if self.connected else 'not connected'}: {self.calls} calls>"

    @property
    def connected(self) -> bool:
        """Whether it is connected at this moment."""
        return self.ready and self.transport.healthy

    def opened(self, seconds: float) -> None:
        """Note that it is connected, after `seconds` of connecting."""
        self.ready = True
        self.failed_at = -math.inf
        self._reset_limit()
        self._listener.connected(self.index, seconds)

    def ended_at_once(self) -> ConnectFailed:
        """Make the error of a connection that was made, and was gone before a call could use it."""
        return ConnectFailed(
            f"{self._target}: cannot connect (the server ended the connection as soon as it was made)",
            target=self._target,
            status="UNAVAILABLE",
        )

    def lost(self) -> None:
        """Note that it is not connected any more."""
        if self.ready:
            self.ready = False
            self._reset_limit()
            self._listener.disconnected(self.index)

    def answered(self) -> None:
        """Note that the server said something."""
        self.last_answer = time.monotonic()

    def succeeded(self, answers: int = 1) -> None:
        """Note that the server let a call through, or answered so many inputs of one."""
        self.pool.concurrency.succeeded(answers)

    def failed(self, error: BaseException) -> None:
        """Note how a call failed: a refused stream says that the server allows fewer than we assumed."""
        if not isinstance(error, TransportError) or not error.unprocessed or isinstance(error, ConnectFailed):
            return
        if not self.transport.healthy:
            self.lost()  # refused because the connection is ending: that says nothing about the next one
            return
        limit = max(1, min(self.limit, self.calls - 1))
        if self._trying:
            self._caution = min(MAX_CAUTION, 2 * self._caution)
        self._trying = False
        self.limit = limit
        self._admitted = -1  # the refused call is about to be released

    def enter(self, now: float) -> None:
        """A call begins."""
        if not self.calls:
            self.last_answer = now  # it was idle, not quiet
        self.calls += 1

    def release(self) -> None:
        """A call has ended."""
        self.calls -= 1
        if self.limit < self.max_calls:
            self._grow()
        if self.pool.waiters:
            self.pool.serve()

    def leave(self, succeeded: bool) -> None:
        """A call that held a slot of the pool has ended; only a success lets limits grow."""
        self.calls -= 1
        pool = self.pool
        if succeeded and self.limit < self.max_calls:
            self._grow()
        if pool.waiters:
            pool.serve()
        pool.concurrency.leave(succeeded)

    async def close(self, grace: float) -> None:
        """Close; time-boxed by `grace` and a little."""
        try:
            if self.connecting is not None:
                self.connecting.cancel()
                await asyncio.wait([self.connecting])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace + 1.0):
                    await self.transport.close(grace)
        finally:
            self.lost()

    def _server_limit_changed(self) -> None:
        """Adopt the server's present limit, and admit waiting calls if it grew."""
        self._reset_limit()
        self.pool.serve()

    def _reset_limit(self) -> None:
        max_streams = self.transport.max_streams
        self.max_calls = self._our_limit if max_streams is None else min(self._our_limit, max_streams)
        self.limit = self.max_calls
        self._admitted = 0
        self._caution = 1
        self._trying = False

    def _grow(self) -> None:
        self._admitted += 1
        if self._admitted >= self.limit * self._caution:
            if self._trying:
                self._caution = 1  # the last try went well
            self._trying = True
            self._admitted = 0
            self.limit += 1
