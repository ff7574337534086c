"""One HTTP/2 connection without its socket: bytes in, events out; commands in, bytes out. RFC 9113."""

from __future__ import annotations

from headrace.transport.h2.engine import events, frames
from headrace.transport.h2.engine.flow import SMALL, Buffer, Parts
from headrace.transport.h2.engine.frames import Code, ConnectionFault
from headrace.transport.h2.engine.limits import H2Limits
from headrace.transport.h2.engine.reading import Reader
from headrace.transport.h2.engine.settings import announced
from headrace.transport.h2.engine.state import State
from headrace.transport.h2.engine.streams import Stream


class Engine(State):
    """A client's connection.

    After each command, and after `receive`, what `take_output` gives has to be written, all of it and in order.
    """

    can_open: bool  # these are what it assigns of `State`, with the types that they have there
    draining: bool
    failure: events.Failed | None
    next_id: int
    unsent: int

    def __init__(self, limits: H2Limits | None = None, *, first_stream_id: int = 1) -> None:
        super().__init__(limits or H2Limits(), first_stream_id)
        self._reader = Reader(self)
        self.output.frames = [frames.PREFACE, frames.settings(announced(self.limits))]
        if window := self.limits.connection_window_bytes - frames.DEFAULT_WINDOW:
            self.output.frames.append(frames.window_update(0, window))

    def request(self, block: bytes, end: bool = False, content: Parts | None = None, owner: object = None) -> Stream:
        """Open a stream with a header block, and with `content` if that is all there is to send."""
        assert self.can_open, "the connection takes no more streams"
        stream_id, peer, output = self.next_id, self.peer, self.output
        self.streams[stream_id] = stream = Stream(stream_id, peer.window_bytes, self.receive_window, owner)
        self.next_id = stream_id + 2
        self.can_open = stream_id < frames.MAX_STREAM_ID
        if self.table_updates.waiting:
            block = self.table_updates.take() + block
            self.unsent = self.next_id  # the updates have to leave
        if content is not None and len(content) == 1 and len(block) <= SMALL:  # as with `headers` and `add`, at once
            size = len(content[0])
            if size <= SMALL and size <= output.window and size <= stream.send_window:
                output.frames.append(frames.request(stream_id, block, content[0], size))
                output.window -= size
                output.owed += 2 * size
                stream.send_window -= size
                stream.sent_end = True
                return stream
        output.frames.append(frames.headers(stream_id, block, end, peer.frame_bytes))
        stream.sent_end = end
        if content is not None:
            output.add(stream, content, True)
        return stream

    def send(self, stream: Stream, parts: Parts, end: bool = False) -> bool:
        """Send content; False where it waits: `take_drained` tells when it has left. A closed stream sends nothing."""
        if stream.sent_end or stream.ending or stream.id not in self.streams:
            return True
        written = self.output.add(stream, parts, end)
        if written and end and stream.received_end:
            self.streams.pop(stream.id)
        return written

    def consumed(self, stream: Stream, size: int) -> None:
        """Give back room in a stream's window: as much as the `size` of the content that was used up."""
        stream.uncredited += size
        if stream.uncredited >= self.limits.stream_window_bytes // 2 and not stream.received_end:
            if stream.id in self.streams:
                self.output.frames.append(frames.window_update(stream.id, stream.uncredited))
            stream.receive_window += stream.uncredited
            stream.uncredited = 0

    def ping(self, opaque: bytes) -> None:
        """Ask the server to answer with the same eight bytes."""
        self.output.frames.append(frames.ping(opaque, ack=False))

    def goaway(self, code: int = Code.NO_ERROR) -> None:
        """Tell the server that no further stream comes."""
        self.draining, self.can_open = True, False
        self.output.frames.append(frames.goaway(0, code))

    def take_output(self, budget: int = 1 << 20) -> list[Buffer]:
        """Give what has to be written now, with about `budget` bytes of waiting content at the most."""
        self.replies = 0
        self.unsent = self.next_id
        return self.output.take(budget)

    def take_drained(self) -> list[Stream]:
        """Give the streams whose waiting content is in the output now, each once."""
        drained, self.output.drained = self.output.drained, []
        for stream in drained:
            if stream.received_end and stream.sent_end:
                self.streams.pop(stream.id, None)
        return drained

    def receive(self, data: bytes) -> events.Reported:
        """Take bytes from the server and report what they mean."""
        reported: events.Reported = []
        if self.failure is None:
            try:
                self._reader.read(data, reported)
            except ConnectionFault as fault:
                self.failure, self.can_open = events.Failed(fault.code, fault.reason), False
                self.output.frames.append(frames.goaway(0, fault.code, fault.reason.encode()[:200]))
                reported.append(self.failure)
        return reported
