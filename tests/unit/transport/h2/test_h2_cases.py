"""The list of cases against the tests: none is forgotten, and the documentation says which have no test."""

from __future__ import annotations

import functools
import importlib
import re
from fnmatch import fnmatch
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


def test_the_table_of_sections_names_functions_cases_and_tests_that_there_are() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    table = text.partition("| section | functions | cases, tests |\n|---|---|---|\n")[2].partition("\n\n")[0]
    rows = [line.strip("|").split("|") for line in table.splitlines()]
    assert len(rows) > 20
    patterns: set[str] = set()
    for _, functions, tests in rows:
        for name in re.findall(r"`([^`]+)`", functions):
            parts = name.split(".")
            at = next(n for n, part in enumerate(parts) if part[0].isupper() or n == len(parts) - 1)
            module = importlib.import_module(".".join(["headrace.transport.h2", *parts[:at]]))
            assert functools.reduce(getattr, parts[at:], module), name
        for name in re.findall(r"`([^`]+)`", tests):
            if name.endswith(".py"):
                assert (Path(__file__).parent / name).is_file(), name
            else:
                patterns.add(name)
                assert any(fnmatch(case, name) for case in caselist.listed()), name
    assert [case for case in caselist.listed() if not any(fnmatch(case, pattern) for pattern in patterns)] == []
