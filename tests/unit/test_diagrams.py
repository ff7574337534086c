"""The diagrams of the documents are what the script draws, and none is left over."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from tools import diagrams
from tools.drawing import WIDTH

DRAWN = {draw.__name__: draw for draw in diagrams.DIAGRAMS}


@pytest.mark.parametrize("name", DRAWN)
def test_the_file_is_what_the_script_draws(name: str) -> None:
    written = (diagrams.IMAGES / f"{name}.svg").read_text(encoding="utf-8")
    assert written == DRAWN[name]().svg(), "run: python -m tools.diagrams"


@pytest.mark.parametrize("name", DRAWN)
def test_everything_lies_inside(name: str) -> None:
    svg = ElementTree.fromstring(DRAWN[name]().svg())
    height = float(svg.attrib["height"])
    assert svg.findtext("{*}title")
    for box in svg.iterfind("{*}rect"):
        assert 0 <= float(box.attrib["x"]) <= WIDTH - float(box.attrib["width"])
        assert 0 <= float(box.attrib["y"]) <= height - float(box.attrib["height"])
    for line in [*svg.iterfind("{*}polyline"), *svg.iterfind("{*}polygon")]:
        x_and_y = [float(number) for number in re.findall(r"[\d.]+", line.attrib["points"])]
        assert all(0 <= x <= WIDTH for x in x_and_y[::2])
        assert all(0 <= y <= height for y in x_and_y[1::2])
    for text in svg.iterfind("{*}text"):
        assert 10 <= float(text.attrib["y"]) <= height


@pytest.mark.parametrize("name", DRAWN)
def test_a_page_shows_it(name: str) -> None:
    pages = (diagrams.IMAGES.parent).rglob("*.md")
    assert any(f"img/{name}.svg)" in page.read_text(encoding="utf-8") for page in pages)
