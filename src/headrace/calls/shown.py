"""Showing the options of a method in its signature, one by one, as an editor or `help` shows them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class _Default:
    """Stands for the default of an option, which is described in its class."""

    def __repr__(self) -> str:
        return "..."


def shows(options: type) -> Callable[[F], F]:
    """Put the options of a TypedDict in the place of `**options` in a function's signature."""

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        kind, default = inspect.Parameter.KEYWORD_ONLY, _Default()
        more = [
            inspect.Parameter(name, kind, default=default, annotation=getattr(type_, "__forward_arg__", type_))
            for name, type_ in options.__annotations__.items()
            if name not in signature.parameters
        ]
        function.__signature__ = signature.replace(parameters=[*own, *more])  # type: ignore[attr-defined]
        return function

    return decorate


__all__ = ["shows"]
