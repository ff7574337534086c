"""The list of cases that a client of HTTP/2 and gRPC has to pass: which are tested, where, and which are not, and why.

`tests/conformance/cases.txt` has the ids. A test names the cases that it is about with `@pytest.mark.case(...)`, or in
the ids of its parameters; `tests/conformance/skipped.json` has the reasons of those that no test is about.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
DATA = TESTS / "conformance"
_ID = re.compile(r"((?:H2-[\d.]+|HP|G-[A-Z]+|KA|C|AT|IOP|PX)-\d\d)(?: |$)")


def listed() -> list[str]:
    """Give the ids of all cases."""
    return (DATA / "cases.txt").read_text(encoding="utf-8").split()


def skipped() -> dict[str, str]:
    """Give why a case has no test."""
    reasons: dict[str, str] = json.loads((DATA / "skipped.json").read_text(encoding="utf-8"))
    return reasons


def tested() -> dict[str, list[str]]:
    """Give the files with tests of each case."""
    files: dict[str, list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if _ID.search(text.replace('"', " ")):
            for case in dict.fromkeys(_named_in(ast.parse(text))):
                files[case].append(str(path.relative_to(TESTS.parent)))
    return files


def _named_in(tree: ast.Module) -> Iterator[str]:
    """Find the ids at the begin of strings: of marks and of parameters; comments and sentences do not count."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            node = node.values[0]
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and (named := _ID.match(node.value)):
            yield named[1]


def report() -> str:
    """Write what docs/transports.md says of them."""
    found, reasons = tested(), skipped()
    lines = [f"{len(listed())} cases: {len(found)} have tests, {len(reasons)} have none.", ""]
    by_reason: dict[str, list[str]] = defaultdict(list)
    for case, reason in reasons.items():
        by_reason[reason].append(case)
    lines += [f"- {_ranges(cases)}: {reason}" for reason, cases in by_reason.items()]
    return "\n".join(lines)


def _ranges(cases: list[str]) -> str:
    """Shorten ids that follow each other."""
    groups: list[list[str]] = []
    for case in cases:
        family, number = case[:-2], int(case[-2:])
        if groups and groups[-1][-1] == f"{family}{number - 1:02}":
            groups[-1].append(case)
        else:
            groups.append([case])
    return ", ".join(group[0] if len(group) == 1 else f"{group[0]} to {group[-1]}" for group in groups)


if __name__ == "__main__":
    sys.stdout.write(report() + "\n")
