"""A connection without a socket: for tests, with the flow control and the faults of a real one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from headrace import status
from headrace.errors import ClosedError, ConnectFailed, ConnectionLost
from headrace.transport.memory.server import CallFailed, Connection, Handler, MemoryServer, ServerCall, no_connection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.config import Target, Transmission
    from headrace.transport.base import Buffer, Metadata

__all__ = ["CallFailed", "Handler", "MemoryCall", "MemoryServer", "MemoryTransport", "ServerCall"]


class MemoryTransport:
    """One connection to a `MemoryServer`, made on first use; a `Transport`.

    After the connection broke, the next `connect` or call makes a new one; after a GOAWAY `connect` does.
    """

    def __init__(self, server: MemoryServer, target: Target, options: Transmission) -> None:
        self._server = server
        self._target = target
        self._options = options
        self._connection: Connection | None = None
        self._past: list[Connection] = []  # earlier connections whose calls are not over
        self._closed = False
        self._closing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        state = "closed" if self._closed else "ready" if self.healthy else "not connected"
        return f"<MemoryTransport {self._target} {state}>"

    @property
    def healthy(self) -> bool:
        """Whether the connection is ready for a call without connecting first."""
        return not self._closed and self._connection is not None and self._connection.ready

    async def connect(self, timeout: float) -> None:
        """Connect unless connected; see `Transport.connect`."""
        self._check_open()
        if self.healthy:
            return
        try:
            await self._server.until(lambda: self._server._door != "silent" or self._closed, timeout)
        except TimeoutError:
            raise ConnectFailed(
                f"{self._target}: no connection within {timeout:g} s", target=str(self._target)
            ) from None
        self._check_open()
        if not self.healthy and not self._reconnect().alive:
            raise no_connection(str(self._target))

    async def unary(self, method: str, parts: Sequence[Buffer], metadata: Metadata, timeout: float | None) -> bytes:
        """Make one unary call; see `Transport.unary`."""
        call = self._start(method, metadata, timeout)
        timer = asyncio.get_running_loop().call_later(timeout, call.expire) if timeout is not None else None
        try:
            await call.send(parts)
            await call.half_close()
            answer = await call.read()
            if answer is None or await call.read() is not None:
                many = "no answer" if answer is None else "more than one answer"
                raise status.grpc_error("INTERNAL", f"{many} to a unary call", str(self._target))
            return answer
        finally:
            call.cancel()
            if timer is not None:
                timer.cancel()

    def open(self, method: str, metadata: Metadata) -> MemoryCall:
        """Open a call that streams; see `Transport.open`."""
        return self._start(method, metadata, None)

    async def close(self, grace: float) -> None:
        """Close the connection; see `Transport.close`. No handler of its calls runs afterwards."""
        self._closed = True
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close(grace))
        await asyncio.shield(self._closing)

    async def _close(self, grace: float) -> None:
        connections = [*self._past, *([self._connection] if self._connection is not None else [])]
        running = {task for c in connections for call in c.running if (task := call._task) is not None}
        if running and grace > 0:
            await asyncio.wait(running, timeout=grace)
        for connection in connections:
            connection.close()
            connection.abort("CANCELLED", lambda: ClosedError("the connection was closed during the call"))
        if running:
            await asyncio.wait(running)
        self._server.changes.notify()

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("the connection is closed")

    def _reconnect(self) -> Connection:
        self._past = [c for c in (*self._past, self._connection) if c is not None and (c.running or c.undelivered)]
        self._connection = self._server._connect(str(self._target))
        return self._connection

    def _start(self, method: str, metadata: Metadata, timeout: float | None) -> MemoryCall:
        self._check_open()
        connection = self._connection
        if connection is None or not connection.alive:
            connection = self._reconnect()
        return MemoryCall(self._server._call(connection, method, metadata, timeout), self._target, self._options)


class MemoryCall:
    """The client's end of a call; a `Call`.

    A cancelled `write` that waited for the window has sent nothing, and the call goes on.
    """

    def __init__(self, call: ServerCall, target: Target, options: Transmission) -> None:
        self._call = call
        self._target = target
        self._options = options

    @property
    def reading(self) -> bool:
        """False: a pending read may be ended either way."""
        return False

    async def write(self, parts: Sequence[Buffer]) -> None:
        """Send one message; waits while the server has not read enough."""
        if not await self.send(parts):
            raise self._call._to_client.failure or ConnectionLost(
                f"{self._target}: the server has ended the call", target=str(self._target), status="OK"
            )

    async def send(self, parts: Sequence[Buffer]) -> bool:
        """Send one message; False when the call has ended: `read` tells how."""
        return await self._call._to_server.put(b"".join(parts))

    async def half_close(self) -> None:
        """Say that no more messages come."""
        if not self._call.status:
            self._call.half_closed = True
            self._call._to_server.end()
            self._call._server.changes.notify()

    async def read(self) -> bytes | None:
        """Receive one message, None at the end."""
        try:
            message = await self._call._to_client.get()
        finally:
            if self._call._to_client.drained:
                self._call._connection.undelivered.discard(self._call)
        limit = self._options.message_bytes
        if message is not None and len(message) > limit:
            self._call._abort("CANCELLED", lambda: self._too_large(len(message)))
            raise self._too_large(len(message))
        if message is not None:
            self._call._connection.passed("to_client")
        return message

    def cancel(self) -> None:
        """End the call now; the handler is cancelled."""
        self._call._abort(
            "CANCELLED",
            lambda: ConnectionLost(f"{self._target}: the call was cancelled on this side", target=str(self._target)),
        )

    def expire(self) -> None:
        """End the call because its time has run out."""
        self._call._abort("DEADLINE_EXCEEDED", lambda: status.grpc_error("DEADLINE_EXCEEDED", "", str(self._target)))

    def _too_large(self, size: int) -> Exception:
        details = f"Received message larger than max ({size} vs. {self._options.message_bytes})"
        return status.grpc_error("RESOURCE_EXHAUSTED", details, str(self._target))
