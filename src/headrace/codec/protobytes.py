"""Walking over the bytes of protobuf messages without making objects of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message

MAX_MESSAGES = 250_000  # within one output, regions and concepts for example: 2 bytes make one


def fields_of(wire: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Walk over a message: each field's key and its bytes (without the length); nothing is copied.

    Raises:
        DecodeError: it is no message.
    """
    at, end = 0, len(wire)
    while at < end:
        key, at = read_varint(wire, at)
        kind = key & 7
        if not 8 <= key < 1 << 32:
            raise DecodeError("no field has that number")
        if kind == 2:
            size, start = read_varint(wire, at)
        elif kind == 0:
            start, size = at, read_varint(wire, at)[1] - at
        elif kind in (1, 5):
            start, size = at, 8 if kind == 1 else 4
        else:
            raise DecodeError("it has a group, which the protocol does not know")
        at = start + size
        if at > end:
            raise DecodeError("it ends within a field")
        yield key, wire[start:at]


def read_varint(wire: bytes | memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70 and at < len(wire):
        byte = wire[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise DecodeError("no number")


def check_messages(raw: bytes, cls: type[Message]) -> None:
    """Refuse bytes that would become a great number of objects: each takes two bytes, and a hundred in memory.

    Raises:
        DecodeError: they hold more than `MAX_MESSAGES` messages, within each other or side by side, or are none.
    """
    if len(raw) < 2 * MAX_MESSAGES:
        return
    at, end, kinds = 0, len(raw), _messages_in(cls.DESCRIPTOR)
    around: list[tuple[int, dict[int, Descriptor]]] = []  # the messages that this one lies in
    count = 0
    while at < end or around:
        if at >= end:
            end, kinds = around.pop()
            continue
        key, at = (raw[at], at + 1) if raw[at] < 0x80 else read_varint(raw, at)
        wire_type = key & 7
        if wire_type == 2:
            size, at = (raw[at], at + 1) if at < end and raw[at] < 0x80 else read_varint(raw, at)
            kind = kinds.get(key)
            if kind is None:
                at += size
                continue
            count += 1
            if count > MAX_MESSAGES:
                raise DecodeError(f"it holds more than {MAX_MESSAGES:,} messages")
            around.append((end, kinds))
            end, kinds = min(at + size, end), _messages_in(kind)
        elif wire_type == 0:
            at = read_varint(raw, at)[1]
        else:
            at += 4 if wire_type == 5 else 8  # groups are refused by the parser


@cache
def _messages_in(descriptor: Descriptor) -> dict[int, Descriptor]:
    """Give the fields of a message that hold messages, by their keys."""
    return {field.number << 3 | 2: field.message_type for field in descriptor.fields if field.message_type is not None}


def varint(value: int) -> bytes:
    """Write a whole number as protobuf does, seven bits a byte."""
    if value < 0x80:
        return _BYTE[value]
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_BYTE = [bytes((value,)) for value in range(0x80)]
