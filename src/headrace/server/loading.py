"""Find model classes: by the names of the built-in ones, in a user's file, in a user's package."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType

from headrace.server.failures import bounded, text_of
from headrace.server.methods import methods_of
from headrace.server.model import Card
from headrace.server.shapes import ShapeError

MAX_REASON = 300  # characters of an error's text


class LoadError(Exception):
    """A model cannot be loaded; the message is one line with its name and the reason."""


def find(target: str) -> type:
    """Return the class that `module.py:Class`, `package.module:Class` or a module alone (one model in it) names.

    Raises:
        LoadError: no such file, module or class; the module does not import; several classes to choose from.
    """
    place, _, name = target.rpartition(":") if re.search(r":\w+$", target) else (target, "", "")
    module = _from_file(place) if place.endswith(".py") else _from_package(place)
    if name:
        cls = getattr(module, name, None)
        if not inspect.isclass(cls):
            raise LoadError(f"{place} has no class {name}")
        return cls
    classes = [c for c in vars(module).values() if inspect.isclass(c) and c.__module__ == module.__name__ and _fits(c)]
    if len(classes) != 1:
        names = ", ".join(c.__name__ for c in classes) or "none"
        raise LoadError(f"{place}: name one class as {place}:Class (models in it: {names})")
    return classes[0]


def _fits(cls: type) -> bool:
    try:
        methods_of(cls, card_of(cls))
    except (ShapeError, LoadError):
        return False
    return not cls.__name__.startswith("_")


def _from_file(place: str) -> ModuleType:
    path = Path(place).expanduser().resolve()
    if not path.is_file():
        raise LoadError(f"{place} is not a file")
    name = f"headrace_user_{re.sub(r'[^0-9a-z]', '_', str(path).casefold())}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise LoadError(f"{place} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look there
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # for the modules beside it; at the end, so that none shadows another
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        sys.modules.pop(name, None)
        if isinstance(error, KeyboardInterrupt):
            raise
        raise LoadError(f"{place} cannot be imported: {_reason(error)}") from error
    return module


def _from_package(place: str) -> ModuleType:
    if not place.startswith("headrace.") and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # the user's own; at the end, so that no file there shadows another module
    try:
        return importlib.import_module(place)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise LoadError(f"{place} cannot be imported: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """Return in one line why a module does not import: what was raised, and where."""
    line = bounded(next(iter(text_of(error).splitlines()), ""), MAX_REASON)
    if isinstance(error, SyntaxError):
        return line  # Python has put file and line into it
    frames = traceback.extract_tb(error.__traceback__)
    last = next((f for f in reversed(frames) if "importlib" not in f.filename and f.filename != __file__), None)
    return f"{line} (line {last.lineno} of {Path(last.filename).name})" if last is not None else line


def card_of(cls: type) -> Card:
    """Return the class's own card, or a plain one that takes every kind of input.

    Raises:
        LoadError: `card` is not a Card, or its id cannot be part of a URL.
    """
    card = getattr(cls, "card", None)
    if card is None:
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__).replace("_", "-").casefold().strip("-")
        about = next(iter((inspect.getdoc(cls) or "").splitlines()), "")
        kinds = ("text", "image", "video", "audio")
        return Card(words, words, cls.__name__, about, kinds, ("text",), provenance=f"class {cls.__qualname__}")
    if not isinstance(card, Card):
        raise LoadError(f"{cls.__name__}.card must be a headrace.server.model.Card, not {type(card).__name__}")
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", card.id):
        raise LoadError(f"{cls.__name__}.card.id {card.id!r} must be lower-case letters, digits, '-', '.' and '_'")
    return card
