"""Which call shapes a model class has, found by looking at its methods."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from headrace.server.model import Answer
from headrace.v2 import resources_pb2


class ShapeError(TypeError):
    """A class that cannot be a model; the message is one line for its author."""


@dataclass(frozen=True, slots=True)
class Method:
    """How a method is to be called."""

    is_async: bool


class Shapes:
    """The shapes of a class: `predict`, `generate`, `stream`, each a Method or None.

    Raises:
        ShapeError: the class has none of them, or one that cannot be called with one item.
    """

    def __init__(self, cls: type) -> None:
        self.predict = _method(cls, "predict")
        self.generate = _method(cls, "generate")
        self.stream = _method(cls, "stream")
        if not (self.predict or self.generate or self.stream):
            raise ShapeError(f"{cls.__name__} has no method predict, generate or stream")


def _method(cls: type, name: str) -> Method | None:
    function = getattr(cls, name, None)
    if function is None:
        return None
    where = f"{cls.__name__}.{name}"
    if not callable(function):
        raise ShapeError(f"{where} is not a method")
    _check_arguments(function, where)
    if name == "predict":
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ShapeError(f"{where} yields; a method that yields is named generate")
        return Method(inspect.iscoroutinefunction(function))
    if inspect.iscoroutinefunction(function):
        raise ShapeError(f"{where} is async but does not yield")
    return Method(inspect.isasyncgenfunction(function))


def _check_arguments(function: Callable[..., Any], where: str) -> None:
    try:
        inspect.signature(function).bind(None, None)
    except TypeError as error:
        raise ShapeError(f"{where} must take one argument (besides self)") from error
    except ValueError:  # a builtin without a signature
        return


def join(answers: Iterable[Answer]) -> Answer:
    """Make one answer of the pieces of a generated one: texts in a row, lists appended, tokens added up."""
    whole = Answer(resources_pb2.Data())
    said = []
    for answer in answers:
        said.append(answer.data.text.raw)
        whole.data.MergeFrom(answer.data)
        whole.prompt_tokens += answer.prompt_tokens
        whole.completion_tokens += answer.completion_tokens
    if whole.data.HasField("text"):
        whole.data.text.raw = "".join(said)
    return whole
