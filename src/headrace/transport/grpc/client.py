"""A connection over grpc.aio: the only client file that imports grpc, and the one that knows its traps.

- A `CancelledError` out of grpc while nobody cancelled our task means that the call ended locally (channel closed, call
  cancelled by us): it becomes a `ConnectionLost`, never a cancellation.
- Equal channels share connections unless each has a subchannel pool of its own.
- `keepalive_timeout_ms` alone closes nothing: a ping without an answer is given up after `ping_timeout_ms`.
- gRPC's own retries are off: a second retry layer multiplies the first.
- Its `write` turns a message that could not be sent into the status INTERNAL of the whole call, over the true one that
  is about to come, and hides answers that are there already. Messages go to the core underneath it instead.
- `min_reconnect_backoff_ms` is how long one connection attempt may take, not a pause; the pauses are the other two.
- Its unary calls hold the request twice (the bytes given, and the core's copy) until the answer is there; a stream's
  message is let go of once it is sent. Large unary requests are therefore sent as streams of one message.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import grpc
from grpc import ChannelConnectivity as State
from grpc import aio
from grpc._cython import cygrpc  # type: ignore[attr-defined]

from headrace import status
from headrace._version import __version__
from headrace.errors import ClosedError, ConfigError, ConnectFailed, ConnectionLost, HeadraceError
from headrace.transport.grpc.buffers import Joiner

if TYPE_CHECKING:
    from headrace.config import Pem, Target, Transmission
    from headrace.transport.base import Buffer, Metadata


FAR = 1e8  # seconds beyond which a deadline is none: gRPC takes very large ones for past
LARGE = 1 << 20  # bytes of a message from which memory costs more than some more steps


_BY_US = "cancelled on this side"
_EOF = aio.EOF
_NO_CONTEXT = cygrpc.build_census_context()
_CODES = {code.value[0]: code.name for code in grpc.StatusCode}


class _PollerNoise(logging.Filter):
    """Keeps a line from asyncio's log that older gRPC causes: of several loops, one finds another's wake-up gone."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not (isinstance(error, BlockingIOError) and "PollerCompletionQueue" in record.getMessage())


logging.getLogger("asyncio").addFilter(_PollerNoise())


class GrpcTransport:
    """One HTTP/2 connection by grpc.aio, made on first use."""

    def __init__(self, target: Target, options: Transmission) -> None:
        self._target = target
        self._options = options
        self._channel: aio.Channel | None = None
        self._core: Any = None  # the channel below grpc.aio's
        self._streams: dict[str, Any] = {}
        self._asked: dict[str, Any] = {}
        self._running: set[Any] = set()  # gRPC's calls that have not ended
        self._single: set[Any] = set()  # the core's unary ones
        self._drained: asyncio.Future[None] | None = None
        self._closed = False
        self.joiner = Joiner()

    @property
    def healthy(self) -> bool:
        """Whether the connection is ready."""
        return self._channel is not None and not self._closed and self._channel.get_state() is State.READY

    async def connect(self, timeout: float) -> None:
        """Connect unless connected; where connecting fails at once, the next call tells why."""
        channel = self._open_channel()
        deadline = time.monotonic() + timeout
        while (state := channel.get_state(try_to_connect=True)) not in (State.READY, State.TRANSIENT_FAILURE):
            if state is State.SHUTDOWN:
                raise ClosedError("the connection is closed")
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    await channel.wait_for_state_change(state)
            except TimeoutError:
                raise ConnectFailed(
                    f"{self._target}: no connection within {timeout:g} s", target=str(self._target)
                ) from None
            except (asyncio.CancelledError, aio.UsageError) as error:
                raise self._lost(error) from None

    async def unary(self, method: str, parts: Sequence[Buffer], metadata: Metadata, timeout: float | None) -> bytes:
        """Make one unary call; see `Transport.unary`."""
        if timeout is not None and timeout > FAR:
            timeout = None
        if sum(map(len, parts)) >= LARGE:
            return await self._unary_in_steps(method, parts, metadata, timeout)
        core = self._core
        if core is None or self._closed:
            core = self._open_core()
        deadline = None if timeout is None else time.time() + timeout
        call: Any = None
        try:
            # Below the stubs, which cost a task, a copy of the metadata and four objects more for each call.
            call = core.call(method.encode(), deadline, None, None)
            self._single.add(call)
            answer = await call.unary_unary(_joined(parts), tuple(metadata), _NO_CONTEXT)
            if answer is not None and call.is_ok():
                return cast("bytes", answer)
            if call.is_locally_cancelled():
                raise asyncio.CancelledError
            raise self._unanswered(call) if call.is_ok() else self._failure(call._status)
        except asyncio.CancelledError as error:
            if call is not None:
                call.cancel(_BY_US)
            raise self._lost(error) from None
        except (aio.UsageError, aio.InternalError) as error:
            raise self._lost(error) from None
        finally:
            self._single.discard(call)
            if self._drained is not None:
                self._ended(call)
            call = core = None  # an error's traceback keeps this frame, and may be kept for long

    async def _unary_in_steps(
        self, method: str, parts: Sequence[Buffer], metadata: Metadata, timeout: float | None
    ) -> bytes:
        """Make a unary call whose message is let go of once it is sent, not when it is answered."""
        call = self.open(method, metadata, timeout)
        try:
            with contextlib.suppress(HeadraceError):  # the call has ended, perhaps with an answer: reading tells
                await call.write(parts)
                await call.half_close()
            answer = await call.read()
            if answer is None:
                raise self._unanswered(call._call)
            if await call.read() is not None:
                raise status.grpc_error("INTERNAL", "more than one answer to a unary call", str(self._target))
            return answer
        finally:
            call.cancel()

    def open(self, method: str, metadata: Metadata, timeout: float | None = None) -> GrpcCall:
        """Open a call that streams; see `Transport.open`."""
        multicallable = self._streams.get(method)
        if multicallable is None:
            multicallable = self._streams[method] = self._open_channel().stream_stream(method)
        try:
            call = multicallable(metadata=metadata, timeout=timeout)
            self._running.add(call)  # its own done callbacks would hold it in a cycle, and with it the core
            return GrpcCall(self, call)
        except (aio.UsageError, aio.InternalError) as error:
            raise self._lost(error) from None

    def ask(self, method: str, parts: Sequence[Buffer], metadata: Metadata) -> GrpcCall:
        """Open a call with its only message: two waits less than `open`, `write` and `half_close`.

        gRPC holds the message until the call ends, so this is not for large ones.
        """
        multicallable = self._asked.get(method)
        if multicallable is None:
            multicallable = self._asked[method] = self._open_channel().unary_stream(method)
        try:
            call = multicallable(_joined(parts), metadata=metadata)
            self._running.add(call)
            return GrpcCall(self, call)  # to be read alone
        except (aio.UsageError, aio.InternalError) as error:
            raise self._lost(error) from None

    async def close(self, grace: float) -> None:
        """Close the connection; see `Transport.close`."""
        self._closed = True
        self.joiner.close()
        channel, self._channel = self._channel, None
        self._core = None
        self._streams.clear()
        self._asked.clear()
        if channel is None:
            return
        # Not by gRPC's own grace, which looks for calls in the stack frames of tasks, and does not find them all.
        try:
            if (self._running or self._single) and grace > 0:
                self._drained = asyncio.get_running_loop().create_future()
                await asyncio.wait([self._drained], timeout=grace)
        finally:
            for call in list(self._running):
                call.cancel()
            for call in list(self._single):
                call.cancel(_BY_US)
            await channel.close(None)

    def abandon(self) -> None:
        """Let go of the channel without closing it: its loop is closed, or this is another process after a fork."""
        self._closed = True
        self.joiner.close()
        self._channel = None
        self._core = None
        self._streams.clear()
        self._asked.clear()

    def _ended(self, call: Any) -> None:
        self._running.discard(call)
        if self._drained is not None and not self._running | self._single and not self._drained.done():
            self._drained.set_result(None)

    def _open_channel(self) -> aio.Channel:
        if self._closed:
            raise ClosedError("the connection is closed")
        if self._channel is None:
            target, options = self._target, _channel_options(self._target, self._options)
            if target.tls:
                self._channel = aio.secure_channel(target.address, _tls_credentials(self._options), options)
            else:
                self._channel = aio.insecure_channel(target.address, options)
        return self._channel

    def _open_core(self) -> Any:
        self._core = self._open_channel()._channel  # type: ignore[attr-defined]
        return self._core

    def _failure(self, ended: Any) -> HeadraceError:
        """Make the error of a call from the status that it ended with."""
        code = ended.code()
        if isinstance(ended, BaseException):
            ended.__traceback__ = None  # its frames hold the call, and with it the channel
        return status.grpc_error(
            code.name if isinstance(code, grpc.StatusCode) else _CODES[code],
            ended.details() or "",
            str(self._target),
            retry_after=_pushback(ended.trailing_metadata()),
        )

    def _unanswered(self, call: Any) -> HeadraceError:
        """Tell why a call ended with success and nothing: older servers of gRPC's do so at the deadline."""
        left = call.time_remaining()
        name = "INTERNAL" if left is None or left > 0 else "DEADLINE_EXCEEDED"
        return status.grpc_error(name, "no answer to a unary call", str(self._target))

    def _lost(self, error: BaseException) -> BaseException:
        """Tell a real cancellation from a call that ended locally."""
        error.__traceback__ = None
        if isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()  # None: stepped by callbacks, where nobody can cancel
            if task is not None and task.cancelling():
                return error
        if self._closed:
            return ClosedError("the connection was closed during the call")
        return ConnectionLost(f"{self._target}: the call ended on this side ({error})", target=str(self._target))


class GrpcCall:
    """One streaming call; see `Call`."""

    def __init__(self, transport: GrpcTransport, call: Any) -> None:
        self._transport = transport
        self._call = call
        core = getattr(call, "_cython_call", None)
        self._send = getattr(core, "send_serialized_message", None) or call.write
        # Under grpc.aio's `read`, which checks four things and crosses two coroutines more for each message.
        self._receiver = getattr(core, "receive_serialized_message", None)
        self._receive: Any = None  # the same, once the first message is there
        self._begun = False
        self.reading = False  # gRPC's core leaks a read whose task is cancelled, a kilobyte each time

    async def write(self, parts: Sequence[Buffer]) -> None:
        """Send one message; what it was that ended the call, `read` tells."""
        try:
            if not self._begun:
                await self._call.wait_for_connection()
                self._begun = True
            size = sum(map(len, parts))
            if size < LARGE or len(parts) == 1:
                await self._send(_joined(parts))
                return
            memory = self._transport.joiner.join(parts, size)
            await self._send(memory.getvalue())
            self._transport.joiner.keep(memory)
        except aio.AioRpcError as error:
            raise self._transport._failure(error) from None
        except (asyncio.CancelledError, aio.UsageError, aio.InternalError, asyncio.InvalidStateError) as error:
            raise self._transport._lost(error) from None

    async def half_close(self) -> None:
        """Say that no more messages come."""
        try:
            await self._call.done_writing()
        except aio.AioRpcError:
            pass  # the call has ended; `read` tells how
        except (asyncio.CancelledError, aio.UsageError, aio.InternalError, asyncio.InvalidStateError) as error:
            lost = self._transport._lost(error)
            if isinstance(lost, asyncio.CancelledError):
                raise lost from None

    async def read(self) -> bytes | None:
        """Receive one message, None at the end."""
        self.reading = True
        try:
            if self._receive is not None and (message := await self._receive()) is not _EOF:
                return message  # type: ignore[no-any-return]  # a `cast` is a call
            message = await self._call.read()  # waits for the call to begin, and tells how it ended
            self._receive = self._receiver
        except aio.AioRpcError as error:
            self._transport._ended(self._call)
            raise self._transport._failure(error) from None
        except (asyncio.CancelledError, aio.UsageError, aio.InternalError, asyncio.InvalidStateError) as error:
            raise self._transport._lost(error) from None
        finally:
            self.reading = False
        if message is _EOF:
            self._transport._ended(self._call)
            return None
        return cast("bytes", message)

    def cancel(self) -> None:
        """End the call now."""
        if self._call is not _ENDED:
            self._call.cancel()
            self._transport._ended(self._call)
            self._call, self._send = _ENDED, _ENDED.write


class _Ended:
    """Stands in for gRPC's call once it was cancelled: that one would say the same, but holds the channel."""

    async def read(self) -> bytes:
        raise aio.UsageError("it was cancelled")

    async def write(self, message: bytes) -> None:
        raise aio.UsageError("it was cancelled")

    done_writing = wait_for_connection = read


_ENDED = _Ended()


def _joined(parts: Sequence[Buffer]) -> bytes:
    """Join a message's parts; grpc.aio takes one bytes object, so this is the one copy."""
    if len(parts) == 1 and isinstance(parts[0], bytes):
        return parts[0]
    return b"".join(parts)


def _channel_options(target: Target, options: Transmission) -> list[tuple[str, Any]]:
    connect_ms = _milliseconds(options.connect_timeout) + 100  # ours is over first, and has the better text
    settings: list[tuple[str, Any]] = [
        ("grpc.primary_user_agent", f"headrace-python/{__version__}"),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", connect_ms),
        ("grpc.max_reconnect_backoff_ms", 250),
        ("grpc.max_receive_message_length", options.message_bytes),
        ("grpc.max_send_message_length", -1),
    ]
    if options.keepalive.interval is not None:
        settings += [
            ("grpc.keepalive_time_ms", _milliseconds(options.keepalive.interval)),
            ("grpc.keepalive_timeout_ms", _milliseconds(options.keepalive.timeout)),
            ("grpc.http2.ping_timeout_ms", _milliseconds(options.keepalive.timeout)),
        ]
    if target.local:
        settings.append(("grpc.enable_http_proxy", 0))
    if target.path:
        settings.append(("grpc.default_authority", "localhost"))
    if options.tls.server_name:
        settings.append(("grpc.ssl_target_name_override", options.tls.server_name))
    return settings


def _milliseconds(seconds: float) -> int:
    return max(1, int(min(seconds, 1e6) * 1000))  # settings are 32-bit numbers


def _tls_credentials(options: Transmission) -> grpc.ChannelCredentials:
    tls = options.tls
    roots = _system_roots() if tls.root_certificates == "system" else _pem(tls.root_certificates, "root_certificates")
    return grpc.ssl_channel_credentials(
        root_certificates=roots,
        private_key=_pem(tls.key, "key"),
        certificate_chain=_pem(tls.certificate, "certificate"),
    )


def _pem(pem: Pem | None, name: str) -> bytes | None:
    if pem is None or isinstance(pem, bytes):
        return pem
    try:
        content = Path(pem).read_bytes()
    except OSError as error:
        raise ConfigError(f"TLS: cannot read {name} from {os.fspath(pem)}: {error.strerror}") from error
    if b"-----BEGIN" not in content:
        raise ConfigError(f"TLS: {os.fspath(pem)} holds no PEM block")
    return content


def _system_roots() -> bytes:
    import ssl

    paths = ssl.get_default_verify_paths()
    content = b""
    if paths.cafile:
        content = Path(paths.cafile).read_bytes()
    elif paths.capath:
        files = sorted(Path(paths.capath).glob("*"))
        content = b"\n".join(file.read_bytes() for file in files if file.is_file())
    if b"-----BEGIN" not in content:
        raise ConfigError("TLS: the system's certificate authorities were not found; set SSL_CERT_FILE")
    return content


def _pushback(trailing: Any) -> float | None:
    """Read the server's hint when to come back, in seconds."""
    for key, value in trailing or ():
        with contextlib.suppress(ValueError):
            if key == "grpc-retry-pushback-ms":
                return float(value) / 1000
            if key == "retry-after":
                return float(value)
    return None
