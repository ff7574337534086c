"""A server that speaks HTTP/2 frame by frame: it sends what a test says, and keeps what the client sent."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import hpack

from headrace.transport.changes import Changes
from tests.support.h2check import ClientCheck

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END, ACK, END_HEADERS = 1, 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_STREAMS, INITIAL_WINDOW, MAX_HEADER_LIST = 3, 4, 6


@dataclass
class Frame:
    """One frame of the client's."""

    type: int
    flags: int
    stream: int
    payload: bytes


def frame(type_: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """Write a frame."""
    return len(payload).to_bytes(3, "big") + bytes((type_, flags)) + stream.to_bytes(4, "big") + payload


def settings(values: dict[int, int] | None = None) -> bytes:
    """Write SETTINGS."""
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", *pair) for pair in (values or {}).items()))


def message(content: bytes, flag: int = 0) -> bytes:
    """Frame a message as gRPC does."""
    return bytes((flag,)) + len(content).to_bytes(4, "big") + content


class Peer:
    """One connection.

    Attributes:
        frames: what the client sent, in order.
        requests: headers of each stream; `fields` has them in order, with those that come more than once.
        messages: content of each stream, as it came.
        open: streams whose two halves have not both ended, for the limit of streams at once.
        most_open: the highest number of them.
        check: looks at each frame of the client's by itself.
    """

    def __init__(self, server: FrameServer, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.writer = writer
        self.frames: list[Frame] = []
        self.requests: dict[int, dict[str, str]] = {}
        self.fields: dict[int, list[tuple[str, str]]] = {}
        self.messages: dict[int, bytearray] = defaultdict(bytearray)
        self.open: set[int] = set()
        self.most_open = 0
        self.closed = False
        self.check = ClientCheck()
        self._block = b""  # of the HEADERS whose CONTINUATION frames have not all come
        self._decoder = hpack.Decoder()
        self._encoder = hpack.Encoder()
        self._encoder.header_table_size = 0

    def send(self, *parts: bytes) -> None:
        """Write bytes in one piece."""
        data = b"".join(parts)
        self.check.server_sent(data)
        self.writer.write(data)

    def headers(self, stream: int, *fields: tuple[str, str], end: bool = False) -> bytes:
        """Write a HEADERS frame."""
        return frame(HEADERS, END_HEADERS | (END if end else 0), stream, self._encoder.encode(fields, huffman=False))

    def response(self, stream: int, *fields: tuple[str, str], status: str = "200") -> bytes:
        """Write the headers of a gRPC answer."""
        return self.headers(stream, (":status", status), ("content-type", "application/grpc"), *fields)

    def trailers(self, stream: int, status: str = "0", *fields: tuple[str, str]) -> bytes:
        """Write trailers with a gRPC status."""
        self.open.discard(stream)
        return self.headers(stream, ("grpc-status", status), *fields, end=True)

    def answer(self, stream: int, content: bytes = b"answer") -> None:
        """Answer a unary call."""
        self.send(self.response(stream), frame(DATA, 0, stream, message(content)), self.trailers(stream))

    def reset(self, stream: int, code: int) -> bytes:
        """Write a RST_STREAM frame."""
        self.open.discard(stream)
        return frame(RST, 0, stream, code.to_bytes(4, "big"))

    def goaway(self, last: int, code: int = 0, debug: bytes = b"") -> bytes:
        """Write a GOAWAY frame."""
        return frame(GOAWAY, 0, 0, last.to_bytes(4, "big") + code.to_bytes(4, "big") + debug)

    def of(self, type_: int, stream: int | None = None) -> list[Frame]:
        """Give the client's frames of a type."""
        return [f for f in self.frames if f.type == type_ and stream in (None, f.stream)]

    def take(self, taken: Frame) -> None:
        """Take a frame of the client's."""
        self.frames.append(taken)
        self.check.client_sent(taken.type, taken.flags, taken.stream, taken.payload)
        if taken.type in (HEADERS, CONTINUATION):
            self._block += taken.payload
            if not taken.flags & END_HEADERS:
                return
            block, self._block = self._block, b""
            fields = self._decoder.decode(block)
            self.fields[taken.stream] = [(str(name), str(value)) for name, value in fields]
            self.requests[taken.stream] = {str(name): str(value) for name, value in fields}
            self.open.add(taken.stream)
            self.most_open = max(self.most_open, len(self.open))
            self.server.on_headers(self, taken.stream)
        elif taken.type == DATA:
            self.messages[taken.stream] += taken.payload
            if self.server.credit and taken.payload:
                size = len(taken.payload).to_bytes(4, "big")
                self.send(frame(WINDOW, 0, 0, size), frame(WINDOW, 0, taken.stream, size))
            if taken.flags & END:
                self.server.requests += 1
                self.server.on_request(self, taken.stream)
        elif taken.type == RST:
            self.open.discard(taken.stream)
        elif taken.type == SETTINGS and not taken.flags & ACK and self.server.greet:
            if self.server.acknowledge:
                self.send(frame(SETTINGS, ACK))
        elif taken.type == PING and not taken.flags & ACK and self.server.pong:
            self.send(frame(PING, ACK, 0, taken.payload))


def answer(peer: Peer, stream: int) -> None:
    """Answer with "answer"."""
    peer.answer(stream)


class FrameServer:
    """Listens on a loopback port.

    Args:
        on_request: called when a request has arrived whole.
        on_headers: called at its headers.
        first: settings that are sent at once.
        greet: False: nothing is sent by itself, not even SETTINGS.
        credit: windows are given back at once.
        pong: pings are answered.
        acknowledge: the client's settings are acknowledged.

    Attributes:
        reading: cleared: nothing is read from the sockets.
    """

    def __init__(
        self,
        on_request: Callable[[Peer, int], Any] = answer,
        *,
        on_headers: Callable[[Peer, int], Any] = lambda peer, stream: None,
        first: dict[int, int] | None = None,
        greet: bool = True,
        greeting: bytes = b"",
        credit: bool = True,
        pong: bool = True,
        acknowledge: bool = True,
        ssl_context: ssl.SSLContext | None = None,
        port: int = 0,
    ) -> None:
        self.on_request = on_request
        self.on_headers = on_headers
        self.first = first
        self.greet = greet
        self.greeting = greeting
        self.credit = credit
        self.pong = pong
        self.acknowledge = acknowledge
        self.requests = 0
        self.peers: list[Peer] = []
        self.reading = asyncio.Event()
        self.reading.set()
        self.changes = Changes()
        self.port = port
        self._context = ssl_context
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        self.address = f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        assert not (problems := [text for peer in self.peers for text in peer.check.problems]), problems

    @property
    def peer(self) -> Peer:
        """The newest connection."""
        return self.peers[-1]

    async def until(self, condition: Callable[[], object], timeout: float = 10.0) -> None:
        """Wait until something is true of what the client sent."""
        await self.changes.until(condition, timeout)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        peer = Peer(self, writer)
        self.peers.append(peer)
        self.changes.notify()
        try:
            if self.greeting:
                peer.send(self.greeting)
            if self.greet:
                peer.send(settings(self.first))
            with contextlib.suppress(asyncio.IncompleteReadError):
                if await reader.readexactly(len(PREFACE)) != PREFACE:
                    return
                while await self.reading.wait():
                    head = await reader.readexactly(9)
                    payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
                    peer.take(Frame(head[3], head[4], int.from_bytes(head[5:9], "big"), payload))
                    self.changes.notify()
        except (ConnectionError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            peer.closed = True
            self.changes.notify()
            self._tasks.discard(task)
            writer.transport.abort()
