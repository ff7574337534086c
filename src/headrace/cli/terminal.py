"""Safe and readable output: escaped text, sizes and times in words."""

from __future__ import annotations

import os
import re
import shutil
import textwrap
import unicodedata
from typing import TextIO

#: Characters that a terminal does not show, besides those of the categories below. Source: Unicode, the property
#: Default_Ignorable_Code_Point (DerivedCoreProperties.txt), and the noncharacters.
_IGNORED = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\ufdd0-\ufdef]"
    "|[\U000e0000-\U000e0fff]"
)
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
#: Format characters that are shown: signs before or around numbers.
_SHOWN = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
_JOINER, _EMOJI = "\u200d", "\ufe0f"


def escape(text: str, *, keep: str = "\n\t") -> str:
    """Write characters that a terminal does not show as `\\x1b` and the like, so that text cannot steer it or hide.

    Args:
        text: any text; lone surrogates are escaped too, so that the result can be encoded.
        keep: control characters that stay as they are.
    """
    if text.isascii() and text.isprintable():
        return text
    around = f" {text} "
    return "".join(
        c if c in keep or not _unsafe(c) or _in_an_emoji(before, c, after) else _code(c)
        for before, c, after in zip(around, text, around[2:], strict=False)
    )


def line(text: str) -> str:
    """Escape text and put it on one line."""
    return escape(" ".join(text.split("\n")), keep="")


def _unsafe(c: str) -> bool:
    if unicodedata.category(c) in _HIDDEN:
        return c not in _SHOWN
    return _IGNORED.match(c) is not None or ord(c) & 0xFFFE == 0xFFFE


def _in_an_emoji(before: str, c: str, after: str) -> bool:
    """Return whether a character only joins the symbols around it into one picture."""
    if c == _EMOJI:
        return unicodedata.category(before) == "So" or before in "0123456789#*"
    return (
        c == _JOINER
        and unicodedata.category(after) == "So"
        and (unicodedata.category(before) in ("So", "Sk") or before == _EMOJI)
    )


def _code(c: str) -> str:
    number = ord(c)
    if number < 0x100:
        return {"\r": "\\r", "\n": "\\n", "\t": "\\t"}.get(c, f"\\x{number:02x}")
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


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


def score(value: float) -> str:
    """Write a score for people: a share as "39.8%", any other number as it is."""
    return f"{value:.1%}" if 0 <= value <= 1 else f"{value:.4g}"


def wrapped(text: str, indent: str = "") -> str:
    """Break text into lines between its words, for the terminal's width; its own lines stay."""
    lines = (textwrap.wrap(one, width() - len(indent), break_on_hyphens=False) or [""] for one in text.split("\n"))
    return "\n".join(f"{indent}{one}".rstrip() for part in lines for one in part)


def counted(number: int, noun: str) -> str:
    """Write a number with its noun: "1 answer", "3 answers"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def is_terminal(stream: TextIO) -> bool:
    """Return whether a person looks at the stream; TERM=dumb counts as a file."""
    try:
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:  # closed
        return False


def can_draw(stream: TextIO) -> bool:
    """Return whether the stream is a terminal that has the characters to draw bars with."""
    try:
        "█▏…".encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return is_terminal(stream)


def width() -> int:
    """Return the columns to write in: the terminal's, at most 100."""
    return min(shutil.get_terminal_size((80, 24)).columns, 100)
