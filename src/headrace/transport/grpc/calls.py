"""Streaming calls over gRPC: `GrpcCall` by its core, `PublicCall` by its public API alone.

- A `CancelledError` out of grpc while nobody cancelled our task means that the call ended locally (channel closed, call
  cancelled by us): it becomes a `ConnectionLost`, never a cancellation.
- grpc.aio's `write` turns a message that could not be sent into the status INTERNAL of the whole call, over the true
  one that is about to come, and hides answers that are there already. `GrpcCall` hands messages to the core instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from grpc import aio

from headrace.errors import ConnectionLost, HeadraceError

if TYPE_CHECKING:
    from headrace.target import Target
    from headrace.transport.grpc.buffers import Joiner
    from headrace.types import Buffer

SCARCE_BYTES = 1 << 20  # bytes of a message from which memory costs more than some more steps
ENDED_LOCALLY = (asyncio.CancelledError, aio.UsageError, aio.InternalError, asyncio.InvalidStateError)

_EOF = aio.EOF


class Owner(Protocol):
    """What a call needs of its transport."""

    target: Target
    joiner: Joiner

    def ended(self, call: Any) -> None:
        """Note that a call of gRPC's has ended."""

    def failed(self, ended: Any, *, no_grpc: bool = True) -> HeadraceError:
        """Make the error of a call from the status that it ended with."""

    def lost(self, error: BaseException) -> BaseException:
        """Distinguish a real cancellation from a call that ended locally."""


class GrpcCall:
    """One streaming call by gRPC's core; see `Call`.

    Args:
        only: the one message of the call, sent when it is read first; None: `write` sends messages.
        blind: gRPC was given the only message, and hides what a proxy answers to such a call.
    """

    def __init__(
        self, transport: Owner, call: Any, only: Sequence[Buffer] | None = None, *, blind: bool = False
    ) -> None:
        self._blind = blind
        self._transport = transport
        self._call = call
        self._only = only
        core = getattr(call, "_cython_call", None)
        self._send: Any = getattr(core, "send_serialized_message", None) or getattr(call, "write", None)
        # Under grpc.aio's `read`, which checks four things and crosses two coroutines more for each message.
        self._receiver = getattr(core, "receive_serialized_message", None)
        self._receive: Any = None  # the same, once the first message is there
        self._begun = False

    @property
    def grpc_call(self) -> Any:
        """The call of gRPC's."""
        return self._call

    async def write(self, parts: Sequence[Buffer]) -> None:
        """Send one message; what it was that ended the call, `read` tells."""
        try:
            if not self._begun:
                await self._call.wait_for_connection()
                self._begun = True
            size = sum(map(len, parts))
            if size < SCARCE_BYTES or len(parts) == 1:
                await self._send(joined(parts))
                return
            memory = self._transport.joiner.join(parts, size)
            await self._send(memory.getvalue())
            self._transport.joiner.keep(memory)
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
            if self._receive is not None and (message := await self._receive()) is not _EOF:
                return message  # type: ignore[no-any-return]  # a `cast` is a call
            if self._only is not None:
                await self._send_only()
            message = await self._call.read()  # waits for the call to begin, and tells how it ended
        except aio.AioRpcError as error:
            self._transport.ended(self._call)
            raise self._transport.failed(error, no_grpc=self._receive is None and not self._blind) from None
        except ENDED_LOCALLY as error:
            raise self._transport.lost(error) from None
        self._receive = self._receiver
        if message is _EOF:
            self._transport.ended(self._call)
            return None
        return cast("bytes", message)

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
            self._receive = self._receiver = None


class PublicCall:
    """One streaming call by gRPC's public API, as interceptors want it: messages out of one iterator, into another.

    gRPC takes the next message when it has sent the one before; so one is in flight, and one waits.
    """

    def __init__(self, transport: Owner, multicallable: Any, only: Sequence[Buffer] | None, **arguments: Any) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._message: bytes | None = None
        self._half_closed = False
        self._over = False
        self._answered = False
        self._blind = only is not None
        self._changed: list[asyncio.Future[None]] = []
        self._call = multicallable(self._messages() if only is None else joined(only), **arguments)
        self._answers: AsyncIterator[bytes] = self._call.__aiter__()

    @property
    def grpc_call(self) -> Any:
        """The call of gRPC's."""
        return self._call

    async def write(self, parts: Sequence[Buffer]) -> None:
        """Send one message."""
        while self._message is not None and not self._over:
            await self._change()
        if self._over:
            raise self._transport.lost(asyncio.InvalidStateError("it has ended"))
        self._message = joined(parts)
        self._notify()

    async def half_close(self) -> None:
        """Say that no more messages come."""
        self._half_closed = True
        self._notify()

    async def read(self) -> bytes | None:
        """Receive one message, None at the end."""
        try:
            message = await self._answers.__anext__()
            self._answered = True
            return message
        except StopAsyncIteration:
            if self._over:  # a generator that was cancelled has no more to say
                raise ConnectionLost(
                    f"{self._transport.target}: the call was cancelled locally", target=str(self._transport.target)
                ) from None
            self._transport.ended(self._call)
            return None
        except aio.AioRpcError as error:
            self._end()
            raise self._transport.failed(error, no_grpc=not self._answered and not self._blind) from None
        except ENDED_LOCALLY as error:
            raise self._transport.lost(error) from None

    def cancel(self) -> None:
        """End the call now."""
        if not self._over:
            self._end()
            self._call.cancel()

    def _end(self) -> None:
        self._over = True
        self._transport.ended(self._call)
        self._notify()

    async def _messages(self) -> AsyncIterator[bytes]:
        while True:
            while self._message is None and not self._half_closed and not self._over:
                await self._change()
            if self._message is None or self._over:
                return
            message, self._message = self._message, None
            self._notify()
            yield message

    async def _change(self) -> None:
        future = self._loop.create_future()
        self._changed.append(future)
        await future

    def _notify(self) -> None:
        changed, self._changed = self._changed, []
        for future in changed:
            if not future.done():
                future.set_result(None)


class _Ended:
    """Stands in for gRPC's call once it was cancelled: that one would say the same, but holds the channel."""

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
