"""The seam between calls and wire: bytes and metadata, nothing of protobuf, nothing of gRPC.

A transport is one connection. It belongs to the event loop it was made in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias, runtime_checkable

from headrace.config import Target, Transmission

Buffer: TypeAlias = bytes | bytearray | memoryview
Metadata: TypeAlias = Sequence[tuple[str, str]]


class Call(Protocol):
    """One RPC with a stream in at least one direction.

    One task writes, one task reads, at the same time. A failure of the call is raised from `read` (and from `write`,
    where it is noticed) as a `TransportError`; a `CancelledError` comes out only when the awaiting task was cancelled.
    """

    async def write(self, parts: Sequence[Buffer]) -> None:
        """Send one message, given in parts; waits while the peer's flow-control window is full.

        Raises:
            TransportError: the call has ended; `read` tells how.
        """

    async def half_close(self) -> None:
        """Say that no more messages come; reading goes on."""

    async def read(self) -> bytes | None:
        """Receive one message; None when the server ended the call with success.

        Raises:
            TransportError: the call failed.
        """

    def cancel(self) -> None:
        """End the call now; idempotent, never blocks, the server is told. A pending `read` ends by itself then."""

    @property
    def reading(self) -> bool:
        """Whether a `read` is pending that should be ended by `cancel`, not by cancelling the task that awaits it."""


@runtime_checkable
class Transport(Protocol):
    """One connection to one target."""

    @property
    def healthy(self) -> bool:
        """Whether the connection is ready for a call without connecting first."""

    async def connect(self, timeout: float) -> None:
        """Connect unless connected, within `timeout` seconds.

        Raises:
            ConnectFailed: refused, unresolvable, TLS failure, or no connection in time.
        """

    async def unary(self, method: str, parts: Sequence[Buffer], metadata: Metadata, timeout: float | None) -> bytes:
        """Make one call with one message each way; cancelling the awaiting task cancels the call.

        Args:
            method: full path, such as "/clarifai.api.V2/PostModelOutputs".
            parts: the request message, given in parts.
            timeout: seconds until the server is told to give up, or None.

        Raises:
            TransportError: the call failed.
        """

    def open(self, method: str, metadata: Metadata) -> Call:
        """Open a call that streams in both directions (a server stream is one with a single message in)."""

    async def close(self, grace: float) -> None:
        """Close the connection; calls still running after `grace` seconds are cancelled. Idempotent."""


class TransportFactory(Protocol):
    """Makes connections; `Client(transport=...)` takes one."""

    def __call__(self, target: Target, options: Transmission) -> Transport:
        """Make an unconnected transport (no I/O)."""
