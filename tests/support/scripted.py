"""An HTTP/2 server that does with each stream what a test says: answers of proxies, resets, GOAWAY."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable, Mapping
from typing import Any, Self

import h2.config
import h2.connection
import h2.events
import h2.settings

#: Acts on a stream whose request has arrived whole.
Script = Callable[["Peer", int], None]


class Peer:
    """One connection."""

    def __init__(self, server: ScriptedServer, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.writer = writer
        self.http2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.streams = 0
        self.gone = False

    def answer(self, stream: int, message: bytes = b"answer") -> None:
        """Answer a gRPC call with success."""
        self.http2.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
        self.http2.send_data(stream, b"\0" + struct.pack(">I", len(message)) + message)
        self.http2.send_headers(stream, [("grpc-status", "0")], end_stream=True)
        self.server.answered += 1

    def answer_http(
        self, stream: int, status: int, *headers: tuple[str, str], body: bytes = b"<html>no</html>"
    ) -> None:
        """Answer as a proxy that knows nothing of gRPC."""
        fields = [(":status", str(status)), ("content-type", "text/html"), *headers]
        self.http2.send_headers(stream, fields, end_stream=not body)
        if body:
            self.http2.send_data(stream, body, end_stream=True)

    def reset(self, stream: int, code: int) -> None:
        """Reset a stream."""
        self.http2.reset_stream(stream, code)

    def go_away(self, last: int) -> None:
        """Say that streams above `last` were not seen; the connection stays for those below."""
        self.gone = True
        self.writer.write(self.http2.data_to_send())
        self.writer.write(struct.pack(">I", 8)[1:] + b"\x07\0" + struct.pack(">III", 0, last, 0))


class ScriptedServer:
    """Listens on a loopback port.

    Args:
        settings: what it announces.

    Attributes:
        requests: streams whose request arrived whole, GOAWAY or not.
        answered: streams that `Peer.answer` answered.
    """

    def __init__(self, script: Script, settings: Mapping[h2.settings.SettingCodes, int] | None = None) -> None:
        self.script = script
        self.settings = dict(settings or {})
        self.requests = 0
        self.answered = 0
        self.address = ""
        self._peers: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for peer in self._peers:
            peer.cancel()
        if self._peers:
            await asyncio.wait(self._peers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._peers.add(task)
        peer = Peer(self, writer)
        if self.settings:
            peer.http2.local_settings = h2.settings.Settings(client=False, initial_values=self.settings)
        peer.http2.initiate_connection()
        try:
            writer.write(peer.http2.data_to_send())
            while data := await reader.read(1 << 16):
                for event in peer.http2.receive_data(data):
                    if isinstance(event, h2.events.DataReceived):
                        peer.http2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    if isinstance(event, h2.events.StreamEnded) and not peer.gone:
                        self.requests += 1
                        peer.streams += 1
                        self.script(peer, event.stream_id)
                writer.write(peer.http2.data_to_send())
                if peer.gone:
                    await writer.drain()
                    with contextlib.suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(reader.read(), 0.5)  # the client leaves, for nothing runs any more
                    return
        except (ConnectionError, asyncio.CancelledError):
            return
        finally:
            self._peers.discard(task)
            writer.transport.abort()
