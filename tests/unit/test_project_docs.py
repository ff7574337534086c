"""CONTRIBUTING.md and SECURITY.md name files, commands and marks that exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from headrace.server.options import parser

ROOT = Path(__file__).parents[2]
PAGES = ("CONTRIBUTING.md", "SECURITY.md")


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_links_and_paths_lead_to_files(page: str) -> None:
    text = text_of(page)
    links = re.findall(r"\]\(([^)#]+)\)", text)
    paths = [word for span in re.findall(r"`([^`\n]+)`", text) for word in span.split() if "/" in word]
    files = [path for path in paths if re.match(r"(src|tests|tools|docs)/", path) and "NAME" not in path]
    assert links
    missing = [name for name in {*links, *files} if not (ROOT / name).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_commands_exist(page: str) -> None:
    text = text_of(page)
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {word for line in re.findall(r"\bmake ([a-z ]+)`", text) for word in line.split()}
    assert named <= targets
    for module in re.findall(r"python -m ([\w.]+)", text):
        path = ROOT.joinpath(*module.split("."))
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file() or module == "venv", module


def test_every_mark_is_explained() -> None:
    pytest_options = tomllib.loads(text_of("pyproject.toml"))["tool"]["pytest"]["ini_options"]
    marks = {mark.partition(":")[0].partition("(")[0] for mark in pytest_options["markers"]}
    assert marks <= set(re.findall(r"`(\w+)`", text_of("CONTRIBUTING.md")))


def test_options_of_the_server_exist() -> None:
    options = {option for action in parser("x").actions for option in action.option_strings}
    assert set(re.findall(r"`(--[a-z-]+)", text_of("SECURITY.md"))) <= options
