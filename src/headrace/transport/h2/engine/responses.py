"""Responses: their headers, CONTINUATION, trailers. RFC 9113 sections 6.2, 6.10 and 8.1."""

from __future__ import annotations

from headrace.transport.h2.engine import events, frames
from headrace.transport.h2.engine.control import Frame
from headrace.transport.h2.engine.frames import Code, ConnectionFault, StreamFault, unpadded
from headrace.transport.h2.engine.state import State


class Responses:
    """Reads the header blocks of a connection; `opening` is the HEADERS frame of one that has not come whole."""

    def __init__(self, state: State) -> None:
        self.opening: Frame | None = None
        self._parts: list[bytes] = []  # of its block
        self._state = state

    def headers(self, frame: Frame, reported: events.Reported) -> None:
        """Take a HEADERS frame."""
        payload = unpadded(frame.payload, frame.flags)
        if frame.flags & frames.HAS_PRIORITY:
            if len(payload) < 5:
                raise ConnectionFault(Code.FRAME_SIZE_ERROR, "HEADERS too short for their priority")
            payload = payload[5:]
        self._state.opened(frame.stream_id, "HEADERS")
        if frame.flags & frames.END_HEADERS:
            self._take(frame, payload, reported)
        else:
            self.opening, self._parts = frame, [payload]

    def continuation(self, frame: Frame, reported: events.Reported) -> None:
        """Take a CONTINUATION frame."""
        opening, parts, limits = self.opening, self._parts, self._state.limits
        if opening is None:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "CONTINUATION without a header block")
        parts.append(frame.payload)
        if sum(map(len, parts)) > limits.header_block_bytes or len(parts) > limits.continuations:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "a header block without end")
        if frame.flags & frames.END_HEADERS:
            self.opening, self._parts = None, []
            self._take(opening, b"".join(parts), reported)

    def _take(self, frame: Frame, block: bytes, reported: events.Reported) -> None:
        """Take the whole block that begins with a frame."""
        state, limit, end = self._state, self._state.limits.header_list_bytes, bool(frame.flags & frames.END_STREAM)
        stream = state.streams.get(frame.stream_id)
        fields = state.decoder.decode(block)  # of a closed stream as well: later blocks may refer to it
        if stream is None or stream.received_end:
            state.count_idle()
        elif fields.size > limit:
            state.reset(stream)
            reason = f"{fields.size:,} bytes of headers or trailers; the limit is {limit:,}"
            reported.append(events.Reset(stream, Code.CANCEL, reason, too_large=True))
        elif stream.status:
            if fields.status or not end:
                raise StreamFault(Code.PROTOCOL_ERROR, "a second block of headers")
            state.received_end(stream)
            state.idle = 0
            reported.append(events.Trailers(stream, fields))
        elif not fields.status:
            raise StreamFault(Code.PROTOCOL_ERROR, "headers without :status")
        elif fields.status < 200:
            stream.informational += 1
            if end or fields.status == 101:
                raise StreamFault(Code.PROTOCOL_ERROR, f"status {fields.status} ends the response")
            if stream.informational > state.limits.informational:
                raise StreamFault(Code.ENHANCE_YOUR_CALM, "1xx responses without end")
        else:
            stream.status, stream.content_left = fields.status, fields.content_length
            if end:
                state.received_end(stream)
            state.idle = 0
            reported.append(events.ResponseHeaders(stream, fields, end))
