"""The fuzz targets on a few hundred inputs each; `make fuzz` takes ten minutes for as many as it can."""

from __future__ import annotations

import importlib.util

import pytest

from fuzz.oracle import DIFFERENCES, compare
from fuzz.targets import TARGETS

COUNTS = {"engine": 300, "headers": 500, "messages": 500, "texts": 300, "connecting": 300, "verdicts": 0}
HAS_NGH2 = importlib.util.find_spec("ngh2") is not None


@pytest.mark.case("AT-28")
@pytest.mark.parametrize("name", TARGETS)
def test_mutated_input_finds_nothing(name: str) -> None:
    for number in range(COUNTS[name]):
        TARGETS[name](number)


@pytest.mark.case("AT-28")
@pytest.mark.skipif(not HAS_NGH2, reason="the package ngh2 is not installed")
def test_nghttp2_comes_to_the_same_verdicts_but_for_a_listed_set() -> None:
    verdicts = [compare(number) for number in range(300)]
    seen = {difference for _, difference in verdicts}
    assert seen <= {"", *DIFFERENCES}
    assert sum(not difference for _, difference in verdicts) > 240
    assert {verdict.split()[0] for verdict, _ in verdicts} == {"fine", "stream", "connection"}
    assert compare(704_491) == ("fine", "extended settings")  # a rare one


@pytest.mark.conformance
@pytest.mark.timeout(600)
@pytest.mark.skipif(not HAS_NGH2, reason="the package ngh2 is not installed")
def test_nghttp2_comes_to_the_same_verdicts_on_twenty_thousand_connections() -> None:
    seen = {difference for _, difference in map(compare, range(20_000))}
    assert seen == {"", *DIFFERENCES} - {"settings", "extended settings"}  # which are rarer than that
