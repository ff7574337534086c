"""Calls over the lean transport to a scripted server, and what such a server answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from headrace.config import Target, Transmission
from headrace.transport.h2.transport import H2Transport
from tests.support.frames import DATA, END, FrameServer, Peer, frame

NO_ERROR, PROTOCOL, INTERNAL, REFUSED, CANCEL, CALM, INSECURE = 0, 1, 2, 7, 8, 11, 12
METHOD = "/test.T/Method"
MiB = 1 << 20


@contextlib.asynccontextmanager
async def connected(server: FrameServer, **options: Any) -> AsyncIterator[H2Transport]:
    """Give a transport that is connected, and check that closing it leaves nothing behind."""
    before = asyncio.all_tasks()
    transport = H2Transport(Target.parse(server.address), Transmission(**options))
    try:
        if server.greet:
            await transport.connect(5)
        yield transport
    finally:
        await transport.close(0)
    await server.until(lambda: all(peer.closed for peer in server.peers))
    left = [task for task in asyncio.all_tasks() - before if "headrace" in task.get_name()]
    assert not left


async def call(transport: H2Transport, content: bytes = b"ask", timeout: float | None = 10) -> bytes:
    return await transport.unary(METHOD, [content], (), timeout)


def reset(code: int) -> Callable[[Peer, int], bytes]:
    return lambda peer, stream: peer.reset(stream, code)


def headers_then_reset(code: int) -> Callable[[Peer, int], bytes]:
    return lambda peer, stream: peer.response(stream) + peer.reset(stream, code)


def answered(*content: bytes, status: str | None = "0", fields: Any = ()) -> Callable[[Peer, int], bytes]:
    def write(peer: Peer, stream: int) -> bytes:
        data = b"".join(frame(DATA, 0, stream, part) for part in content)
        return peer.response(stream, *fields) + data + (peer.trailers(stream, status) if status is not None else b"")

    return write


def only(*fields: tuple[str, str], status: str = "200", body: bytes = b"") -> Callable[[Peer, int], bytes]:
    def write(peer: Peer, stream: int) -> bytes:
        head = peer.headers(stream, (":status", status), *fields, end=not body)
        return head + (frame(DATA, END, stream, body) if body else b"")

    return write


GRPC = ("content-type", "application/grpc")
HTML = ("content-type", "text/html")
