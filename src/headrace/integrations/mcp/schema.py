"""JSON schemas of tools: what a model's method takes, in the words of MCP."""

from __future__ import annotations

import json
from typing import Any

from headrace.methods.signatures import Method, Parameter, type_name
from headrace.v2 import resources_pb2 as pb

_Type = pb.ModelTypeField
MEDIA = {_Type.IMAGE: "image", _Type.AUDIO: "audio", _Type.VIDEO: "video"}
_PLAIN: dict[int, dict[str, Any]] = {
    _Type.STR: {"type": "string"},
    _Type.TEXT: {"type": "string"},
    _Type.INT: {"type": "integer"},
    _Type.FLOAT: {"type": "number"},
    _Type.BOOL: {"type": "boolean"},
    _Type.BYTES: {"type": "string", "contentEncoding": "base64", "description": "Bytes, as base64."},
    _Type.NDARRAY: {"type": "array", "description": "Numbers, as nested lists."},
    _Type.JSON_DATA: {"type": ["object", "array"]},
    _Type.CONCEPT: {
        "type": "object",
        "properties": {"name": {"type": "string"}, "value": {"type": "number"}},
        "required": ["name"],
    },
}
_WORDS = {"image": "A picture", "audio": "A sound", "video": "A video"}


def of_method(method: Method, *, paths: bool) -> dict[str, Any]:
    """Give the schema of a method's arguments.

    Args:
        paths: whether files may be named.
    """
    properties = {parameter.name: _of_parameter(parameter, paths) for parameter in method.parameters}
    required = [parameter.name for parameter in method.parameters if parameter.required]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def of_inputs(types: tuple[str, ...], *, paths: bool) -> dict[str, Any]:
    """Give the schema of a model without methods: an argument for each type of input, and its parameters."""
    properties: dict[str, Any] = {
        type_: {"type": "string", "description": "The text."} if type_ == "text" else of_media(type_, paths=paths)
        for type_ in types
    }
    properties["params"] = {"type": "object", "description": "Inference parameters, such as max_tokens."}
    required = list(types) if len(types) == 1 else []
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def of_media(kind: str, *, paths: bool) -> dict[str, Any]:
    """Give the schema of a picture, sound or video."""
    files = ", or the path of a file that this server may read" if paths else ""
    return {"type": "string", "description": f"{_WORDS[kind]}: base64, a data: URL or an http(s) URL{files}."}


def _of_parameter(parameter: Parameter, paths: bool) -> dict[str, Any]:
    schema = _of_field(parameter.field, paths)
    texts = (parameter.description, schema.pop("description", ""))
    said = ". ".join(text.strip().rstrip(".") for text in texts if text)
    if said:
        schema["description"] = f"{said}."
    if not parameter.required and parameter.default:
        schema["default"] = _default(parameter.default, schema)
    return schema


def _of_field(field: pb.ModelTypeField, paths: bool) -> dict[str, Any]:
    kind = field.type
    if kind in MEDIA:
        return of_media(MEDIA[kind], paths=paths)
    if kind in _PLAIN:
        return dict(_PLAIN[kind])
    if kind == _Type.LIST and field.type_args:
        return {"type": "array", "items": _of_field(field.type_args[0], paths)}
    if kind == _Type.TUPLE:
        size = len(field.type_args)
        items = [_of_field(one, paths) for one in field.type_args]
        return {"type": "array", "prefixItems": items, "minItems": size, "maxItems": size}
    if kind == _Type.NAMED_FIELDS:
        named = {one.name: _of_field(one, paths) for one in field.type_args}
        return {"type": "object", "properties": named, "required": list(named)}
    return {"description": f"A value of the type {type_name(field)}."}


def _default(text: str, schema: dict[str, Any]) -> Any:
    """Read a default, which the server gives as text, as its type."""
    if schema.get("type") == "string":
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
