"""The server of the in-memory transport: handlers are coroutines, faults are methods, and it remembers what it saw."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from headrace import status
from headrace.config import Target, Transmission
from headrace.transport.changes import Changes
from headrace.transport.memory.call import CallFailed, Handler, ServerCall
from headrace.transport.memory.client import MemoryTransport
from headrace.transport.memory.connection import Connection, no_connection
from headrace.types import Metadata

__all__ = ["CallFailed", "Handler", "MemoryServer", "ServerCall"]


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

    It behaves like a real wire: flow control in bytes, a limit of streams per connection, connections that break,
    answers that are lost with them. It belongs to one event loop.

    Args:
        handlers: full method path -> handler; a path without one is answered with UNIMPLEMENTED.
        window_bytes: in each direction of each call, a write waits while more would be unread.
        streams_per_connection: maximum concurrent calls on a connection, or None.
        over_limit: what happens to a call above that limit: it waits in line, or it is refused unprocessed.
        message_bytes: largest message that the server takes, or None.
        keep: remember calls and messages; turn it off if many thousands pass.

    Attributes:
        calls: every call that reached the server, in order (with `keep=False`: those that run).
        errors: exceptions of handlers; a test can assert that there are none.
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
        self._streams_per_connection = streams_per_connection
        self.over_limit = over_limit
        self.message_bytes = message_bytes
        self.keep = keep
        self.calls: list[ServerCall] = []
        self.errors: list[BaseException] = []
        self.connects: int = 0
        self.refused_streams: int = 0
        self.changes: Changes = Changes()
        self._connections: set[Connection] = set()
        self._door: Literal["open", "refusing", "silent"] = "open"
        self._stalled = False
        self._break_after: _BreakAfter | None = None
        self._failures: deque[tuple[str, str, float | None, bool, bool]] = deque()

    def __call__(self, target: Target, options: Transmission) -> MemoryTransport:
        """Make an unconnected transport to this server: it is a `TransportFactory`."""
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
    def streams_per_connection(self) -> int | None:
        """Maximum concurrent calls on a connection, or None; clients learn of a change."""
        return self._streams_per_connection

    @streams_per_connection.setter
    def streams_per_connection(self, limit: int | None) -> None:
        self._streams_per_connection = limit
        for connection in list(self._connections):
            connection.limit_changed()

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
        """Behave as a killed process: connections break, new ones are refused."""
        self.refuse()
        self.break_connections()

    def restart(self) -> None:
        """Come back after `kill`; scripted faults and remembered calls stay."""
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
        self,
        status_name: str,
        details: str = "",
        *,
        times: int = 1,
        retry_after: float | None = None,
        unprocessed: bool = False,
        broken: bool = False,
    ) -> None:
        """Let the next calls fail with a gRPC status before any handler sees them; see `ServerCall.fail`."""
        self._failures.extend([(status_name, details, retry_after, unprocessed, broken)] * times)

    # -- for the transport

    def _set_door(self, door: Literal["open", "refusing", "silent"]) -> None:
        self._door = door
        self.changes.notify()

    def _stall(self, stalled: bool) -> None:
        self._stalled = stalled
        for connection in self._connections:
            for call in connection.running:
                call.to_server.hold(stalled)
                call.to_client.hold(stalled)

    def connect(self, target: str) -> Connection:
        """Accept a connection; if the server does not accept, a dead one, whose calls fail."""
        if self._door != "open":
            dead = Connection(self, -1, target)
            dead.alive = False
            return dead
        connection = Connection(self, self.connects, target)
        self.connects += 1
        self._connections.add(connection)
        self.changes.notify()
        return connection

    def take(self, connection: Connection, method: str, metadata: Metadata, timeout: float | None) -> ServerCall:
        """Take a call on a connection: start it, queue it, or refuse it."""
        call = ServerCall(self, connection, method, metadata, timeout)
        limit = self.streams_per_connection
        full = limit is not None and self.over_limit == "refuse" and len(connection.running) >= limit
        if not connection.alive:
            call.abort("UNAVAILABLE", lambda: no_connection(connection.target))
        elif full or connection.draining:
            self.refused_streams += 1
            call.abort(
                "UNAVAILABLE",
                lambda: status.call_error(
                    "UNAVAILABLE", "the server refused the stream", target=connection.target, unprocessed=True
                ),
            )
        else:
            self.calls.append(call)
            connection.admit(call)
        self.changes.notify()
        return call

    def serve(self, call: ServerCall) -> None:
        """Start the handler of a call that has its place."""
        if self._failures:
            name, details, retry_after, unprocessed, broken = self._failures.popleft()

            async def handler(call: ServerCall) -> None:
                call.fail(name, details, retry_after=retry_after, unprocessed=unprocessed, broken=broken)

            call.start(handler)
        else:
            call.start(self.handlers.get(call.method, _unimplemented))
        if self._stalled:
            call.to_server.hold(True)
            call.to_client.hold(True)

    def breaks_now(self, direction: Literal["to_server", "to_client"]) -> bool:
        """Count a message that was read; True when its connection is scripted to break after it."""
        fault = self._break_after
        if fault is None or fault.direction != direction:
            return False
        fault.messages -= 1
        if fault.messages:
            return False
        self._break_after = None
        return True

    def forget(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self._connections.discard(connection)

    @property
    def silent_now(self) -> bool:
        """Whether connecting clients are kept waiting."""
        return self._door == "silent"

    def call_ended(self, call: ServerCall) -> None:
        """Forget a call, if nothing is kept."""
        if not self.keep:
            with contextlib.suppress(ValueError):
                self.calls.remove(call)


async def _unimplemented(call: ServerCall) -> None:
    call.fail("UNIMPLEMENTED", f"no handler for {call.method}")
