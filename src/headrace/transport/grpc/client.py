"""A slot for one HTTP/2 connection by grpc.aio.

A unary call of gRPC holds the request twice (the bytes given, and the core's copy) until the answer is there; the
message of a stream is freed once it is sent. Large unary requests are therefore sent as streams of one message.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from grpc import ChannelConnectivity as State
from grpc import aio

from headrace import status
from headrace.errors import ClosedError, ConnectFailed, ConnectionLost, HeadraceError
from headrace.transport.grpc import fork
from headrace.transport.grpc.calls import ENDED_LOCALLY, GrpcCall, joined, own_task
from headrace.transport.grpc.channel import make_channel
from headrace.transport.grpc.diagnosis import explain
from headrace.transport.grpc.errors import call_failed

if TYPE_CHECKING:
    from headrace.config import Target, Transmission
    from headrace.types import Buffer, Metadata


FAR = 1e8  # longest deadline in seconds: gRPC takes much larger ones for past

SCARCE_BYTES = 1 << 20  # bytes from which saving memory is worth some more steps


class _PollerNoise(logging.Filter):
    """Filters a line of asyncio's log that older gRPC causes with several loops: a wake-up was already consumed."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not (isinstance(error, BlockingIOError) and "PollerCompletionQueue" in record.getMessage())


logging.getLogger("asyncio").addFilter(_PollerNoise())


class GrpcTransport:
    """A slot for one HTTP/2 connection by grpc.aio, made on first use; a `Transport`.

    Before a fork it drops its connection if no call uses it; see `headrace.transport.grpc.fork`.
    """

    survives_fork = False

    def __init__(self, target: Target, options: Transmission) -> None:
        self.target = target
        self.on_max_streams: Callable[[], object] | None = None
        self._options = options
        self._loop: asyncio.AbstractEventLoop | None = None
        self._channel: aio.Channel | None = None
        self._multicallables: dict[tuple[str, str], Any] = {}
        self._running: set[Any] = set()  # gRPC's calls that have not ended
        self._connecting = 0
        self._drained: asyncio.Future[None] | None = None
        self._closed = False
        self._explained = False  # since the last connection

    @property
    def healthy(self) -> bool:
        """Whether the connection is ready."""
        return self._channel is not None and not self._closed and self._channel.get_state() is State.READY

    @property
    def max_streams(self) -> int | None:
        """None: gRPC does not say, and lets calls above the server's limit wait."""
        return None

    async def connect(self, timeout: float) -> None:
        """Connect unless connected; see `Transport.connect`."""
        channel: Any = self._open_channel()
        deadline = time.monotonic() + timeout
        self._connecting += 1
        tried = False
        try:
            while (state := channel.get_state(try_to_connect=True)) is not State.READY:
                if state is State.IDLE and tried:  # it was ready, and is gone: gRPC would make the next one at once
                    raise self._connect_error("the server ended the connection as soon as it was made")
                tried = True
                if state is State.SHUTDOWN:
                    raise ClosedError("the connection is closed")
                if state is State.TRANSIENT_FAILURE:
                    raise await self._connect_failed(channel, deadline - time.monotonic())
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    await channel.wait_for_state_change(state)
            self._explained = False
        except TimeoutError:
            raise ConnectFailed(f"{self.target}: no connection within {timeout:g} s", target=str(self.target)) from None
        except (asyncio.CancelledError, aio.UsageError) as error:
            raise self.lost(error) from None
        finally:
            self._connecting -= 1
            channel = None  # an error's traceback keeps this frame, and may be kept for long

    async def unary(self, method: str, parts: Sequence[Buffer], metadata: Metadata, timeout: float | None) -> bytes:
        """Make one unary call; see `Transport.unary`."""
        if sum(map(len, parts)) >= SCARCE_BYTES:
            return await self._unary_large(method, parts, metadata, timeout)
        multicallable = self._multicallable("unary_unary", method)
        call: Any = None
        try:
            call = multicallable(joined(parts), metadata=tuple(metadata), timeout=_capped(timeout))
            self._running.add(call)
            answer = await own_task(call)
            if answer is None:
                raise self._unanswered(call)
            return cast("bytes", answer)
        except aio.AioRpcError as error:
            raise self.failed(error) from None
        except ENDED_LOCALLY as error:
            if call is not None:
                call.cancel()
            raise self.lost(error) from None
        finally:
            self.ended(call)
            call = None  # an error's traceback keeps this frame, and may be kept for long

    async def _unary_large(
        self, method: str, parts: Sequence[Buffer], metadata: Metadata, timeout: float | None
    ) -> bytes:
        """Make a unary call whose message is freed once it is sent, not when it is answered."""
        call = self.open(method, metadata, timeout=timeout, first=parts)
        try:
            answer = await call.read()
            if answer is None:
                raise self._unanswered(call.grpc_call)
            if await call.read() is not None:
                raise self._internal("more than one response to a unary call")
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
    ) -> GrpcCall:
        """Open a call that streams; see `Transport.open`.

        All of them stream both ways to gRPC: of a call that was given its only message, it keeps that message until the
        end, and hides the HTTP status that a proxy may answer.
        """
        multicallable = self._multicallable("stream_stream", method)
        try:
            call = multicallable(metadata=tuple(metadata), timeout=_capped(timeout))
        except (aio.UsageError, aio.InternalError) as error:
            raise self.lost(error) from None
        self._running.add(call)  # its done callbacks would keep it, and with it the core, in a cycle
        return GrpcCall(self, call, first)

    async def close(self, grace: float) -> None:
        """Close the connection; see `Transport.close`."""
        channel = self._channel
        self.discard()
        if channel is None:
            return
        # Not by gRPC's own grace, which looks for calls in the stack frames of tasks, and does not find them all.
        try:
            if self._running and grace > 0:
                self._drained = asyncio.get_running_loop().create_future()
                await asyncio.wait([self._drained], timeout=grace)
        finally:
            for call in list(self._running):
                call.cancel()
            self._running.clear()  # a reference to the transport must not keep the core alive
            await channel.close(None)

    def discard(self) -> None:
        """Drop the channel without closing it: its loop is closed, or the caller closes it."""
        self._closed = True
        self._drop_channel()

    def drop_if_idle(self) -> bool:
        """Before a fork: close the channel if no call uses it; False if it has to stay.

        The next call makes another one. A loop that runs in another thread is not ours to touch.
        """
        if self._channel is None:
            return True
        loop = self._loop
        ours = loop is None or loop is asyncio._get_running_loop() or not loop.is_running()
        if self._running or self._connecting or not ours:
            return loop is not None and loop.is_closed() and self._dropped()
        return self._dropped()

    def ended(self, call: Any) -> None:
        """Note that a call of gRPC's has ended."""
        self._running.discard(call)
        if self._drained is not None and not self._running and not self._drained.done():
            self._drained.set_result(None)

    def failed(self, ended: aio.AioRpcError, *, no_grpc: bool = True) -> HeadraceError:
        """Make the error of a call from the status that it ended with."""
        ended.__traceback__ = None  # its traceback holds the call, and with it the channel
        return call_failed(
            ended.code().name,
            ended.details() or "",
            target=str(self.target),
            trailing=ended.trailing_metadata(),
            no_grpc=no_grpc,
        )

    def lost(self, error: BaseException) -> BaseException:
        """Distinguish a real cancellation from a call that ended locally."""
        error.__traceback__ = None
        if isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()  # None: stepped by callbacks, where nobody can cancel
            if task is not None and task.cancelling():
                return error
        if self._closed:
            return ClosedError("the connection was closed during the call")
        return ConnectionLost(f"{self.target}: the call was cancelled locally ({error})", target=str(self.target))

    def _multicallable(self, shape: str, method: str) -> Any:
        multicallable = self._multicallables.get((shape, method))
        if multicallable is None:
            multicallable = self._multicallables[shape, method] = getattr(self._open_channel(), shape)(method)
        return multicallable

    def _open_channel(self) -> aio.Channel:
        if self._closed:
            raise ClosedError("the connection is closed")
        if self._channel is None:
            fork.use_core(self)
            self._loop = asyncio.get_running_loop()
            self._channel = make_channel(self.target, self._options)
        return self._channel

    def _drop_channel(self) -> None:
        self._channel = None
        self._multicallables.clear()

    def _dropped(self) -> bool:
        self._drop_channel()
        return True

    async def _connect_failed(self, channel: aio.Channel, seconds: float) -> HeadraceError:
        """Find out why connecting failed: gRPC reports it only to a call, which fails immediately in this state."""
        details = ""
        try:
            probe: Any = channel.unary_unary("/")
            await probe(b"", timeout=1.0)
        except aio.AioRpcError as error:
            error.__traceback__ = None
            details = error.details() or ""
        advice = ""
        if not self._explained:
            self._explained = True
            advice = await explain(self.target, self._options, details, seconds)
        text = f"{advice} [{details}]" if advice and details else advice or details
        return self._connect_error(text, permanent=bool(advice))

    def _connect_error(self, details: str, *, permanent: bool = False) -> HeadraceError:
        target = str(self.target)
        return status.call_error("UNAVAILABLE", details, target=target, connecting=True, permanent=permanent)

    def _unanswered(self, call: Any) -> HeadraceError:
        """Return why a call ended with OK and no message: older gRPC servers do so at the deadline."""
        remaining = call.time_remaining()
        if remaining is None or remaining > 0:
            return self._internal("no answer to a unary call")
        return status.call_error("DEADLINE_EXCEEDED", "", target=str(self.target))

    def _internal(self, details: str) -> HeadraceError:
        return status.call_error("INTERNAL", details, target=str(self.target))


def _capped(timeout: float | None) -> float | None:
    return None if timeout is None or timeout > FAR else timeout
