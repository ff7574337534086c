"""Walking over the bytes of protobuf messages without making objects of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

MAX_FIELDS = 200_000  # within one output: as 30,000 regions or 200,000 concepts have; counting them takes 0.1 s


class TooManyFields(DecodeError):
    """A message holds more fields than allowed; they are not counted to the end."""


def fields_of(wire: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Walk over a message: each field's key and its bytes (without the length); nothing is copied.

    Raises:
        DecodeError: it is not a message.
    """
    at, end = 0, len(wire)
    while at < end:
        key, at = read_varint(wire, at)
        kind = key & 7
        if not 8 <= key < 1 << 32:
            raise DecodeError("a field number is out of range")
        if kind == 2:
            size, start = read_varint(wire, at)
        elif kind == 0:
            start, size = at, read_varint(wire, at)[1] - at
        elif kind in (1, 5):
            start, size = at, 8 if kind == 1 else 4
        else:
            raise DecodeError("it has a group, which the protocol does not use")
        at = start + size
        if at > end:
            raise DecodeError("it ends in the middle of a field")
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


def check_messages(raw: bytes, cls: type[Message], limit: int = MAX_FIELDS) -> None:
    """Refuse bytes that would become too many objects: two bytes become an object of a hundred.

    Fields are counted where they may repeat: a message without repetition counts as one field.

    Raises:
        TooManyFields: they hold more than `limit`, within each other or side by side.
        DecodeError: they are not a message.
    """
    if len(raw) < 2 * limit:
        return
    try:
        _count(raw, _shape(cast("Descriptor", cls.DESCRIPTOR)), limit)
    except IndexError:
        raise DecodeError("it ends in the middle of a field") from None


def _count(raw: bytes, shape: _Shape, limit: int) -> None:
    """Walk over the fields, in one loop without function calls, because it blocks the event loop."""
    at, end, count = 0, len(raw), 0
    around: list[tuple[int, _Shape]] = []  # the messages that this one lies in
    while True:
        inner = shape.inner
        while at < end:
            count += 1
            if count > limit:
                raise TooManyFields(f"it holds more than {limit:,} fields")
            key, at = (raw[at], at + 1) if raw[at] < 0x80 else read_varint(raw, at)
            wire_type = key & 7
            if wire_type == 2:
                size, at = (raw[at], at + 1) if raw[at] < 0x80 else read_varint(raw, at)
                within = inner.get(key) if size else None
                if within is None or not within.keys.search(raw, at, at + size):
                    at += size
                else:
                    around.append((end, shape))
                    end, shape, inner = at + size, within, within.inner
            elif wire_type == 0:
                while raw[at] >= 0x80:
                    at += 1
                at += 1
            elif wire_type in (1, 5):
                at += 8 if wire_type == 1 else 4
            else:  # the parser skips groups of any length
                raise DecodeError("it has a group, which the protocol does not use")
        if at > end:
            raise DecodeError("it ends in the middle of a field")
        if not around:
            return
        end, shape = around.pop()


class _Shape:
    """Which parts of a message may repeat.

    Attributes:
        inner: by key, the submessages in which something may repeat.
        keys: finds the first bytes of keys of messages that may repeat, in it or in one of `inner`; a message without
            any of them need not be walked over.
    """

    __slots__ = ("inner", "keys")

    def __init__(self) -> None:
        self.inner: dict[int, _Shape] = {}
        self.keys: re.Pattern[bytes] = re.compile(b"")


_shapes: dict[str, _Shape] = {}  # by name, as messages may lie in messages of their own kind


def _shape(descriptor: Descriptor) -> _Shape:
    if (known := _shapes.get(descriptor.full_name)) is not None:
        return known
    shape = _shapes[descriptor.full_name] = _Shape()
    keys = set[int]()
    for field in descriptor.fields:
        if field.message_type is None:
            continue
        key = field.number << 3 | 2
        grows = _grows(field.message_type)
        if grows:
            shape.inner[key] = _shape(field.message_type)
        if grows or _repeats(field):
            keys.add(key if key < 0x80 else key & 0x7F | 0x80)
    shape.keys = re.compile(b"[%b]" % re.escape(bytes(sorted(keys)))) if keys else _NEVER
    return shape


_NEVER = re.compile(b"(?!)")


@cache
def _grows(descriptor: Descriptor) -> bool:
    """Return whether a message may hold any number of messages."""
    seen, kinds = set[str](), [descriptor]
    while kinds:
        kind = kinds.pop()
        if kind.full_name in seen:
            continue
        seen.add(kind.full_name)
        for field in kind.fields:
            if field.message_type is not None:
                if _repeats(field):
                    return True
                kinds.append(field.message_type)
    return False


def _repeats(field: FieldDescriptor) -> bool:
    known: Any = field
    if hasattr(known, "is_repeated"):
        return bool(known.is_repeated)
    return bool(known.label == known.LABEL_REPEATED)  # protobuf 4 and 5


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
