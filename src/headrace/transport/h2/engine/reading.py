"""Reading frames with content and headers; `control` reads the others. RFC 9113 sections 4, 6.1, 6.2, 6.10, 8.1.

Content is passed on as it arrives, so no frame with content is ever stored.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headrace.transport.h2.engine import control, events, frames
from headrace.transport.h2.engine.flow import Credit
from headrace.transport.h2.engine.frames import Code, ConnectionFault, StreamFault
from headrace.transport.h2.engine.headers import Fields
from headrace.transport.h2.engine.streams import Stream

if TYPE_CHECKING:
    from headrace.transport.h2.engine.connection import Engine

_frame_header = struct.Struct(">IBI").unpack_from
_VIEW = 4_096  # content from this size on is passed on as a view of what was received


@dataclass(slots=True)
class _OpenBlock:
    """A header block whose CONTINUATION frames have not all come."""

    stream_id: int
    end: bool
    parts: list[bytes] = field(default_factory=list)
    size: int = 0


class Reader:
    """What a connection has read of its server's frames."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._idle = 0
        self._resets = 0
        self._credit = Credit(engine.limits.connection_window_bytes)
        self._rest = b""  # the begin of a frame that has not come whole
        self._left = 0  # bytes of a frame that is passed on, or skipped, as it comes
        self._content: Stream | None = None  # whose they are; None: nobody's
        self._content_end = False
        self._block: _OpenBlock | None = None

    def read(self, data: bytes, reported: list[events.Event]) -> None:
        """Read what has come, and report it.

        Raises:
            ConnectionFault: the server violated the protocol.
        """
        if self._rest:
            data = self._rest + data
            self._rest = b""
        if not self.engine.ready:
            control.check_preface(data)
        position, size, longest = 0, len(data), self.engine.limits.frame_bytes
        while True:
            if self._left:
                position = self._pass_on(data, position, reported)
                if self._left:
                    return
            if size - position < frames.HEADER_BYTES:
                break
            word, flags, stream_id = _frame_header(data, position)
            length, type_ = word >> 8, word & 0xFF
            stream_id &= 0x7FFFFFFF
            if length > longest:
                raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"a frame of {length} bytes, more than {longest}")
            start = position + frames.HEADER_BYTES
            end = start + length
            if not self.engine.ready and (type_ != frames.SETTINGS or flags & frames.ACK):
                raise ConnectionFault(Code.PROTOCOL_ERROR, "the first frame is not SETTINGS")
            block = self._block
            if block is not None and (type_ != frames.CONTINUATION or stream_id != block.stream_id):
                raise ConnectionFault(Code.PROTOCOL_ERROR, "a header block is interrupted")
            if type_ == frames.DATA:
                if flags & frames.PADDED:
                    if end > size:
                        break
                    self._padded(data[start:end], flags, stream_id, length, reported)
                    position = end
                    continue
                self._begin_content(flags, stream_id, length, length, reported)
                position = start
                if not length and self._content is not None:
                    self._emit(self._content, b"", 0, bool(flags & frames.END_STREAM), reported)
                continue
            if type_ > frames.CONTINUATION:  # unknown: passed over
                self.count_idle()
                self._content, self._left = None, length
                position = start
                continue
            if end > size:
                break
            if type_ == frames.HEADERS:
                self._headers_frame(data[start:end], flags, stream_id, reported)
            elif type_ == frames.CONTINUATION:
                self._continuation(data[start:end], flags, reported)
            else:
                control.HANDLERS[type_](self, control.Frame(flags, stream_id, data[start:end]), reported)
            position = end
        if position < size:
            self._rest = data[position:]

    # --- content

    def _begin_content(
        self, flags: int, stream_id: int, length: int, payload: int, reported: list[events.Event]
    ) -> None:
        """Check a DATA frame's header, and note whose the next `payload` bytes are."""
        self._left, self._content, self._content_end = payload, None, bool(flags & frames.END_STREAM)
        stream = self.engine.streams.get(stream_id)
        if stream is None:
            control.check_opened(self.engine, stream_id, "DATA")
        increment = self._credit.charge(length)
        if self._credit.left < 0:
            raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "more content than the connection's window allows")
        if increment:
            self.engine.output.frames.append(frames.window_update(0, increment))
        if stream is None or stream.received_end:
            self.count_idle()
            return
        try:
            if not stream.status:
                raise StreamFault(Code.PROTOCOL_ERROR, "content before the headers")
            stream.receive_window -= length
            if stream.receive_window < 0:
                raise StreamFault(Code.FLOW_CONTROL_ERROR, "more content than the stream's window allows")
            if stream.content_left is not None:
                stream.content_left -= payload
                if stream.content_left < 0 or (stream.content_left and self._content_end):
                    raise StreamFault(Code.PROTOCOL_ERROR, "not as much content as content-length says")
        except StreamFault as fault:
            self.fault(stream, fault, reported)
            return
        if payload:
            self._idle = 0
        elif not self._content_end:
            self.count_idle()
        self._content = stream

    def _padded(self, payload: bytes, flags: int, stream_id: int, length: int, reported: list[events.Event]) -> None:
        data = control.unpadded(payload, flags)
        self._begin_content(flags, stream_id, length, len(data), reported)
        self._left = 0
        if self._content is not None:
            self._emit(self._content, data, length, self._content_end, reported)

    def _pass_on(self, data: bytes, position: int, reported: list[events.Event]) -> int:
        """Report what has come of a frame's content; gives the position behind it."""
        end = min(position + self._left, len(data))
        size = end - position
        self._left -= size
        stream = self._content
        if stream is not None and size:
            if stream.id not in self.engine.streams:  # it was reset meanwhile
                self._content = None
            else:
                piece = data[position:end] if size < _VIEW else memoryview(data)[position:end]
                self._emit(stream, piece, size, self._content_end and not self._left, reported)
        return end

    def _emit(
        self, stream: Stream, data: bytes | memoryview, size: int, end: bool, reported: list[events.Event]
    ) -> None:
        reported.append(events.Content(stream, data, size, end))
        if end:
            self._received_end(stream)

    # --- headers

    def _headers_frame(self, payload: bytes, flags: int, stream_id: int, reported: list[events.Event]) -> None:
        if flags & (frames.PADDED | frames.HAS_PRIORITY):
            payload = control.unpadded(payload, flags)
            if flags & frames.HAS_PRIORITY:
                if len(payload) < 5:
                    raise ConnectionFault(Code.FRAME_SIZE_ERROR, "HEADERS too short for their priority")
                payload = payload[5:]
        if stream_id not in self.engine.streams:
            control.check_opened(self.engine, stream_id, "HEADERS")
        end = bool(flags & frames.END_STREAM)
        if flags & frames.END_HEADERS:
            self._headers(stream_id, payload, end, reported)
        else:
            self._block = _OpenBlock(stream_id, end, [payload], len(payload))

    def _continuation(self, payload: bytes, flags: int, reported: list[events.Event]) -> None:
        block = self._block
        if block is None:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "CONTINUATION without a header block")
        block.parts.append(payload)
        block.size += len(payload)
        if block.size > self.engine.limits.header_block_bytes or len(block.parts) > self.engine.limits.continuations:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "a header block without end")
        if flags & frames.END_HEADERS:
            self._block = None
            self._headers(block.stream_id, b"".join(block.parts), block.end, reported)

    def _headers(self, stream_id: int, block: bytes, end: bool, reported: list[events.Event]) -> None:
        stream = self.engine.streams.get(stream_id)
        try:
            fields = self.engine.decoder.decode(block)  # of a closed stream as well: later blocks may refer to it
            if stream is None or stream.received_end:
                self.count_idle()
                return
            if fields.size > self.engine.limits.header_list_bytes:
                self.engine.reset(stream)
                reported.append(events.TooLarge(stream, fields.size))
            elif not stream.status:
                self._response(stream, fields, end, reported)
            elif fields.status or not end:
                raise StreamFault(Code.PROTOCOL_ERROR, "a second block of headers")
            elif stream.content_left:
                raise StreamFault(Code.PROTOCOL_ERROR, "not as much content as content-length says")
            else:
                self._idle = 0
                reported.append(events.Trailers(stream, fields))
                self._received_end(stream)
        except StreamFault as fault:
            if stream is not None and not stream.received_end:
                self.fault(stream, fault, reported)

    def _response(self, stream: Stream, fields: Fields, end: bool, reported: list[events.Event]) -> None:
        status = fields.status
        if not status:
            raise StreamFault(Code.PROTOCOL_ERROR, "headers without :status")
        if status < 200:
            stream.informational += 1
            if end or status == 101:
                raise StreamFault(Code.PROTOCOL_ERROR, f"status {status} ends the response")
            if stream.informational > self.engine.limits.informational:
                raise StreamFault(Code.ENHANCE_YOUR_CALM, "1xx responses without end")
            return
        self._idle = 0
        stream.status = status
        stream.content_left = fields.content_length
        if end and stream.content_left:
            raise StreamFault(Code.PROTOCOL_ERROR, "not as much content as content-length says")
        reported.append(events.ResponseHeaders(stream, fields, end))
        if end:
            self._received_end(stream)

    # --- what both need

    def _received_end(self, stream: Stream) -> None:
        stream.received_end = True
        self._resets = 0
        if stream.sent_end:
            del self.engine.streams[stream.id]

    def fault(self, stream: Stream, fault: StreamFault, reported: list[events.Event]) -> None:
        """Reset a stream on which the server violated the protocol."""
        self.engine.reset(stream, fault.code)
        self._resets += 1
        if self._resets > self.engine.limits.resets:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, f"{self._resets} violations in a row on single streams")
        reported.append(events.Reset(stream, fault.code, local=True, reason=fault.reason))

    def count_idle(self, cost: int = 1) -> None:
        """Count a frame that brought nothing."""
        self._idle += cost
        if self._idle > self.engine.limits.idle_frames:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, f"{self._idle} frames in a row that bring nothing")
