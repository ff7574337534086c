"""Frames: types, flags, error codes, and how each is written. RFC 9113 sections 4.1, 6 and 7."""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable, Iterable

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER_BYTES = 9
MAX_WINDOW = MAX_STREAM_ID = (1 << 31) - 1
DEFAULT_WINDOW = 65_535
DEFAULT_FRAME = 16_384

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
HAS_PRIORITY = 0x20

SETTINGS_ACK = bytes((0, 0, 0, SETTINGS, ACK, 0, 0, 0, 0))

setting: struct.Struct = struct.Struct(">HI")
_write_header = struct.Struct(">IBI").pack
#: Gives the first byte of the length and its other two, type and flags as one number, and the stream.
read_header: Callable[..., tuple[int, ...]] = struct.Struct(">BHHI").unpack_from


class Code(enum.IntEnum):
    """Error codes of RST_STREAM and GOAWAY."""

    NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED = range(6)
    FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM = range(6, 12)
    INADEQUATE_SECURITY, HTTP_1_1_REQUIRED = 12, 13


class Fault(Exception):
    """The server violated the protocol."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class ConnectionFault(Fault):
    """A violation that ends the connection (RFC 9113 section 5.4.1)."""


class StreamFault(Fault):
    """A violation that ends one stream (RFC 9113 section 5.4.2)."""


def header(length: int, type_: int, flags: int, stream_id: int) -> bytes:
    """Write a frame header."""
    return _write_header(length << 8 | type_, flags, stream_id)


def unpadded(payload: bytes, flags: int) -> bytes:
    """Cut the padding off a payload, where its flags say that there is one (RFC 9113 section 6.1)."""
    if not flags & PADDED:
        return payload
    if not payload:
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, "a padded frame without payload")
    if payload[0] >= len(payload):
        raise ConnectionFault(Code.PROTOCOL_ERROR, "more padding than payload")
    return payload[1 : len(payload) - payload[0]]


def settings(values: Iterable[tuple[int, int]]) -> bytes:
    """Write a SETTINGS frame."""
    payload = b"".join(setting.pack(name, value) for name, value in values)
    return header(len(payload), SETTINGS, 0, 0) + payload


def ping(opaque: bytes, *, ack: bool) -> bytes:
    """Write a PING frame."""
    return header(8, PING, ACK if ack else 0, 0) + opaque


def window_update(stream_id: int, increment: int) -> bytes:
    """Write a WINDOW_UPDATE frame; stream 0 is the connection."""
    return header(4, WINDOW_UPDATE, 0, stream_id) + increment.to_bytes(4, "big")


def rst_stream(stream_id: int, code: int) -> bytes:
    """Write a RST_STREAM frame."""
    return header(4, RST_STREAM, 0, stream_id) + code.to_bytes(4, "big")


def goaway(last_id: int, code: int, debug: bytes = b"") -> bytes:
    """Write a GOAWAY frame."""
    return header(8 + len(debug), GOAWAY, 0, 0) + last_id.to_bytes(4, "big") + code.to_bytes(4, "big") + debug


def headers(stream_id: int, block: bytes, end: bool, frame_bytes: int) -> bytes:
    """Write a header block as HEADERS, with CONTINUATION frames where the peer's frame size asks for them."""
    type_, flags, written = HEADERS, END_STREAM if end else 0, b""
    while len(block) > frame_bytes:
        written += header(frame_bytes, type_, flags, stream_id) + block[:frame_bytes]
        block, type_, flags = block[frame_bytes:], CONTINUATION, 0
    return b"".join((written, header(len(block), type_, flags | END_HEADERS, stream_id), block))


def request(stream_id: int, block: bytes, content: bytes | bytearray | memoryview, size: int) -> bytes:
    """Write a whole request of a header block and `size` bytes of content, neither larger than the peer's frames."""
    head = _write_header(len(block) << 8 | HEADERS, END_HEADERS, stream_id)
    return b"".join((head, block, _write_header(size << 8 | DATA, END_STREAM, stream_id), content))
