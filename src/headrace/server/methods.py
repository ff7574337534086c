"""The methods of a model class, and how a call's arguments reach them: as an item, or by name with types."""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from google.protobuf.struct_pb2 import Struct

from headrace.errors import HeadraceError
from headrace.methods.signatures import METHOD_KEY, decode_value, encode_value
from headrace.server import signatures, typed_values
from headrace.server.envelope import INVALID_REQUEST, PREDICTION_FAILED
from headrace.server.model import Answer, Card, Item, ModelError, to_answer
from headrace.server.params import plain_struct
from headrace.server.shapes import ShapeError
from headrace.server.signatures import Shape, Signature
from headrace.server.threads import in_thread
from headrace.v2 import resources_pb2 as pb

SHAPES: Mapping[str, Shape] = {"predict": "predict", "generate": "generate", "stream": "stream"}
_OLD_FORM = {  # which field of an item an argument of a type is taken from, if a call names no method
    pb.ModelTypeField.STR: "text",
    pb.ModelTypeField.TEXT: "text",
    pb.ModelTypeField.IMAGE: "image",
    pb.ModelTypeField.AUDIO: "audio",
    pb.ModelTypeField.VIDEO: "video",
}
_LIGHT = {
    pb.ModelTypeField.STR,
    pb.ModelTypeField.TEXT,
    pb.ModelTypeField.INT,
    pb.ModelTypeField.FLOAT,
    pb.ModelTypeField.BOOL,
}


class Method(Protocol):
    """One method of a model class."""

    name: str
    shape: Shape
    is_async: bool
    signature: pb.MethodSignature
    kinds: tuple[str, ...]
    heavy_answer: bool

    def call(self, instance: Any, item: Item) -> Any:
        """Call it on an instance with one item: a value, a coroutine or an iterator, as it is."""

    def call_stream(self, instance: Any, items: Any) -> Any:
        """Call it (shape "stream") with an iterator of items."""

    def answer(self, value: Any, typed: bool) -> Answer:
        """Turn a returned value into an answer; `typed`: for a call that names its method."""

    async def answer_on_loop(self, value: Any, typed: bool) -> Answer:
        """Do the same without blocking the event loop: pictures are encoded in a thread."""


def methods_of(cls: type, card: Card) -> dict[str, Method]:
    """Find the methods of a class by name: `predict`, `generate`, `stream`, and those marked with `types.method`.

    Raises:
        ShapeError: there is none, or one of them cannot be called.
    """
    parameters = getattr(cls, "parameters", {})
    methods: dict[str, Method] = {}
    if inspect.isfunction(many := inspect.getattr_static(cls, "predict_many", None)):
        methods["predict"] = ItemMethod(many, "predict", f"{cls.__name__}.predict_many", card, parameters)
    for name in (*(n for n in SHAPES if hasattr(cls, n)), *(n for n in dir(cls) if n not in SHAPES)):
        function = inspect.getattr_static(cls, name)
        if name in SHAPES and not inspect.isfunction(function):
            raise ShapeError(f"{cls.__name__}.{name} is not a method")
        if name not in SHAPES and not getattr(function, "__headrace_method__", False):
            continue
        label = f"{cls.__name__}.{name}"
        if name == "predict" and name in methods and not _takes_item(function):
            raise ShapeError(f"{label} takes typed arguments; beside predict_many it must take an item")
        if name in SHAPES and _takes_item(function):
            methods[name] = ItemMethod(function, SHAPES[name], label, card, parameters)
            continue
        try:
            methods[name] = TypedMethod(function, signatures.of_function(function, label))
        except signatures.SignatureError as error:
            raise ShapeError(str(error)) from error
    if not methods:
        raise ShapeError(f"{cls.__name__} has no method predict, generate or stream")
    return methods


def _takes_item(function: Callable[..., Any]) -> bool:
    """Return whether a function takes one item (or an iterator of them): it says so, or it says nothing."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    hint = parameters[0].annotation if parameters else inspect.Parameter.empty
    words = set(re.findall(r"\w+", hint if isinstance(hint, str) else repr(hint)))
    return hint is inspect.Parameter.empty or bool(words & {"Item", "Any", "object"})


class ItemMethod:
    """A method that takes items; typed arguments are turned into an item, and its answer into the declared type."""

    heavy_answer = False  # its result is almost an answer

    def __init__(
        self, function: Callable[..., Any], name: Shape, label: str, card: Card, parameters: Mapping[str, Any]
    ) -> None:
        try:
            inspect.signature(function).bind(None, None)
        except TypeError as error:
            raise ShapeError(f"{label} must take one argument (besides self)") from error
        self.name: str = name
        self.shape: Shape = name
        self.is_async: bool = _is_async(function, name, label)
        self.kinds: tuple[str, ...] = card.input_fields
        self.signature: pb.MethodSignature = signatures.of_card(card, name, parameters)
        self._arguments = {signatures.argument_name(card, kind): kind for kind in card.input_fields}

    def call(self, instance: Any, item: Item) -> Any:
        """Call it with the item."""
        return getattr(instance, self.name)(item)

    def call_stream(self, instance: Any, items: Any) -> Any:
        """Call it with the iterator."""
        return getattr(instance, self.name)(items)

    def flat(self, data: pb.Data) -> tuple[pb.Data, dict[str, Any]]:
        """Convert a typed call's arguments to an item's: its data and its inference parameters.

        Raises:
            ModelError: 11102 an argument is missing or unknown.
        """
        parts = {part.id: part.data for part in data.parts if part.id}
        result, params = pb.Data(), dict[str, Any]()
        for field in self.signature.input_fields:
            part = parts.pop(field.name, None)
            kind = self._arguments.get(field.name)
            if part is None:
                if field.required:
                    raise ModelError(INVALID_REQUEST, f"{self.name}: argument {field.name} is missing")
            elif kind == "text":
                result.text.CopyFrom(part.text)
                result.text.raw = part.string_value or part.text.raw
            elif kind is not None:
                getattr(result, kind).CopyFrom(getattr(part, kind))
            elif field.name == "params":
                params.update(plain_struct(_struct_of(part, field)))
            else:
                params[field.name] = _finite(field.name, decode_value(part, field))
        if parts:
            raise ModelError(INVALID_REQUEST, f"{self.name} has no argument {', '.join(parts)}")
        return result, params

    def answer(self, value: Any, typed: bool) -> Answer:
        """Make an answer; that of a typed call is the part "return"."""
        answer = to_answer(value)
        if not typed:
            return answer
        data = pb.Data(parts=[pb.Part(id="return", data=pb.Data())])
        into = data.parts[0].data
        result = self.signature.output_fields[0].type
        if result == pb.ModelTypeField.STR:
            into.string_value = answer.data.text.raw
        elif result == pb.ModelTypeField.LIST and answer.data.embeddings:
            encode_value(into, self.signature.output_fields[0], list(answer.data.embeddings[0].vector))
        else:
            into.CopyFrom(answer.data)
        return Answer(data, answer.prompt_tokens, answer.completion_tokens, answer.input_id)

    async def answer_on_loop(self, value: Any, typed: bool) -> Answer:
        """Make it immediately."""
        return self.answer(value, typed)


def _struct_of(part: pb.Data, field: pb.ModelTypeField) -> Struct:
    """Return a JSON argument as inference parameters, from any client's form."""
    struct = Struct()
    try:
        struct.update(decode_value(part, field))
    except (TypeError, ValueError, HeadraceError) as error:
        raise ModelError(INVALID_REQUEST, f"argument {field.name}: {error}") from error
    return struct


class TypedMethod:
    """A method with annotated arguments."""

    def __init__(self, function: Callable[..., Any], signature: Signature) -> None:
        self.name: str = function.__name__
        self.shape = signature.shape
        self.is_async: bool = _is_async(function, self.shape, function.__qualname__)
        self.signature: pb.MethodSignature = signature.message
        self.kinds: tuple[str, ...] = tuple(
            dict.fromkeys(_OLD_FORM[f.type] for f in self.signature.input_fields if f.type in _OLD_FORM)
        )
        self._annotations = signature.annotations
        self._streamed = signature.streamed
        self.heavy_answer: bool = _heavy(self.signature.output_fields)
        self._heavy_arguments = _heavy(self.signature.input_fields)

    def call(self, instance: Any, item: Item) -> Any:
        """Call it with the arguments that the item carries."""
        function = getattr(instance, self.name)
        if not (self.is_async and self._heavy_arguments):
            return function(**self._arguments(item))
        return self._calling(function, item) if self.shape == "predict" else self._generating(function, item)

    async def _calling(self, function: Callable[..., Any], item: Item) -> Any:
        return await function(**await in_thread(lambda: self._arguments(item), "arguments"))

    async def _generating(self, function: Callable[..., Any], item: Item) -> AsyncIterator[Any]:
        arguments = await in_thread(lambda: self._arguments(item), "arguments")
        async with contextlib.aclosing(function(**arguments)) as pieces:
            async for piece in pieces:
                yield piece

    def call_stream(self, instance: Any, items: Any) -> Any:
        """Call it with a stream; the first item carries the other arguments, too."""
        function = getattr(instance, self.name)
        return self._streaming_async(function, items) if self.is_async else self._streaming(function, items)

    def _streaming(self, function: Callable[..., Any], items: Iterator[Item]) -> Iterator[Any]:
        first = next(items, None)
        if first is None:
            return
        streamed = self._streamed
        assert streamed is not None
        arguments = self._arguments(first)
        value = arguments.pop(streamed.name)

        def values() -> Iterator[Any]:
            yield value
            for item in items:
                yield self._value_of(streamed, item)

        yield from function(**arguments, **{streamed.name: values()})

    async def _streaming_async(self, function: Callable[..., Any], items: AsyncIterator[Item]) -> AsyncIterator[Any]:
        first = await anext(items, None)
        if first is None:
            return
        streamed = self._streamed
        assert streamed is not None

        async def read(make: Callable[[], Any]) -> Any:
            return await in_thread(make, "arguments") if self._heavy_arguments else make()

        arguments = await read(lambda: self._arguments(first))
        value = arguments.pop(streamed.name)

        async def values() -> AsyncIterator[Any]:
            yield value
            async for item in items:
                yield await read(functools.partial(self._value_of, streamed, item))

        async for answer in function(**arguments, **{streamed.name: values()}):
            yield answer

    def answer(self, value: Any, typed: bool) -> Answer:
        """Make an answer: the part "return", or the classic fields if the call named no method."""
        field = self.signature.output_fields[0]
        data = pb.Data()
        into = data.parts.add(id="return", data=pb.Data()).data if typed else data  # "" and 0 are data, too
        try:
            encode_value(into, field, typed_values.plain(value, field))
        except (TypeError, ValueError, KeyError, AttributeError, HeadraceError) as error:
            raise ModelError(
                PREDICTION_FAILED, f"{self.name} returned a value that it does not declare: {error}"
            ) from error
        if not typed and field.type == pb.ModelTypeField.STR:
            data.text.raw = data.string_value
            data.ClearField("string_value")
        return Answer(data)

    async def answer_on_loop(self, value: Any, typed: bool) -> Answer:
        """Make it immediately, or in a thread."""
        return (
            await in_thread(lambda: self.answer(value, typed), "answer")
            if self.heavy_answer
            else self.answer(value, typed)
        )

    def _arguments(self, item: Item) -> dict[str, Any]:
        arguments = {}
        for field in self.signature.input_fields:
            value = self._value_of(field, item)
            if value is not None:
                arguments[field.name] = value
            elif field.required:
                names = ", ".join(f.name for f in self.signature.input_fields)
                raise ModelError(INVALID_REQUEST, f"{self.name}: argument {field.name} is missing; it takes: {names}")
        return arguments

    def _value_of(self, field: pb.ModelTypeField, item: Item) -> Any:
        part = next((part.data for part in item.data.parts if part.id == field.name), None)
        try:
            if part is not None:
                return typed_values.read(part, field, self._annotations[field.name], field.name)
            if field.name in item.params and not item.method:
                return _of_param(field, item.params[field.name])
        except (TypeError, ValueError, HeadraceError) as error:
            raise ModelError(INVALID_REQUEST, f"{self.name}: argument {field.name}: {error}") from error
        first = next((f for f in self.signature.input_fields if f.type == field.type), field)
        if not item.data.parts and field.type in _OLD_FORM and first.name == field.name:
            return typed_values.opened(getattr(item, _OLD_FORM[field.type]), self._annotations[field.name])
        return None


def _heavy(fields: Iterable[pb.ModelTypeField]) -> bool:
    """Return whether values of these types may take long to encode or decode: pictures, arrays, nested types."""
    return any(field.type not in _LIGHT for field in fields)


def method_name(wire: pb.Input) -> str:
    """Return the name of the method that an input is for; "" if it names none."""
    return wire.data.metadata.fields[METHOD_KEY].string_value if METHOD_KEY in wire.data.metadata.fields else ""


def _finite(name: str, value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise ModelError(INVALID_REQUEST, f"parameter {name} is {value}; it must be a finite number")
    return value


def _of_param(field: pb.ModelTypeField, value: Any) -> Any:
    wanted = {
        pb.ModelTypeField.STR: str,
        pb.ModelTypeField.INT: int,
        pb.ModelTypeField.FLOAT: float,
        pb.ModelTypeField.BOOL: bool,
    }.get(field.type)
    if wanted is bool and value in (0, 1):
        return bool(value)
    if wanted in (int, float) and isinstance(value, str) and len(value) <= 40:
        with contextlib.suppress(ValueError):  # as the official examples send them
            value = wanted(value)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if wanted is not None and (not isinstance(value, wanted) or (wanted is int and isinstance(value, bool))):
        raise TypeError(f"expected {wanted.__name__}, got {value!r}")
    return value


def _is_async(function: Callable[..., Any], shape: Shape, label: str) -> bool:
    if shape == "predict":
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ShapeError(f"{label} yields; a method that yields is named generate")
        return inspect.iscoroutinefunction(function)
    if inspect.iscoroutinefunction(function):
        raise ShapeError(f"{label} is async but does not yield")
    return inspect.isasyncgenfunction(function)
