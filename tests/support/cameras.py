"""Cameras in the network for tests: MPEG-TS over HTTP, and over RTSP, at the pace of a real one."""

from __future__ import annotations

import asyncio
import contextlib
import io
import struct
from functools import lru_cache
from types import TracebackType
from typing import Any, Self

import av

from tests.support.clips import SIZE, picture

PACKET = 188  # bytes of an MPEG-TS packet


@lru_cache(maxsize=4)
def transport_stream(seconds: float = 2.0, fps: int = 30) -> list[bytes]:
    """Render frames and give the bytes of each as MPEG-TS, every one with the tables that a late reader needs."""
    chunks: list[bytes] = []
    out = io.BytesIO()
    count = round(seconds * fps)
    settings = {"mpegts_flags": "+resend_headers", "flush_packets": "1", "pat_period": "0.1"}
    with av.open(out, "w", format="mpegts", options=settings) as container:
        options = {"preset": "ultrafast", "tune": "zerolatency"}
        stream: Any = container.add_stream("libx264", rate=fps, options=options)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.gop_size = 5
        for number in range(count):
            frame = av.VideoFrame.from_image(picture(round((SIZE[0] - 300) * number / count)))
            container.mux(stream.encode(frame))
            chunks.append(out.getvalue())
            out.seek(0)
            out.truncate()
        container.mux(stream.encode(None))
    return [chunk for chunk in chunks if chunk]


class Camera:
    """A camera that streams its clip over and over to whoever connects.

    Args:
        fps: frames a second; the clip is rendered for it.

    Attributes:
        connections: how often it was connected to.
        up: whether it answers; taking it away breaks what is connected.
    """

    def __init__(self, fps: int = 30) -> None:
        self.fps = fps
        self.connections = 0
        self.up = True
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        transport_stream(2.0, self.fps)
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        await self.unplug()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}/live.ts"

    async def unplug(self) -> None:
        """Break every connection, and refuse new ones until `plug`."""
        self.up = False
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    def plug(self) -> None:
        """Answer again."""
        self.up = True

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self.up:
                self.connections += 1
                await self.serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request with the stream."""
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n")
        async for chunk in self._paced():
            writer.write(chunk)
            await writer.drain()

    async def _paced(self) -> Any:
        loop = asyncio.get_running_loop()
        start, number = loop.time(), 0
        while True:
            for chunk in transport_stream(2.0, self.fps):
                await asyncio.sleep(max(0.0, start + number / self.fps - loop.time()))
                number += 1
                yield chunk


class MjpegCamera(Camera):
    """The same as JPEGs one after the other, as many cameras for homes do; the stream has no times of its own."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request with pictures."""
        await reader.readuntil(b"\r\n\r\n")
        kind = "multipart/x-mixed-replace; boundary=frame"
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n".encode())
        number = 0
        async for _ in self._paced():
            buffer = io.BytesIO()
            picture(200, number % 1000).save(buffer, "JPEG")
            data = buffer.getvalue()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            writer.write(head.encode() + data + b"\r\n")
            await writer.drain()
            number += 1


class RtspCamera(Camera):
    """The same over RTSP, its packets interleaved in the one TCP connection."""

    @property
    def url(self) -> str:
        """Its address, with a user and a password that nobody should see."""
        return f"rtsp://admin:hunter2@127.0.0.1:{self.port}/live"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak RTSP until PLAY, then stream."""
        while True:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method = lines[0].split()[0]
            cseq = next(line for line in lines if line.lower().startswith("cseq"))
            head, body = "", ""
            if method == "OPTIONS":
                head = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
            elif method == "DESCRIBE":
                body = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:track1\r\n"
                head = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
            elif method == "SETUP":
                head = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
            elif method in ("PLAY", "GET_PARAMETER"):
                head = "Session: 1\r\n"
            writer.write(f"RTSP/1.0 200 OK\r\n{cseq}\r\n{head}\r\n{body}".encode())
            await writer.drain()
            if method == "TEARDOWN":
                return
            if method == "PLAY":
                break
        sequence, clock = 0, 0
        async for chunk in self._paced():
            clock += 90_000 // self.fps
            for at in range(0, len(chunk), 7 * PACKET):
                payload = chunk[at : at + 7 * PACKET]
                packet = struct.pack("!BBHII", 0x80, 33, sequence & 0xFFFF, clock & 0xFFFFFFFF, 7) + payload
                writer.write(struct.pack("!cBH", b"$", 0, len(packet)) + packet)
                sequence += 1
            await writer.drain()
