"""Responses: their headers, CONTINUATION, trailers. RFC 9113 sections 6.2, 6.10 and 8.1."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.transport.h2.engine import events, frames
from headrace.transport.h2.engine.frames import Code, ConnectionFault, StreamFault, unpadded
from headrace.transport.h2.engine.state import State
from headrace.transport.h2.engine.streams import Stream

_new = tuple.__new__  # makes an event in half the time of its own constructor


@dataclass(slots=True)
class OpenBlock:
    """A header block whose CONTINUATION frames have not all come."""

    stream_id: int
    end: bool
    parts: list[bytes]


class Responses:
    """Reads the header blocks of a connection; `block` is the one that has not come whole."""

    def __init__(self, state: State) -> None:
        self.block: OpenBlock | None = None
        self._state = state

    def headers(self, payload: bytes, flags: int, stream_id: int, reported: events.Reported) -> None:
        """Take a HEADERS frame."""
        payload = unpadded(payload, flags)
        if flags & frames.HAS_PRIORITY:
            if len(payload) < 5:
                raise ConnectionFault(Code.FRAME_SIZE_ERROR, "HEADERS too short for their priority")
            payload = payload[5:]
        self._state.check_opened(stream_id, "HEADERS")
        end = bool(flags & frames.END_STREAM)
        if flags & frames.END_HEADERS:
            self.take(stream_id, payload, end, reported)
        else:
            self.block = OpenBlock(stream_id, end, [payload])

    def continuation(self, payload: bytes, flags: int, reported: events.Reported) -> None:
        """Take a CONTINUATION frame."""
        block, limits = self.block, self._state.limits
        if block is None:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "CONTINUATION without a header block")
        block.parts.append(payload)
        if sum(map(len, block.parts)) > limits.header_block_bytes or len(block.parts) > limits.continuations:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "a header block without end")
        if flags & frames.END_HEADERS:
            self.block = None
            self.take(block.stream_id, b"".join(block.parts), block.end, reported)

    def take(self, stream_id: int, block: bytes, end: bool, reported: events.Reported) -> None:
        """Take a whole block."""
        state, limit = self._state, self._state.limits.header_list_bytes
        stream = state.streams.get(stream_id)
        if stream is None:
            state.check_opened(stream_id, "HEADERS")
        try:
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
                if stream.content_left:
                    raise StreamFault(Code.PROTOCOL_ERROR, "not as much content as content-length says")
                state.idle = 0
                reported.append(_new(events.Trailers, (stream, fields)))
                state.received_end(stream)
            elif fields.status < 200:
                self._informational(stream, fields.status, end)
            elif end and fields.content_length:
                raise StreamFault(Code.PROTOCOL_ERROR, "not as much content as content-length says")
            else:
                state.idle, stream.status, stream.content_left = 0, fields.status, fields.content_length
                reported.append(_new(events.ResponseHeaders, (stream, fields, end)))
                if end:
                    state.received_end(stream)
        except StreamFault as fault:
            if stream is not None and not stream.received_end:
                state.fault(stream, fault, reported)

    def _informational(self, stream: Stream, status: int, end: bool) -> None:
        if not status:
            raise StreamFault(Code.PROTOCOL_ERROR, "headers without :status")
        stream.informational += 1
        if end or status == 101:
            raise StreamFault(Code.PROTOCOL_ERROR, f"status {status} ends the response")
        if stream.informational > self._state.limits.informational:
            raise StreamFault(Code.ENHANCE_YOUR_CALM, "1xx responses without end")
