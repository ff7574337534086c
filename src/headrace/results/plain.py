"""Messages of the protocol as plain JSON values."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message

#: Numbers that mean something when they are 0, which the protocol omits: message -> fields.
_ZEROS = {
    "BoundingBox": ("top_row", "left_col", "bottom_row", "right_col"),
    "Concept": ("value",),
    "FrameInfo": ("index", "time"),
    "Point": ("row", "col"),
}


def to_dict(message: Message) -> dict[str, Any]:
    """Turn a message into plain JSON values, field names as in the protocol; places, times and values keep zeros."""
    from google.protobuf import json_format

    plain: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    _fill_zeros(message, plain)
    return plain


def _fill_zeros(message: Message, plain: dict[str, Any]) -> None:
    names = _ZEROS.get(message.DESCRIPTOR.name, ())
    if names:
        fields = [field for field in message.DESCRIPTOR.fields if field.name in names or field.name in plain]
        filled = {field.name: plain.get(field.name, getattr(message, field.name)) for field in fields}
        if "time" in filled:
            filled["time"] = int(filled["time"])  # protobuf makes a text of 64 bits
        plain.clear()
        plain.update(filled)
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.full_name.startswith("google.protobuf."):
            continue
        if isinstance(value, Message):
            _fill_zeros(value, plain[field.name])
        elif isinstance(plain[field.name], list):
            for part, one in zip(value, plain[field.name], strict=True):
                _fill_zeros(part, one)
