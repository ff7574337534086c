"""Find gRPC messages in the bytes of an HTTP/2 connection, so that a fault can strike exactly at one of them.

Source: RFC 9113 section 4.1 (9-byte frame headers) and 6.1 (DATA), gRPC over HTTP/2 (5-byte message prefix).
"""

from __future__ import annotations

from dataclasses import dataclass

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADER_BYTES, _PREFIX_BYTES = 9, 5
_DATA, _SETTINGS, _PADDED = 0x0, 0x4, 0x8


@dataclass(slots=True)
class _Message:
    """Where a stream stands: bytes of the prefix seen so far, then how much of the message is to come."""

    prefix: bytes = b""
    rest: int = 0


class MessageScanner:
    """Counts the messages in one direction of a connection, given its bytes in pieces of any size.

    Attributes:
        started: messages whose first byte has passed.
        complete: messages whose last byte has passed.
        readable: False once the bytes turned out not to be plain HTTP/2 (encrypted, or another protocol): nothing is
            counted from then on.
    """

    def __init__(self, *, from_client: bool) -> None:
        self.started: int = 0
        self.complete: int = 0
        self.readable: bool = True
        self._preface = PREFACE if from_client else b""
        self._first_frame = True
        self._header = b""
        self._data_stream: int | None = None  # the stream whose DATA payload is passing
        self._pad_length_next = False
        self._payload = 0  # bytes of the present frame to come, without its padding
        self._skip = 0  # bytes without meaning for us to come: other frames, padding
        self._messages: dict[int, _Message] = {}

    def feed(self, data: bytes, stop_before: int | None = None) -> int:
        """Look at the next bytes.

        Args:
            stop_before: stop where this message starts (counted from 1), or the next one if it has started already.

        Returns:
            How many bytes were looked at: less than `len(data)` only if `stop_before` struck.
        """
        at = 0
        while at < len(data) and self.readable:
            if self._at_start() and stop_before is not None and self.started + 1 >= stop_before:
                return at
            at = self._step(data, at)
        return len(data)

    def _at_start(self) -> bool:
        """Whether the next byte is the first of a message."""
        inside = self._payload > 0 and not self._preface and not self._pad_length_next
        return inside and self._data_stream not in self._messages

    def _step(self, data: bytes, at: int) -> int:
        if self._preface:
            return self._take_preface(data, at)
        if self._pad_length_next:
            padding = data[at]
            self._pad_length_next = False
            self._payload -= 1 + padding
            self._skip = padding
            return at + 1
        if self._payload > 0:
            return self._take_payload(data, at)
        if self._skip:
            skipped = min(self._skip, len(data) - at)
            self._skip -= skipped
            return at + skipped
        return self._take_header(data, at)

    def _take_preface(self, data: bytes, at: int) -> int:
        piece = data[at : at + len(self._preface)]
        if not self._preface.startswith(piece):
            self.readable = False
        self._preface = self._preface[len(piece) :]
        return at + len(piece)

    def _take_header(self, data: bytes, at: int) -> int:
        piece = data[at : at + _HEADER_BYTES - len(self._header)]
        self._header += piece
        at += len(piece)
        if len(self._header) < _HEADER_BYTES:
            return at
        length = int.from_bytes(self._header[:3])
        kind, flags = self._header[3], self._header[4]
        stream = int.from_bytes(self._header[5:]) & 0x7FFFFFFF
        self._header = b""
        if self._first_frame and kind != _SETTINGS:
            self.readable = False
        self._first_frame = False
        if kind == _DATA:
            self._data_stream = stream
            self._payload = length
            self._pad_length_next = bool(flags & _PADDED)
        else:
            self._skip = length
        return at

    def _take_payload(self, data: bytes, at: int) -> int:
        assert self._data_stream is not None
        if self._at_start():
            self.started += 1
            self._messages[self._data_stream] = _Message()
        message = self._messages[self._data_stream]
        limit = min(self._payload, len(data) - at)
        if message.rest:
            size = min(message.rest, limit)
            message.rest -= size
        else:
            size = min(_PREFIX_BYTES - len(message.prefix), limit)
            message.prefix += data[at : at + size]
            if len(message.prefix) == _PREFIX_BYTES:
                message.rest = int.from_bytes(message.prefix[1:])
        if len(message.prefix) == _PREFIX_BYTES and not message.rest:
            self.complete += 1
            del self._messages[self._data_stream]
        self._payload -= size
        return at + size
