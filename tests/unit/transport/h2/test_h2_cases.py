"""The list of cases against the tests: none is forgotten, and the documentation says which have no test."""

from __future__ import annotations

from pathlib import Path

from tests.support import caselist

DOCUMENT = Path(__file__).parents[4] / "docs" / "transports.md"


def test_every_case_has_a_test_or_a_reason() -> None:
    listed, tested, skipped = set(caselist.listed()), set(caselist.tested()), set(caselist.skipped())
    assert len(caselist.listed()) == len(listed) == 320
    assert sorted(listed - tested - skipped) == []
    assert sorted(tested - listed) == []
    assert sorted(skipped - listed) == []
    assert sorted(tested & skipped) == []  # delete the reason: there is a test now
    assert all(caselist.skipped().values())


def test_the_documentation_lists_those_without_a_test() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    _, _, rest = text.partition("<!-- cases -->\n")
    assert rest.partition("<!-- /cases -->")[0].strip() == caselist.report()
