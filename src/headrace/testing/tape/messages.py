"""Messages as people read them: protobuf's JSON, with bytes that are long named by their hash.

A message whose JSON does not say all of it (unknown fields, numbers that JSON does not have) is kept in bytes as well.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from headrace.codec import GENERATE, PREDICT, SERVICE, STREAM
from headrace.v2 import service_pb2 as rpc

if TYPE_CHECKING:
    from google.protobuf.descriptor import FieldDescriptor

#: A message as JSON; {"bytes": ...} for one whose type is not known, or that cannot be read.
Plain: TypeAlias = dict[str, Any]

INLINE_BYTES = 128  # longer ones are named by their hash
HASHED = "sha256:"  # no base64 has a colon
WHOLE = "bytes"  # in place of the fields of a message, or beside them: all of it
_WELL_KNOWN = "google.protobuf."

#: The methods whose requests have inputs.
PREDICTIONS = (PREDICT, GENERATE, STREAM)
_MESSAGES: dict[str, tuple[type[Message], type[Message]]] = {
    **dict.fromkeys(PREDICTIONS, (rpc.PostModelOutputsRequest, rpc.MultiOutputResponse)),
    SERVICE + "GetModel": (rpc.GetModelRequest, rpc.SingleModelResponse),
    SERVICE + "ListModels": (rpc.ListModelsRequest, rpc.MultiModelResponse),
    SERVICE + "GetModelVersion": (rpc.GetModelVersionRequest, rpc.SingleModelVersionResponse),
    SERVICE + "GetModelType": (rpc.GetModelTypeRequest, rpc.SingleModelTypeResponse),
    SERVICE + "ListModelTypes": (rpc.ListModelTypesRequest, rpc.MultiModelTypeResponse),
    SERVICE + "GetUser": (rpc.GetUserRequest, rpc.SingleUserResponse),
    SERVICE + "GetNodepool": (rpc.GetNodepoolRequest, rpc.SingleNodepoolResponse),
    SERVICE + "GetDeployment": (rpc.GetDeploymentRequest, rpc.SingleDeploymentResponse),
}


def read(method: str, raw: bytes, *, request: bool) -> Message | None:
    """Decode a message of a method; None where its type is not known, or the bytes are none of that type."""
    types = _MESSAGES.get(method)
    if types is None:
        return None
    try:
        return types[0 if request else 1].FromString(raw)
    except DecodeError:
        return None


class Blobs:
    """The long byte strings of a tape, by their hash; each is written once."""

    def __init__(self) -> None:
        self._by_hash: dict[str, bytes] = {}

    def __len__(self) -> int:
        return len(self._by_hash)

    def keep(self, data: bytes) -> str:
        """Keep a byte string; give what stands in its place."""
        if len(data) <= INLINE_BYTES:
            return base64.b64encode(data).decode()
        name = named(data)
        self._by_hash[name] = data
        return name

    def get(self, text: str) -> bytes:
        """Give the byte string that this stands for.

        Raises:
            KeyError: the tape has none of this hash.
            ValueError: it is no base64, or the bytes are others than their hash says.
        """
        if not text.startswith(HASHED):
            return base64.b64decode(text, validate=True)
        return self._by_hash[text]

    def add(self, name: str, data: bytes) -> None:
        """Take in a byte string that was read.

        Raises:
            ValueError: it has another hash.
        """
        if named(data) != name:
            raise ValueError(f"the bytes are not those of {name}")
        self._by_hash[name] = data

    def items(self) -> list[tuple[str, bytes]]:
        """Give all, in a stable order."""
        return sorted(self._by_hash.items())


def named(data: bytes) -> str:
    """Name a byte string by its hash and its length."""
    return f"{HASHED}{hashlib.sha256(data).hexdigest()} ({len(data)} bytes)"


def short(data: bytes) -> str:
    """Write a byte string down so that it can be compared: as base64, or as its hash where it is long."""
    return base64.b64encode(data).decode() if len(data) <= INLINE_BYTES else named(data)


def to_plain(message: Message, keep: Callable[[bytes], str]) -> Plain:
    """Write a message as JSON.

    Args:
        keep: gives what stands in the place of a byte string.
    """
    whole = message.SerializeToString(deterministic=True)
    try:
        plain: Plain = json_format.MessageToDict(message, preserving_proto_field_name=True)
        again = type(message)()
        json_format.ParseDict(plain, again)
    except (json_format.Error, ValueError, TypeError, RecursionError):
        return {WHOLE: keep(whole)}
    if again.SerializeToString(deterministic=True) != whole:
        plain[WHOLE] = keep(whole)
    _name_bytes(message, plain, keep)
    return plain


def from_plain(plain: Plain, kind: type[Message], blobs: Blobs) -> Message:
    """Read a message from JSON.

    Raises:
        ValueError, KeyError: it is none.
    """
    if WHOLE in plain:
        try:
            return kind.FromString(blobs.get(plain[WHOLE]))
        except DecodeError as error:
            raise ValueError(str(error)) from None
    message = kind()
    try:
        json_format.ParseDict(_with_bytes(kind.DESCRIPTOR, plain, blobs), message)
    except json_format.Error as error:
        raise ValueError(str(error)) from None
    return message


def answer_of(method: str, plain: Plain, blobs: Blobs) -> Message | bytes:
    """Read an answer to a method; bytes where its type is not known, or they are none of that type.

    Raises:
        ValueError, KeyError: it is none.
    """
    kind = _MESSAGES.get(method, (None, None))[1]
    if WHOLE in plain and len(plain) == 1:
        raw = blobs.get(plain[WHOLE])
        message = read(method, raw, request=False)
        return raw if message is None else message
    if kind is None:
        raise ValueError(f"the answer to a method that headrace does not know needs {WHOLE!r}")
    return from_plain(plain, kind, blobs)


def _name_bytes(message: Message, plain: Any, keep: Callable[[bytes], str]) -> None:
    """Write the byte strings of a message into its JSON, once more."""
    for field, value in message.ListFields():
        if isinstance(value, bytes):
            plain[field.name] = keep(value)
        elif field.type == field.TYPE_BYTES:
            plain[field.name] = [keep(item) for item in value]
        elif field.message_type is None or field.message_type.full_name.startswith(_WELL_KNOWN):
            continue
        elif isinstance(value, Message):
            _name_bytes(value, plain[field.name], keep)
        elif not field.message_type.GetOptions().map_entry:
            for item, item_plain in zip(value, plain[field.name], strict=True):
                _name_bytes(item, item_plain, keep)


def _with_bytes(descriptor: Any, plain: Any, blobs: Blobs) -> Any:
    """Give the JSON with base64 where hashes stand."""
    if not isinstance(plain, dict):
        return plain
    return {name: _value_with_bytes(descriptor.fields_by_name.get(name), value, blobs) for name, value in plain.items()}


def _value_with_bytes(field: FieldDescriptor | None, value: Any, blobs: Blobs) -> Any:
    if field is None:
        return value
    if isinstance(value, list):
        return [_value_with_bytes(field, item, blobs) for item in value]
    if field.type == field.TYPE_BYTES:
        return base64.b64encode(blobs.get(value)).decode() if isinstance(value, str) else value
    inner = field.message_type
    if inner is None or inner.full_name.startswith(_WELL_KNOWN) or inner.GetOptions().map_entry:
        return value
    return _with_bytes(inner, value, blobs)
