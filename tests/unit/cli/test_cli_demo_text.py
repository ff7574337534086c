"""Text that comes in pieces, broken into lines."""

from __future__ import annotations

import pytest

from headrace.cli.wrapping import Wrapped


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 100])
def test_lines_are_broken_at_spaces_wherever_the_pieces_end(cut: int, capsys: pytest.CaptureFixture[str]) -> None:
    text = "one two three\n\nfour \x1b[2J averyverylongword end"
    wrapped = Wrapped("  ", 12)
    for start in range(0, len(text), cut):
        wrapped.write(text[start : start + cut])
    wrapped.end()
    assert capsys.readouterr().out.splitlines() == [
        "  one two", "  three", "  four", "  \\x1b[2J", "  averyverylongword", "  end",
    ]  # fmt: skip


def test_a_word_waits_for_its_end_and_the_rest_is_out(capsys: pytest.CaptureFixture[str]) -> None:
    wrapped = Wrapped("", 80)
    wrapped.write("hello wor")
    assert capsys.readouterr().out == "hello"
    wrapped.write("ld ")
    assert capsys.readouterr().out == " world"
