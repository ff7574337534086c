"""A connection without a socket: for tests, with the flow control and the faults of a real one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from headrace import status
from headrace.config import Target, Transmission
from headrace.errors import ClosedError, ConnectFailed, ConnectionLost
from headrace.transport.changes import Changes
from headrace.transport.memory.call import ServerCall
from headrace.transport.memory.connection import Connection, no_connection
from headrace.types import Buffer, Metadata


class Server(Protocol):
    """What a client needs from a server in memory."""

    changes: Changes

    @property
    def silent_now(self) -> bool:
        """Whether connecting clients are kept waiting."""

    def connect(self, target: str) -> Connection:
        """Accept a connection; if the server does not accept, a dead one, whose calls fail."""

    def take(self, connection: Connection, method: str, metadata: Metadata, timeout: float | None) -> ServerCall:
        """Take a call on a connection: start it, queue it, or refuse it."""


class MemoryTransport:
    """One connection to a `MemoryServer`, made on first use; a `Transport`.

    After the connection broke, the next `connect` or call makes a new one; after a GOAWAY `connect` does.
    """

    survives_fork = True

    def __init__(self, server: Server, target: Target, options: Transmission) -> None:
        self._server = server
        self._target = target
        self._options = options
        self._connection: Connection | None = None
        self._past: list[Connection] = []  # earlier connections whose calls are not over
        self.on_max_streams: Callable[[], object] | None = None
        self._closed = False
        self._closing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        state = "closed" if self._closed else "ready" if self.healthy else "not connected"
        return f"<MemoryTransport {self._target} {state}>"

    @property
    def healthy(self) -> bool:
        """Whether the connection is ready for a call without connecting first."""
        return not self._closed and self._connection is not None and self._connection.ready

    @property
    def max_streams(self) -> int | None:
        """Concurrent calls that the server allows; see `Transport.max_streams`."""
        return self._connection.max_streams if self._connection is not None else None

    async def connect(self, timeout: float) -> None:
        """Connect unless connected; see `Transport.connect`."""
        self._check_open()
        if self.healthy:
            return
        try:
            await self._server.changes.until(lambda: not self._server.silent_now or self._closed, timeout)
        except TimeoutError:
            raise ConnectFailed(
                f"{self._target}: no connection within {timeout:g} s", target=str(self._target)
            ) from None
        self._check_open()
        if not self.healthy and not self._reconnect().alive:
            raise no_connection(str(self._target))

    async def unary(self, method: str, parts: Sequence[Buffer], metadata: Metadata, timeout: float | None) -> bytes:
        """Make one unary call; see `Transport.unary`."""
        call = self.start(method, metadata, timeout)
        try:
            await call.send(parts)
            await call.half_close()
            answer = await call.read()
            if answer is None or await call.read() is not None:
                many = "no answer" if answer is None else "more than one answer"
                raise status.call_error("INTERNAL", f"{many} to a unary call", target=str(self._target))
            return answer
        finally:
            call.cancel()

    def open(
        self,
        method: str,
        metadata: Metadata,
        *,
        timeout: float | None = None,
        first: Sequence[Buffer] | None = None,
    ) -> MemoryCall:
        """Open a call that streams; see `Transport.open`."""
        call = self.start(method, metadata, timeout)
        if first is not None:
            call.send_only(first)
        return call

    async def close(self, grace: float) -> None:
        """Close the connection; see `Transport.close`. No handler of its calls runs afterwards."""
        self._closed = True
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close(grace))
        await asyncio.shield(self._closing)

    async def _close(self, grace: float) -> None:
        connections = [*self._past, *([self._connection] if self._connection is not None else [])]
        running = {task for c in connections for call in c.running if (task := call.task) is not None}
        if running and grace > 0:
            await asyncio.wait(running, timeout=grace)
        for connection in connections:
            connection.close()
            connection.abort("CANCELLED", lambda: ClosedError("the connection was closed during the call"))
        if running:
            await asyncio.wait(running)
        self._server.changes.notify()

    def discard(self) -> None:
        """Release everything; see `Transport.discard`."""
        self._closed = True
        for connection in [*self._past, *([self._connection] if self._connection is not None else [])]:
            connection.close()
        self._past, self._connection = [], None

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("the connection is closed")

    def _reconnect(self) -> Connection:
        self._past = [c for c in (*self._past, self._connection) if c is not None and (c.running or c.undelivered)]
        if self._connection is not None:
            self._connection.on_limit = None
        self._connection = self._server.connect(str(self._target))
        self._connection.on_limit = self._limit_changed
        return self._connection

    def _limit_changed(self) -> None:
        if self.on_max_streams is not None:
            self.on_max_streams()

    def start(self, method: str, metadata: Metadata, timeout: float | None) -> MemoryCall:
        self._check_open()
        connection = self._connection
        if connection is None or not connection.alive:
            connection = self._reconnect()
        call = MemoryCall(
            self._server.take(connection, method, metadata, timeout), self._server, self._target, self._options
        )
        if timeout is not None:
            call.expire_after(timeout)
        return call


class MemoryCall:
    """The client's end of a call; a `Call`.

    A cancelled `write` that waited for the window has sent nothing, and the call goes on.
    """

    def __init__(self, call: ServerCall, server: Server, target: Target, options: Transmission) -> None:
        self._call = call
        self._server = server
        self._target = target
        self._options = options
        self._timer: asyncio.TimerHandle | None = None

    async def write(self, parts: Sequence[Buffer]) -> None:
        """Send one message; waits while the server has not read enough."""
        if not await self.send(parts):
            raise self._call.to_client.failure or ConnectionLost(
                f"{self._target}: the server has ended the call", target=str(self._target), status="OK"
            )

    async def send(self, parts: Sequence[Buffer]) -> bool:
        """Send one message; False when the call has ended: `read` raises how."""
        return await self._call.to_server.put(b"".join(parts))

    async def half_close(self) -> None:
        """Say that no more messages come."""
        if not self._call.status:
            self._call.half_closed = True
            self._call.to_server.end()
            self._server.changes.notify()

    async def read(self) -> bytes | None:
        """Receive one message, None at the end."""
        try:
            message = await self._call.to_client.get()
        finally:
            if self._call.to_client.drained:
                self._call.wire.undelivered.discard(self._call)
                self._stop_timer()
        limit = self._options.message_bytes
        if message is not None and len(message) > limit:
            self._call.abort("CANCELLED", lambda: self._too_large(len(message)))
            raise self._too_large(len(message))
        if message is not None:
            self._call.wire.passed("to_client")
        return message

    def read_now(self) -> bytes | None:
        """Receive a message that has arrived; None if there is none, or if reading it fails."""
        message = self._call.to_client.get_now(self._options.message_bytes)
        if message is not None:
            if self._call.to_client.drained:
                self._call.wire.undelivered.discard(self._call)
                self._stop_timer()
            self._call.wire.passed("to_client")
        return message

    def send_only(self, parts: Sequence[Buffer]) -> None:
        """Send the one message of the call, whatever its size, and half-close."""
        self._call.to_server.put_first(b"".join(parts))
        if not self._call.status:
            self._call.half_closed = True
            self._call.to_server.end()

    def cancel(self) -> None:
        """End the call now; the handler is cancelled."""
        self._stop_timer()
        self._call.abort(
            "CANCELLED",
            lambda: ConnectionLost(f"{self._target}: the call was cancelled locally", target=str(self._target)),
        )

    def expire_after(self, seconds: float) -> None:
        """End the call when its time has run out."""
        self._timer = asyncio.get_running_loop().call_later(seconds, self._expire)

    def _expire(self) -> None:
        self._call.abort(
            "DEADLINE_EXCEEDED", lambda: status.call_error("DEADLINE_EXCEEDED", "", target=str(self._target))
        )

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_large(self, size: int) -> Exception:
        details = f"the message is larger than the client takes ({size} of {self._options.message_bytes} bytes)"
        return status.call_error("RESOURCE_EXHAUSTED", details, target=str(self._target), too_large=True)
