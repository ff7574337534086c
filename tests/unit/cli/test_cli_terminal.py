"""What models say must not steer a terminal; numbers are written for people."""

from __future__ import annotations

import io

import pytest

from headrace.cli.terminal import Status, bar, escape, in_bytes, in_seconds, line, short, styled


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


def test_bar_is_filled_in_eighths() -> None:
    assert bar(0.5, 4, stream=Terminal()) == "██  "
    assert bar(1 / 8 / 4, 4, stream=Terminal()) == "▏   "
    assert bar(7, 2, stream=Terminal()) == "██"
    assert bar(float("nan"), 2, stream=Terminal()) == "  "


def test_bar_is_ascii_where_the_stream_is() -> None:
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    assert bar(0.5, 4, stream=ascii_only) == "##.."


def test_styles_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert styled("x", "bold", stream=Terminal()) == "\x1b[1mx\x1b[0m"
    assert styled("x", "bold", stream=io.StringIO()) == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert styled("x", "bold", stream=Terminal()) == "x"


def test_status_line_is_rewritten_and_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with Status(stream, interval=0) as status:
        status.show("one")
        status.progress("fetching", 50, 100, "half\x1b[2J")
    shown = stream.getvalue()
    assert shown.startswith("\r\x1b[Kone\r\x1b[Kfetching ")
    assert " 50% half\\x1b[2J" in shown
    assert shown.endswith("\r\x1b[K")


def test_status_line_shows_nothing_in_a_file() -> None:
    stream = io.StringIO()
    with Status(stream) as status:
        status.progress("fetching", 1, 2, "note")
        assert not status.on
    assert stream.getvalue() == ""
