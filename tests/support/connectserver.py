"""The reference server of Connect's conformance cases, on grpc.aio, and its answers that are given frame by frame."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import grpc
from grpc import aio

from tests.support.connectproto import CODES, PACKAGE, make, packed
from tests.support.frames import DATA, END, Peer, frame

SERVICE = f"/{PACKAGE}.ConformanceService/"
#: Method: request, response, whether the definition is that of a stream.
METHODS = {
    "Unary": ("UnaryRequest", "UnaryResponse", False),
    "ClientStream": ("ClientStreamRequest", "ClientStreamResponse", False),
    "ServerStream": ("ServerStreamRequest", "ServerStreamResponse", True),
    "BidiStream": ("BidiStreamRequest", "BidiStreamResponse", True),
}


class _Call:
    """One call: reads requests and answers as the first of them says."""

    def __init__(self, name: str, context: Any) -> None:
        self.request_type, self.response_type, self.streams = METHODS[name]
        self.context = context
        self.requests: list[bytes] = []
        self.definition: Any = None
        self.full_duplex = False
        self._said = False  # headers of the request have been told

    async def read(self) -> bool:
        """Read a request; False at the end."""
        raw = await self.context.read()
        if raw is aio.EOF:
            return False
        self.requests.append(raw)
        if self.definition is None:
            request = make(self.request_type)
            request.ParseFromString(raw)
            self.definition = request.response_definition
            self.full_duplex = getattr(request, "full_duplex", False)
            await self.context.send_initial_metadata(_pairs(self.definition.response_headers))
        return True

    def info(self) -> Any:
        """Tell what the client has sent since the last time."""
        info = make("RequestInfo")
        if not self._said:
            self._said = True
            headers: dict[str, list[str]] = {}
            for key, value in self.context.invocation_metadata() or ():
                headers.setdefault(key, []).append(value if isinstance(value, str) else value.decode("latin-1"))
            for name, values in headers.items():
                info.request_headers.add(name=name, value=values)
            remaining = self.context.time_remaining()
            if remaining is not None:
                info.timeout_ms = int(remaining * 1000)
        for raw in self.requests:
            info.requests.add(type_url=f"type.googleapis.com/{PACKAGE}.{self.request_type}", value=raw)
        self.requests = []
        return info

    async def answer(self, data: bytes, *, info: bool) -> None:
        response = make(self.response_type)
        response.payload.data = data
        if info:
            response.payload.request_info.CopyFrom(self.info())
        await asyncio.sleep(self.definition.response_delay_ms / 1000)
        await self.context.write(response.SerializeToString())

    async def finish(self, *, answered: bool) -> None:
        """End the call: with the trailers, or with the error."""
        trailers: list[tuple[str, Any]] = list(_pairs(self.definition.response_trailers))
        if not self.definition.HasField("error"):
            self.context.set_trailing_metadata(tuple(trailers))
            return
        error = self.definition.error
        details = list(error.details)
        if not answered:
            await asyncio.sleep(self.definition.response_delay_ms / 1000)
            details.append(_packed_info(self.info()))
        if details:
            trailers.append(("grpc-status-details-bin", _status(error, details)))
        await self.context.abort(_CODES[error.code], error.message, tuple(trailers))

    async def serve(self) -> None:
        if not self.streams:
            while await self.read():
                pass
            if self.definition is None:
                self.definition = make("UnaryResponseDefinition")
            if not self.definition.HasField("error"):
                await self.answer(self.definition.response_data, info=True)
            await self.finish(answered=False)
            return
        sent = 0
        while await self.read():
            if self.full_duplex:
                if sent == len(self.definition.response_data):
                    break
                await self.answer(self.definition.response_data[sent], info=True)
                sent += 1
        if self.definition is None:
            return
        for data in self.definition.response_data[sent:]:
            await self.answer(data, info=self.full_duplex or not sent)
            sent += 1
        await self.finish(answered=bool(sent))


_CODES = {code.value[0]: code for code in grpc.StatusCode}


def _pairs(headers: Any) -> tuple[tuple[str, str], ...]:
    return tuple((header.name.lower(), value) for header in headers for value in header.value)


def _packed_info(info: Any) -> Any:
    from google.protobuf import any_pb2

    return any_pb2.Any(type_url=f"type.googleapis.com/{PACKAGE}.RequestInfo", value=info.SerializeToString())


def _status(error: Any, details: list[Any]) -> bytes:
    """Write a google.rpc.Status: an Error has the same fields by number."""
    status = make("Error")
    status.code, status.message = error.code, error.message
    for detail in details:
        status.details.add(type_url=detail.type_url, value=detail.value)
    return bytes(status.SerializeToString())


class _Handler(grpc.GenericRpcHandler):
    def service(self, handler_call_details: Any) -> Any:
        name = handler_call_details.method.rpartition("/")[2]
        if name not in METHODS:
            return None

        async def behave(_: Any, context: Any) -> None:
            await _Call(name, context).serve()

        return grpc.stream_stream_rpc_method_handler(cast("Any", behave))


@contextlib.asynccontextmanager
async def serving(
    *, compression: grpc.Compression | None = None, credentials: grpc.ServerCredentials | None = None
) -> AsyncIterator[int]:
    """Serve the conformance service on a loopback port."""
    server = aio.server(compression=compression)
    server.add_generic_rpc_handlers((_Handler(),))
    address = "127.0.0.1:0"
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


def scripted(raw: dict[str, Any]) -> Callable[[Peer, int], None]:
    """Answer as a case says, frame by frame."""

    def script(peer: Peer, stream: int) -> None:
        headers = _fields(raw.get("headers"))
        only = any(name == "x-connect-trailers-only" for name, _ in headers)
        headers = [pair for pair in headers if pair[0] != "x-connect-trailers-only"]
        status = raw.get("statusCode", raw.get("status_code")) or 200
        trailers = [] if only else _fields(raw.get("trailers"))
        if only:
            headers += _fields(raw.get("trailers"))
        body = b"".join(map(_item, (raw.get("stream") or {}).get("items") or []))
        body += _content(raw["unary"]) if raw.get("unary") else b""
        peer.send(peer.headers(stream, (":status", str(status)), *headers, end=not body and not trailers))
        if body:
            peer.send(frame(DATA, 0 if trailers else END, stream, body))
        if trailers:
            peer.send(peer.headers(stream, *trailers, end=True))
        peer.open.discard(stream)

    return script


def _fields(headers: list[dict[str, Any]] | None) -> list[tuple[str, str]]:
    return [(header["name"].lower(), value) for header in headers or () for value in header["value"]]


def _item(item: dict[str, Any]) -> bytes:
    content = _content(item.get("payload") or {})
    length: int = item.get("length", len(content))
    return bytes((item.get("flags", 0),)) + length.to_bytes(4, "big") + content


def _content(payload: dict[str, Any]) -> bytes:
    import base64
    import gzip

    message = payload.get("binary_message", payload.get("binaryMessage"))
    if message is not None:
        content: bytes = packed(message)
    elif "text" in payload:
        content = payload["text"].encode()
    else:
        content = base64.b64decode(payload.get("binary", ""))
    return gzip.compress(content) if "GZIP" in str(payload.get("compression", "")) else content


__all__ = ["CODES", "SERVICE", "scripted", "serving"]
