"""gRPC's message framing: a flag, a length, the message. Source: gRPC over HTTP/2, "Length-Prefixed-Message".

Whole messages are cut out of what arrives; one that spans several pieces is joined once, when it is complete.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from headrace.types import Buffer

PREFIX_BYTES = 5
#: What we can decompress, as grpc-accept-encoding says it.
ENCODINGS = {"identity": 0, "deflate": zlib.MAX_WBITS, "gzip": zlib.MAX_WBITS | 16}


_KEPT_AS_VIEW = 16_384


class MessageError(Exception):
    """A message that cannot be taken.

    Attributes:
        too_large: it is over the limit; else it is malformed.
    """

    def __init__(self, reason: str, *, too_large: bool = False) -> None:
        super().__init__(reason)
        self.too_large = too_large


def framed(parts: Sequence[Buffer]) -> list[Buffer]:
    """Put the prefix before a message that is given in parts."""
    return [b"\0" + sum(map(len, parts)).to_bytes(4, "big"), *parts]


class Assembler:
    """Cuts messages out of the pieces of a response.

    Args:
        limit: bytes of the largest message, also after decompression.
    """

    __slots__ = ("_have", "_limit", "_need", "_parts", "encoding")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes | memoryview] = []
        self._have = 0
        self._need = PREFIX_BYTES  # bytes until the next look: a prefix, or a prefix and its message
        self.encoding = "identity"

    @property
    def empty(self) -> bool:
        """Whether no part of a message waits for its rest."""
        return not self._have

    def take(self, data: bytes | memoryview) -> list[bytes]:
        """Give the messages that are complete with this piece.

        Raises:
            MessageError: one is too large, or malformed.
        """
        if self._have:
            self._parts.append(data)
            self._have += len(data)
            if self._have < self._need:
                return []
            data = self._whole()
        messages: list[bytes] = []
        position, size = 0, len(data)
        while size - position >= PREFIX_BYTES:
            length = int.from_bytes(data[position + 1 : position + PREFIX_BYTES], "big")
            if length > self._limit:
                raise MessageError(f"a message of {length:,} bytes; the limit is {self._limit:,}", too_large=True)
            end = position + PREFIX_BYTES + length
            if end > size:
                self._keep(data[position:], PREFIX_BYTES + length)
                return messages
            message = bytes(data[position + PREFIX_BYTES : end])
            flag = data[position]
            messages.append(message if not flag else self._decompressed(flag, message))
            position = end
        if position < size:
            self._keep(data[position:], PREFIX_BYTES)
        return messages

    def _keep(self, rest: bytes | memoryview, need: int) -> None:
        self._parts = [rest if len(rest) > _KEPT_AS_VIEW else bytes(rest)]  # a view keeps all that was received with it
        self._have = len(rest)
        self._need = need

    def _whole(self) -> bytes:
        data = b"".join(self._parts)
        self._parts = []
        self._have = 0
        return data

    def _decompressed(self, flag: int, message: bytes) -> bytes:
        if flag != 1:
            raise MessageError(f"a message with the flags {flag}")
        bits = ENCODINGS.get(self.encoding)
        if not bits:
            known = "none" if bits == 0 else f"{self.encoding!r}, which is not supported"
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


__all__ = ["ENCODINGS", "PREFIX_BYTES", "Assembler", "MessageError", "framed"]
