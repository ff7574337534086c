"""The handlers of an in-memory server over real gRPC: one double, two transports, and the same facts to look at."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Self, cast

import grpc
from grpc import aio
from grpc._cython import cygrpc  # type: ignore[attr-defined]

from headrace.testing import CallFailed, MemoryServer, ModelDouble

if TYPE_CHECKING:
    from headrace.testing import Handler, ServerCall

CANCEL_GRACE = 0.02  # a client's cancel first reads as the end of its messages; in so many seconds it shows itself


class WireCall:
    """One call of a gRPC client, with the face of `headrace.testing.ServerCall`."""

    def __init__(self, server: MemoryServer, method: str, context: Any) -> None:
        self.method = method
        self.metadata = tuple((key, value) for key, value in context.invocation_metadata() or ())
        self.received: list[bytes] = []
        self.received_messages = 0
        self.sent_messages = 0
        self.half_closed = False
        self.cancelled = False
        self.status = ""
        self.peer: str = context.peer()
        self.failure: tuple[str, str, list[tuple[str, Any]]] | None = None
        self._server = server
        self._context = context

    @property
    def finished(self) -> bool:
        """Whether the handler has ended."""
        return bool(self.status)

    async def read(self) -> bytes | None:
        """Receive one message; None when no more come."""
        message = await self._context.read()
        if message is aio.EOF:
            await asyncio.sleep(CANCEL_GRACE)
            self.half_closed = True
            self._server.changes.notify()
            return None
        self.received_messages += 1
        if self._server.keep:
            self.received.append(message)
        self._server.changes.notify()
        return cast("bytes", message)

    async def write(self, message: bytes) -> None:
        """Send one message."""
        try:
            await self._context.write(message)
        except cygrpc.ExecuteBatchError:  # the client has gone: what follows is our cancellation
            await asyncio.sleep(CANCEL_GRACE)
            raise
        self.sent_messages += 1
        self._server.changes.notify()

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
        """End the call with a gRPC status, or with what gRPC says of a stream that was reset."""
        if unprocessed or broken:
            details = f"Stream removed (RST_STREAM (Received RST_STREAM with error code {7 if unprocessed else 2}))"
        if too_large:
            details = f"Received message larger than max ({details})"
        trailers: list[tuple[str, Any]] = []
        if retry_after is not None:
            trailers.append(("grpc-retry-pushback-ms", str(int(retry_after * 1000))))
        if status_details:
            trailers.append(("grpc-status-details-bin", status_details))
        self.failure = (status_name, details, trailers)
        raise CallFailed(f"{status_name}: {details}")


class _Methods(grpc.GenericRpcHandler):
    def __init__(self, server: MemoryServer) -> None:
        self._server = server

    def service(self, handler_call_details: Any) -> Any:
        """Serve any method: a handler of streams serves the other shapes as well."""
        handler = self._server.handlers.get(handler_call_details.method)
        if handler is None:
            return None
        method: str = handler_call_details.method

        async def behave(_: Any, context: Any) -> None:
            await _serve(self._server, method, handler, context)

        return grpc.stream_stream_rpc_method_handler(cast("Any", behave))


async def _serve(server: MemoryServer, method: str, handler: Handler, context: Any) -> None:
    call = WireCall(server, method, context)
    if server.keep:
        server.calls.append(cast("ServerCall", call))
    server.changes.notify()
    try:
        await handler(cast("ServerCall", call))
        call.status = "OK"
    except asyncio.CancelledError:
        call.cancelled = True
        call.status = "CANCELLED"
        raise
    except CallFailed:
        assert call.failure is not None
        name, details, trailers = call.failure
        call.status = name
        await context.abort(grpc.StatusCode[name], details, tuple(trailers))
    finally:
        call.status = call.status or "UNKNOWN"
        call._context = None  # older gRPC counts a call as open for as long as somebody holds on to it
        server.changes.notify()


class GrpcServer:
    """Serves the handlers of a `MemoryServer` (or of a double's) on a socket of its own.

    Args:
        server: whose handlers are served; its `calls` and `changes` tell what happened.
        address: "unix:/path" or "127.0.0.1:0".
        options: gRPC's settings, such as ("grpc.max_concurrent_streams", 4).
        credentials: for TLS.
    """

    def __init__(
        self,
        server: MemoryServer | ModelDouble,
        address: str = "127.0.0.1:0",
        *,
        options: Sequence[tuple[str, Any]] = (),
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        self._behaviour = server.server if isinstance(server, ModelDouble) else server
        self._address = address
        self._options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1), *options]
        self._credentials = credentials
        self._server: aio.Server | None = None
        self.address = ""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, on the same address as before."""
        self._server = aio.server(options=self._options)
        self._server.add_generic_rpc_handlers((_Methods(self._behaviour),))
        if self._credentials is None:
            port = self._server.add_insecure_port(self._address)
        else:
            port = self._server.add_secure_port(self._address, self._credentials)
        if not self._address.startswith("unix:"):
            host = self._address.rpartition(":")[0]
            self._address = f"{host}:{port}"
            self.address = f"{'http' if self._credentials is None else 'https'}://{host}:{port}"
        else:
            self.address = self._address
        await self._server.start()

    async def stop(self, grace: float | None = None) -> None:
        """End all calls (after `grace` seconds) and stop listening."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(grace)


@contextlib.asynccontextmanager
async def serving(double: MemoryServer | ModelDouble, **settings: Any) -> AsyncIterator[GrpcServer]:
    """Serve a double over gRPC for the length of an `async with` block."""
    async with GrpcServer(double, **settings) as server:
        yield server
