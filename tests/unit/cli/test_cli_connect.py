"""What is shown while a model is made ready: a bar on a terminal, elsewhere a line at once and every ten seconds."""

from __future__ import annotations

import io

import pytest

from headrace.cli import connect
from headrace.cli.connect import Watcher
from headrace.cli.status import Status
from headrace.events import Event, ServerLog, WarmUp

MB = 1_000_000


class Clock:
    """A time that tests set."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(connect, "time", clock)
    return clock


def on_a_slow_line(clock: Clock, watcher: Watcher) -> None:
    """Report 93 MB at 1 Mbit/s, five times a second, up to the first half."""
    for tick in range(5 * 372):
        clock.now = 100.0 + tick / 5
        watcher(ServerLog("llm", tick * MB // 40, 93 * MB))


def test_a_slow_fetch_is_a_line_at_once_and_every_ten_seconds(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    on_a_slow_line(clock, Watcher())
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == [
        "headrace: fetching llm, once: 0%, 0 bytes of 93.0 MB",
        "headrace: fetching llm, once: 1%, 1.2 MB of 93.0 MB, 12 min 14 s left",
    ]
    assert len(lines) == 38
    assert lines[-1].startswith("headrace: fetching llm, once: 50%, ")


def test_on_a_terminal_it_is_a_bar_that_goes_away(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    watcher = Watcher(Status(terminal, interval=0.0))
    on_a_slow_line(clock, watcher)
    shown = terminal.getvalue()
    assert "fetching llm" in shown
    assert "█" in shown
    assert "50%" in shown
    assert " left" in shown
    watcher(ServerLog("llm", 93 * MB, 93 * MB))
    assert terminal.getvalue().endswith("\x1b[2K")  # the line is erased
    assert capsys.readouterr().err == ""


WAITING = "model x is warming up: 40%"


@pytest.mark.parametrize(
    ("events", "printed"),
    [
        ([WarmUp(0.0, 600, 1, 21351, "soon")], []),  # it may be there in a moment
        (
            [WarmUp(2.0, 600, 1, 21351, "soon"), WarmUp(4.0, 600, 1, 21351, "soon")],
            ["headrace: the model is warming up; waited 2 s of at most 600 s"],
        ),
        (
            [WarmUp(2.0, 600, 1, 21351, WAITING)],
            [f"headrace: the model is warming up: {WAITING}; waited 2 s of at most 600 s"],
        ),
        (
            [ServerLog("a", 1 * MB, 9 * MB), WarmUp(2.0, 600, 1, 21351, "soon")],
            ["headrace: fetching a, once: 11%, 1.0 MB of 9.0 MB"],
        ),
    ],
)
def test_a_server_that_makes_a_model_ready(
    clock: Clock, events: list[Event], printed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    watcher = Watcher()
    for event in events:
        clock.now += event.waited if isinstance(event, WarmUp) else 0.0
        watcher(event)
    assert capsys.readouterr().err.splitlines() == printed
