"""gRPC's message framing: a flag, a length, the message. Source: gRPC over HTTP/2, "Length-Prefixed-Message"."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import cast

from headrace.types import Buffer

PREFIX_BYTES = 5
#: More parts than this that are smaller than this on average are joined: a step for each costs more than the copy.
_FEW, _SMALL = 8, 1_024
#: A message smaller than this is one piece of memory, whatever its parts.
_JOINED = 4_096
#: A part smaller than this is copied if it is less than a quarter of what it was received in, which it would keep.
_OWN = 16_384
_prefix = struct.Struct(">BI").unpack_from
_write_prefix = struct.Struct(">BI").pack
#: What we can decompress, as grpc-accept-encoding says it, with zlib's name for it.
ENCODINGS = {"identity": 0, "deflate": zlib.MAX_WBITS, "gzip": zlib.MAX_WBITS | 16}


class MessageError(Exception):
    """A message that cannot be taken.

    Attributes:
        too_large: it is over the limit; else it is malformed.
    """

    def __init__(self, reason: str, *, too_large: bool = False) -> None:
        super().__init__(reason)
        self.too_large = too_large


def framed(parts: Sequence[Buffer]) -> list[Buffer]:
    """Put the prefix before a message that is given in parts; many small ones become one.

    Raises:
        MessageError: its length is none that gRPC can write.
    """
    if len(parts) == 1 and (size := len(parts[0])) < _JOINED:
        return [_write_prefix(0, size) + parts[0]]
    size = sum(map(len, parts))
    if size < _JOINED:
        return [b"".join((_write_prefix(0, size), *parts))]
    if size >> 32:
        raise MessageError(f"a message of {size:,} bytes; the largest that gRPC can send has 4 GiB", too_large=True)
    prefix = b"\0" + size.to_bytes(4, "big")
    if len(parts) > _FEW and size < len(parts) * _SMALL:
        return [b"".join((prefix, *parts))]
    return [prefix, *parts]


def whole_message(data: bytes, limit: int) -> bytes | None:
    """Cut the message out of content that is one whole, plain message; None for any other."""
    if len(data) < PREFIX_BYTES:
        return None
    flag, length = _prefix(data)
    if flag or length > limit or length + PREFIX_BYTES != len(data):
        return None
    return data[PREFIX_BYTES:]


def whole_messages(data: bytes | memoryview, limit: int) -> list[bytes] | None:
    """Cut a piece of a response that holds whole, plain messages and nothing else; None for any other."""
    position, size = 0, len(data)
    if size >= PREFIX_BYTES:
        flag, length = _prefix(data)
        if length + PREFIX_BYTES == size and not flag and length <= limit:
            return [bytes(data[PREFIX_BYTES:])]
    messages: list[bytes] = []
    while (start := position + PREFIX_BYTES) <= size:
        flag, length = _prefix(data, position)
        position = start + length
        if flag or length > limit or position > size:
            return None
        messages.append(bytes(data[start:position]))
    return messages if position == size else None


class Assembler:
    """Cuts messages out of the pieces of a response; one that spans several pieces is copied once, when it is complete.

    Args:
        limit: bytes of the largest message, also after decompression.
        encoding: what grpc-encoding says.
    """

    __slots__ = ("_encoding", "_flag", "_limit", "_missing", "_parts", "_prefix")

    def __init__(self, limit: int, encoding: str = "identity") -> None:
        self._limit = limit
        self._prefix = b""  # the begin of one
        self._parts: list[Buffer] = []  # of the message that has not come whole
        self._missing = 0  # bytes of it; 0: none has begun
        self._flag = 0
        self._encoding = encoding

    @property
    def empty(self) -> bool:
        """Whether no part of a message waits for its rest."""
        return not self._prefix and not self._missing

    def take(self, data: bytes | memoryview) -> list[bytes]:
        """Give the messages that are complete with this piece.

        Raises:
            MessageError: one is too large, or malformed.
        """
        messages: list[bytes] = []
        if self._missing:
            data = self._continue(data, messages)
        if self._prefix:
            data = self._prefix + bytes(data)
            self._prefix = b""
        position, size = 0, len(data)
        while size - position >= PREFIX_BYTES:
            flag, length = _prefix(data, position)
            if length > self._limit:
                raise MessageError(f"a message of {length:,} bytes; the limit is {self._limit:,}", too_large=True)
            position += PREFIX_BYTES
            if position + length > size:
                self._flag, self._missing = flag, length - (size - position)
                self._keep(data[position:])
                return messages
            message = bytes(data[position : position + length])
            messages.append(message if not flag else self._decompressed(flag, message))
            position += length
        self._prefix = bytes(data[position:])
        return messages

    def _continue(self, data: bytes | memoryview, messages: list[bytes]) -> bytes | memoryview:
        """Take what belongs to the message that has begun, and give the rest."""
        part = data[: self._missing]
        self._keep(part)
        self._missing -= len(part)
        if self._missing:
            return b""
        message = b"".join(self._parts)
        self._parts = []
        messages.append(message if not self._flag else self._decompressed(self._flag, message))
        return data[len(part) :]

    def _keep(self, part: bytes | memoryview) -> None:
        """Keep a part; small ones together, for an object of its own can take twenty times a part's bytes."""
        size, parts = len(part), self._parts
        if size >= _SMALL:
            scattered = isinstance(part, memoryview) and size < _OWN and 4 * size < len(cast("bytes", part.obj))
            parts.append(bytes(part) if scattered else part)
        elif parts and isinstance(last := parts[-1], bytearray):
            last += part
        else:
            parts.append(bytearray(part))

    def _decompressed(self, flag: int, message: bytes) -> bytes:
        if flag != 1:
            raise MessageError(f"a message with the flags {flag}")
        bits = ENCODINGS.get(self._encoding)
        if not bits:
            known = "none" if bits == 0 else f"{self._encoding!r:.60}, which is not supported"
            raise MessageError(f"a compressed message, and the encoding is {known}")
        if not message:
            return b""
        unpacker = zlib.decompressobj(bits)
        try:
            unpacked = unpacker.decompress(message, self._limit + 1)
        except zlib.error as error:
            raise MessageError(f"a message that cannot be decompressed ({error})") from None
        if len(unpacked) > self._limit:
            raise MessageError(f"a message of more than {self._limit:,} bytes when decompressed", too_large=True)
        if not unpacker.eof or unpacker.unused_data:
            raise MessageError("a compressed message that is cut off or too long")
        return unpacked


__all__ = ["ENCODINGS", "PREFIX_BYTES", "Assembler", "MessageError", "framed", "whole_message", "whole_messages"]
