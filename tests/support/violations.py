"""A relay before a gRPC server: it violates HTTP/2 towards the lean transport, and leaves grpcio in peace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self

from headrace._version import __version__
from tests.support.frames import DATA, GOAWAY, HEADERS, PING, SETTINGS, WINDOW, frame

LEAN, GRPC = f"headrace-python/{__version__}".encode(), b"grpc-python"  # as they stand in the user-agent
#: What a server can do wrong, by name; each ends the connection.
VIOLATIONS: dict[str, bytes] = {
    "short ping": frame(PING, 0, 0, b"short"),
    "ping on a stream": frame(PING, 0, 1, bytes(8)),
    "content of no stream": frame(DATA, 0, 0, b"x"),
    "content of an idle stream": frame(DATA, 0, 99_999, b"x"),
    "odd settings": frame(SETTINGS, 0, 0, b"odd"),
    "headers that decode to nothing": frame(HEADERS, 4, 1, b"\xff\xff\xff\xff\xff"),
    "a window too far": frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff") * 2,
    "an accusation": frame(GOAWAY, 0, 0, (99).to_bytes(4, "big") + (1).to_bytes(4, "big") + b"you did it"),
}


class ViolatingRelay:
    """Listens on a loopback port and passes bytes on.

    Args:
        upstream: "http://host:port" of the server.
        violation: frames that the lean transport gets instead of the server's next.
        spare: tells by the number of a lean connection, counted from 0, whether it is left in peace.
        after: frames that the server may send before it.
        early: the first two connections get it before anything else, whoever makes them.
    """

    def __init__(
        self,
        upstream: str,
        violation: bytes,
        *,
        spare: Callable[[int], bool] = lambda number: False,
        after: int = 12,
        early: bool = False,
    ) -> None:
        self._host, _, port = upstream.rpartition("//")[2].partition(":")
        self._port = int(port)
        self._violation = violation
        self._spare = spare
        self._after = after
        self._early = 2 if early else 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.lean = 0  # connections of the lean transport
        self.lean_open = 0
        self.others = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self._early:
                self._early -= 1
                writer.write(self._violation)
                await reader.read(1 << 16)
                await reader.read(1 << 16)
                return
            await self._pass(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(self._host, self._port)
        lean = asyncio.get_running_loop().create_future()

        async def up() -> None:
            seen = b""
            while data := await reader.read(1 << 16):
                seen = (seen + data)[-(1 << 17) :]
                if LEAN in seen and GRPC not in seen and not lean.done():
                    lean.set_result(self._spare(self.lean))
                    self.lean += 1
                    self.lean_open += 1
                server_writer.write(data)
                await server_writer.drain()

        async def down() -> None:
            frames = 0
            while True:
                head = await server_reader.readexactly(9)
                payload = await server_reader.readexactly(int.from_bytes(head[:3], "big"))
                frames += 1
                if lean.done() and not lean.result() and frames > self._after:
                    writer.write(self._violation)
                    await writer.drain()
                    await reader.read()  # until the client has gone
                    return
                writer.write(head + payload)
                await writer.drain()

        tasks = [asyncio.create_task(up()), asyncio.create_task(down())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.others += not lean.done()
            self.lean_open -= lean.done()
            server_writer.close()
            server_writer.transport.abort()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
