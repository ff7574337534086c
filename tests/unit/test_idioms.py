"""Idioms that were ours alone and that readers stumbled over; docs/style.md says what to write instead."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [
    path
    for path in (*(ROOT / "src" / "headrace").rglob("*.py"), *(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md")
    if path.parent.name != "v2" and path.name not in ("style.md", "weights_table.py")
]

#: A pattern of words on one line, and what to write in its place. Each is specific enough to have no honest use.
IDIOMS = {
    r"\bwhom\b": "who, which, or another sentence",
    r"\bfaults? of headrace\b": "internal error",
    r"\btheir affair\b": "say who may do what",
    r"\bunder way\b": "in flight, or running",
    r"\bfares? (alike|better|worse)\b": "say what happens",
    r"\b(lets?|letting) go of\b": "releases, frees, closes or discards",
    r"\bas good as\b": "say how close",
    r"\bawaits none\b|\bno more may be\b": "say what happened, to what, and what to do",
    r"\bto be had\b|\bcannot be had\b": "cannot be loaded, fetched or opened",
    r"\bis there already\b": "already exists",
    r"\bwas given up\b": "was cancelled, or abandoned after a timeout",
    r"\bwhatever it is that\b|\bwhat it was that\b": "name the thing",
    r"\bsomething else than\b": "something other than",
    r'"""Tell (whether|how|which|why|when|what)\b': "Return whether ...",
    r"\b(is|was|are|were) told (so|as|how|which|that)\b": "learns, is reported, or is sent",
    r"^\s*(#|\"\"\").*, where (nothing|none|no \w+) (is|are|was|were)\b": "if",
    r"\bmost at once\b|\bthe most of\b": "maximum, or peak",
}


def lines_with(pattern: str, text: str) -> list[int]:
    """Give the numbers of lines that hold a pattern."""
    return [number for number, line in enumerate(text.splitlines(), 1) if re.search(pattern, line, re.IGNORECASE)]


@pytest.mark.parametrize("pattern", IDIOMS)
def test_idioms_do_not_come_back(pattern: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in FILES
        for number in lines_with(pattern, path.read_text(encoding="utf-8"))
    ]
    assert not found, f"write {IDIOMS[pattern]}"
