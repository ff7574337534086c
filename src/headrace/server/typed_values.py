"""Converting values for a model's annotations: opening pictures, making and dissolving dataclasses, at any depth.

On the wire a dataclass and a TypedDict are named fields, and a picture is an encoded file.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any

from headrace.methods.signatures import decode_value
from headrace.server.envelope import INVALID_REQUEST
from headrace.server.model import ModelError
from headrace.v2 import resources_pb2 as pb

_Field = pb.ModelTypeField
_RESULTS = "headrace.results"  # its dataclasses have types of their own in the protocol


def unaliased(annotation: Any) -> Any:
    """Return what a `type` alias stands for (of Python 3.12; numpy's NDArray is one in newer versions)."""
    while True:
        origin = typing.get_origin(annotation)
        if hasattr(origin, "__value__"):
            annotation = origin.__value__[typing.get_args(annotation)]
        elif hasattr(annotation, "__value__"):
            annotation = annotation.__value__
        else:
            return annotation


def without_none(annotation: Any) -> Any:
    """Give X for `X | None`, an argument that may be left out; anything else as it is."""
    annotation = unaliased(annotation)
    if typing.get_origin(annotation) in (typing.Union, UnionType):
        inner = [one for one in typing.get_args(annotation) if one is not NoneType]
        if len(inner) == 1:
            return without_none(inner[0])
    return annotation


def is_picture(annotation: Any) -> bool:
    """Return whether an annotation is Pillow's class of pictures."""
    return getattr(annotation, "__module__", "") == "PIL.Image" and getattr(annotation, "__name__", "") == "Image"


def named_fields(annotation: Any) -> dict[str, tuple[Any, bool]] | None:
    """Return the fields of a dataclass or a TypedDict: name -> (annotation, required); None if it is neither."""
    if typing.is_typeddict(annotation):
        hints = typing.get_type_hints(annotation)
        return {name: (hint, name in annotation.__required_keys__) for name, hint in hints.items()}
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        if annotation.__module__.startswith(_RESULTS):
            return None
        hints = typing.get_type_hints(annotation)
        return {
            field.name: (
                hints[field.name],
                field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
            )
            for field in dataclasses.fields(annotation)
            if field.init
        }
    return None


def read(data: pb.Data, field: pb.ModelTypeField, annotation: Any, name: str) -> Any:
    """Read a value of the field's type, as its annotation wants it; None if there is none.

    Args:
        name: of the argument, for errors.

    Raises:
        ModelError: 11102 a number that is not finite, a named field is missing.
        TypeError, ValueError, HeadraceError: the value does not fit.
    """
    annotation = without_none(annotation)
    if field.type == _Field.LIST and data.parts:
        inner = typing.get_args(annotation)
        return [read(part.data, field.type_args[0], inner[0] if inner else Any, name) for part in data.parts]
    if field.type == _Field.TUPLE and len(data.parts) == len(field.type_args):
        parts = zip(data.parts, field.type_args, typing.get_args(annotation), strict=True)
        return tuple(read(part.data, one, wanted, name) for part, one, wanted in parts)
    if field.type == _Field.NAMED_FIELDS:
        return _read_fields(data, field, annotation, name)
    value = decode_value(data, field)
    if isinstance(value, float) and not math.isfinite(value):
        raise ModelError(INVALID_REQUEST, f"parameter {name} is {value}; it must be a finite number")
    return opened(value, annotation)


def _read_fields(data: pb.Data, field: pb.ModelTypeField, annotation: Any, name: str) -> Any:
    fields = named_fields(annotation) or {}
    parts = {part.id: part.data for part in data.parts}
    values: dict[str, Any] = {}
    for inner in field.type_args:
        wanted, required = fields[inner.name]
        if inner.name in parts:
            values[inner.name] = read(parts[inner.name], inner, wanted, f"{name}.{inner.name}")
        elif required:
            raise ModelError(INVALID_REQUEST, f"argument {name}: field {inner.name} is missing")
    return values if typing.is_typeddict(annotation) else annotation(**values)


def opened(value: Any, annotation: Any) -> Any:
    """Open a picture if the annotation wants one instead of an encoded file."""
    if isinstance(value, bytes) and is_picture(without_none(annotation)):
        from headrace.server.models import _images

        return _images.decode(value)
    return value


def plain(value: Any, field: pb.ModelTypeField) -> Any:
    """Convert dataclasses in a model's result to dicts, so that it can be encoded."""
    if field.type == _Field.LIST and isinstance(value, list | tuple):
        return [plain(one, field.type_args[0]) for one in value]
    if field.type == _Field.TUPLE and isinstance(value, tuple) and len(value) == len(field.type_args):
        return tuple(plain(one, inner) for one, inner in zip(value, field.type_args, strict=True))
    if field.type == _Field.NAMED_FIELDS:
        mapping = value if isinstance(value, Mapping) else None
        return {
            inner.name: plain(getattr(value, inner.name) if mapping is None else mapping[inner.name], inner)
            for inner in field.type_args
            if mapping is None or inner.name in mapping
        }
    return value
