"""The tools that stand for models: one for each of a model's methods, or one for a model without any."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.catalog import ModelInfo
from headrace.errors import HeadraceError, InvalidRequest, PredictionFailed
from headrace.integrations.mcp import schema
from headrace.methods.signatures import Method
from headrace.model import Model
from headrace.v2 import resources_pb2 as pb

_log = logging.getLogger("headrace.mcp")
_NAME_CHARACTERS = 64  # that every client takes
_DESCRIPTION_CHARACTERS = 1000
_KINDS = ("text", "image", "audio", "video")


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool.

    Attributes:
        method: the model's method that it calls; None: the model has none.
        streams: the answer is text that comes in pieces.
        input_schema: a JSON schema of its arguments.
    """

    name: str
    model: Model
    title: str
    description: str
    input_schema: dict[str, Any]
    method: Method | None = None

    @property
    def streams(self) -> bool:
        """Whether its answer comes in pieces."""
        return self.method is not None and self.method.shape == "server stream"


class Toolbox:
    """The tools of some models, looked up when they are first asked for.

    Args:
        models: name -> model.
        paths: whether arguments may name files.
    """

    def __init__(self, models: Mapping[str, Model], *, paths: bool) -> None:
        self._models = dict(models)
        self._paths = paths
        self._known: dict[str, list[Tool]] = {}  # of the models whose look-up succeeded

    async def tools(self) -> dict[str, Tool]:
        """Give the tools by their names; that of a model which cannot be looked up now takes anything."""
        found: dict[str, Tool] = {}
        for alias, model in self._models.items():
            for tool in await self._of_model(alias, model):
                name = _unused(_name(tool.name), found)
                found[name] = dataclasses.replace(tool, name=name)
        return found

    async def find(self, name: str) -> Tool | None:
        """Give the tool of a name, None where there is none."""
        return (await self.tools()).get(name)

    async def _of_model(self, alias: str, model: Model) -> list[Tool]:
        if alias not in self._known:
            try:
                self._known[alias] = await self._look_up(alias, model)
            except HeadraceError as error:  # its first call says so, too
                _log.warning("the model %s cannot be looked up: %s", alias, error)
                return [self._plain(alias, model, None)]
        return self._known[alias]

    async def _look_up(self, alias: str, model: Model) -> list[Tool]:
        try:
            methods = _offered(await model.methods())
        except (
            InvalidRequest,
            PredictionFailed,
        ):  # an older model may answer anything to this unknown question
            methods = []
        info: ModelInfo | None = None
        try:
            info = await model.info()
        except InvalidRequest as error:  # a bare model runner knows of no models
            if error.name != "UNIMPLEMENTED":
                raise
        if not methods:
            return [self._plain(alias, model, info)]
        main = next((m for name in ("generate", "predict") for m in methods if m.name == name), methods[0])
        return [
            Tool(
                alias if method is main else f"{alias}_{method.name}",
                model,
                info.title if info is not None else "",
                _description(model, info, method),
                schema.of_method(method, paths=self._paths),
                method,
            )
            for method in methods
        ]

    def _plain(self, alias: str, model: Model, info: ModelInfo | None) -> Tool:
        taken = tuple(kind for kind in _KINDS if info is not None and kind in (info.input_fields or ()))
        inputs = schema.of_inputs(taken or _KINDS, paths=self._paths)
        return Tool(alias, model, info.title if info is not None else "", _description(model, info, None), inputs)


def _offered(methods: Iterable[Method]) -> list[Method]:
    """Leave out methods that take a stream, and `predict` where `generate` is the same in pieces."""
    whole = [method for method in methods if method.streamed is None and method.shape != "duplex"]
    pieces = next((method for method in whole if method.name == "generate" and _gives_text(method)), None)
    same = [parameter.name for parameter in pieces.parameters] if pieces is not None else None
    return [
        method
        for method in whole
        if not (method.name == "predict" and [parameter.name for parameter in method.parameters] == same)
    ]


def _gives_text(method: Method) -> bool:
    texts = (pb.ModelTypeField.STR, pb.ModelTypeField.TEXT)
    return len(method.returns) == 1 and method.returns[0].field.type in texts


def _description(model: Model, info: ModelInfo | None, method: Method | None) -> str:
    said = [method.description if method is not None else "", info.description if info is not None else ""]
    if not any(said):
        said.append(f"Calls the model {model.ref}")
    if info is not None and info.task:
        said.append(f"Task: {info.task}")
    if info is not None and info.weak_at:
        said.append(f"Weak at: {info.weak_at}")
    sentences = [text.strip().rstrip(".") for text in said if text.strip()]
    return f"{'. '.join(dict.fromkeys(sentences))}."[:_DESCRIPTION_CHARACTERS]


def _name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_")[:_NAME_CHARACTERS] or "model"


def _unused(name: str, taken: Mapping[str, Tool]) -> str:
    """Give a name that no other tool has: with a number behind it where one has it."""
    fresh, number = name, 2
    while fresh in taken:
        ending = f"_{number}"
        fresh, number = f"{name[: _NAME_CHARACTERS - len(ending)]}{ending}", number + 1
    return fresh
