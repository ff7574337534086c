"""Cutting what arrives into frames; content is passed on as it comes, unless padded. RFC 9113 sections 3.4, 4, 6.1."""

from __future__ import annotations

from headrace.transport.h2.engine import control, events, frames
from headrace.transport.h2.engine.frames import HEADER_BYTES, Code, ConnectionFault, StreamFault, read_header, unpadded
from headrace.transport.h2.engine.responses import Responses
from headrace.transport.h2.engine.state import State
from headrace.transport.h2.engine.streams import Stream

_new = tuple.__new__  # makes an event in half the time of its own constructor
_VIEW = 4_096  # content from this size on is passed on as a view of what was received


class Reader:
    """What a connection has read of its server's frames."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._responses = Responses(state)
        self._rest = b""  # the begin of a frame that has not come whole
        self._remaining = 0  # bytes of a frame that is passed on, or skipped, as it comes
        self._content: Stream | None = None  # whose they are; None: nobody's
        self._content_end = False

    def read(self, data: bytes, reported: events.Reported) -> None:
        """Read what has come, and report it; a violation of the protocol is a `ConnectionFault`."""
        if self._rest:
            data = self._rest + data
        state, responses = self._state, self._responses
        size, longest = len(data), state.limits.frame_bytes
        position = self._pass_on(data, 0, reported) if self._remaining else 0
        while (start := position + HEADER_BYTES) <= size:
            word, flags, stream_id = read_header(data, position)
            length, type_ = word >> 8, word & 0xFF
            end = start + length
            stream_id &= frames.MAX_STREAM_ID  # the highest bit is reserved
            if length > longest:
                raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"a frame of {length} bytes, more than {longest}")
            if responses.block is not None or not state.ready:
                self._check_order(type_, flags, stream_id)
            if type_ == frames.DATA and not flags & frames.PADDED:
                last = flags & frames.END_STREAM == 1
                stream = self._charge(stream_id, length, length, last, reported)
                if end > size:
                    self._remaining, self._content, self._content_end = length, stream, last
                    end = self._pass_on(data, start, reported)
                elif stream is not None:
                    piece = data[start:end] if length < _VIEW else memoryview(data)[start:end]
                    if data[end + 3 : end + 5] == b"\0\0" and 0 < length < _VIEW and not last:  # DATA again
                        piece, end = self._run(data, start, end, stream)
                        length = len(piece)
                    self._emit(stream, piece, length, last, reported)
            elif type_ > frames.CONTINUATION:  # unknown: skipped
                state.count_idle()
                self._remaining, self._content = length, None
                end = self._pass_on(data, start, reported)
            elif end > size:
                break
            elif type_ == frames.HEADERS and flags & ~frames.END_STREAM == frames.END_HEADERS:
                responses.take(stream_id, data[start:end], flags & frames.END_STREAM == 1, reported)
            else:
                self._frame(type_, control.Frame(flags, stream_id, data[start:end]), reported)
            position = end
        self._rest = data[position:]

    def _run(self, data: bytes, start: int, end: int, stream: Stream) -> tuple[bytes, int]:
        """Join small content with that of the frames behind it, a step for a burst of messages; gives the end of both.

        It goes on as long as no window runs out: `_charge` takes what comes then.
        """
        credit, pieces = self._state.credit, [data[start:end]]
        stop = min(len(data), end + stream.receive_window, end + credit.remaining - credit.low)
        while (start := end + HEADER_BYTES) < stop and stream.content_left is None:
            word, flags, stream_id = read_header(data, end)
            length = word >> 8
            if word & 0xFF or flags or stream_id != stream.id or not 0 < length < _VIEW or start + length > stop:
                break
            end = start + length
            pieces.append(data[start:end])
        piece = b"".join(pieces)
        stream.receive_window -= len(piece) - len(pieces[0])  # which is charged already
        credit.remaining -= len(piece) - len(pieces[0])
        return piece, end

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
            last = bool(frame.flags & frames.END_STREAM)
            stream = self._charge(frame.stream_id, length, len(data), last, reported)
            if stream is not None:
                self._emit(stream, data, length, last, reported)
        else:
            control.HANDLERS[type_](self._state, frame, reported)

    def _charge(self, stream_id: int, length: int, payload: int, end: bool, reported: events.Reported) -> Stream | None:
        """Check a DATA frame of `length` bytes, and charge the windows; gives the stream whose content follows."""
        state = self._state
        stream = state.streams.get(stream_id)
        if stream is None:
            state.check_opened(stream_id, "DATA")
        credit = state.credit
        credit.remaining -= length
        if credit.remaining < credit.low:
            if credit.remaining < 0:
                raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "more content than the connection's window allows")
            state.output.frames.append(frames.window_update(0, credit.renew()))
        if stream is None or stream.received_end:
            state.count_idle()
            return None
        if length > stream.receive_window or not stream.status or stream.content_left is not None:
            try:
                self._check_content(stream, length, payload, end)
            except StreamFault as fault:
                state.fault(stream, fault, reported)
                return None
        stream.receive_window -= length
        if payload or end:
            state.idle = 0
        else:
            state.count_idle()
        return stream

    def _check_content(self, stream: Stream, length: int, payload: int, end: bool) -> None:
        if not stream.status:
            raise StreamFault(Code.PROTOCOL_ERROR, "content before the headers")
        if length > stream.receive_window:
            raise StreamFault(Code.FLOW_CONTROL_ERROR, "more content than the stream's window allows")
        if stream.content_left is not None:
            stream.content_left -= payload
            if stream.content_left < 0 or (stream.content_left and end):
                raise StreamFault(Code.PROTOCOL_ERROR, "not as much content as content-length says")

    def _pass_on(self, data: bytes, position: int, reported: events.Reported) -> int:
        """Report what has come of a frame's content; gives the position behind it."""
        end = min(position + self._remaining, len(data))
        size = end - position
        self._remaining -= size
        stream = self._content
        if stream is not None and size and stream.id in self._state.streams:  # it was not reset meanwhile
            piece = data[position:end] if size < _VIEW else memoryview(data)[position:end]
            self._emit(stream, piece, size, self._content_end and not self._remaining, reported)
        return end

    def _emit(self, stream: Stream, data: bytes | memoryview, size: int, end: bool, reported: events.Reported) -> None:
        reported.append(_new(events.Content, (stream, data, size, end)))
        if end:
            self._state.received_end(stream)
