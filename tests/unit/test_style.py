"""The pages keep to the words of the house style."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STYLE = ROOT / "docs" / "style.md"
PAGES = [ROOT / "README.md", *sorted(page for page in (ROOT / "docs").rglob("*.md") if page != STYLE)]


def refused() -> list[str]:
    """Give the words that the table of the house style has in code type on its right side."""
    table = STYLE.read_text(encoding="utf-8").split("## We write / not")[1].split("## ")[0]
    rows = re.findall(r"^\| .* \| (.*) \|$", table, re.MULTILINE)
    return [word for row in rows for word in re.findall(r"`([^`]+)`", row)]


@pytest.mark.parametrize("word", refused())
def test_no_page_has_a_word_that_the_house_style_refuses(word: str) -> None:
    found = [
        f"{page.relative_to(ROOT)}: {line.strip()}"
        for page in PAGES
        for line in page.read_text(encoding="utf-8").splitlines()
        if re.search(rf"\b{re.escape(word)}\b", line, re.IGNORECASE)
    ]
    assert not found


def test_the_table_refuses_something() -> None:
    assert len(refused()) >= 8
