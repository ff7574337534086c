"""One call of the in-memory transport, as its server sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Literal, NoReturn, Protocol, TypeAlias

from headrace import status
from headrace.errors import ConnectionLost
from headrace.transport.changes import Changes
from headrace.transport.memory.wire import Failure, StreamHalf
from headrace.types import Metadata

#: Serves one call; when it returns, the call has succeeded.
Handler: TypeAlias = Callable[["ServerCall"], Awaitable[None]]


class CallHost(Protocol):
    """What a call needs from its server."""

    window_bytes: int
    message_bytes: int | None
    keep: bool
    errors: list[BaseException]
    changes: Changes


class CallOwner(Protocol):
    """What a call needs from its connection."""

    number: int
    target: str
    undelivered: set[ServerCall]

    def release(self, call: ServerCall) -> None:
        """Forget a call that has ended; the next one in the queue starts."""

    def passed(self, direction: Literal["to_server", "to_client"]) -> None:
        """Count a message that was read."""


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
        self, host: CallHost, connection: CallOwner, method: str, metadata: Metadata, timeout: float | None
    ) -> None:
        self.method = method
        self.metadata: tuple[tuple[str, str], ...] = tuple(metadata)
        self.timeout = timeout
        self.connection: int = connection.number
        self.received: list[bytes] = []
        self.received_messages: int = 0
        self.received_bytes: int = 0
        self.sent_messages: int = 0
        self.half_closed = False
        self.cancelled: bool = False
        self.status: str = ""
        self.error: BaseException | None = None
        self._host = host
        self.wire = connection
        self.task: asyncio.Task[None] | None = None
        self.to_server: StreamHalf = StreamHalf(host.window_bytes, started=False)
        self.to_client: StreamHalf = StreamHalf(host.window_bytes, started=True)

    def __repr__(self) -> str:
        state = self.status or ("running" if self.task else "queued")
        return f"<ServerCall {self.method} {state}, {self.received_messages} received, {self.sent_messages} sent>"

    @property
    def finished(self) -> bool:
        """Whether the handler has ended, for whatever reason."""
        return bool(self.status) and (self.task is None or self.task.done())

    # -- for handlers

    async def read(self) -> bytes | None:
        """Receive one message; None when the client has said that no more come."""
        message = await self.to_server.get()
        limit = self._host.message_bytes
        if message is not None and limit is not None and len(message) > limit:
            details = f"the message is larger than the server takes ({len(message)} of {limit} bytes)"
            self.fail("RESOURCE_EXHAUSTED", details, too_large=True)
        if message is not None:
            self.received_messages += 1
            self.received_bytes += len(message)
            if self._host.keep:
                self.received.append(message)
            self.wire.passed("to_server")
        return message

    async def write(self, message: bytes) -> None:
        """Send one message; waits while the client has not read enough."""
        if not await self.to_client.put(message):
            raise ConnectionLost(f"{self.method}: the client has gone")
        self.sent_messages += 1
        self._host.changes.notify()

    def fail(
        self,
        status_name: str,
        details: str = "",
        *,
        retry_after: float | None = None,
        unprocessed: bool = False,
        broken: bool = False,
        too_large: bool = False,
        status_details: bytes = b"",
    ) -> NoReturn:
        """End the call with a gRPC status, such as "UNAVAILABLE"; what was written before arrives first.

        Args:
            retry_after: the hint in seconds that goes along.
            unprocessed: as if the server had refused the stream without looking at it.
            broken: as if the stream had been reset halfway.
            too_large: as if a message had been over a size limit.
            status_details: a serialized `google.rpc.Status` that goes along.
        """
        self._finish(
            status_name,
            details,
            retry_after,
            unprocessed=unprocessed,
            broken=broken,
            too_large=too_large,
            status_details=status_details,
        )
        raise CallFailed(f"{status_name}: {details}")

    async def wait_cancelled(self) -> None:
        """Wait until `cancelled` is true; a handler that waits so is itself cancelled then."""
        await self._host.changes.until(lambda: self.cancelled)

    # -- for the transport

    def start(self, handler: Handler) -> None:
        self.to_server.start()
        self.task = asyncio.get_running_loop().create_task(_run(handler, self), name=f"serve {self.method}")
        self.task.add_done_callback(self._served)

    def _served(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            self._finish("CANCELLED", "the handler was cancelled")
        elif (error := task.exception()) is None:
            self._finish("OK")
        elif not self.cancelled and not (isinstance(error, CallFailed) and self.status):
            # A handler that fails because its client has gone has not failed itself; this one has.
            self.error = error
            self._host.errors.append(error)
            self._finish("UNKNOWN", f"the handler raised {type(error).__name__}: {error}")
        if not self.to_client.drained:
            self.wire.undelivered.add(self)
        self.wire.release(self)
        self._host.changes.notify()

    def _finish(self, status_name: str, details: str = "", retry_after: float | None = None, **facts: Any) -> None:
        """End it from the server's side, after what was written before."""
        if self.status:
            return
        self.status = status_name
        target = self.wire.target
        failure: Failure | None = None
        if status_name != "OK":

            def failure() -> Exception:
                return status.call_error(status_name, details, target=target, retry_after=retry_after, **facts)

        self.to_client.end(failure)
        self.to_server.close()
        self._host.changes.notify()

    def abort(self, status_name: str, failure: Failure) -> None:
        """End it from outside, immediately: what is in flight is lost, the handler is cancelled."""
        self.to_client.break_off(failure)
        self.wire.undelivered.discard(self)
        if not self.status:
            self.status = status_name
            self.cancelled = True
            self.to_server.break_off(lambda: ConnectionLost(f"{self.method}: the client has gone"))
            if self.task is None:
                self.wire.release(self)
            else:
                self.task.cancel()  # its end releases the place
        self._host.changes.notify()


async def _run(handler: Handler, call: ServerCall) -> None:
    await handler(call)
