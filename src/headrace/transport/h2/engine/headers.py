"""Header blocks: reading the server's, and writing ours without a table. RFC 7541; RFC 9113 sections 4.3 and 8.

Decoding by the `hpack` package. Once the server has acknowledged that its table has no room, equal blocks have equal
meanings: a block that came before is looked up by its bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import hpack
from hpack.hpack import encode_integer

from headrace.transport.h2.engine.frames import Code, ConnectionFault, StreamFault

_STATIC = {":authority": 1, ":path": 4, "authorization": 23, "content-type": 31, "user-agent": 58}  # names, indexes
_NAME = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"  # characters of names
_UPDATES = re.compile(rb"([\x20-\x3e]|\x3f[\x80-\xff]*[\x00-\x7f]){3}|\x3f[\x80-\xff]{5}")  # no block begins so
_FORBIDDEN = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"))
CACHED_BYTES = 2_048  # of the largest block in the cache, and of its fields
_CACHED_BLOCKS, _DECODED_BYTES = 256, 1 << 18


class Fields:
    """A checked list of headers or trailers.

    Attributes:
        status: of a response; 0 in trailers.
        items: names and values in order, bytes above 0x7f as Latin-1 characters; `first` has the first of each name.
        size: as SETTINGS_MAX_HEADER_LIST_SIZE counts it.
        content_length: what the headers say, or None.
        note: whatever the user of the engine puts there; equal blocks of a connection may share their fields.
    """

    __slots__ = ("content_length", "first", "items", "note", "size", "status")

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        self.status: int = 0
        self.content_length: int | None = None
        self.note: Any = None
        self.size: int = 0
        items: list[tuple[str, str]] = []
        for name, value in raw:
            self.size += len(name) + len(value) + 32
            if name[:1] == b":":
                self._pseudo(name, value, bool(items))
                continue
            if not name or name.translate(None, _NAME) or name in _FORBIDDEN:
                raise StreamFault(Code.PROTOCOL_ERROR, f"a header is named {name[:50]!r}")
            if b"\0" in value or b"\r" in value or b"\n" in value:
                raise StreamFault(Code.PROTOCOL_ERROR, f"the value of header {name.decode()} has a line end or NUL")
            text = value.strip(b" \t").decode("latin-1")
            if name == b"content-length":
                if not text.isdecimal() or len(text) > 18:
                    raise StreamFault(Code.PROTOCOL_ERROR, f"content-length is {text[:50]!r}")
                self.content_length = int(text)
            items.append((name.decode("ascii"), text))
        self.items: tuple[tuple[str, str], ...] = tuple(items)
        self.first: dict[str, str] = dict(reversed(items))

    def _pseudo(self, name: bytes, value: bytes, late: bool) -> None:
        if name != b":status" or self.status or late:
            raise StreamFault(Code.PROTOCOL_ERROR, f"the pseudo-header {name[:50]!r} is not allowed there")
        if len(value) != 3 or not value.isdigit() or not value >= b"100":
            raise StreamFault(Code.PROTOCOL_ERROR, f":status is {value[:50]!r}")
        self.status = int(value)


class BlockDecoder:
    """Decodes the blocks of one connection in their order."""

    def __init__(self) -> None:
        self._decoder = hpack.Decoder(max_header_list_size=_DECODED_BYTES)
        self.cache: dict[bytes, Fields] = {}
        self._table: bool | None = True  # None: we may have none, but the server has not said yet that it knows

    def settings_acknowledged(self) -> None:
        """Note that the server knows that its table has no room: what is in it is gone."""
        if self._table:
            self._table = None
            if not self._decoder.header_table_size:  # the server has given its table up before
                self._decoder.max_allowed_table_size, self._table = 0, False
            self._decoder.header_table_size = 0

    def decode(self, block: bytes) -> Fields:
        """Decode and check a block; what cannot be decoded ends the connection, what is malformed its stream."""
        fields = self.cache.get(block)
        if fields is None:
            fields = Fields(self.decode_raw(block))
            if not self._table and len(block) + fields.size <= CACHED_BYTES:  # the table was empty, as it will be
                if len(self.cache) >= _CACHED_BLOCKS:
                    self.cache.clear()
                self.cache[block] = fields
        return fields

    def decode_raw(self, block: bytes) -> list[tuple[bytes, bytes]]:
        """Decode a block without the checks and the cache."""
        decoder: Any = self._decoder
        if self._table is None:
            if block[:1] and block[0] & 0xE0 == 0x20:
                decoder.max_allowed_table_size = 0
                self._table = False
            else:
                decoder.header_table_size = 4_096  # empty: tells whether the block adds an entry
        try:
            if _UPDATES.match(block):
                raise hpack.HPACKError("its size updates are too many, or too long")
            decoded: list[tuple[bytes, bytes]] = decoder.decode(block, raw=True)
        except (hpack.HPACKError, IndexError, ValueError, OverflowError) as error:
            bomb = isinstance(error, hpack.OversizedHeaderListError)
            reason = "a header block cannot be decoded: " + re.split(" from |: <", str(error))[0]  # no raw bytes
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM if bomb else Code.COMPRESSION_ERROR, reason) from None
        if self._table is None:
            if len(decoder.header_table.dynamic_entries):
                raise ConnectionFault(Code.COMPRESSION_ERROR, "a header block uses a table that has no room")
            decoder.header_table_size = 0
        return decoded


class TableUpdates:
    """The size updates that our next block has to begin with, though we never use the server's table."""

    def __init__(self) -> None:
        self.waiting: list[int] = []  # the lowest since the last block, and the last
        self._last = 4_096

    def changed(self, size: int) -> None:
        """Note the server's SETTINGS_HEADER_TABLE_SIZE."""
        size = min(size, 4_096)
        if self.waiting or size != self._last:
            self.waiting = [min([*self.waiting, size]), size]
        self._last = size

    def take(self) -> bytes:
        """Give the updates, once."""
        sizes, self.waiting = self.waiting, []
        return b"".join(_integer(size, 5, 0x20) for size in dict.fromkeys(sizes))


def request_block(path: str, authority: str, *, tls: bool) -> bytes:
    """Write the pseudo-headers of a POST."""
    method_and_scheme = b"\x83\x87" if tls else b"\x83\x86"
    return method_and_scheme + block([(":path", path), (":authority", authority)])


def block(items: Iterable[tuple[str, str]], *, secret: bool = False) -> bytes:
    """Write headers as literals that enter no table; `secret` ones enter none of a proxy either."""
    written = []
    first = 0x10 if secret else 0x00
    for name, value in items:
        index = _STATIC.get(name)
        written.append(_integer(index, 4, first) if index else bytes((first,)) + _string(name.encode("ascii")))
        written.append(_string(value.encode("latin-1")))
    return b"".join(written)


def _integer(value: int, bits: int, first: int) -> bytes:
    """Write an integer with a prefix of so many bits (RFC 7541 section 5.1)."""
    written: bytearray = encode_integer(value, bits)
    written[0] |= first
    return bytes(written)


def _string(value: bytes) -> bytes:
    """Write a string without Huffman code (RFC 7541 section 5.2)."""
    return _integer(len(value), 7, 0x00) + value
