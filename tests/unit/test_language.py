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

#: A pattern of words, as they would stand in a sentence on one line, and what to write in its place.
IDIOMS = {
    r"\bwhom\b": "who, which, or another sentence",
    r"\bfault of headrace\b": "internal error",
    r"\btheir affair\b": "say who may do what",
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
