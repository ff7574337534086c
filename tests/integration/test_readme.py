"""What the README shows, as a user would type it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import headrace

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PHOTOS = Path(headrace.__file__).parent / "data" / "samples" / "photos"


ASK = """
import asyncio
import headrace

async def main():
    async with headrace.Client.local(models=[], serve=["shout.py:Shout"]) as client:
        print((await client.model(model_id="shout").predict_by_bytes("hello", "text")).text)

asyncio.run(main())
"""


def blocks(language: str) -> list[str]:
    """Cut out the README's code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)


@pytest.mark.models
def test_the_python_example_runs_as_it_stands(tmp_path: Path) -> None:
    for name in ("cat.jpg", "coffee.jpg"):
        shutil.copy(PHOTOS / name, tmp_path)
    (tmp_path / "example.py").write_text(blocks("python")[0], encoding="utf-8")
    done = run(tmp_path, sys.executable, "-W", "error", "example.py")
    assert done.returncode == 0, done.stderr
    assert "cat" in done.stdout
    assert "espresso" in done.stdout
    assert "received=2" in done.stdout
    assert done.stderr == ""


def test_a_model_of_ones_own_is_served(tmp_path: Path) -> None:
    (tmp_path / "shout.py").write_text(blocks("python")[1], encoding="utf-8")
    (tmp_path / "ask.py").write_text(ASK, encoding="utf-8")
    done = run(tmp_path, sys.executable, "-W", "error", "ask.py")
    assert done.stdout == "HELLO\n", done.stderr


def test_every_command_that_it_shows_exists() -> None:
    commands = set(re.findall(r"headrace (predict|generate|stream|models|serve|demo)\b", README))
    assert commands == {"predict", "generate", "stream", "models", "serve", "demo"}
    for command in sorted(commands):
        done = run(ROOT, sys.executable, "-m", "headrace.cli", command, "--help")
        assert done.returncode == 0, done.stderr


def test_its_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / link).exists(), link
