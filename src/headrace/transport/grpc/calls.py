"""A streaming call over grpc.aio, by its `read` and `write`.

A `CancelledError` out of grpc while nobody cancelled our task means that the call ended locally (channel closed, call
cancelled by us): it becomes a `ConnectionLost`, never a cancellation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from grpc import aio

from headrace.errors import HeadraceError

if TYPE_CHECKING:
    from headrace.types import Buffer

T = TypeVar("T")

ENDED_LOCALLY = (asyncio.CancelledError, aio.UsageError, aio.InternalError, asyncio.InvalidStateError)


class Owner(Protocol):
    """What a call needs from its transport."""

    def ended(self, call: Any) -> None:
        """Note that a call of gRPC's has ended."""

    def failed(self, ended: Any, *, no_grpc: bool = True) -> HeadraceError:
        """Make the error of a call from the status that it ended with."""

    def lost(self, error: BaseException) -> BaseException:
        """Distinguish a real cancellation from a call that ended locally."""


class GrpcCall:
    """One streaming call; see `headrace.transport.base.Call`.

    Args:
        only: the one message of the call, sent when it is read first; None: `write` sends messages.
    """

    def __init__(self, transport: Owner, call: Any, only: Sequence[Buffer] | None = None) -> None:
        self._transport = transport
        self._call = call
        self._only = only
        # The one step around the public API. Where the server ends a call while a message is on its way, grpc.aio's
        # `write` puts INTERNAL over the status that the server gave. The call below it just fails, and `read` tells.
        self._send: Any = getattr(getattr(call, "_cython_call", None), "send_serialized_message", None) or call.write
        self._begun = False
        self._answered = False

    @property
    def grpc_call(self) -> Any:
        """The call of gRPC's."""
        return self._call

    async def write(self, parts: Sequence[Buffer]) -> None:
        """Send one message; if the call has ended, `read` raises the reason."""
        try:
            if not self._begun:
                await self._call.wait_for_connection()
                self._begun = True
            await self._send(joined(parts))
        except aio.AioRpcError as error:
            raise self._transport.failed(error) from None
        except ENDED_LOCALLY as error:
            raise self._transport.lost(error) from None

    async def half_close(self) -> None:
        """Say that no more messages come."""
        try:
            await self._call.done_writing()
        except aio.AioRpcError:
            pass  # the call has ended; `read` raises how
        except ENDED_LOCALLY as error:
            lost = self._transport.lost(error)
            if isinstance(lost, asyncio.CancelledError):
                raise lost from None

    async def read(self) -> bytes | None:
        """Receive one message, None at the end."""
        try:
            if self._only is not None:
                await self._send_only()
            message = await (self._call.read() if self._answered else own_task(self._call.read()))
        except aio.AioRpcError as error:
            self._transport.ended(self._call)
            raise self._transport.failed(error, no_grpc=not self._answered) from None
        except ENDED_LOCALLY as error:
            raise self._transport.lost(error) from None
        except StopAsyncIteration:  # how older gRPC's calls with interceptors end
            message = aio.EOF
        if message is aio.EOF:
            self._transport.ended(self._call)
            return None
        self._answered = True
        return cast("bytes", message)

    def read_now(self) -> bytes | None:
        """Return None: gRPC gives messages to those who wait for them."""

    async def _send_only(self) -> None:
        parts, self._only = self._only, None
        assert parts is not None
        try:
            await self.write(parts)
            parts = None
            await self.half_close()
        except HeadraceError:
            pass  # the call has ended, perhaps with an answer: reading shows it

    def cancel(self) -> None:
        """End the call now."""
        if self._call is not _ENDED:
            self._call.cancel()
            self._transport.ended(self._call)
            self._call, self._send, self._only = _ENDED, _ENDED.write, None


async def own_task(awaitable: Awaitable[T]) -> T:
    """Await something of gRPC's that itself awaits a task: until a call is prepared, and for every unary answer.

    A cancellation that passes through such a task loses its message, by which anyio recognizes those of its scopes.
    Here it reaches the waiting task first.
    """
    task = asyncio.ensure_future(awaitable)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.add_done_callback(_retrieve)
        task.cancel()
        raise
    return task.result()


def _retrieve(task: asyncio.Future[T]) -> None:
    """Look at an exception that nobody waits for, else asyncio logs it."""
    if not task.cancelled():
        task.exception()


class _Ended:
    """Replaces gRPC's call once it was cancelled: it behaves the same, but does not hold the channel."""

    async def read(self) -> bytes:
        raise aio.UsageError("it was cancelled")

    async def write(self, message: bytes) -> None:
        raise aio.UsageError("it was cancelled")

    done_writing = wait_for_connection = read


_ENDED = _Ended()


def joined(parts: Sequence[Buffer]) -> bytes:
    """Join a message's parts; gRPC takes one bytes object, so this is the one copy."""
    if len(parts) == 1 and isinstance(parts[0], bytes):
        return parts[0]
    return b"".join(parts)
