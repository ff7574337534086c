"""What is safe and sensible to show: escaped text, sizes and times in words, one status line on a terminal."""

from __future__ import annotations

import os
import shutil
import sys
import time
import unicodedata
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from types import TracebackType

#: Format characters that reorder or hide text: a model's answer must not rewrite what stands around it.
_REORDERING = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u061c\ufeff")


def escape(text: str, *, keep: str = "\n\t") -> str:
    """Write control characters as `\\x1b` and the like, so that text cannot steer the terminal.

    Args:
        text: any text; lone surrogates are escaped too, so that the result can be encoded.
        keep: control characters that stay as they are.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in keep or not _unsafe(c) else _code(c) for c in text)


def line(text: str) -> str:
    """Escape text and put it on one line."""
    return escape(" ".join(text.split("\n")), keep="")


def _unsafe(c: str) -> bool:
    return c in _REORDERING or unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")


def _code(c: str) -> str:
    number = ord(c)
    if number < 0x100:
        return {"\r": "\\r", "\n": "\\n", "\t": "\\t"}.get(c, f"\\x{number:02x}")
    return f"\\u{number:04x}"


def short(text: str, width: int) -> str:
    """Cut text to `width` characters, the last one an ellipsis."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def in_bytes(count: float) -> str:
    """Write a number of bytes for people: "812 bytes", "34 kB", "98.4 MB"."""
    if count < 1000:
        return f"{count:.0f} bytes"
    for unit in ("kB", "MB"):
        count /= 1000
        if count < 1000:
            return f"{count:.1f} {unit}" if count < 100 and unit != "kB" else f"{count:.0f} {unit}"
    return f"{count / 1000:.1f} GB"


def in_seconds(seconds: float) -> str:
    """Write a duration for people: "9 ms", "1.24 s", "2 min 5 s"."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def is_terminal(stream: TextIO) -> bool:
    """Tell whether a person looks at the stream; TERM=dumb counts as a file."""
    try:
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:  # closed
        return False


def styled(text: str, *styles: str, stream: TextIO | None = None) -> str:
    """Make text bold, dim or coloured on a terminal; as it is elsewhere, and where NO_COLOR is set."""
    if not is_terminal(stream or sys.stdout) or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{';'.join(_STYLES[name] for name in styles)}m{text}\x1b[0m"


_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def width() -> int:
    """Give the columns to write in: the terminal's, at most 100."""
    return min(shutil.get_terminal_size((80, 24)).columns, 100)


def can_encode(stream: TextIO, text: str) -> bool:
    """Tell whether the stream's encoding has these characters."""
    try:
        text.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def bar(share: float, cells: int, *, stream: TextIO | None = None) -> str:
    """Draw a bar of `cells` characters, filled to `share` (0..1) in eighths where the stream can show them."""
    share = min(max(share, 0.0), 1.0) if share == share else 0.0
    if not can_encode(stream or sys.stdout, "█▏"):
        return ("#" * round(share * cells)).ljust(cells, ".")
    whole, rest = divmod(round(share * cells * 8), 8)
    return ("█" * whole + (" ▏▎▍▌▋▊▉"[rest] if rest else "")).ljust(cells)


class Status:
    """One line at the bottom of stderr that is rewritten in place; on anything but a terminal it shows nothing.

    Whoever prints while it is up calls `clear()` first, so that both can stand on the same terminal.
    """

    def __init__(self, stream: TextIO | None = None, *, interval: float = 0.1) -> None:
        self._stream = stream or sys.stderr
        self._on = is_terminal(self._stream)
        self._interval = interval
        self._next = 0.0
        self._shown = False

    @property
    def on(self) -> bool:
        """Whether anybody sees it."""
        return self._on

    def show(self, text: str, *, now: bool = False) -> None:
        """Replace the line; calls that come too fast are skipped unless `now`."""
        if not self._on or (not now and time.monotonic() < self._next):
            return
        self._next = time.monotonic() + self._interval
        columns = shutil.get_terminal_size((80, 24)).columns
        self._stream.write(f"\r\x1b[K{short(line(text), columns - 1)}")
        self._stream.flush()
        self._shown = True

    def progress(self, label: str, done: float, total: float, note: str = "") -> None:
        """Show a bar of `done` of `total`, or `done` alone where the total is not known (0)."""
        if total > 0:
            share = done / total
            self.show(f"{label} {bar(share, 24, stream=self._stream)} {share:4.0%} {note}", now=done >= total)
        else:
            self.show(f"{label} {note}")

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = False
            self._next = 0.0

    def __enter__(self) -> Status:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.clear()
