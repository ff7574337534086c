"""One connection through the fault proxy: two sockets, and in each direction a reading and a writing task."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from typing import TYPE_CHECKING

from headrace.testing.messages import MessageScanner

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

    from headrace.target import Target
    from headrace.testing.faults import ConnectionFaults, Direction
    from headrace.transport.changes import Changes

logger: logging.Logger = logging.getLogger("headrace.testing")

_CHUNK_BYTES = 1 << 16
_LINE_CHUNKS = 64  # maximum delayed chunks: 4 MiB in chunks of 64 KiB, then reading stops
_TICKS_PER_SECOND = 50  # a limited bandwidth is spent in pieces of this share of a second


class Cut(Exception):
    """A fault has reset the connection."""


class Flow:
    """One direction of a connection.

    Attributes:
        passed_bytes: bytes that were passed on.
        messages: gRPC messages that were passed on whole.
    """

    def __init__(self, link: Link, direction: Direction) -> None:
        self.direction = direction
        self.passed_bytes: int = 0
        self._link = link
        self._scanner = MessageScanner(from_client=direction == "to_server")
        self._line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_LINE_CHUNKS)
        self._free_at = 0.0

    @property
    def messages(self) -> int:
        """gRPC messages that were passed on whole."""
        return self._scanner.complete

    async def read(self, reader: asyncio.StreamReader) -> None:
        """Take bytes as they come, each chunk with the time at which it may go on; the last chunk is empty."""
        clock = asyncio.get_running_loop().time
        data = b"x"
        while data:
            data = await reader.read(_CHUNK_BYTES)
            faults = self._link.faults()
            due = clock() + faults.latency + self._link.random.uniform(0.0, faults.jitter)
            await self._line.put((due, data))

    async def write(self, writer: asyncio.StreamWriter) -> None:
        """Pass bytes on when their time has come."""
        clock = asyncio.get_running_loop().time
        writer.transport.set_write_buffer_limits(high=0)  # after `drain` the bytes are in the socket
        while True:
            due, data = await self._line.get()
            if (wait := due - clock()) > 0:
                await asyncio.sleep(wait)
            if not data:
                await self._link.until(lambda: not self._silent(self._link.faults()))
                if writer.can_write_eof():
                    writer.write_eof()
                return
            while data:
                data = data[await self._pass_some(data, writer) :]

    async def _pass_some(self, data: bytes, writer: asyncio.StreamWriter) -> int:
        """Pass the first bytes of `data` on, as many as the faults allow at once; how many."""
        await self._link.until(lambda: not self._silent(self._link.faults()))
        faults = self._link.faults()
        counted = self.direction == faults.direction
        piece = data[: self._limit(faults, counted)]
        at_message = faults.reset_at_message if counted else None
        passed = self._scanner.feed(piece, at_message)
        if at_message is not None and not self._scanner.readable:
            self._link.warn_unreadable()
        await self._pace(passed, faults)
        writer.write(piece[:passed])
        await writer.drain()
        self.passed_bytes += passed
        self._link.changed()
        at_byte = faults.reset_after_bytes if counted else None
        if passed < len(piece) or (at_byte is not None and self.passed_bytes >= at_byte):
            raise Cut
        return passed

    def _silent(self, faults: ConnectionFaults) -> bool:
        if faults.blackhole:
            return True
        limit = faults.half_open_after_bytes
        return self.direction == faults.direction and limit is not None and self.passed_bytes >= limit

    def _limit(self, faults: ConnectionFaults, counted: bool) -> int:
        limit = _CHUNK_BYTES
        if faults.slice_bytes is not None:
            limit = min(limit, faults.slice_bytes)
        if faults.bandwidth is not None:
            limit = min(limit, max(1, int(faults.bandwidth / _TICKS_PER_SECOND)))
        if counted and faults.half_open_after_bytes is not None:
            limit = min(limit, faults.half_open_after_bytes - self.passed_bytes)
        if counted and faults.reset_after_bytes is not None:
            limit = min(limit, max(0, faults.reset_after_bytes - self.passed_bytes))
        return limit

    async def _pace(self, size: int, faults: ConnectionFaults) -> None:
        if faults.bandwidth is not None:
            clock = asyncio.get_running_loop().time
            self._free_at = max(clock(), self._free_at) + size / faults.bandwidth
            await asyncio.sleep(self._free_at - clock())
        elif faults.slice_bytes is not None:
            await asyncio.sleep(0)  # let the other side see the slice by itself


class Link:
    """One connection from a client through the proxy to the server.

    Args:
        faults: gives the faults that hold for this connection now.
        until: waits until a condition on the faults is true.
        traffic: called whenever bytes have passed.
    """

    def __init__(
        self,
        faults: Callable[[], ConnectionFaults],
        until: Callable[[Callable[[], bool]], Awaitable[None]],
        traffic: Changes,
        rng: random.Random,
    ) -> None:
        self.faults = faults
        self.until = until
        self.changed: Callable[[], None] = traffic.notify
        self.random = rng
        self.to_server: Flow = Flow(self, "to_server")
        self.to_client: Flow = Flow(self, "to_client")
        self.was_reset: bool = False
        self._writers: list[asyncio.StreamWriter] = []
        self._warned = False

    async def run(self, client: socket.socket, server: Target) -> None:
        """Pass bytes both ways until both sides have ended, one has failed, or a fault strikes."""
        try:
            reader, writer = await asyncio.open_connection(sock=client)
            self._writers.append(writer)
            await self.until(lambda: not self.faults().blackhole)
            try:
                server_reader, server_writer = await _connect(server)
            except OSError as error:
                logger.info("%s refused the proxy's connection: %s", server, error)
                self.reset()
                return
            self._writers.append(server_writer)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.to_server.read(reader))
                    group.create_task(self.to_server.write(server_writer))
                    group.create_task(self.to_client.read(server_reader))
                    group.create_task(self.to_client.write(writer))
            except* (OSError, Cut):
                self.reset()
        finally:
            self.drop()
            for side in self._writers:
                with contextlib.suppress(OSError):
                    await side.wait_closed()

    def reset(self) -> None:
        """Reset both sides now: TCP peers get RST, peers on a socket file see the end."""
        self.was_reset = True
        for side in self._writers:
            sock = side.get_extra_info("socket")
            if sock is not None and sock.family != getattr(socket, "AF_UNIX", None):
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            side.transport.abort()

    def drop(self) -> None:
        """Close both sides now, without what is still in flight."""
        for side in self._writers:
            side.transport.abort()

    def warn_unreadable(self) -> None:
        """Say once that messages can't be counted here, so that a fault at a message will never strike."""
        if not self._warned:
            self._warned = True
            logger.warning("reset_at_message has no effect: the connection does not carry plain HTTP/2")


async def _connect(server: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if server.path:
        return await asyncio.open_unix_connection(server.path)
    return await asyncio.open_connection(server.host, server.port)
