"""The channel manager: the connections of a client, in each event loop that uses it."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import weakref
from asyncio import get_running_loop
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headrace.channels.connection import Connection
from headrace.channels.pool import LoopPool
from headrace.config import Limits, Target, Transmission
from headrace.emitter import Emitter, logger
from headrace.errors import ClosedError
from headrace.transport.base import TransportFactory

if TYPE_CHECKING:
    from headrace.events import Event

_forks = 0  # how many lie between the first process and this one
_managers: weakref.WeakSet[ChannelManager] = weakref.WeakSet()


def _forked() -> None:
    """Count a fork, and let each manager look at its pools before the child uses one."""
    global _forks
    _forks += 1
    for manager in list(_managers):
        manager._last = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class ChannelManager:
    """The connections to one target: a `LoopPool` for each event loop of this process, and who hears of them.

    Args:
        limits: at most `limits.connections` per loop, each with `limits.streams_per_connection` concurrent calls.
        emit: gets an event for each connection made or lost; `listen` adds more listeners.
    """

    def __init__(
        self,
        target: Target,
        transmission: Transmission,
        factory: TransportFactory,
        limits: Limits,
        emit: Emitter,
    ) -> None:
        self.target = target
        self._transmission = transmission
        self._factory = factory
        self._limits = limits
        self._listeners: tuple[weakref.ref[Emitter], ...] = (weakref.ref(emit),)
        self._indexes = itertools.count()
        self._pools: dict[int, LoopPool] = {}
        self._last: LoopPool | None = None  # that was used and can be; most programs have one loop
        self._process = _forks  # in which it makes connections
        self._closed = False
        _managers.add(self)

    def __repr__(self) -> str:
        connections = self.connections
        calls = sum(connection.calls for connection in connections)
        state = "closed" if self._closed else "open"
        return (
            f"<ChannelManager {self.target} {state}: {len(connections)} connections, {calls} calls, "
            f"{self.waiting} waiting>"
        )

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def connections(self) -> list[Connection]:
        """The connections of all loops."""
        return [connection for pool in list(self._pools.values()) for connection in pool.connections]

    @property
    def waiting(self) -> int:
        """Calls that wait for their turn or for a connection with room."""
        return sum(len(pool.waiters) + pool.concurrency.waiting for pool in list(self._pools.values()))

    def listen(self, emit: Emitter) -> None:
        """Send connection events to another emitter too, for as long as it is alive."""
        living = [reference for reference in self._listeners if reference() not in (None, emit)]
        self._listeners = (*living, weakref.ref(emit))

    def pool(self) -> LoopPool:
        """The running loop's connections.

        Raises:
            ClosedError: the client is closed.
        """
        loop = get_running_loop()
        pool = self._last
        if pool is not None and pool.loop is loop:
            return pool
        if self._closed:
            raise ClosedError("the client is closed")
        pool = self._pools.get(id(loop))
        if pool is None or pool.loop is not loop or self._process != _forks:
            self._forget_stale()
            limits = self._limits
            pool = self._pools[id(loop)] = LoopPool(
                loop, self._make, limits.connections, limits.concurrency, self._transmission.connect_timeout
            )
        self._last = pool
        if self.closed:  # meanwhile, by another thread
            self._last = None
            raise ClosedError("the client is closed")
        return pool

    async def acquire(self, timeout: float | None = None) -> Connection:
        """Take a place on a connection of the running loop; see `LoopPool.acquire`."""
        return await self.pool().acquire(timeout)

    async def close(self, grace: float) -> None:
        """Close the running loop's connections, discard the others'; calls still running get `grace` seconds."""
        if self._closed:
            return
        self._closed, self._last = True, None
        self._forget_stale()
        loop = get_running_loop()
        pools, self._pools = list(self._pools.values()), {}
        closing: list[Connection] = []
        for pool in pools:
            if pool.loop is loop:
                pool.stop()
                closing += pool.connections
                continue
            if not pool.loop.is_closed():
                pool.loop.call_soon_threadsafe(pool.stop)
            _discard(pool.connections)
        if closing:
            await asyncio.wait([asyncio.ensure_future(connection.close(grace)) for connection in closing])

    def _make(self, pool: LoopPool) -> Connection:
        transport = self._factory(self.target, self._transmission)
        max_calls = self._limits.streams_per_connection
        return Connection(pool, next(self._indexes), transport, max_calls, str(self.target), self)

    def connected(self, index: int, seconds: float) -> None:
        """Report a connection that was made, after `seconds` of connecting."""
        if self._observed:
            from headrace.events import Connected

            self.notify(Connected(str(self.target), index, seconds))

    def disconnected(self, index: int) -> None:
        """Report a connection that was lost or closed."""
        if self._observed:
            from headrace.events import Disconnected

            self.notify(Disconnected(str(self.target), index))

    @property
    def _observed(self) -> bool:
        """Whether anybody takes what is reported of connections: without, `headrace.events` need not be imported."""
        if logger.isEnabledFor(logging.DEBUG):
            return True
        return any(emit is not None and emit.on_event is not None for emit in (one() for one in self._listeners))

    def notify(self, event: Event) -> None:
        """Write an event to the log, and pass it to all listeners."""
        from headrace.events import log

        log(event)
        called: list[object] = []
        for reference in self._listeners:
            emitter = reference()
            if emitter is not None and emitter.on_event not in called:  # clients that share one callable hear it once
                called.append(emitter.on_event)
                emitter.deliver(event)

    def _forget_stale(self) -> None:
        """Drop the connections of closed loops, and all of them in a forked child."""
        if self._process != _forks:
            self._process = _forks
            pools, self._pools = self._pools, {}
            for connection in [connection for pool in pools.values() for connection in pool.connections]:
                if connection.transport.survives_fork:
                    connection.transport.discard()
                else:
                    _inherited.append(connection)  # kept, and never touched again
            return
        for key, pool in list(self._pools.items()):
            if pool.loop.is_closed() and self._pools.pop(key, None) is not None:  # another thread may be as quick
                _discard(pool.connections)


_inherited: list[Any] = []


def _discard(connections: Sequence[Connection]) -> None:
    """Discard connections whose loop is closed or not ours."""
    for connection in connections:
        connection.transport.discard()
        connection.lost()


__all__ = ["ChannelManager"]
