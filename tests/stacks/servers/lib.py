"""The echo server on grpclib and h2, in an environment of its own; see `tests/stacks/servers/__init__.py`."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from grpclib.const import Cardinality, Handler, Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError
from grpclib.server import Server

cancelled = 0


class Raw(CodecBase):
    """Messages are bytes."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        """Give the bytes."""
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> Any:
        """Give the bytes."""
        return data


async def obey(message: bytes, stream: Any) -> bytes:
    """Do what a message asks for, or give it back."""
    global cancelled
    command, _, rest = message[:1000].partition(b" ")
    if command == b"fail":
        number, _, text = rest.decode().partition(" ")
        raise GRPCError(Status(int(number)), text)
    if command == b"wait":
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled += 1
            raise
    if command == b"cancelled":
        return str(cancelled).encode()
    if command == b"metadata":
        value = stream.metadata.get(rest.decode(), "")
        return value if isinstance(value, bytes) else value.encode()
    return message


class Echo:
    """The four methods."""

    async def unary(self, stream: Any) -> None:
        """Answer once."""
        await stream.send_message(await obey(await stream.recv_message(), stream))

    async def count(self, stream: Any) -> None:
        """Answer so many times with messages of a size."""
        number, size = map(int, (await stream.recv_message()).split())
        for n in range(number):
            await stream.send_message(str(n).encode().ljust(size, b"."))

    async def total(self, stream: Any) -> None:
        """Answer with the sum of all lengths."""
        sizes = [len(message) async for message in stream]
        await stream.send_message(str(sum(sizes)).encode())

    async def duplex(self, stream: Any) -> None:
        """Answer each message."""
        async for message in stream:
            await stream.send_message(await obey(message, stream))

    def __mapping__(self) -> dict[str, Handler]:
        """Name them."""
        return {
            "/stack.Echo/Unary": Handler(self.unary, Cardinality.UNARY_UNARY, bytes, bytes),
            "/stack.Echo/Count": Handler(self.count, Cardinality.UNARY_STREAM, bytes, bytes),
            "/stack.Echo/Total": Handler(self.total, Cardinality.STREAM_UNARY, bytes, bytes),
            "/stack.Echo/Duplex": Handler(self.duplex, Cardinality.STREAM_STREAM, bytes, bytes),
        }


async def main() -> None:
    """Serve until stdin ends."""
    server = Server([Echo()], codec=Raw())
    await server.start("127.0.0.1", int(sys.argv[1]))
    asyncio.get_running_loop().add_reader(0, lambda: os.read(0, 1) or os._exit(0))
    await server.wait_closed()


asyncio.run(main())
