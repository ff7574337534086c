"""The examples of docs/testing.md are tests, and run as they stand."""

import inspect
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

DOCUMENT = Path(__file__).parents[3] / "docs" / "testing.md"


def examples() -> dict[str, Callable[..., Any]]:
    """Run the document's blocks in one namespace; the tests that they define."""
    text = DOCUMENT.read_text(encoding="utf-8")
    namespace: dict[str, Any] = {}
    for block in re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        line = text[: block.start(1)].count("\n")
        exec(compile("\n" * line + block[1], str(DOCUMENT), "exec"), namespace)
    return {name: value for name, value in namespace.items() if name.startswith("test_")}


EXAMPLES = examples()


@pytest.fixture
async def server_address() -> AsyncIterator[str]:
    serving = pytest.importorskip("headrace.server.app").serving
    options = pytest.importorskip("headrace.server.options").Options(models=("echo",))
    async with serving(options) as running:
        yield running.address


def test_the_document_has_examples() -> None:
    assert len(EXAMPLES) >= 10


@pytest.mark.parametrize("name", [n for n, test in EXAMPLES.items() if not inspect.signature(test).parameters])
async def test_an_example_in_memory_runs(name: str) -> None:
    await EXAMPLES[name]()


@pytest.mark.parametrize("name", [n for n, test in EXAMPLES.items() if inspect.signature(test).parameters])
async def test_an_example_with_a_server_runs(name: str, server_address: str) -> None:
    await EXAMPLES[name](server_address=server_address)
