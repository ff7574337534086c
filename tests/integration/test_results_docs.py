"""The examples of docs/results.md run as they stand, on real models, and print what the document says."""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import re
import shutil
import textwrap
from pathlib import Path
from typing import Any

import pytest

import headrace
from tests.support.weights import need

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "results.md"
SAMPLES = ROOT / "src" / "headrace" / "data" / "samples"
BLOCK = re.compile(r"^```python\n(.*?)^```\n```text\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.mark.models
async def test_the_examples_print_what_the_document_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyanime4k", reason="has no build for this Python")
    need("mtcnn", "minilm-l6-v2", "minilm-l6-v2-tokenizer")
    for sample in (*SAMPLES.glob("photos/*.jpg"), SAMPLES / "videos/photos.mp4"):
        shutil.copy(sample, tmp_path)
    monkeypatch.chdir(tmp_path)
    text = DOCUMENT.read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    assert len(blocks) == text.count("```python") >= 7
    async with headrace.Client.local() as client:
        namespace: dict[str, Any] = {"client": client}
        for block in blocks:
            line = text[: block.start(1)].count("\n")
            assert await run(block[1], line, namespace) == block[2], f"{DOCUMENT.name}, line {line + 1}"


async def run(source: str, line: int, namespace: dict[str, Any]) -> str:
    """Run a block, in which `await` stands at the top level, and give what it prints."""
    source = "\n" * line + textwrap.dedent(source)
    code = compile(source, str(DOCUMENT), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        running = eval(code, namespace)
        if inspect.isawaitable(running):
            await running
    return out.getvalue()
