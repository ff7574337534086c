"""One connection of the in-memory transport: the calls that run on it, wait, or are not read to their end."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol

from headrace import status
from headrace.transport.memory.call import CallHost

if TYPE_CHECKING:
    from headrace.transport.memory.call import ServerCall
    from headrace.transport.memory.wire import Failure


class Host(CallHost, Protocol):
    """What a connection needs from its server."""

    @property
    def streams_per_connection(self) -> int | None:
        """Maximum concurrent calls on a connection."""

    def serve(self, call: ServerCall) -> None:
        """Start the handler of a call that has its place."""

    def call_ended(self, call: ServerCall) -> None:
        """Forget a call."""

    def breaks_now(self, direction: Literal["to_server", "to_client"]) -> bool:
        """Count a message that was read; True when the connection is scripted to break after it."""

    def forget(self, connection: Connection) -> None:
        """Forget a connection that is closed."""


class Connection:
    """One connection, as the server sees it."""

    def __init__(self, host: Host, number: int, target: str) -> None:
        self.number = number
        self.target = target
        self.running: set[ServerCall] = set()
        self.queued: deque[ServerCall] = deque()
        self.undelivered: set[ServerCall] = set()  # ended by the server, and the client has not read all of it
        self.alive: bool = True
        self.draining = False  # a GOAWAY was sent: what runs may finish, nothing new
        self.on_limit: Callable[[], object] | None = None
        self._host = host

    @property
    def ready(self) -> bool:
        """Whether a call can start on it."""
        return self.alive and not self.draining

    def admit(self, call: ServerCall) -> None:
        """Start a call, or let it wait for a place."""
        limit = self._host.streams_per_connection
        if limit is not None and len(self.running) >= limit:
            self.queued.append(call)
        else:
            self.running.add(call)
            self._host.serve(call)

    def release(self, call: ServerCall) -> None:
        """Forget a call that has ended; the next one in the queue starts."""
        self.running.discard(call)
        with contextlib.suppress(ValueError):
            self.queued.remove(call)
        self._host.call_ended(call)
        if self.draining and not self.running and not self.queued:
            self.close()
        self._admit_queued()

    @property
    def max_streams(self) -> int | None:
        """Concurrent calls that the server allows."""
        return self._host.streams_per_connection

    def limit_changed(self) -> None:
        """Tell the client about another limit, and start what may start now."""
        self._admit_queued()
        if self.on_limit is not None:
            self.on_limit()

    def _admit_queued(self) -> None:
        limit = self._host.streams_per_connection
        while self.alive and self.queued and (limit is None or len(self.running) < limit):
            self.admit(self.queued.popleft())

    def passed(self, direction: Literal["to_server", "to_client"]) -> None:
        """Count a message that was read; the connection may be scripted to break after it."""
        if self._host.breaks_now(direction):
            self.break_off()
        self._host.changes.notify()

    def close(self) -> None:
        """Forget the connection; calls that run on it are not touched."""
        self.alive = False
        self._host.forget(self)

    def break_off(self) -> None:
        """Lose the connection with all its calls."""
        self.close()
        self.abort(
            "UNAVAILABLE", lambda: status.call_error("UNAVAILABLE", "Socket closed", target=self.target, broken=True)
        )

    def abort(self, status_name: str, failure: Failure) -> None:
        """End all calls on it immediately."""
        for call in [*self.queued, *self.running, *self.undelivered]:
            call.abort(status_name, failure)
        self._host.changes.notify()


def no_connection(target: str) -> Exception:
    """Make the error of a connection that was refused."""
    return status.call_error("UNAVAILABLE", "connection refused", target=target, connecting=True)
