"""The commands of docs/cli.md, run as they stand in a folder with the sample files, print what it says."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.weights import need

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "src" / "headrace" / "data" / "samples"
TEXT = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
HEADRACE = f"{shlex.quote(sys.executable)} -m headrace.cli"


def commands() -> list[tuple[str, str]]:
    """Give the commands in their order, each with what is printed below it."""
    blocks = "".join(block[1] for block in CONSOLE.finditer(TEXT))
    return [(part.partition("\n")[0], part.partition("\n")[2]) for part in re.split(r"^\$ ", blocks, flags=re.M)[1:]]


@pytest.mark.models
def test_the_commands_print_what_the_document_says(tmp_path: Path) -> None:
    need("smollm2-135m-instruct", "mtcnn", "minilm-l6-v2", "minilm-l6-v2-tokenizer")
    for photo in SAMPLES.glob("photos/*.jpg"):
        shutil.copy(photo, tmp_path)
    found = commands()
    assert len(found) >= 10
    for command, printed in found:
        done = subprocess.run(
            re.sub(r"\bheadrace (?=[a-z])", f"{HEADRACE} ", command),
            shell=True,
            cwd=tmp_path,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            timeout=60,
            check=False,
        )
        shown = done.stdout.decode() or done.stderr.decode()
        pattern = ".*".join(map(re.escape, printed.split("...")))
        assert re.fullmatch(pattern, shown, re.DOTALL), f"$ {command}\n{shown}"


def test_every_command_and_form_that_there_is_stands_in_the_document() -> None:
    from headrace.cli.app import COMMANDS

    for name in COMMANDS:
        assert f"headrace {name}" in TEXT
    for form in ("json", "jsonl", "csv"):
        assert f"`-o {form}`" in TEXT
