"""The types of all public names can be asked for, as FastAPI, pydantic and typer do."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
import typing
from collections.abc import Iterator
from typing import Any

import pytest

import headrace

pytestmark = pytest.mark.core

MODULES = (
    "headrace", "headrace.blocking", "headrace.chat", "headrace.draw", "headrace.errors", "headrace.events",
    "headrace.export", "headrace.frames", "headrace.integrations.jupyter", "headrace.integrations.supervision",
    "headrace.media", "headrace.methods", "headrace.sinks", "headrace.sources", "headrace.status", "headrace.tables",
    "headrace.testing", "headrace.track", "headrace.transport.base", "headrace.web", "pytest_headrace",
)  # fmt: skip


def public(module: str) -> Iterator[tuple[str, Any]]:
    """The classes and functions of a module, and the methods of the classes."""
    namespace = importlib.import_module(module)
    for name in getattr(namespace, "__all__", None) or [name for name in vars(namespace) if name[0] != "_"]:
        value = getattr(namespace, name)
        if not getattr(value, "__module__", "").startswith(("headrace", "pytest_headrace")):
            continue
        if inspect.isfunction(value):
            yield name, value
        elif inspect.isclass(value):
            yield name, value
            for inner, member in vars(value).items():
                function = getattr(member, "fget", getattr(member, "__func__", member))
                if inspect.isfunction(function) and (inner[0] != "_" or inner == "__init__"):
                    yield f"{name}.{inner}", function


@pytest.mark.parametrize("module", MODULES)
def test_the_types_of_public_names_are_there(module: str) -> None:
    missing: dict[str, object] = {}
    for name, value in public(module):
        try:
            hints = typing.get_type_hints(value, include_extras=True)
        except Exception as error:
            missing[name] = error
        else:
            unresolved = [part for hint in hints.values() for part in parts(hint) if isinstance(part, _UNRESOLVED)]
            missing |= {name: unresolved} if unresolved else {}
    assert not missing


_UNRESOLVED = (str, typing.ForwardRef)


def parts(hint: Any) -> Iterator[Any]:
    yield hint
    if typing.get_origin(hint) is not typing.Literal:
        for inner in typing.get_args(hint):
            for one in inner if isinstance(inner, list) else (inner,):
                yield from parts(one)


def test_they_are_the_classes_themselves() -> None:
    assert typing.get_type_hints(headrace.Model.stream)["return"] is headrace.PredictionStream
    assert typing.get_type_hints(headrace.Model.generate)["return"] is headrace.TokenStream
    assert typing.get_type_hints(headrace.FramePrediction)["prediction"] is headrace.Prediction
    pytest.importorskip("PIL")
    image = typing.get_type_hints(headrace.Prediction.to_pil)["return"]
    assert (image.__module__, image.__name__) == ("PIL.Image", "Image")


ASKED_WITHOUT_EXTRAS = """
import sys, typing
for name in ("PIL", "numpy", "supervision"):
    sys.modules[name] = None  # as if it were not installed
import headrace
headrace.Client(base_url="http://localhost:1").model("u/a/models/m")
imported = [name for name in ("calls.streams", "calls.generate.stream", "frames.stream", "methods.call", "draw")
            if f"headrace.{name}" in sys.modules]
assert not imported, imported
for name in ("to_pil", "embedding_array", "draw", "to_supervision"):
    typing.get_type_hints(getattr(headrace.Prediction, name))
print(typing.get_type_hints(headrace.Prediction.to_pil)["return"].__name__)
"""


def test_types_of_packages_that_are_not_installed_stand_for_nothing_and_a_start_imports_none() -> None:
    done = subprocess.run([sys.executable, "-c", ASKED_WITHOUT_EXTRAS], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("NotInstalled\n", "")
