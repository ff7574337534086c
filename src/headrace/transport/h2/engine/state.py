"""What reading and commands share: the streams, the output, and what the server did wrong. RFC 9113 5.1 and 5.4."""

from __future__ import annotations

from headrace.transport.h2.engine import events, frames
from headrace.transport.h2.engine.flow import Output
from headrace.transport.h2.engine.frames import Code, ConnectionFault, StreamFault
from headrace.transport.h2.engine.headers import BlockDecoder, TableUpdates
from headrace.transport.h2.engine.limits import H2Limits
from headrace.transport.h2.engine.settings import PeerSettings
from headrace.transport.h2.engine.streams import Stream


class State:
    """The state of a client's connection.

    Attributes:
        limits: what the server may make us store and do.
        peer: the server's settings.
        streams: those that are open, by id.
        ready: the server's first SETTINGS have come.
        can_open: a stream can be opened, apart from the number of streams.
        draining: no stream can be opened any more; `last_id` is the highest one that the server processes.
        failure: why the connection has to be closed.
        uncredited: bytes that were received and not given back to the connection's window yet.
        next_id: of the stream that is opened next.
        unsent: streams from this id on are in the output alone: nothing of them has left.
        replies: acknowledgements of ours that have not left.
        unacknowledged: SETTINGS of ours that the server has not acknowledged.
        idle: frames in a row that brought nothing.
    """

    def __init__(self, limits: H2Limits, first_stream_id: int) -> None:
        self.limits = limits
        self.peer: PeerSettings = PeerSettings()
        self.streams: dict[int, Stream] = {}
        self.ready = False
        self.can_open: bool = False
        self.draining: bool = False
        self.last_id = frames.MAX_STREAM_ID
        self.failure: events.Failed | None = None
        self.output: Output = Output(self.peer)
        self.receive_window: int = max(limits.stream_window_bytes, frames.DEFAULT_WINDOW)  # until the server knows ours
        self.uncredited: int = 0
        self.decoder: BlockDecoder = BlockDecoder()
        self.table_updates: TableUpdates = TableUpdates()
        self.next_id: int = first_stream_id
        self.unsent: int = first_stream_id
        self.replies: int = 0
        self.unacknowledged = 1
        self.idle: int = 0
        self._resets = 0

    def reset(self, stream: Stream, code: int = Code.CANCEL) -> None:
        """End a stream at once; nothing happens where it is closed, and nothing leaves of one that has not left."""
        if stream.id in self.streams and self.forget(stream):
            self.output.frames.append(frames.rst_stream(stream.id, code))
            self.idle -= 256  # frames that may be on their way: those of a full window

    def forget(self, stream: Stream) -> bool:
        """Close an open stream, and tell whether anything of it has left."""
        del self.streams[stream.id]
        self.output.waiting.pop(stream, None)
        stream.pending = None
        if unsent := stream.id >= self.unsent:
            self.output.withdraw(stream)
        return not unsent

    def reply(self, frame: bytes) -> None:
        """Acknowledge something."""
        self.replies += 1
        if self.replies > self.limits.replies:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, f"{self.replies} acknowledgements wait to be read")
        self.output.frames.append(frame)

    def opened(self, stream_id: int, frame: str) -> Stream | None:
        """Give a stream, None where it is closed: frames may follow its end, never come before its begin."""
        stream = self.streams.get(stream_id)
        if stream is None and (not stream_id & 1 or stream_id >= self.next_id):
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"{frame} for stream {stream_id}, which was never opened")
        return stream

    def received_end(self, stream: Stream) -> None:
        """Note that the server has said all it has to say on a stream."""
        if stream.content_left:
            raise StreamFault(Code.PROTOCOL_ERROR, "not as much content as content-length says")
        stream.received_end, stream.content_left = True, 0
        self._resets = 0
        if stream.sent_end:
            del self.streams[stream.id]

    def fault(self, stream_id: int, fault: StreamFault, reported: events.Reported) -> None:
        """Reset a stream on which the server violated the protocol, if it is open."""
        if (stream := self.streams.get(stream_id)) is None:
            return
        self.reset(stream, fault.code)
        self._resets += 1
        if self._resets > self.limits.resets:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, f"{self._resets} violations in a row on single streams")
        if not stream.received_end:
            reported.append(events.Reset(stream, fault.code, fault.reason))

    def count_idle(self, cost: int = 1) -> None:
        """Count a frame that brought nothing."""
        self.idle += cost
        if self.idle > self.limits.idle_frames:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, f"{self.idle} frames in a row that bring nothing")
