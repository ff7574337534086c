"""Cutting what arrives into frames; content is passed on as it comes, unless padded. RFC 9113 sections 3.4, 4, 6.1."""

from __future__ import annotations

import struct

from headrace.transport.h2.engine import control, events, frames
from headrace.transport.h2.engine.frames import HEADER_BYTES, Code, ConnectionFault, StreamFault, read_header, unpadded
from headrace.transport.h2.engine.headers import CACHED_BYTES, Fields
from headrace.transport.h2.engine.responses import Responses
from headrace.transport.h2.engine.state import State
from headrace.transport.h2.engine.streams import Stream

_new = tuple.__new__  # makes an event in half the time of its own constructor
_SMALL = 4_096  # larger content is passed on as a view of what was received
_OPENING = frames.HEADERS << 8 | frames.END_HEADERS
_ENDING = _OPENING | frames.END_STREAM


class Reader:
    """What a connection has read of its server's frames."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._responses = Responses(state)
        self._rest = b""  # the begin of a frame that has not come whole
        self._remaining = 0  # bytes of a frame that is passed on, or skipped, as it comes
        self._content: Stream | None = None  # whose they are; None: nobody's
        self._content_end = False
        self._credit_bytes = state.limits.connection_window_bytes // 2  # so much is given back at once
        self._longest = state.limits.frame_bytes
        self._small = min(_SMALL, self._longest)
        cached = min(self._longest, state.limits.header_list_bytes) >= CACHED_BYTES  # so no cached block is too large
        self._blocks: dict[bytes, Fields] = state.decoder.cache if cached else {}

    def read(self, data: bytes, reported: events.Reported) -> None:
        """Read what has come, and report it; a violation of the protocol is a `ConnectionFault`."""
        if self._rest:
            data = self._rest + data
        responses, size = self._responses, len(data)
        position = self._pass_on(data, 0, reported) if self._remaining else 0
        while True:
            if (opening := responses.opening) is None:
                position = self._usual(data, position, reported)
            if (start := position + HEADER_BYTES) > size:
                break
            high, low, kind, stream_id = read_header(data, position)
            length, type_, flags = high << 16 | low, kind >> 8, kind & 0xFF
            end = start + length
            stream_id &= frames.MAX_STREAM_ID  # the highest bit is reserved
            if length > self._longest:
                raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"a frame of {length} bytes, more than {self._longest}")
            if not self._state.ready and (type_ != frames.SETTINGS or flags & frames.ACK):
                raise ConnectionFault(Code.PROTOCOL_ERROR, "the first frame is not SETTINGS")
            if opening is not None and (type_ != frames.CONTINUATION or stream_id != opening.stream_id):
                raise ConnectionFault(Code.PROTOCOL_ERROR, "a header block is interrupted")
            passed_on = type_ > frames.CONTINUATION or (type_ == frames.DATA and not flags & frames.PADDED)
            if not passed_on and end > size:
                break
            try:
                if not passed_on:
                    self._frame(type_, control.Frame(flags, stream_id, data[start:end]), reported)
                else:
                    self._content, self._content_end, self._remaining = None, bool(flags & frames.END_STREAM), length
                    if type_ == frames.DATA:
                        self._content = self._charge(stream_id, length, length, self._content_end)
                    else:  # unknown: skipped
                        self._state.count_idle()
            except StreamFault as fault:
                self._state.fault(stream_id, fault, reported)
            position = self._pass_on(data, start, reported) if passed_on else end
        self._rest = data[position:]

    def _usual(self, data: bytes, position: int, reported: events.Reported) -> int:
        """Take small content and whole answers, a step for each; gives the position of the first frame that is neither.

        Frame by frame the result is the same: nothing is taken here that is wrong, or new, or makes a window run out.
        """
        state, size, small = self._state, len(data), self._small
        while (start := position + HEADER_BYTES) <= size:
            high, length, kind, stream_id = read_header(data, position)
            stream, end = state.streams.get(stream_id), start + length
            if stream is None or high or end > size:
                break
            if kind == _OPENING and not stream.status:
                if not (end := self._answer(data, start, end, stream, reported)):
                    break
            else:
                window = min(stream.receive_window, self._credit_bytes - state.uncredited - 1)
                if kind or stream.content_left is not None or not 0 < length <= small or length > window:
                    break
                pieces, stop = [data[start:end]], min(start + window, size)
                while (start := end + HEADER_BYTES) < stop:  # more of the stream's content
                    high, length, kind, stream_id = read_header(data, end)
                    if high or kind or stream_id != stream.id or not 0 < length <= small or start + length > stop:
                        break
                    end = start + length
                    pieces.append(data[start:end])
                piece, state.idle = b"".join(pieces), 0
                stream.receive_window -= len(piece)
                state.uncredited += len(piece)
                reported.append(_new(events.Content, (stream, piece, len(piece), False)))
            position = end
        return position

    def _answer(self, data: bytes, start: int, end: int, stream: Stream, reported: events.Reported) -> int:
        """Take a block of headers with the content and the trailers behind it, a whole answer; gives the end, or 0."""
        state, blocks = self._state, self._blocks
        headers = blocks.get(data[start:end])
        if headers is None or headers.status != 200 or headers.content_length is not None:
            return 0
        try:
            high, length, kind, stream_id = read_header(data, end)
            start = end + HEADER_BYTES
            end = start + length
            if high or kind or stream_id != stream.id or not 0 < length <= self._small:
                return 0
            if length > stream.receive_window or state.uncredited + length >= self._credit_bytes:
                return 0
            high, size, kind, stream_id = read_header(data, end)
        except struct.error:  # it has not come whole
            return 0
        last = end + HEADER_BYTES + size
        trailers = blocks.get(data[end + HEADER_BYTES : last])
        if high or kind != _ENDING or stream_id != stream.id or last > len(data) or trailers is None or trailers.status:
            return 0
        stream.receive_window -= length
        state.uncredited += length
        stream.status, state.idle = 200, 0
        state.received_end(stream)
        reported.append(_new(events.Answer, (stream, headers, data[start:end], trailers)))
        return last

    def _frame(self, type_: int, frame: control.Frame, reported: events.Reported) -> None:
        if type_ == frames.HEADERS:
            self._responses.headers(frame, reported)
        elif type_ == frames.CONTINUATION:
            self._responses.continuation(frame, reported)
        elif type_ == frames.DATA:
            data, length = unpadded(frame.payload, frame.flags), len(frame.payload)
            last = bool(frame.flags & frames.END_STREAM)
            stream = self._charge(frame.stream_id, length, len(data), last)
            if stream is not None:
                reported.append(events.Content(stream, data, length, last))
                if last:
                    self._state.received_end(stream)
        else:
            control.HANDLERS[type_](self._state, frame, reported)

    def _charge(self, stream_id: int, length: int, payload: int, end: bool) -> Stream | None:
        """Check a DATA frame of `length` bytes, and charge the windows; gives the stream whose content follows."""
        state = self._state
        stream = state.opened(stream_id, "DATA")
        state.uncredited += length
        if state.uncredited >= self._credit_bytes:  # all of it: a stream that nobody reads must not stop the others
            if state.uncredited > state.limits.connection_window_bytes:
                raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "more content than the connection's window allows")
            state.output.frames.append(frames.window_update(0, state.uncredited))
            state.uncredited = 0
        if stream is None or stream.received_end:
            state.count_idle()
            return None
        if not stream.status:
            raise StreamFault(Code.PROTOCOL_ERROR, "content before the headers")
        if length > stream.receive_window:
            raise StreamFault(Code.FLOW_CONTROL_ERROR, "more content than the stream's window allows")
        if stream.content_left is not None:
            stream.content_left -= payload
            if stream.content_left < 0 or (stream.content_left and end):
                raise StreamFault(Code.PROTOCOL_ERROR, "not as much content as content-length says")
        stream.receive_window -= length
        if payload or end:
            state.idle = 0
        else:
            state.count_idle()
        return stream

    def _pass_on(self, data: bytes, position: int, reported: events.Reported) -> int:
        """Report what has come of a frame's content; gives the position behind it."""
        end = min(position + self._remaining, len(data))
        size = end - position
        self._remaining -= size
        stream = self._content
        whole = not self._remaining
        if stream is not None and (size or whole) and stream.id in self._state.streams:  # it was not reset meanwhile
            piece = data[position:end] if size <= _SMALL else memoryview(data)[position:end]
            end_stream = self._content_end and whole
            reported.append(_new(events.Content, (stream, piece, size, end_stream)))
            if end_stream:
                self._state.received_end(stream)
        return end
