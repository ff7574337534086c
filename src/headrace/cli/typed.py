"""`-i key=value`, `--inputs` and `--method`: calls of a model's own methods, if these take what is given."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace.cli import part as from_user
from headrace.cli import render, words
from headrace.cli.options import Typed
from headrace.errors import ConfigError, ServerError
from headrace.methods import plain
from headrace.v2 import resources_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headrace import Input, Model, Prediction
    from headrace.cli.gather import Gathered
    from headrace.cli.options import Options
    from headrace.cli.part import Part
    from headrace.methods.signatures import Method, Parameter

_Type = pb.ModelTypeField
_MEDIA = {_Type.IMAGE: "image", _Type.VIDEO: "video", _Type.AUDIO: "audio"}
_TEXTS = (_Type.STR, _Type.TEXT)


@dataclass(frozen=True, slots=True)
class TypedCall:
    """A method with its arguments, encoded; `parts` are the inputs among them."""

    method: Method
    item: Input
    parts: tuple[Part, ...]

    def answer(self, prediction: Prediction) -> Prediction:
        """Return the answer without the envelope of a typed call, so that it looks like any other."""
        return plain.answer(self.method, prediction)

    def show(self, prediction: Prediction, *, pretty: bool) -> str:
        """Write the answer for people or pipes: as any other if it is of their kinds, else its value as JSON."""
        answer = self.answer(prediction)
        if render.is_empty(answer):
            value = self.method.decode(prediction.data)
            if isinstance(value, list) and value and all(isinstance(item, float) for item in value):
                return render.vector(value)
            return "" if value == "" else render.as_json(plain.jsonable(value), indent=None)
        return render.show(answer, pretty=pretty)


async def for_command(model: Model, gathered: Gathered, method: str, options: Options) -> TypedCall | None:
    """Make the call of a model's own method, if the command line asks for one; None elsewhere."""
    if not gathered.fields and method in ("predict", "generate"):
        return None  # no method needs to be looked up
    call = await find(model, gathered, method, options.inference_params)
    if call is None and method not in ("predict", "generate"):
        raise click.UsageError(f"the model has no methods of its own, so no {method!r}; it has predict and generate")
    return call


async def find(model: Model, gathered: Gathered, name: str, params: Mapping[str, Any]) -> TypedCall | None:
    """Make the typed call that the command line stands for, or None if it is one of the documents' older way.

    That way has an input, and parameters of whatever name.

    Args:
        model: whose methods are looked up.
        gathered: the fields, and the inputs given in other ways, which go to the first free arguments of their types.
        name: the method.
        params: inference parameters, arguments as well.

    Raises:
        click.UsageError: a file that is missing.
        ConfigError: arguments that the method doesn't take, or that are missing or of another type.
    """
    try:
        methods = {method.name: method for method in await model.methods()}
    except ServerError:
        if gathered.maps_an_input:  # an older model may answer anything to this unknown question
            return None
        raise
    method = methods.get(name)
    if method is None:
        if methods and name not in ("predict", "generate"):
            raise ConfigError(f"the model has no method {name!r}; it has {'; '.join(map(str, methods.values()))}")
        return None
    if method.streamed is not None:
        raise click.UsageError(f"{method} takes a stream, which is for Python: model.call({name!r}, ...)")
    parts = [one for group in gathered.inputs for one in group]
    arguments = {**params, **gathered.fields}
    known = {parameter.name for parameter in method.parameters}.issuperset(arguments)
    if known and not gathered.maps_an_input and any(p.required and p.name not in arguments for p in method.parameters):
        parts = _piped()
    placed = _placed(method, parts, arguments)
    older = placed is None or not known
    if older and gathered.maps_an_input and name in ("predict", "generate"):
        return None
    if placed is None:
        raise ConfigError(f"{name} has no argument for {' and '.join(part.name for part in parts)}: {method}")
    arguments |= placed
    bound = method.bind((), arguments)
    values = {}
    for parameter in method.parameters:
        if parameter.name in bound:
            values[parameter.name], given = _value(parameter, bound[parameter.name])
            parts += [given] if given is not None and given not in parts else []
    return TypedCall(method, plain.request(method, values), tuple(parts))


def _piped() -> list[Part]:
    """Read the input that is still missing from stdin, if something is piped into it."""
    if sys.stdin is None or sys.stdin.isatty():
        return []
    try:
        return [from_user.from_stdin(None)]
    except click.UsageError:  # it is empty: report the missing argument
        return []


def _placed(method: Method, parts: Sequence[Part], taken: Mapping[str, Any]) -> dict[str, Part] | None:
    """Assign each input that has no name to the first free argument of its type; None if one finds none."""
    free = [parameter for parameter in method.parameters if parameter.name not in taken]
    placed: dict[str, Part] = {}
    for part in parts:
        fitting = [p for p in free if part.kind == ("text" if _is_text(p) else _MEDIA.get(p.field.type, ""))]
        if not fitting:
            return None
        placed[fitting[0].name] = part
        free.remove(fitting[0])
    return placed


def _value(parameter: Parameter, value: Any) -> tuple[Any, Part | None]:
    """Convert a typed word to the argument's type: files to bytes, numbers to texts."""
    type_ = parameter.field.type
    if type_ in _MEDIA and isinstance(value, str):
        value = (
            from_user.from_url(value, _MEDIA[type_])
            if words.is_url(value)
            else from_user.from_file(value, _MEDIA[type_])
        )
    if isinstance(value, from_user.Part):
        return _content(value, as_text=_is_text(parameter)), value
    if _is_text(parameter):
        return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)), None
    if isinstance(value, Typed):
        value = value.value()
    if type_ == _Type.BYTES and isinstance(value, str):
        return (Path(value).read_bytes() if words.exists(value) else value.encode()), None
    return value, None


def _content(part: Part, *, as_text: bool) -> str | bytes:
    if part.source == "url":
        return str(part.value)
    data = part.path.read_bytes() if part.path is not None else part.value
    assert isinstance(data, bytes)
    return data.decode(errors="replace") if as_text else data


def _is_text(parameter: Parameter) -> bool:
    return parameter.field.type in _TEXTS
