"""Every public name, exception, setting, default and environment variable stands on a page, and nothing else does."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import headrace
from headrace import config, errors

ROOT = Path(__file__).parents[2]
MODULES = ("blocking", "sources", "sinks", "frames", "tables", "testing")
SETTINGS = (
    config.Timeouts,
    config.RetryPolicy,
    config.Limits,
    config.Window,
    config.Coalesce,
    config.KeepAlive,
    config.TLS,
)


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def names_in(text: str) -> set[str]:
    """Give the words of all code spans."""
    return {word for span in re.findall(r"`([^`\n]+)`", text) for word in re.findall(r"\w+", span)}


def test_every_public_name_stands_in_the_reference() -> None:
    wanted = set(headrace.__all__)
    for cls in (headrace.Client, headrace.Model):
        wanted |= {name for name in dir(cls) if not name.startswith("_")}
    for module in MODULES:
        wanted |= set(importlib.import_module(f"headrace.{module}").__all__)
    for module in ("events", "export"):
        loaded = importlib.import_module(f"headrace.{module}")
        wanted |= {
            name
            for name, value in vars(loaded).items()
            if (inspect.isclass(value) or inspect.isfunction(value))
            and value.__module__ == loaded.__name__
            and not name.startswith("_")
        }
    wanted -= {"log"}  # how events leave the client, not events
    assert wanted - names_in(page("reference")) == set()


def exceptions() -> list[type[Exception]]:
    return [v for v in vars(errors).values() if inspect.isclass(v) and issubclass(v, errors.HeadraceError)]


def test_every_exception_has_its_row() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\|$", page("errors"), re.MULTILINE)
    assert sorted(rows) == sorted(error.__name__ for error in exceptions())
    for error in exceptions():
        for builtin in (ValueError, RuntimeError, TimeoutError):
            row = next(line for line in page("errors").splitlines() if line.startswith(f"| `{error.__name__}` |"))
            assert (f"`{builtin.__name__}`" in row) is issubclass(error, builtin)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda cls: cls.__name__)
def test_every_setting_has_its_row_and_default(settings: type[Any]) -> None:
    text = page("configuration")
    start = re.search(rf"^`{settings.__name__}\(\.\.\.\)`", text, re.MULTILINE)
    assert start
    section = text[start.end() :]
    for field in dataclasses.fields(settings):
        row = re.search(rf"^\| `{field.name}` \| (.*?) \|", section, re.MULTILINE)
        assert row, field.name
        if field.default is not dataclasses.MISSING:
            assert row[1] == shown(field.default), field.name


def shown(value: object) -> str:
    """Write a default as the page does."""
    if isinstance(value, int) and value >= config.MiB and value % config.MiB == 0:
        return f"{value // config.MiB} MiB"
    if isinstance(value, str):
        return f'"{value}"'
    return f"{value:g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def test_the_sizes_of_inputs_are_those_of_the_page() -> None:
    row = next(line for line in page("configuration").splitlines() if line.startswith("| `input_bytes` |"))
    others = {limit for kind, limit in config.INPUT_BYTES.items() if kind != "video"}
    assert {f"{limit // config.MiB} MiB" for limit in others} == {"20 MiB"}
    assert f"20 MiB; video {config.INPUT_BYTES['video'] // config.MiB} MiB" in row
    assert config.Limits().rate(hosted=True) == 15.0


def test_every_option_of_a_call_stands_in_the_configuration() -> None:
    wanted = set(headrace.CallOptions.__annotations__) | set(headrace.StreamOptions.__annotations__)
    wanted |= set(inspect.signature(headrace.Client).parameters) - {"_local"}
    assert wanted - names_in(page("configuration")) == set()


def test_every_environment_variable_stands_in_the_configuration() -> None:
    variables = {
        name
        for path in (ROOT / "src").rglob("*.py")
        for name in re.findall(r"""["']((?:HEADRACE|CLARIFAI|XDG|PIP)_[A-Z_]+)["']""", path.read_text(encoding="utf-8"))
    }
    listed = names_in(page("configuration"))
    assert {"HEADRACE_CACHE", "CLARIFAI_PAT"} <= variables
    assert variables - listed - {"XDG_CACHE_HOME"} == set()
    ours = {name for name in listed if name.startswith(("HEADRACE_", "CLARIFAI_"))}
    assert ours <= variables


@pytest.mark.parametrize("name", ["troubleshooting", "without-async"])
def test_every_message_that_is_explained_is_one_of_ours(name: str) -> None:
    """A message, or a part of it, is a code span with blanks in the first column; `...` stands for what varies."""
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    source = re.sub(r'"\s*\n\s*f?"', "", source)  # literals over several lines
    spans = [
        span
        for cell in re.findall(r"^\| (.*?) \|", page(name), re.MULTILINE)
        for _, span in re.findall(r"(`+)(.+?)\1", cell)
        if " " in span.strip()
    ]
    assert len(spans) >= 2
    of_python = ("'coroutine' object", "coroutine ... was never awaited", "asyncio.run() cannot be called")
    for span in spans:
        for part in [] if span.startswith(of_python) else filter(None, map(str.strip, span.split("..."))):
            assert part in source, span
