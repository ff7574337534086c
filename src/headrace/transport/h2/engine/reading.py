"""Cutting what arrives into frames, and passing content on as it comes. RFC 9113 sections 3.4, 4 and 6.1.

No frame with content is stored, unless it is padded.
"""

from __future__ import annotations

import struct

from headrace.transport.h2.engine import control, events, frames
from headrace.transport.h2.engine.frames import Code, ConnectionFault, StreamFault, unpadded
from headrace.transport.h2.engine.responses import Responses
from headrace.transport.h2.engine.state import State
from headrace.transport.h2.engine.streams import Stream

_frame_header = struct.Struct(">IBI").unpack_from
_VIEW = 4_096  # content from this size on is passed on as a view of what was received


class Reader:
    """What a connection has read of its server's frames."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._responses = Responses(state)
        self._rest = b""  # the begin of a frame that has not come whole
        self._left = 0  # bytes of a frame that is passed on, or skipped, as it comes
        self._content: Stream | None = None  # whose they are; None: nobody's
        self._content_end = False

    def read(self, data: bytes, reported: events.Reported) -> None:
        """Read what has come, and report it; a violation of the protocol is a `ConnectionFault`."""
        data = self._rest + data
        position, size, longest = 0, len(data), self._state.limits.frame_bytes
        while True:
            if self._left:
                position = self._pass_on(data, position, reported)
            if size - position < frames.HEADER_BYTES:
                break
            word, flags, stream_id = _frame_header(data, position)
            length, type_ = word >> 8, word & 0xFF
            stream_id &= 0x7FFFFFFF
            if length > longest:
                raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"a frame of {length} bytes, more than {longest}")
            if self._responses.block is not None or not self._state.ready:
                self._check_order(type_, flags, stream_id)
            start = position + frames.HEADER_BYTES
            end = start + length
            if type_ == frames.DATA and not flags & frames.PADDED:
                self._begin_content(flags, stream_id, length, length, reported)
                position = start
            elif type_ > frames.CONTINUATION:  # unknown: skipped
                self._state.count_idle()
                self._content, self._left = None, length
                position = start
            elif end > size:
                break
            else:
                self._frame(type_, control.Frame(flags, stream_id, data[start:end]), reported)
                position = end
        self._rest = data[position:]

    def _check_order(self, type_: int, flags: int, stream_id: int) -> None:
        if not self._state.ready and (type_ != frames.SETTINGS or flags & frames.ACK):
            raise ConnectionFault(Code.PROTOCOL_ERROR, "the first frame is not SETTINGS")
        block = self._responses.block
        if block is not None and (type_ != frames.CONTINUATION or stream_id != block.stream_id):
            raise ConnectionFault(Code.PROTOCOL_ERROR, "a header block is interrupted")

    def _frame(self, type_: int, frame: control.Frame, reported: events.Reported) -> None:
        if type_ == frames.HEADERS:
            self._responses.headers(frame.payload, frame.flags, frame.stream_id, reported)
        elif type_ == frames.CONTINUATION:
            self._responses.continuation(frame.payload, frame.flags, reported)
        elif type_ == frames.DATA:
            data, length = unpadded(frame.payload, frame.flags), len(frame.payload)
            self._begin_content(frame.flags, frame.stream_id, length, len(data), reported)
            if self._left:
                self._left = 0
                if self._content is not None:
                    self._emit(self._content, data, length, self._content_end, reported)
            elif self._content is not None and not self._content_end:
                self._emit(self._content, b"", length, False, reported)
        else:
            control.HANDLERS[type_](self._state, frame, reported)

    def _begin_content(self, flags: int, stream_id: int, length: int, payload: int, reported: events.Reported) -> None:
        """Check a DATA frame of `length` bytes, and note whose the next `payload` bytes are."""
        state = self._state
        self._left, self._content, self._content_end = payload, None, bool(flags & frames.END_STREAM)
        stream = state.streams.get(stream_id)
        if stream is None:
            state.check_opened(stream_id, "DATA")
        increment = state.credit.charge(length)
        if state.credit.left < 0:
            raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "more content than the connection's window allows")
        if increment:
            state.output.frames.append(frames.window_update(0, increment))
        if stream is None or stream.received_end:
            state.count_idle()
            return
        try:
            self._charge(stream, length, payload)
        except StreamFault as fault:
            state.fault(stream, fault, reported)
            return
        self._content = stream
        if payload:
            state.idle = 0
        elif self._content_end:
            self._emit(stream, b"", length, True, reported)
        else:
            state.count_idle()

    def _charge(self, stream: Stream, length: int, payload: int) -> None:
        if not stream.status:
            raise StreamFault(Code.PROTOCOL_ERROR, "content before the headers")
        stream.receive_window -= length
        if stream.receive_window < 0:
            raise StreamFault(Code.FLOW_CONTROL_ERROR, "more content than the stream's window allows")
        if stream.content_left is not None:
            stream.content_left -= payload
            if stream.content_left < 0 or (stream.content_left and self._content_end):
                raise StreamFault(Code.PROTOCOL_ERROR, "not as much content as content-length says")

    def _pass_on(self, data: bytes, position: int, reported: events.Reported) -> int:
        """Report what has come of a frame's content; gives the position behind it."""
        end = min(position + self._left, len(data))
        size = end - position
        self._left -= size
        stream = self._content
        if stream is not None and size:
            if stream.id not in self._state.streams:  # it was reset meanwhile
                self._content = None
            else:
                piece = data[position:end] if size < _VIEW else memoryview(data)[position:end]
                self._emit(stream, piece, size, self._content_end and not self._left, reported)
        return end

    def _emit(self, stream: Stream, data: bytes | memoryview, size: int, end: bool, reported: events.Reported) -> None:
        reported.append(events.Content(stream, data, size, end))
        if end:
            self._state.received_end(stream)
