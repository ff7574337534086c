"""The eleven methods by path, as generic gRPC handlers: no generated service code is needed.

Admission is decided here, before anything of a request is read: callers without a credential are refused, and so are
callers when the server is full; others wait for room. Until then the request stays on the caller's side.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import grpc
import grpc.aio

from headrace.server import envelope
from headrace.server.budget import Arrival
from headrace.server.call import Admission, request_id
from headrace.server.faults import guarded
from headrace.server.model import ModelError
from headrace.server.requests import parsed
from headrace.server.wire import METHODS, SERVICE, Method

REFUSAL_SECONDS = 10.0  # seconds to wait for a caller to read its refusal
_HEALTH = "/grpc.health.v1.Health/Check"

Behaviour = Callable[[Any, Any], Any]

_NOTHING: tuple[Any, ...] = ()  # makes a function that writes its messages itself a generator


class Strangers(grpc.GenericRpcHandler):
    """Refuse callers without a credential; only the health check is open to everybody."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._methods = {f"/{SERVICE}/{method.name}": method for method in METHODS}

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        """Return the handler that refuses a call, or None to let others find one."""
        error = self._admission.stranger(details.invocation_metadata)
        if error is None:
            return None
        if method := self._methods.get(details.method):
            return _refusing(method, error)
        return grpc.stream_stream_rpc_method_handler(_alive if details.method == _HEALTH else _unauthenticated)


class Service(grpc.GenericRpcHandler):
    """The methods themselves.

    Args:
        behaviours: a coroutine function for each method's name; it is given a message (a stream: none) and a context.
    """

    def __init__(self, behaviours: Mapping[str, Behaviour], admission: Admission) -> None:
        self._admission = admission
        self._methods = {
            f"/{SERVICE}/{method.name}": (method, guarded(behaviours[method.name], method.shape)) for method in METHODS
        }

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        """Return the handler of one call."""
        method, behaviour = self._methods.get(details.method, (None, None))
        if method is None or behaviour is None:
            return None
        if method.shape == "stream":
            return grpc.stream_stream_rpc_method_handler(
                behaviour, response_serializer=method.response.SerializeToString
            )
        if not method.predicts:
            return _Unary(method, behaviour, None)
        if error := self._admission.busy():
            return _refusing(method, error)
        return (_Unary if method.shape == "unary" else _Generating)(method, behaviour, self._admission)


class Arrivals(grpc.aio.ServerInterceptor):
    """Let requests arrive as the budget of bytes allows: an interceptor can wait before a request is read."""

    async def intercept_service(self, continuation: Any, details: grpc.HandlerCallDetails) -> Any:
        """Find the handler of a call, and let its request arrive."""
        handler = await continuation(details)
        return await handler.admitted() if isinstance(handler, _Handler) else handler


class _Handler:
    """The handler of one call; that of a prediction holds the call's slot and bytes until the call is over.

    gRPC keeps a handler for as long as its call lives, and drops it also if the caller goes away while its
    request is read and no behaviour is ever called. So both are given back when the handler goes. It must not be
    part of a reference cycle: what gRPC calls are methods, and none is kept on the instance.
    """

    request_streaming = False
    response_streaming = False
    unary_unary: Any = None
    unary_stream: Any = None
    stream_unary: Any = None
    stream_stream: Any = None

    def __init__(self, method: Method, behaviour: Behaviour, admission: Admission | None) -> None:
        self._method = method
        self._behaviour = behaviour
        self._admission = admission
        self._arrival: Arrival | None = None
        self._size = 0
        self.response_serializer = method.response.SerializeToString
        if admission is not None:
            admission.enter()

    async def admitted(self) -> Any:
        """Wait until the request may be read; gives this handler, or one that refuses the call."""
        if self._admission is None:
            return self
        self._arrival = await self._admission.bytes.arrive()
        if self._arrival is None:
            return _refusing(self._method, ModelError(envelope.THROTTLED, "the server is busy with large requests"))
        return self

    def __del__(self) -> None:
        if self._admission is not None:
            self._admission.leave()
            self._arrived(0)
            self._admission.bytes.release(self._size)

    def _arrived(self, size: int) -> None:
        if self._arrival is not None and self._admission is not None:
            arrival, self._arrival, self._size = self._arrival, None, size
            self._admission.bytes.arrived(arrival, size)

    def request_deserializer(self, data: bytes) -> Any:
        """Read a request; gives the error in its place if that cannot be done."""
        self._arrived(len(data))
        try:
            return parsed(self._method.request, data)
        except ModelError as error:
            return error

    def _failed(self, error: ModelError, context: Any) -> Any:
        failed: Any = self._method.response()
        failed.status.CopyFrom(envelope.failure(error))
        failed.status.req_id = request_id(context.invocation_metadata())
        return failed


class _Unary(_Handler):
    async def unary_unary(self, request: Any, context: Any) -> Any:
        """Answer with one message."""
        if isinstance(request, ModelError):
            return self._failed(request, context)
        return await self._behaviour(request, context)


class _Generating(_Handler):
    response_streaming = True

    async def unary_stream(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """Answer with messages, which the behaviour writes itself; an iterator is what instrumentation expects."""
        if isinstance(request, ModelError):
            yield self._failed(request, context)
            return
        async for _ in self._behaviour(request, context):
            yield _


def _refusing(method: Method, error: ModelError) -> Any:
    """Answer a call with one failing response; nothing of what it sends is read."""

    async def refuse(_: Any, context: Any) -> AsyncIterator[Any]:
        failed: Any = method.response()
        failed.status.CopyFrom(envelope.failure(error))
        failed.status.req_id = request_id(context.invocation_metadata())
        async with asyncio.timeout(REFUSAL_SECONDS):
            await context.write(failed)
        for nothing in _NOTHING:
            yield nothing

    return grpc.stream_stream_rpc_method_handler(refuse, response_serializer=method.response.SerializeToString)


async def _alive(_: Any, context: Any) -> AsyncIterator[bytes]:
    from grpc_health.v1 import health_pb2

    async with asyncio.timeout(REFUSAL_SECONDS):
        await context.write(health_pb2.HealthCheckResponse(status="SERVING").SerializeToString())
    for nothing in _NOTHING:
        yield nothing


async def _unauthenticated(_: Any, context: Any) -> AsyncIterator[bytes]:
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the credential is missing or wrong")
    for nothing in _NOTHING:
        yield nothing
