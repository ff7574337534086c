"""What models say must not steer a terminal; numbers are written for people."""

from __future__ import annotations

import io
import sys

import pytest

from headrace.cli.status import Status, styled
from headrace.cli.terminal import escape, in_bytes, in_seconds, line, short


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, ünïcode and 😀👩‍🚀", "plain text, ünïcode and 😀👩‍🚀"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("back\rover\x08\x7f", "back\\rover\\x08\\x7f"),
        ("\x9b2J", "\\x9b2J"),
        ("safe\u202egpj.exe", "safe\\u202egpj.exe"),
        ("lone \ud800 surrogate", "lone \\ud800 surrogate"),
        ("line\u2028separator", "line\\u2028separator"),
    ],
)
def test_escape_shows_control_characters_as_text(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_line_keeps_one_line() -> None:
    assert line("a\nb\tc\r") == "a b\\tc\\r"


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 bytes"), (999, "999 bytes"), (34_000, "34 kB"), (98_362_432, "98.4 MB"), (2e9, "2.0 GB")],
)
def test_in_bytes(count: float, shown: str) -> None:
    assert in_bytes(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.009, "9 ms"), (0.9996, "1.00 s"), (1.239, "1.24 s"), (12.34, "12.3 s"), (125, "2 min 5 s")],
)
def test_in_seconds(seconds: float, shown: str) -> None:
    assert in_seconds(seconds) == shown


def test_short_ends_with_an_ellipsis() -> None:
    assert short("abcdef", 4) == "abc…"
    assert short("abcd", 4) == "abcd"


def test_styles_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert styled("[b]x", "bold") == "[b]x"
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert styled("[b]x", "bold") == "\x1b[1m[b]x\x1b[0m"
    assert styled("x" * 300, "bold").count("\n") == 0
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in styled("x", "cyan")


def test_status_line_is_drawn_anew_and_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    with Status(stream, interval=0) as status:
        assert status.on
        status.show("one")
        status.progress("fetching [bold]", 50, 100, "half\x1b[2J")
    shown = stream.getvalue()
    assert "one" in shown
    assert "fetching [bold]" in shown
    assert " 50% half\\x1b[2J" in shown
    assert "█" * 12 + " " in shown
    assert shown.index("\x1b[?25l") < shown.index("\x1b[?25h")  # the cursor is there again
    assert shown.endswith("\x1b[1A\x1b[2K")  # the line is not


def test_status_line_is_cut_at_the_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()
    with Status(stream, interval=0) as status:
        status.show("x" * 100)
        status.progress("fetching", 1, 2, "y" * 100)
    assert "x" * 38 + "…" in stream.getvalue()
    assert "y" * 40 not in stream.getvalue()


def test_updates_that_come_too_fast_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with Status(stream, interval=60) as status:
        status.show("first")
        status.show("second")
        status.show("third", now=True)
        status.progress("fetching", 1, 2)
        status.progress("fetched", 2, 2)
    shown = stream.getvalue()
    assert [word in shown for word in ("first", "second", "third", "fetching", "fetched")] == [
        True, False, True, False, True,
    ]  # fmt: skip


def test_a_terminal_without_the_characters_is_not_drawn_on(monkeypatch: pytest.MonkeyPatch) -> None:
    class Latin(Terminal):
        encoding = "latin-1"

    monkeypatch.setenv("TERM", "xterm")
    stream = Latin()
    with Status(stream, interval=0) as status:
        status.progress("fetching", 1, 2)
        assert not status.on
    assert stream.getvalue() == ""


def test_status_line_shows_nothing_in_a_file() -> None:
    stream = io.StringIO()
    with Status(stream) as status:
        status.progress("fetching", 1, 2, "note")
        assert not status.on
    assert stream.getvalue() == ""
