"""Methods with typed arguments: their signatures, and values <-> the protocol's `Data`.

A typed call carries its arguments as `data.parts` (a part's id is the argument's name) and the method's name in
`data.metadata._method_name`; its answer is the part "return". Source: MethodSignature, ModelTypeField, Data.

Values: str, bytes, int, float, bool, JSON (dict or list), numpy arrays, lists, tuples and dicts of these; text as str;
images, audio and video as bytes of an encoded file or an http(s) URL (images also as PIL pictures or arrays);
`Concept`, `Region` and `Frame` as in results.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from google.protobuf import json_format, struct_pb2

from headrace.codec import refuse_inexact
from headrace.errors import ConfigError, PredictionFailed
from headrace.media import encoding
from headrace.results import Concept, Frame, Region, concepts_of, frames_of, regions_of
from headrace.support.extras import install
from headrace.v2 import resources_pb2 as pb

Shape: TypeAlias = Literal["unary", "server stream", "duplex"]

METHOD_KEY = "_method_name"
GET_SIGNATURES = "_GET_SIGNATURES"

_DataType = pb.ModelTypeField.DataType
_SHAPES: Mapping[int, Shape] = types.MappingProxyType({1: "unary", 2: "server stream", 4: "duplex"})
_NAMES: Mapping[int, str] = types.MappingProxyType(
    {
        pb.ModelTypeField.STR: "str",
        pb.ModelTypeField.BYTES: "bytes",
        pb.ModelTypeField.INT: "int",
        pb.ModelTypeField.FLOAT: "float",
        pb.ModelTypeField.BOOL: "bool",
        pb.ModelTypeField.NDARRAY: "ndarray",
        pb.ModelTypeField.JSON_DATA: "json",
        pb.ModelTypeField.TEXT: "Text",
        pb.ModelTypeField.IMAGE: "Image",
        pb.ModelTypeField.CONCEPT: "Concept",
        pb.ModelTypeField.REGION: "Region",
        pb.ModelTypeField.FRAME: "Frame",
        pb.ModelTypeField.AUDIO: "Audio",
        pb.ModelTypeField.VIDEO: "Video",
    }
)
_PLAIN: Mapping[int, tuple[str, tuple[type, ...]]] = types.MappingProxyType(
    {
        pb.ModelTypeField.STR: ("string_value", (str,)),
        pb.ModelTypeField.BYTES: ("bytes_value", (bytes, bytearray, memoryview)),
        pb.ModelTypeField.INT: ("int_value", (int,)),
        pb.ModelTypeField.FLOAT: ("float_value", (int, float)),
        pb.ModelTypeField.BOOL: ("bool_value", (bool,)),
    }
)
_MEDIA: Mapping[int, str] = types.MappingProxyType(
    {pb.ModelTypeField.IMAGE: "image", pb.ModelTypeField.AUDIO: "audio", pb.ModelTypeField.VIDEO: "video"}
)
_REPEATED: Mapping[int, str] = types.MappingProxyType(
    {pb.ModelTypeField.CONCEPT: "concepts", pb.ModelTypeField.REGION: "regions", pb.ModelTypeField.FRAME: "frames"}
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument or result of a method.

    Attributes:
        name: the argument's name.
        type: its type as text, such as "str", "list[Concept]" or "Iterator[str]".
        required: whether it has to be given.
        default: the server's default as text, "" when there is none.
        description: what the model says of it.
        iterator: whether it is a stream of values.
    """

    name: str
    type: str
    required: bool
    default: str
    description: str
    iterator: bool
    field: pb.ModelTypeField

    def __str__(self) -> str:
        return f"{self.name}: {self.type}" + (f" = {self.default}" if not self.required and self.default else "")


@dataclass(frozen=True, slots=True)
class Method:
    """One method of a model; `str(method)` is its signature."""

    name: str
    shape: Shape
    description: str
    parameters: tuple[Parameter, ...]
    returns: tuple[Parameter, ...]

    def __str__(self) -> str:
        result = ", ".join(parameter.type for parameter in self.returns) or "None"
        return f"{self.name}({', '.join(map(str, self.parameters))}) -> {result}"

    @property
    def streamed(self) -> Parameter | None:
        """The argument that is a stream of values, or None."""
        return next((parameter for parameter in self.parameters if parameter.iterator), None)

    @classmethod
    def of(cls, message: pb.MethodSignature) -> Method:
        """Make it from the protocol's message.

        Raises:
            PredictionFailed: a method type that isn't known.
        """
        shape = _SHAPES.get(int(message.method_type))
        if shape is None:
            raise PredictionFailed(f"method {message.name!r} has the unknown type {int(message.method_type)}")
        return cls(
            message.name,
            shape,
            message.description,
            tuple(_parameter(field) for field in message.input_fields),
            tuple(_parameter(field) for field in message.output_fields),
        )

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Bind every argument to its name, and check that all are known and none is missing.

        Raises:
            ConfigError: wrong arguments; the message has the signature.
        """
        names = [parameter.name for parameter in self.parameters]
        if len(args) > len(names):
            raise ConfigError(f"{self.name} takes {len(names)} arguments, {len(args)} were given: {self}")
        bound = dict(zip(names, args, strict=False))
        twice = sorted(set(bound) & set(kwargs))
        unknown = sorted(set(kwargs) - set(names))
        if twice or unknown:
            problem = f"{', '.join(twice)} given twice" if twice else f"no argument {', '.join(unknown)}"
            raise ConfigError(f"{self.name}: {problem}: {self}")
        bound |= kwargs
        missing = [p.name for p in self.parameters if p.required and p.name not in bound]
        if missing:
            raise ConfigError(f"{self.name}: {', '.join(missing)} missing: {self}")
        return bound

    def encode(self, bound: Mapping[str, Any]) -> pb.Data:
        """Encode arguments, without the streamed one if it is not in `bound`.

        Raises:
            ConfigError: a value that doesn't fit its type; the message has the signature.
        """
        data = pb.Data()
        data.metadata[METHOD_KEY] = self.name
        for parameter in self.parameters:
            if parameter.name not in bound or (bound[parameter.name] is None and not parameter.required):
                continue  # the server has the default
            part = data.parts.add(id=parameter.name)
            try:
                encode_value(part.data, parameter.field, bound[parameter.name])
            except PredictionFailed:  # the signature itself is wrong
                raise
            except (
                Exception
            ) as error:  # a value of the user may raise anything, such as one that only looks like a list
                raise ConfigError(f"{self.name}: argument {parameter.name}: {error}: {self}") from None
        return data

    def decode(self, data: pb.Data) -> Any:
        """Decode an answer: the one result, or a dict of several.

        Raises:
            PredictionFailed: the answer lacks a result.
        """
        parts = {part.id: part.data for part in data.parts}
        values: dict[str, Any] = {}
        for index, parameter in enumerate(self.returns):
            if parameter.name in parts:
                values[parameter.name] = decode_value(parts[parameter.name], parameter.field)
            elif index == 0:
                values[parameter.name] = decode_value(data, parameter.field)  # the first one may stand inline
            else:
                raise PredictionFailed(f"the answer of {self.name} has no {parameter.name}: {self}")
        return next(iter(values.values())) if len(values) == 1 else values


def from_json(text: str) -> tuple[Method, ...]:
    """Make methods from the JSON with which a model answers `_GET_SIGNATURES`: name -> MethodSignature.

    Raises:
        PredictionFailed: it is not such JSON.
    """
    try:
        signatures = json.loads(text)
        messages = [
            json_format.ParseDict(value, pb.MethodSignature(), ignore_unknown_fields=True)
            for value in signatures.values()
        ]
    except (TypeError, ValueError, AttributeError, OverflowError, RecursionError, json_format.ParseError) as error:
        raise PredictionFailed(f"the model's method signatures cannot be read: {error}") from None
    return tuple(Method.of(message) for message in messages)


def encode_value(data: pb.Data, field: pb.ModelTypeField, value: Any) -> None:
    """Write a value of the field's type into `data`.

    Raises:
        TypeError, ValueError: it does not fit.
    """
    kind = field.type
    if kind in _PLAIN:
        name, allowed = _PLAIN[kind]
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            raise TypeError(f"expected {_NAMES[kind]}, got {type(value).__name__}")
        setattr(data, name, bytes(value) if isinstance(value, bytearray | memoryview) else value)
    elif kind == pb.ModelTypeField.TEXT:
        if not isinstance(value, str):
            raise TypeError(f"expected str, got {type(value).__name__}")
        data.text.raw = value
    elif kind in _MEDIA:
        _encode_media(getattr(data, _MEDIA[kind]), value, picture=kind == pb.ModelTypeField.IMAGE)
    elif kind in _REPEATED:
        getattr(data, _REPEATED[kind]).append(_message(value))
    elif kind == pb.ModelTypeField.JSON_DATA:
        if not isinstance(value, Mapping | list):
            raise TypeError(f"expected a dict or a list, got {type(value).__name__}")
        json.dumps(value, allow_nan=False)  # refuses what is not JSON
        refuse_inexact(value)
        struct = struct_pb2.Struct()
        struct.update({"_list": value} if isinstance(value, list) else value)
        data.struct_value.CopyFrom(struct)
    elif kind == pb.ModelTypeField.NDARRAY:
        _encode_array(data.ndarray, value)
    elif kind == pb.ModelTypeField.LIST:
        inner = _item_type(field)
        if isinstance(value, str | bytes) or not isinstance(value, Iterable):
            raise TypeError(f"expected {type_name(field)}, got {type(value).__name__}")
        for item in value:
            encode_value(data if inner.type in _REPEATED else data.parts.add().data, inner, item)
    elif kind == pb.ModelTypeField.TUPLE:
        items = tuple(value)
        if len(items) != len(field.type_args):
            raise ValueError(f"expected {type_name(field)}, got {len(items)} values")
        for index, (inner, item) in enumerate(zip(field.type_args, items, strict=True)):
            encode_value(data.parts.add(id=str(index)).data, inner, item)
    elif kind == pb.ModelTypeField.NAMED_FIELDS:
        for inner in field.type_args:
            if inner.name not in value:
                raise ValueError(f"field {inner.name} is missing")
            encode_value(data.parts.add(id=inner.name).data, inner, value[inner.name])
    else:
        raise TypeError(f"type {kind} is not known")


def decode_value(data: pb.Data, field: pb.ModelTypeField) -> Any:
    """Read a value of the field's type out of `data`; None if there is none.

    Raises:
        PredictionFailed: a type that isn't known, or numbers of fields that don't fit.
    """
    kind = field.type
    if kind == pb.ModelTypeField.BYTES and data.string_value and not data.bytes_value:
        raise PredictionFailed("expected bytes, got a string")  # it would read as no bytes at all
    if kind in _PLAIN:
        return getattr(data, _PLAIN[kind][0])
    if kind == pb.ModelTypeField.TEXT:
        return data.text.raw or data.string_value  # the latter from the official Node.js SDK
    if kind in _MEDIA:
        medium = getattr(data, _MEDIA[kind])
        return medium.base64 or medium.url or None
    if kind in _REPEATED:
        values = _views(data, kind)
        return values[0] if len(values) == 1 else list(values) or None
    if kind == pb.ModelTypeField.JSON_DATA:
        return _decode_json(data)
    if kind == pb.ModelTypeField.NDARRAY:
        return _decode_array(data.ndarray)
    if kind == pb.ModelTypeField.LIST:
        inner = _item_type(field)
        if inner.type in _REPEATED:
            return list(_views(data, inner.type))
        return [decode_value(part.data, inner) for part in data.parts]
    if kind == pb.ModelTypeField.TUPLE:
        if len(data.parts) != len(field.type_args):
            raise PredictionFailed(f"a tuple has {len(data.parts)} values, its type is {type_name(field)}")
        return tuple(decode_value(part.data, inner) for part, inner in zip(data.parts, field.type_args, strict=True))
    if kind == pb.ModelTypeField.NAMED_FIELDS:
        parts = {part.id: part.data for part in data.parts}
        return {inner.name: decode_value(parts.get(inner.name, pb.Data()), inner) for inner in field.type_args}
    raise PredictionFailed(f"the answer has the unknown type {kind}")


def _item_type(field: pb.ModelTypeField) -> pb.ModelTypeField:
    if not field.type_args:
        raise PredictionFailed(f"the model's signature has a list of nothing: {field.name}")
    return field.type_args[0]


def type_name(field: pb.ModelTypeField) -> str:
    """Return a field's type as text, without the iterator."""
    inner = [type_name(argument) for argument in field.type_args]
    if field.type == pb.ModelTypeField.LIST:
        return f"list[{', '.join(inner)}]"
    if field.type == pb.ModelTypeField.TUPLE:
        return f"tuple[{', '.join(inner)}]"
    if field.type == pb.ModelTypeField.NAMED_FIELDS:
        return "{" + ", ".join(f"{a.name}: {t}" for a, t in zip(field.type_args, inner, strict=True)) + "}"
    return _NAMES.get(field.type, f"type {field.type}")


def _parameter(field: pb.ModelTypeField) -> Parameter:
    name = type_name(field)
    return Parameter(
        field.name,
        f"Iterator[{name}]" if field.iterator else name,
        field.required,
        field.default,
        field.description,
        field.iterator,
        field,
    )


def _encode_media(message: Any, value: Any, *, picture: bool) -> None:
    if isinstance(value, str):
        if not value.lower().startswith(("http://", "https://")):
            raise ValueError("a str must be an http(s) URL; give a file's bytes otherwise")
        message.url = value
    elif isinstance(value, bytes | bytearray | memoryview):
        message.base64 = bytes(value)
    elif picture:
        message.base64 = encoding.png(value)
    else:
        raise TypeError(f"expected bytes or a URL, got {type(value).__name__}")


def _decode_json(data: pb.Data) -> Any:
    if data.string_value and not data.HasField("struct_value"):  # from the official Node.js SDK
        try:
            return json.loads(data.string_value)
        except (ValueError, RecursionError) as error:
            raise PredictionFailed(f"a JSON value cannot be read: {error}") from None
    try:
        value = json_format.MessageToDict(data.struct_value)
    except (json_format.Error, ValueError) as error:  # NaN and infinity
        raise PredictionFailed(f"a JSON value cannot be read: {error}") from None
    return value["_list"] if set(value) == {"_list"} else value


def _message(value: Any) -> Any:
    if isinstance(value, tuple) and len(value) == 2:
        value = Concept(*value)
    if isinstance(value, Concept):
        return pb.Concept(id=value.id, name=value.name, value=value.value)
    if isinstance(value, Region):
        region = pb.Region(id=value.id, value=value.value, track_id=value.track_id)
        box = region.region_info.bounding_box
        box.top_row, box.left_col, box.bottom_row, box.right_col = value.top, value.left, value.bottom, value.right
        if value.point is not None:
            region.region_info.point.col, region.region_info.point.row = value.point
        if value.mask:
            region.region_info.mask.image.base64 = value.mask
        if value.text:
            region.data.text.raw = value.text
        region.data.concepts.extend(_message(concept) for concept in value.concepts)
        return region
    if isinstance(value, Frame):
        frame = pb.Frame(frame_info=pb.FrameInfo(index=value.index, time=value.time_ms))
        if value.image:
            frame.data.image.base64 = value.image
        if value.text:
            frame.data.text.raw = value.text
        frame.data.concepts.extend(_message(concept) for concept in value.concepts)
        frame.data.regions.extend(_message(region) for region in value.regions)
        return frame
    raise TypeError(f"expected Concept, Region or Frame, got {type(value).__name__}")


def _views(data: pb.Data, kind: int) -> tuple[Any, ...]:
    if kind == pb.ModelTypeField.CONCEPT:
        return concepts_of(data)
    return regions_of(data) if kind == pb.ModelTypeField.REGION else frames_of(data)


def _numpy() -> Any:
    try:
        import numpy
    except ImportError:
        raise ConfigError(f"arrays need numpy: {install('images')}") from None
    return numpy


def _encode_array(message: pb.NDArray, value: Any) -> None:
    numpy = _numpy()
    array = numpy.asarray(value)
    if not numpy.issubdtype(array.dtype, numpy.number) and array.dtype != bool:
        raise TypeError(f"expected an array of numbers, got {array.dtype}")
    message.buffer = array.tobytes()
    message.shape.extend(array.shape)
    message.dtype = str(array.dtype)


def _decode_array(message: pb.NDArray) -> Any:
    numpy = _numpy()
    if not message.dtype:
        return None
    try:
        dtype = numpy.dtype(message.dtype)
        if dtype.hasobject:
            raise ValueError("arrays of objects are refused")
        return numpy.frombuffer(message.buffer, dtype=dtype).reshape(tuple(message.shape))
    except (TypeError, ValueError) as error:
        raise PredictionFailed(f"the answer's array cannot be read: {error}") from None
