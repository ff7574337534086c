"""Method signatures for clients: made from a function's annotations, or from a model's card."""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import json
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from headrace.server import types
from headrace.server.model import Card
from headrace.server.typed_values import is_picture, named_fields, unaliased, without_none
from headrace.v2 import resources_pb2 as pb

Shape = Literal["predict", "generate", "stream"]

METHOD_TYPES: Mapping[Shape, pb.RunnerMethodType] = {
    "predict": pb.UNARY_UNARY,
    "generate": pb.UNARY_STREAMING,
    "stream": pb.STREAMING_STREAMING,
}
MAX_DEPTH = 8  # types within types

_Field = pb.ModelTypeField
_TYPES: Mapping[Any, pb.ModelTypeField.DataType] = {
    str: _Field.STR,
    bytes: _Field.BYTES,
    int: _Field.INT,
    float: _Field.FLOAT,
    bool: _Field.BOOL,
    dict: _Field.JSON_DATA,
    list: _Field.JSON_DATA,
    types.Text: _Field.TEXT,
    types.Image: _Field.IMAGE,
    types.Audio: _Field.AUDIO,
    types.Video: _Field.VIDEO,
    types.Concept: _Field.CONCEPT,
    types.Region: _Field.REGION,
    types.Frame: _Field.FRAME,
}
_STREAMS = (
    collections.abc.Iterator,
    collections.abc.Iterable,
    collections.abc.Generator,
    collections.abc.AsyncIterator,
    collections.abc.AsyncIterable,
    collections.abc.AsyncGenerator,
)
#: A card's field -> the type of the argument or result in a signature.
_KINDS: Mapping[str, Any] = {"text": str, "image": types.Image, "audio": types.Audio, "video": types.Video}
_RESULTS: Mapping[str, Any] = {
    **_KINDS,
    "concepts": list[types.Concept],
    "regions": list[types.Region],
    "frames": list[types.Frame],
    "embeddings": list[float],
}


class SignatureError(TypeError):
    """A function whose annotations cannot be a signature; the message names the place."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A method's signature and the Python types behind it."""

    message: pb.MethodSignature
    shape: Shape
    annotations: Mapping[str, Any]  # of arguments, streams unwrapped

    @property
    def streamed(self) -> pb.ModelTypeField | None:
        """The argument that is a stream of values."""
        return next((field for field in self.message.input_fields if field.iterator), None)


def of_function(function: Callable[..., Any], label: str) -> Signature:
    """Make the signature of a method (its first parameter is `self`).

    Raises:
        SignatureError: an annotation is missing or not understood, or the streams in it do not fit together.
    """
    try:
        hints = typing.get_type_hints(function)
    except Exception as error:
        raise SignatureError(f"{label}: its annotations cannot be read: {error}") from error
    if "return" not in hints:
        raise SignatureError(f"{label} needs a return annotation")
    message = pb.MethodSignature(name=function.__name__, description=inspect.getdoc(function) or "")
    annotations = {}
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise SignatureError(f"{label}: argument {parameter.name} must be passable by its name")
        if parameter.name not in hints:
            raise SignatureError(f"{label}: argument {parameter.name} needs an annotation")
        plain, streamed = _unwrapped(hints[parameter.name])
        annotations[parameter.name] = plain
        field = _field(message.input_fields, parameter.name, plain, f"{label}: argument {parameter.name}")
        field.iterator = streamed
        field.required = parameter.default is parameter.empty
        if not field.required:
            field.default = _default(parameter.default)
    plain, streamed = _unwrapped(hints["return"])
    _field(message.output_fields, "return", plain, f"{label}: its result").iterator = streamed
    incoming = sum(field.iterator for field in message.input_fields)
    if incoming > 1 or (incoming and not streamed):
        raise SignatureError(f"{label}: a method with one streamed argument must yield, and may have no second one")
    shape: Shape = "stream" if incoming else "generate" if streamed else "predict"
    message.method_type = METHOD_TYPES[shape]
    return Signature(message, shape, annotations)


def of_card(card: Card, shape: Shape, parameters: Mapping[str, Any]) -> pb.MethodSignature:
    """Make the signature of a method that takes items: its inputs are the card's, then the inference parameters.

    Args:
        parameters: names of inference parameters, each with its default or, if it has none, its type; without any
            there is one dict, `params`.
    """
    message = pb.MethodSignature(name=shape, method_type=METHOD_TYPES[shape], description=card.description)
    for kind in card.input_fields:
        field = _field(message.input_fields, argument_name(card, kind), _KINDS[kind], card.id)
        field.required = len(card.input_fields) == 1
        field.iterator = shape == "stream" and kind == card.input_fields[0]
    for name, default in (parameters or {"params": {}}).items():
        bare = isinstance(default, type) or typing.get_origin(default) is not None
        field = _field(message.input_fields, name, default if bare else type(default), card.id)
        field.default = "" if bare else _default(default)
    result = _RESULTS.get(card.output_fields[0] if card.output_fields else "text", str)
    _field(message.output_fields, "return", result, card.id).iterator = shape != "predict"
    return message


def argument_name(card: Card, kind: str) -> str:
    """Name the argument of a kind of input: the kind itself, but a text that is answered is a prompt."""
    return "prompt" if kind == "text" and (card.task.startswith("text-to-") or "multimodal" in card.task) else kind


def _unwrapped(annotation: Any) -> tuple[Any, bool]:
    annotation = unaliased(annotation)
    if typing.get_origin(annotation) in _STREAMS:
        return typing.get_args(annotation)[0], True
    return annotation, False


def _field(fields: Any, name: str, annotation: Any, label: str) -> pb.ModelTypeField:
    field: pb.ModelTypeField = fields.add(name=name)
    _fill(field, annotation, label)
    return field


def _fill(field: pb.ModelTypeField, annotation: Any, label: str, depth: int = 0) -> None:
    annotation = without_none(annotation)
    arguments = typing.get_args(annotation)
    origin = typing.get_origin(annotation)
    if depth > MAX_DEPTH:
        raise SignatureError(f"{label} has a type that contains itself, or is nested more than {MAX_DEPTH} types deep")
    if _is_array(annotation):
        field.type = _Field.NDARRAY
    elif is_picture(annotation):
        field.type = _Field.IMAGE
    elif origin is list and arguments:
        field.type = _Field.LIST
        _fill(field.type_args.add(name=f"{field.name}_item"), arguments[0], label, depth + 1)
    elif origin is tuple and arguments and Ellipsis not in arguments:
        field.type = _Field.TUPLE
        for one in arguments:
            _fill(field.type_args.add(name=f"{field.name}_item"), one, label, depth + 1)
    elif origin is dict:
        field.type = _Field.JSON_DATA
    elif annotation in _TYPES:
        field.type = _TYPES[annotation]
    elif (named := _named_fields(annotation, label)) is not None:
        field.type = _Field.NAMED_FIELDS
        for name, (one, required) in named.items():
            inner = field.type_args.add(name=name, required=required)
            _fill(inner, one, f"{label}, field {name}", depth + 1)
    else:
        raise SignatureError(f"{label} has the type {annotation!r}, which calls cannot carry")


def _named_fields(annotation: Any, label: str) -> dict[str, tuple[Any, bool]] | None:
    try:
        return named_fields(annotation)
    except Exception as error:
        raise SignatureError(f"{label}: the annotations of {annotation!r} cannot be read: {error}") from error


def _is_array(annotation: Any) -> bool:
    cls = typing.get_origin(annotation) or annotation
    return getattr(cls, "__module__", "") == "numpy" and getattr(cls, "__name__", "") == "ndarray"


def _default(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value)  # type: ignore[arg-type]
    except TypeError:
        return str(value)
