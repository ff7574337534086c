"""Names that only annotations need: imported when somebody asks for the types, as FastAPI, pydantic and typer do.

Importing them with the modules that mention them would slow the start of every program.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Union


class NotInstalled:
    """The type of what belongs to an optional package that is not installed."""

    def __class_getitem__(cls, _: object) -> type[NotInstalled]:
        return cls


class _Name(str):
    """A string in an annotation is code that `typing.get_type_hints` evaluates; this one can be part of a union."""

    __slots__ = ()

    def __or__(self, other: object) -> Any:
        return Union[self, other]  # noqa: UP007 - `|` would call this again

    def __ror__(self, other: object) -> Any:
        return Union[other, self]  # noqa: UP007


class _Module:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)  # whoever looks at the globals of a module imports nothing
        return named(self._name, name)


def later(module: str, name: str) -> Any:
    """Return what stands for a name of a module in annotations."""
    return _Name(f"__import__({__name__!r}, fromlist=['named']).named({module!r}, {name!r})")


def later_module(module: str) -> Any:
    """Return what stands for a module in annotations, as `Image` in `Image.Image`."""
    return _Module(module)


def named(module: str, name: str) -> Any:
    """Import a name of a module; `NotInstalled` if there is no such module."""
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError:
        return NotInstalled


__all__ = ["NotInstalled", "later", "later_module"]
