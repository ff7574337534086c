"""A text that comes in pieces is cut at the first stop text, wherever the pieces end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.chat.stops import Stops


def cut(text: str, stops: list[str]) -> str:
    """Cut a whole text: letter by letter, until it ends with a stop text."""
    for end in range(len(text) + 1):
        if endings := [stop for stop in stops if text[:end].endswith(stop)]:
            return text[: end - max(map(len, endings))]
    return text


@given(
    pieces=st.lists(st.text("abc", max_size=5), max_size=12),
    stops=st.lists(st.text("abc", min_size=1, max_size=4), max_size=4),
)
def test_pieces_are_cut_as_the_whole_is(pieces: list[str], stops: list[str]) -> None:
    cutter = Stops(stops)
    said = ""
    for piece in pieces:
        said += cutter.add(piece)
        if cutter.met:
            break
    else:
        said += cutter.rest()
    assert said == cut("".join(pieces), stops)
    assert cutter.met == any(stop in "".join(pieces) for stop in stops)


@pytest.mark.parametrize("pieces", [["bcb"], ["b", "c", "b"], ["bc", "b"]])
def test_the_stop_text_that_is_complete_first_counts(pieces: list[str]) -> None:
    cutter = Stops(["bcb", "c"])
    assert "".join(cutter.add(piece) for piece in pieces if not cutter.met) == "b"


def test_what_no_stop_text_can_begin_with_is_given_at_once() -> None:
    cutter = Stops(["\n\nUser"])
    assert [cutter.add(piece) for piece in ("Hello", " you\n", "\nthere")] == ["Hello", " you", "\n\nthere"]
