"""The page of the official package's methods names all of them, and a model class that serves both servers runs."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.pages import ROOT, blocks

pytestmark = pytest.mark.timeout(600)  # the first test may have to install the official package

PAGE = ROOT / "docs" / "migrating-methods.md"
DRIVER = Path(__file__).parent / "drivers" / "names.py"
TYPES = ("Audio", "Concept", "Frame", "Image", "JSON", "NamedFields", "Region", "Text", "Video")


@pytest.fixture(scope="module")
def names(clarifai_python: Path) -> Any:
    """What the official package has."""
    done = subprocess.run([clarifai_python, DRIVER], capture_output=True, text=True, timeout=200, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def sections() -> dict[str, str]:
    """The page's sections by heading."""
    parts = re.split(r"^## (.*)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {heading.strip("`"): text for heading, text in zip(parts[1::2], parts[2::2], strict=True)}


def coded(text: str) -> set[str]:
    """Give the identifiers of a text's code."""
    return {name for code in re.findall(r"`([^`]+)`", text) for name in re.findall(r"\w+", code)}


@pytest.mark.parametrize(
    ("cls", "section"),
    [("Model", "Model"), ("ModelClient", "ModelClient"), ("Inputs", "Inputs"), ("ModelClass", "Models and runners")],
)
def test_every_method_is_on_the_page(names: Any, sections: dict[str, str], cls: str, section: str) -> None:
    listed = {name for row in sections[section].splitlines() for name in coded(row.split(" | ")[0])}
    assert len(names["methods"][cls]) > 3
    assert not set(names["methods"][cls]) - listed


def test_every_class_and_type_is_on_the_page(names: Any) -> None:
    listed = coded(PAGE.read_text(encoding="utf-8"))
    assert not set(names["classes"]) - listed
    assert set(TYPES) <= set(names["types"]) & listed


def test_every_command_is_on_the_page(names: Any, sections: dict[str, str]) -> None:
    listed = re.findall(r"`(clarifai [^`]+)`", sections["Command line"])
    missing = [
        command for command in names["commands"] if not any(f"{command} ".startswith(f"{one} ") for one in listed)
    ]
    assert len(names["commands"]) > 30
    assert not missing


def test_the_page_names_nothing_that_is_not_there(names: Any, sections: dict[str, str]) -> None:
    there = {f"{command} " for command in names["commands"]}
    listed = re.findall(r"`(clarifai [^`]+)`", sections["Command line"])
    assert not [one for one in listed if not any(command.startswith(f"{one} ") for command in there)]
    for cls in ("ModelClient", "Inputs"):
        rows = [row.split(" | ")[0] for row in sections[cls].splitlines() if row.startswith("| `")][1:]
        assert not {name for row in rows for name in re.findall(r"`(\w+)`", row)} - set(names["methods"][cls])


def test_the_class_for_both_servers_runs_on_the_official_runner(clarifai_python: Path, tmp_path: Path) -> None:
    for block in blocks(ROOT / "docs" / "howto" / "own-models.md"):
        if block.name in ("engine.py", "model.py"):
            (tmp_path / block.name).write_text(block.text, encoding="utf-8")
    program = (
        "from model import Runner; runner = Runner(); runner.load_model();"
        "print(runner.predict('hi'), list(runner.generate('a b')), sorted(runner._get_method_infos()))"
    )
    done = subprocess.run(
        [clarifai_python, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.stdout.splitlines()[-1:] == ["hi hi ['a ', 'b '] ['generate', 'predict']"], done.stderr
