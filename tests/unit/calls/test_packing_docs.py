"""The examples of docs/packing.md run as they stand, and print what the document says."""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import re
from pathlib import Path
from typing import Any

import headrace
from headrace.testing import Fail, ModelDouble, ReceivedInput
from tests.support.bridge import GrpcServer

DOCUMENT = Path(__file__).parents[3] / "docs" / "packing.md"
BLOCK = re.compile(r"^```python\n(.*?)^```\n```text\n(.*?)^```", re.DOTALL | re.MULTILINE)


def answer(item: ReceivedInput) -> str | Fail:
    return Fail(30101) if item.text == "bad" else item.text


async def test_the_examples_print_what_the_document_says(tmp_path: Path) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    assert len(blocks) == text.count("```python") == 5
    address = f"unix:{tmp_path}/s"
    async with GrpcServer(ModelDouble(answer), address), headrace.Client(base_url=address) as client:
        model = client.model("me/my-app/models/shout")
        names: dict[str, Any] = {"headrace": headrace, "model": model, "base_url": address}
        for block in blocks:
            line = text[: block.start(1)].count("\n")
            assert await run(block[1], line, dict(names)) == block[2], f"{DOCUMENT.name}, line {line + 1}"


async def run(source: str, line: int, names: dict[str, Any]) -> str:
    """Run a block, in which `await` stands at the top level, and give what it prints."""
    code = compile("\n" * line + source, str(DOCUMENT), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        running = eval(code, names)
        if inspect.isawaitable(running):
            await running
    return out.getvalue()
