"""What leaves: frames in order, and content as far as the server's windows let it. RFC 9113 sections 5.2 and 6.9."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TypeAlias

from headrace.transport.h2.engine import frames
from headrace.transport.h2.engine.settings import PeerSettings
from headrace.transport.h2.engine.streams import Stream

Buffer: TypeAlias = bytes | bytearray | memoryview
Parts: TypeAlias = Sequence[Buffer]

#: Content up to this size is joined with its frame header; more goes out in views of the caller's buffers.
SMALL = 16_384
#: The largest frame that we write, whatever the server takes: other streams and replies come in between.
LARGEST = 1 << 19


class Output:
    """The frames that wait to be written, and the content that waits for a window.

    Attributes:
        frames: ready, in order.
        window: bytes of content that the server takes now on all streams together.
        owed: bytes that the server may give back, to the connection and to the stream.
        waiting: streams with pending content, in turn.
        drained: streams whose pending content has left since the caller looked last.
        withdrawn: streams, as frame headers write them, whose ready frames are not to leave.
    """

    def __init__(self, peer: PeerSettings) -> None:
        self.frames: list[Buffer] = []
        self.window: int = frames.DEFAULT_WINDOW
        self.waiting: dict[Stream, None] = {}
        self.drained: list[Stream] = []
        self.owed: int = 0
        self.withdrawn: set[bytes] = set()
        self._peer = peer

    def add(self, stream: Stream, parts: Parts, end: bool) -> bool:
        """Write content of a stream; False where views of it are kept until the windows open."""
        size = len(parts[0]) if len(parts) == 1 else sum(map(len, parts))
        pending = stream.pending
        if not pending and size <= SMALL and (not size or (size <= self.window and size <= stream.send_window)):
            if size or end:
                header = frames.header(size, frames.DATA, frames.END_STREAM if end else 0, stream.id)
                self.frames.append(b"".join((header, *parts)))
                self._charge(stream, size)
                stream.sent_end = end
            return True
        if not pending:
            pending = stream.pending = deque()
            self.waiting[stream] = None
        pending.extend(memoryview(part).cast("B") for part in parts if len(part))
        stream.ending = end
        return not pending

    def withdraw(self, stream: Stream) -> None:
        """Take back what a stream has sent, none of which has left."""
        self._charge(stream, stream.send_window - self._peer.window_bytes)
        self.withdrawn.add(stream.id.to_bytes(4, "big"))

    def take(self, budget: int) -> list[Buffer]:
        """Give the ready frames, then about `budget` bytes of pending content, a frame of each stream in turn."""
        buffers, self.frames = self.frames, []
        if self.withdrawn:
            buffers = [frame for frame in buffers if frame[5:9] not in self.withdrawn]
            self.withdrawn.clear()
        before = 0
        while self.waiting and self.window > 0 and budget > 0 and budget != before:
            before = budget
            for stream in list(self.waiting):
                size = min(stream.send_window, self.window, self._peer.frame_bytes, LARGEST, budget)
                if size > 0:
                    budget -= self._frame(stream, size, buffers)
        return buffers

    def _frame(self, stream: Stream, limit: int, buffers: list[Buffer]) -> int:
        """Write one frame of pending content, of at most `limit` bytes; gives its size."""
        place, size, flags, pending = len(buffers), 0, 0, stream.pending
        assert pending is not None
        while pending and size < limit:
            view = pending.popleft()
            room = limit - size
            if len(view) > room:
                pending.appendleft(view[room:])
                view = view[:room]
            buffers.append(view)
            size += len(view)
        if not pending:
            del self.waiting[stream]
            self.drained.append(stream)
            if stream.ending:
                flags = frames.END_STREAM
                stream.sent_end = True
        buffers.insert(place, frames.header(size, frames.DATA, flags, stream.id))
        self._charge(stream, size)
        return size

    def _charge(self, stream: Stream, size: int) -> None:
        self.window -= size
        stream.send_window -= size
        self.owed += 2 * size
