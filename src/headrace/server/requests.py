"""Reading requests of strangers: counted before they become objects, as an empty message costs two bytes to send."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from headrace.server.envelope import BAD_FORMAT, INVALID_REQUEST
from headrace.server.model import ModelError
from headrace.v2 import service_pb2

M = TypeVar("M", bound=Message)

MAX_INPUTS = 128
MAX_FIELDS = 50_000  # fields and messages in one request, inputs and what is in them
_UNCOUNTED_BYTES = 32 << 10  # a request of this size has few enough in any case

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


def parsed(kind: type[M], data: bytes) -> M:
    """Read a request.

    Raises:
        ModelError: 11100 it is no such message, 11102 it holds too many inputs or fields.
    """
    if len(data) > _UNCOUNTED_BYTES:
        _count(data, 0, len(data), kind.DESCRIPTOR, _Count())
    try:
        request = kind.FromString(data)
    except DecodeError as error:
        raise ModelError(BAD_FORMAT, f"the request is not a {kind.__name__}: {_why(data)}") from error
    if isinstance(request, service_pb2.PostModelOutputsRequest) and len(request.inputs) > MAX_INPUTS:
        raise too_many_inputs(len(request.inputs))
    return request


def too_many_inputs(count: int | str) -> ModelError:
    """Say that a request has more inputs than are taken."""
    return ModelError(INVALID_REQUEST, f"the request has {count} inputs; at most {MAX_INPUTS} are taken")


def _why(data: bytes) -> str:
    try:
        data.decode()
    except UnicodeDecodeError:
        return "it is cut off, or a text in it is not UTF-8"
    return "it is cut off or of another kind"


class _Count:
    """Fields and inputs seen in one request."""

    __slots__ = ("fields", "inputs")

    def __init__(self) -> None:
        self.fields = 0
        self.inputs = 0


@cache
def _messages(kind: Any) -> dict[int, Any]:
    """Give the fields of a message that hold messages, by number."""
    return {f.number: f.message_type for f in kind.fields if f.type == FieldDescriptor.TYPE_MESSAGE}


@cache
def _inputs_number(kind: Any) -> int:
    """Give the number of the field that holds a request's inputs; 0 for other messages."""
    return kind.fields_by_name["inputs"].number if kind is service_pb2.PostModelOutputsRequest.DESCRIPTOR else 0


def _count(data: bytes, start: int, end: int, kind: Any, count: _Count, depth: int = 0) -> None:
    """Walk over the fields of a message; what is broken is left to the parser, which says so."""
    messages, inputs = _messages(kind), _inputs_number(kind)
    while start < end:
        count.fields += 1
        if count.fields > MAX_FIELDS:
            raise ModelError(INVALID_REQUEST, f"the request holds more than {MAX_FIELDS:,} fields")
        tag, start = _varint(data, start, end)
        wire, number = tag & 7, tag >> 3
        if wire == _LENGTH:
            length, start = _varint(data, start, end)
            if number == inputs and inputs:
                count.inputs += 1
                if count.inputs > MAX_INPUTS:
                    raise too_many_inputs(f"more than {MAX_INPUTS}")
            inner = messages.get(number)
            if inner is not None and length and depth < 100:
                _count(data, start, min(start + length, end), inner, count, depth + 1)
            start += length
        elif wire == _VARINT:
            _, start = _varint(data, start, end)
        elif wire == _FIXED64:
            start += 8
        elif wire == _FIXED32:
            start += 4
        else:  # groups are in none of our messages
            raise ModelError(BAD_FORMAT, "the request is broken")


def _varint(data: bytes, start: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while start < end and shift < 70:
        byte = data[start]
        start += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, start
        shift += 7
    raise ModelError(BAD_FORMAT, "the request is broken or cut off")
