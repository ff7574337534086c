"""Drawing on a terminal only: styles, and a line of progress at the bottom of stderr."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, TextIO

from headrace.cli.terminal import can_draw, is_terminal

if TYPE_CHECKING:
    from types import TracebackType

    from rich.live import Live


def styled(text: str, style: str) -> str:
    """Make text bold, dim or coloured on a terminal; as it is elsewhere, and if NO_COLOR is set."""
    if not is_terminal(sys.stdout):
        return text
    from headrace.cli import pretty

    return pretty.styled(text, style)


class Status:
    """One line at the bottom of stderr that is redrawn in place; on anything but a terminal it shows nothing.

    Whoever prints while it is up calls `clear()` first, so that both can stand on the same terminal.
    """

    def __init__(self, stream: TextIO | None = None, *, interval: float = 0.1) -> None:
        self._stream = stream or sys.stderr
        self._on = can_draw(self._stream)
        self._interval = interval
        self._next = 0.0
        self._live: Live | None = None

    @property
    def on(self) -> bool:
        """Whether it is visible."""
        return self._on

    def show(self, text: str, *, now: bool = False) -> None:
        """Replace the line; calls that come too fast are skipped unless `now`."""
        self.progress("", 0, 0, text, now=now)

    def progress(self, label: str, done: float, total: float, note: str = "", *, now: bool = False) -> None:
        """Show a bar of `done` of `total`, or `done` alone if the total is not known (0)."""
        now = now or 0 < total <= done
        if not self._on or (not now and time.monotonic() < self._next):
            return
        self._next = time.monotonic() + self._interval
        from headrace.cli import pretty

        if self._live is None:
            self._live = pretty.live(self._stream)
            self._live.start()
        self._live.update(pretty.progress(label, done, total, note), refresh=True)

    def clear(self) -> None:
        """Take the line away."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def __enter__(self) -> Status:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.clear()
