"""The interface between calls and transports: bytes and metadata; neither protobuf nor gRPC.

A transport is a slot for one connection at a time, to one target. It connects on request, and
again after it was lost. Calls on a connection for which the server has sent GOAWAY finish on it, while
the next `connect` makes another one. A transport belongs to the event loop in which it was first used.

Errors say what happened by their class and fields, whatever the wire says (`headrace.status.call_error` makes them):

- `ConnectFailed`: there was no connection, and nothing was sent.
- `ConnectionLost`: the connection or the call broke; with `unprocessed` the server surely has not seen the call: it
  refused the stream, or sent a GOAWAY with a last stream id below the call's.
- `DeadlineExceeded`: the call's `timeout` was over, by the local clock, whether or not the server answers.
- `ServerError`: the server, or a proxy before it, ended the call with a status.
- `ClosedError`: the transport was closed or discarded.

`tests/contract/test_transport.py` is this page as tests; every transport passes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from headrace.config import Target, Transmission
from headrace.types import Buffer, Metadata

__all__ = ["OWN_HEADERS", "Buffer", "Call", "Metadata", "Transport", "TransportFactory"]


#: Headers that gRPC and HTTP write themselves, or forbid: not usable as metadata.
OWN_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "content-type",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)


class Call(Protocol):
    """One RPC with a stream in at least one direction.

    One writer and one reader, at the same time. A failure of the call is raised from `read` (and from `write`, if it
    is noticed); a `CancelledError` comes out only when the awaiting task was cancelled.

    To stop a call: set your own flag, `cancel()`, and wait for the reader, which ends by itself. A task that is
    cancelled while it reads or writes affects only this call: cancel the call as well then, because a message
    may have been lost with the task.
    """

    async def write(self, parts: Sequence[Buffer]) -> None:
        """Send one message, given in parts; waits while the peer's flow-control window is full.

        Raises:
            TransportError: the call has ended; `read` raises how.
        """

    async def half_close(self) -> None:
        """Say that no more messages come; reading goes on. On a call that has ended it does nothing."""

    async def read(self) -> bytes | None:
        """Receive one message; None when the server ended the call with success, and at every read after that.

        No task is needed: a coroutine that awaits `read` may be driven by the callbacks of the futures that it yields
        (`asyncio.current_task()` is None in it then). So a transport uses no `asyncio.timeout`, and asks for no task,
        below `read`. A message that has arrived before `cancel` may still be handed out after it.

        Raises:
            TransportError, ServerError: the call failed; the messages before that were handed out.
        """

    def read_now(self) -> bytes | None:
        """Receive a message that has arrived, as `read` does but without waiting; None if `read` has to be awaited.

        For a reader of many small messages, to which a coroutine for each costs more than the message. It says nothing
        about the end, and raises nothing. Not to be called while a `read` is pending.
        """

    def cancel(self) -> None:
        """End the call now and tell the server; idempotent, never blocks. A pending `read` or `write` ends by itself:
        with what has arrived already, or with a `ConnectionLost`."""


@runtime_checkable
class Transport(Protocol):
    """A slot for one connection to one target; it reconnects.

    Attributes:
        survives_fork: whether a forked process may go on using what it inherited of it, if only to `discard` it.
            If it is False, the transport itself takes care before a fork, and the child must not touch it.
        on_max_streams: called when `max_streams` has changed; set by the owner of the transport.
    """

    survives_fork: bool
    on_max_streams: Callable[[], object] | None

    @property
    def healthy(self) -> bool:
        """Whether the connection is ready for a call without connecting first."""

    @property
    def max_streams(self) -> int | None:
        """Concurrent calls that the server allows on the connection; None: not known, or no limit."""

    async def connect(self, timeout: float) -> None:
        """Connect unless connected, within `timeout` seconds; it is `healthy` when this returns.

        Raises:
            ConnectFailed: refused, unresolvable, TLS failure, or no connection in time; the message says which.
            ClosedError: it is closed.
        """

    async def unary(self, method: str, parts: Sequence[Buffer], metadata: Metadata, timeout: float | None) -> bytes:
        """Make one call with one message each way; cancelling the awaiting task cancels the call.

        Args:
            method: full path, such as "/clarifai.api.V2/PostModelOutputs".
            parts: the request message, given in parts.
            timeout: seconds, or None. The server gets it, and the local clock ends the call.

        Raises:
            DeadlineExceeded: the timeout is over.
            TransportError, ServerError: the call failed.
        """

    def open(
        self,
        method: str,
        metadata: Metadata,
        *,
        timeout: float | None = None,
        first: Sequence[Buffer] | None = None,
    ) -> Call:
        """Open a call that streams in both directions.

        Args:
            timeout: as for `unary`, for the whole call.
            first: the only message, given in parts, of a call that streams answers alone: the call is half-closed.

        Raises:
            ClosedError: it is closed. Other failures are raised by `read`.
        """

    async def close(self, grace: float) -> None:
        """Close the connection; calls that still run after `grace` seconds are cancelled. Idempotent."""

    def discard(self) -> None:
        """Release everything without I/O and without an event loop: its own loop is closed. Idempotent."""


class TransportFactory(Protocol):
    """Makes connections; `Client(transport=...)` takes one."""

    def __call__(self, target: Target, options: Transmission) -> Transport:
        """Make an unconnected transport (no I/O)."""
