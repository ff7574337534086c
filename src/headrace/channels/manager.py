"""The channel manager: which connection a call goes over, and when another one is opened.

The choice is a pure function (`assign`); I/O is around it. Connections belong to one event loop of one process:
used elsewhere, others are made.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headrace import events
from headrace.config import Limits, Target, Transmission
from headrace.errors import ClosedError, ConnectFailed
from headrace.flow.rate import Concurrency
from headrace.transport.base import Transport, TransportFactory

QUIET = 1.0  # seconds without any answer on a connection with calls, after which a new call avoids it


@dataclass(frozen=True, slots=True)
class Load:
    """What `assign` knows of a connection: its calls, how many it may have, and whether it is quiet."""

    calls: int
    most: int
    quiet: bool = False


NEW = -1


def assign(loads: Sequence[Load], most_connections: int) -> int | None:
    """Choose the connection of the next call: an index, `NEW`, or None when the call has to wait.

    The least loaded one with room that is not quiet; else a new one; else a quiet one with room.
    """
    room = [index for index, load in enumerate(loads) if load.calls < load.most]
    lively = [index for index in room if not loads[index].quiet]
    if lively:
        return min(lively, key=lambda index: loads[index].calls)
    if len(loads) < most_connections:
        return NEW
    return min(room, key=lambda index: loads[index].calls, default=None)


class Connection:
    """One connection with its count of calls."""

    __slots__ = (
        "_connecting",
        "_connectors",
        "_manager",
        "calls",
        "home",
        "index",
        "last_answer",
        "most",
        "ready",
        "total",
        "transport",
    )

    def __init__(self, manager: ChannelManager, home: Home, index: int, transport: Transport, most: int) -> None:
        self._manager = manager
        self.home = home
        self._connecting: asyncio.Task[None] | None = None
        self._connectors = 0  # calls that wait for it
        self.index = index
        self.transport = transport
        self.most = most
        self.calls = 0
        self.total = 0
        self.ready = False
        self.last_answer = time.monotonic()

    def __repr__(self) -> str:
        return f"<Connection {self.index} {'ready' if self.ready else 'idle'}: {self.calls} calls>"

    @property
    def load(self) -> Load:
        """What `assign` wants to know."""
        quiet = self.calls > 0 and time.monotonic() - self.last_answer > QUIET
        return Load(self.calls, self.most, quiet)

    async def connect(self) -> None:
        """Connect unless connected; calls that come meanwhile share the one attempt.

        Raises:
            ConnectFailed: no connection within the connect timeout.
            ClosedError: the client was closed meanwhile.
        """
        if self.transport.healthy:
            if not self.ready:
                self._connected(0.0)
            return
        if self.ready:
            self.ready = False
            self._manager.emit(events.Disconnected(str(self._manager.target), self.index))
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.ensure_future(self._connect())
            self._connecting.add_done_callback(_retrieved)
        connecting, task = self._connecting, asyncio.current_task()
        self._connectors += 1
        try:
            await asyncio.shield(connecting)  # one caller's cancellation is not the others'
        except asyncio.CancelledError:
            if connecting.cancelled() and not (task is not None and task.cancelling()):
                raise ClosedError("the client was closed while it connected") from None
            raise
        finally:
            self._connectors -= 1
            if not self._connectors and not connecting.done():
                connecting.cancel()  # nobody waits for it any more
                self._connecting = None

    async def _connect(self) -> None:
        start = time.monotonic()
        await self.transport.connect(self._manager.connect_timeout)
        self._connected(time.monotonic() - start)

    def _connected(self, seconds: float) -> None:
        self.ready = True
        self._manager.emit(events.Connected(str(self._manager.target), self.index, seconds))

    def answered(self) -> None:
        """Note that the server said something."""
        self.last_answer = time.monotonic()

    def refused(self) -> None:
        """Note that the server refused a stream: it allows fewer than we assumed."""
        self.most = max(1, min(self.most, self.calls - 1))

    def enter(self, now: float) -> None:
        """A call begins."""
        if not self.calls:
            self.last_answer = now  # it was idle, not quiet
        self.calls += 1
        self.total += 1

    def release(self) -> None:
        """A call has ended."""
        self.calls -= 1
        if self.home.waiters:
            self.home.admit(self)

    def leave(self, succeeded: bool) -> None:
        """A call has ended that was counted as one of those running at once."""
        self.calls -= 1
        home = self.home
        if home.waiters:
            home.admit(self)
        home.concurrency.leave(succeeded)

    async def close(self, grace: float) -> None:
        """Close; time-boxed by `grace` and a little."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace + 1.0):
                await self.transport.close(grace)


class Home:
    """The connections of one event loop."""

    __slots__ = ("__weakref__", "concurrency", "connections", "loop", "waiters")

    def __init__(self, loop: asyncio.AbstractEventLoop, concurrency: int) -> None:
        self.loop = loop
        self.connections: list[Connection] = []
        self.waiters: deque[asyncio.Future[Connection]] = deque()
        self.concurrency = Concurrency(concurrency)

    def admit(self, connection: Connection) -> None:
        """Give a connection's places to those that wait for one."""
        while self.waiters and connection.calls < connection.most and connection in self.connections:
            waiter = self.waiters.popleft()
            if not waiter.done():
                connection.enter(time.monotonic())
                waiter.set_result(connection)


class ChannelManager:
    """Hands out connections to one target; up to `limits.connections` of them in a loop, made when needed."""

    def __init__(
        self,
        target: Target,
        transmission: Transmission,
        factory: TransportFactory,
        limits: Limits,
        emit: events.Emitter,
    ) -> None:
        self.target = target
        self.emit = emit
        self.connect_timeout = transmission.connect_timeout
        self._transmission = transmission
        self._factory = factory
        self._limits = limits
        self._homes: dict[int, Home] = {}
        self._pid = os.getpid()
        self._closed = False

    def __repr__(self) -> str:
        connections = [c for home in list(self._homes.values()) for c in home.connections]
        calls = sum(c.calls for c in connections)
        waiting = sum(len(home.waiters) for home in list(self._homes.values()))
        state = "closed" if self._closed else "open"
        return (
            f"<ChannelManager {self.target} {state}: {len(connections)} connections, {calls} calls, {waiting} waiting>"
        )

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def connections(self) -> list[Connection]:
        """The connections of all loops."""
        return [connection for home in list(self._homes.values()) for connection in home.connections]

    @property
    def waiting(self) -> int:
        """Calls that wait for a connection with room."""
        return sum(len(home.waiters) for home in list(self._homes.values()))

    def home(self) -> Home:
        """The running loop's connections.

        Raises:
            ClosedError: the client is closed.
        """
        if self._closed:
            raise ClosedError("the client is closed")
        loop = asyncio.get_running_loop()
        home = self._homes.get(id(loop))
        if home is not None and home.loop is loop and self._pid == os.getpid():
            return home
        self._forget_stale()
        home = self._homes[id(loop)] = Home(loop, self._limits.concurrency)
        return home

    def ready(self, home: Home, now: float) -> Connection | None:
        """Find the connection that `acquire` would give, where there is one that needs no connecting.

        As `assign` chooses, in one step: the least loaded one with room that is not quiet.
        """
        chosen: Connection | None = None
        for found in home.connections:
            calls = found.calls
            if calls < found.most and (chosen is None or calls < chosen.calls):
                if calls and now - found.last_answer > QUIET:
                    continue
                chosen = found
        return chosen if chosen is not None and chosen.ready and chosen.transport.healthy else None

    async def acquire(self) -> Connection:
        """Take a place on a connection, waiting for one; give it back with `release`. A cancelled wait took none."""
        home = self.home()
        if not home.waiters:
            connection = self._choose(home)
            if connection is not None:
                return connection
        waiter: asyncio.Future[Connection] = home.loop.create_future()
        home.waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                waiter.result().release()
            elif waiter in home.waiters:
                home.waiters.remove(waiter)
            raise

    async def close(self, grace: float) -> None:
        """Close the running loop's connections, let go of the others'; calls still running get `grace` seconds."""
        if self._closed:
            return
        self._closed = True
        loop = asyncio.get_running_loop()
        homes, self._homes = list(self._homes.values()), {}
        for home in homes:
            while home.waiters:
                waiter = home.waiters.popleft()
                if home.loop is loop:
                    _refuse(waiter)
                elif not home.loop.is_closed():
                    home.loop.call_soon_threadsafe(_refuse, waiter)
        own = [c for home in homes if home.loop is loop and self._pid == os.getpid() for c in home.connections]
        for home in homes:
            if home.loop is not loop or self._pid != os.getpid():
                _discard(home.connections)
        if own:
            await asyncio.wait([asyncio.ensure_future(connection.close(grace)) for connection in own])

    def _choose(self, home: Home) -> Connection | None:
        chosen = assign([connection.load for connection in home.connections], self._limits.connections)
        if chosen is None:
            return None
        if chosen == NEW:
            index = len(home.connections)
            transport = self._factory(self.target, self._transmission)
            home.connections.append(Connection(self, home, index, transport, self._limits.streams_per_connection))
            chosen = index
        connection = home.connections[chosen]
        connection.enter(time.monotonic())
        return connection

    def _forget_stale(self) -> None:
        """Drop the connections of closed loops, and all of them in a forked child."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            homes, self._homes = self._homes, {}
            for connection in [connection for home in homes.values() for connection in home.connections]:
                if connection.transport.survives_fork:
                    connection.transport.discard()
                else:
                    _inherited.append(connection)  # kept, and never touched again
            return
        for key, home in list(self._homes.items()):
            if home.loop.is_closed() and self._homes.pop(key, None) is not None:  # another thread may be as quick
                _discard(home.connections)


_inherited: list[Any] = []


def _discard(connections: Sequence[Connection]) -> None:
    for connection in connections:
        connection.transport.discard()


def _refuse(waiter: asyncio.Future[Connection]) -> None:
    if not waiter.done():
        waiter.set_exception(ClosedError("the client is closed"))


def _retrieved(task: asyncio.Task[None]) -> None:
    """Mark a shared attempt's failure as seen: its waiters may all have left."""
    if not task.cancelled():
        task.exception()


__all__ = ["NEW", "ChannelManager", "ConnectFailed", "Connection", "Home", "Load", "assign"]
