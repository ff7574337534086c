"""The server of the in-memory transport: handlers are coroutines, faults are methods, and it remembers what it saw."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn, TypeAlias

from headrace import status
from headrace.errors import ConnectionLost
from headrace.transport.changes import Changes
from headrace.transport.memory.wire import Lane

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headrace.config import Target, Transmission
    from headrace.transport.base import Metadata
    from headrace.transport.memory.client import MemoryTransport
    from headrace.transport.memory.wire import Failure
#: Serves one call; when it returns, the call has succeeded.
Handler: TypeAlias = Callable[["ServerCall"], Awaitable[None]]

_REFUSED = "RST_STREAM with error code 7 (REFUSED_STREAM)"


class CallFailed(Exception):
    """Leaves a handler after `ServerCall.fail`; the client has its status already."""


class ServerCall:
    """One call as the server sees it: what a handler works with, and what a test looks at afterwards.

    Attributes:
        method: full path, such as "/clarifai.api.V2/PostModelOutputs".
        metadata: what the client sent along.
        timeout: seconds that the client gave the server, or None.
        connection: number of the connection that it came on, counted from 0.
        received: the messages that the handler has read (their sizes only in `received_bytes` with `keep=False`).
        received_messages: how many that were; `received_bytes`: how large together.
        sent_messages: how many messages the handler has written.
        half_closed: the client has said that no more messages come.
        cancelled: the call ended before the handler did: cancelled by the client, out of time, or its connection broke.
        status: how it ended: a gRPC status name ("OK", "UNAVAILABLE", ...), or "" while it runs.
        error: what the handler raised, if that is how it ended.
    """

    def __init__(
        self, server: MemoryServer, connection: Connection, method: str, metadata: Metadata, timeout: float | None
    ) -> None:
        self.method = method
        self.metadata = tuple(metadata)
        self.timeout = timeout
        self.connection = connection.number
        self.received: list[bytes] = []
        self.received_messages = 0
        self.received_bytes = 0
        self.sent_messages = 0
        self.half_closed = False
        self.cancelled = False
        self.status = ""
        self.error: BaseException | None = None
        self._server = server
        self._connection = connection
        self._task: asyncio.Task[None] | None = None
        self._to_server = Lane(server.window_bytes, started=False)
        self._to_client = Lane(server.window_bytes, started=True)

    def __repr__(self) -> str:
        state = self.status or ("running" if self._task else "queued")
        return f"<ServerCall {self.method} {state}, {self.received_messages} received, {self.sent_messages} sent>"

    @property
    def finished(self) -> bool:
        """Whether the handler has ended, for whatever reason."""
        return bool(self.status) and (self._task is None or self._task.done())

    # -- for handlers

    async def read(self) -> bytes | None:
        """Receive one message; None when the client has said that no more come."""
        message = await self._to_server.get()
        limit = self._server.message_bytes
        if message is not None and limit is not None and len(message) > limit:
            self.fail("RESOURCE_EXHAUSTED", f"Received message larger than max ({len(message)} vs. {limit})")
        if message is not None:
            self.received_messages += 1
            self.received_bytes += len(message)
            if self._server.keep:
                self.received.append(message)
            self._connection.passed("to_server")
        return message

    async def write(self, message: bytes) -> None:
        """Send one message; waits while the client has not read enough."""
        if not await self._to_client.put(message):
            raise ConnectionLost(f"{self.method}: the client has gone")
        self.sent_messages += 1
        self._server.changes.notify()

    def fail(self, status_name: str, details: str = "", *, retry_after: float | None = None) -> NoReturn:
        """End the call with a gRPC status, such as "UNAVAILABLE"; what was written before arrives first.

        Args:
            retry_after: the hint in seconds that goes along.
        """
        self._finish(status_name, details, retry_after)
        raise CallFailed(f"{status_name}: {details}")

    async def wait_cancelled(self) -> None:
        """Wait until `cancelled` is true; a handler that waits so is itself cancelled then."""
        await self._server.changes.until(lambda: self.cancelled)

    # -- for the transport

    def _start(self, handler: Handler) -> None:
        self._to_server.start()
        self._task = asyncio.get_running_loop().create_task(_run(handler, self), name=f"serve {self.method}")
        self._task.add_done_callback(self._served)

    def _served(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            self._finish("CANCELLED", "the handler was cancelled")
        elif (error := task.exception()) is None:
            self._finish("OK")
        elif not self.cancelled and not (isinstance(error, CallFailed) and self.status):
            # A handler that trips over a client that has gone has not failed; this one has.
            self.error = error
            self._server.errors.append(error)
            self._finish("UNKNOWN", f"the handler raised {type(error).__name__}: {error}")
        if not self._to_client.drained:
            self._connection.undelivered.add(self)
        self._connection.release(self)
        self._server.changes.notify()

    def _finish(self, status_name: str, details: str = "", retry_after: float | None = None) -> None:
        """End it from the server's side, after what was written before."""
        if self.status:
            return
        self.status = status_name
        target = self._connection.target
        failure: Failure | None = None
        if status_name != "OK":

            def failure() -> Exception:
                return status.grpc_error(status_name, details, target, retry_after=retry_after)

        self._to_client.end(failure)
        self._to_server.close()
        self._server.changes.notify()

    def _abort(self, status_name: str, failure: Failure) -> None:
        """End it from outside, at once: what is under way is lost, the handler is cancelled."""
        self._to_client.break_off(failure)
        self._connection.undelivered.discard(self)
        if not self.status:
            self.status = status_name
            self.cancelled = True
            self._to_server.break_off(lambda: ConnectionLost(f"{self.method}: the client has gone"))
            if self._task is None:
                self._connection.release(self)
            else:
                self._task.cancel()  # its end releases the place
        self._server.changes.notify()


class Connection:
    """One connection, as the server sees it."""

    def __init__(self, server: MemoryServer, number: int, target: str) -> None:
        self.number = number
        self.target = target
        self.running: set[ServerCall] = set()
        self.queued: deque[ServerCall] = deque()
        self.undelivered: set[ServerCall] = set()  # ended by the server, and the client has not read all of it
        self.alive = True
        self.draining = False  # a GOAWAY was sent: what runs may finish, nothing new
        self._server = server

    @property
    def ready(self) -> bool:
        """Whether a call can start on it."""
        return self.alive and not self.draining

    def admit(self, call: ServerCall) -> None:
        """Start a call, or let it wait for a place."""
        limit = self._server.streams_per_connection
        if limit is not None and len(self.running) >= limit:
            self.queued.append(call)
        else:
            self.running.add(call)
            self._server._serve(call)

    def release(self, call: ServerCall) -> None:
        """Forget a call that has ended; the next one in the queue starts."""
        self.running.discard(call)
        with contextlib.suppress(ValueError):
            self.queued.remove(call)
        self._server._ended(call)
        if self.draining and not self.running and not self.queued:
            self.close()
        limit = self._server.streams_per_connection
        while self.alive and self.queued and (limit is None or len(self.running) < limit):
            self.admit(self.queued.popleft())

    def passed(self, direction: Literal["to_server", "to_client"]) -> None:
        """Count a message that was read; the connection may be scripted to break after it."""
        fault = self._server._break_after
        if fault is not None and fault.direction == direction:
            fault.messages -= 1
            if fault.messages == 0:
                self._server._break_after = None
                self.break_off()
        self._server.changes.notify()

    def close(self) -> None:
        """Forget the connection; calls that run on it are not touched."""
        self.alive = False
        self._server._connections.discard(self)

    def break_off(self) -> None:
        """Lose the connection with all its calls."""
        self.close()
        self.abort("UNAVAILABLE", lambda: status.grpc_error("UNAVAILABLE", "Socket closed", self.target))

    def abort(self, status_name: str, failure: Failure) -> None:
        """End all calls on it at once."""
        for call in [*self.queued, *self.running, *self.undelivered]:
            call._abort(status_name, failure)
        self._server.changes.notify()


@dataclass(slots=True)
class _BreakAfter:
    messages: int
    direction: Literal["to_server", "to_client"]


class MemoryServer:
    """A server without a socket; `Client(transport=server)` talks to it.

    ::

        async def shout(call: ServerCall) -> None:
            while (message := await call.read()) is not None:
                await call.write(message.upper())

        server = MemoryServer({"/example.Service/Shout": shout})

    Its wire is true where it hurts: flow control in bytes, a limit of streams a connection, connections that break,
    answers that are lost with them. It belongs to one event loop.

    Args:
        handlers: full method path -> handler; a path without one is answered with UNIMPLEMENTED.
        window_bytes: in each direction of each call, a write waits while more would be unread.
        streams_per_connection: most calls at once on a connection, or None.
        over_limit: what happens to a call above that limit: it waits in line, or it is refused unprocessed.
        message_bytes: largest message that the server takes, or None.
        keep: remember calls and messages; turn it off where many thousands pass.

    Attributes:
        calls: every call that reached the server, in order (with `keep=False`: those that run).
        errors: what handlers raised: a test that expects none can look here.
        connects: connections accepted so far.
        refused_streams: calls refused because of the limit or a GOAWAY.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler] | None = None,
        *,
        window_bytes: int = 64 << 10,
        streams_per_connection: int | None = None,
        over_limit: Literal["queue", "refuse"] = "queue",
        message_bytes: int | None = None,
        keep: bool = True,
    ) -> None:
        self.handlers: dict[str, Handler] = dict(handlers or {})
        self.window_bytes = window_bytes
        self.streams_per_connection = streams_per_connection
        self.over_limit = over_limit
        self.message_bytes = message_bytes
        self.keep = keep
        self.calls: list[ServerCall] = []
        self.errors: list[BaseException] = []
        self.connects = 0
        self.refused_streams = 0
        self.changes = Changes()
        self._connections: set[Connection] = set()
        self._door: Literal["open", "refusing", "silent"] = "open"
        self._stalled = False
        self._break_after: _BreakAfter | None = None
        self._failures: deque[tuple[str, str, float | None]] = deque()

    def __call__(self, target: Target, options: Transmission) -> MemoryTransport:
        """Make an unconnected transport to this server: it is a `TransportFactory`."""
        from headrace.transport.memory.client import MemoryTransport

        return MemoryTransport(self, target, options)

    def __repr__(self) -> str:
        running = sum(len(c.running) for c in self._connections)
        return f"<MemoryServer {self._door}, {len(self._connections)} connections, {running} calls running>"

    def on(self, method: str) -> Callable[[Handler], Handler]:
        """Register the decorated coroutine function as the handler of a method path."""

        def register(handler: Handler) -> Handler:
            self.handlers[method] = handler
            return handler

        return register

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self._connections)

    @property
    def running(self) -> list[ServerCall]:
        """Calls whose handler runs now."""
        return [call for connection in self._connections for call in connection.running]

    async def until(self, condition: Callable[[], object], timeout: float = 10.0) -> None:
        """Wait until a condition on what the server saw is true, such as `lambda: server.calls[0].cancelled`.

        Raises:
            TimeoutError: it was not true within `timeout` seconds.
        """
        await self.changes.until(condition, timeout)

    # -- faults

    def refuse(self) -> None:
        """Refuse new connections; open ones stay."""
        self._set_door("refusing")

    def accept(self) -> None:
        """Accept new connections again."""
        self._set_door("open")

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Refuse new connections for the length of a `with` block."""
        self._set_door("refusing")
        try:
            yield
        finally:
            self._set_door("open")

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Neither accept nor refuse new connections for the length of a `with` block: who connects, waits."""
        self._set_door("silent")
        try:
            yield
        finally:
            self._set_door("open")

    def break_connections(self) -> None:
        """Break all connections now; all their calls fail, unread answers are lost."""
        for connection in list(self._connections):
            connection.break_off()

    def break_after(self, messages: int, direction: Literal["to_server", "to_client"] = "to_client") -> None:
        """Break the connection on which, from now on, the nth message is read; once. That message still arrives."""
        if messages < 1:
            raise ValueError(f"messages must be at least 1, not {messages}")
        self._break_after = _BreakAfter(messages, direction)

    def kill(self) -> None:
        """Be gone, as a killed process: connections break, new ones are refused."""
        self.refuse()
        self.break_connections()

    def restart(self) -> None:
        """Be back after `kill`; what was scripted and remembered stays."""
        self.accept()

    def go_away(self) -> None:
        """Send GOAWAY on all connections: calls that run may finish, new ones on them are refused unprocessed."""
        for connection in list(self._connections):
            connection.draining = True
        self.changes.notify()

    @contextlib.contextmanager
    def stalling(self) -> Iterator[None]:
        """Pass no message and no end of a call in either direction for the length of a `with` block."""
        self._stall(True)
        try:
            yield
        finally:
            self._stall(False)

    def fail_next(
        self, status_name: str, details: str = "", *, times: int = 1, retry_after: float | None = None
    ) -> None:
        """Let the next calls fail with a gRPC status before any handler sees them."""
        self._failures.extend([(status_name, details, retry_after)] * times)

    # -- for the transport

    def _set_door(self, door: Literal["open", "refusing", "silent"]) -> None:
        self._door = door
        self.changes.notify()

    def _stall(self, stalled: bool) -> None:
        self._stalled = stalled
        for connection in self._connections:
            for call in connection.running:
                call._to_server.hold(stalled)
                call._to_client.hold(stalled)

    def _connect(self, target: str) -> Connection:
        """Accept a connection; where the server does not accept, a dead one, whose calls fail."""
        if self._door != "open":
            dead = Connection(self, -1, target)
            dead.alive = False
            return dead
        connection = Connection(self, self.connects, target)
        self.connects += 1
        self._connections.add(connection)
        self.changes.notify()
        return connection

    def _call(self, connection: Connection, method: str, metadata: Metadata, timeout: float | None) -> ServerCall:
        """Take a call on a connection: start it, queue it, or refuse it."""
        call = ServerCall(self, connection, method, metadata, timeout)
        limit = self.streams_per_connection
        full = limit is not None and self.over_limit == "refuse" and len(connection.running) >= limit
        if not connection.alive:
            call._abort("UNAVAILABLE", lambda: no_connection(connection.target))
        elif full or connection.draining:
            self.refused_streams += 1
            call._abort("UNAVAILABLE", lambda: status.grpc_error("UNAVAILABLE", _REFUSED, connection.target))
        else:
            self.calls.append(call)
            connection.admit(call)
        self.changes.notify()
        return call

    def _serve(self, call: ServerCall) -> None:
        if self._failures:
            status_name, details, retry_after = self._failures.popleft()

            async def handler(call: ServerCall) -> None:
                call.fail(status_name, details, retry_after=retry_after)

            call._start(handler)
        else:
            call._start(self.handlers.get(call.method, _unimplemented))
        if self._stalled:
            call._to_server.hold(True)
            call._to_client.hold(True)

    def _ended(self, call: ServerCall) -> None:
        if not self.keep:
            with contextlib.suppress(ValueError):
                self.calls.remove(call)


def no_connection(target: str) -> Exception:
    """Make the error of a connection that was refused."""
    return status.grpc_error("UNAVAILABLE", "failed to connect to all addresses: connection refused", target)


async def _run(handler: Handler, call: ServerCall) -> None:
    await handler(call)


async def _unimplemented(call: ServerCall) -> None:
    call.fail("UNIMPLEMENTED", f"no handler for {call.method}")
