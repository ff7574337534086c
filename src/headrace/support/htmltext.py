"""HTML for notebooks: escaped, bounded in size, and readable on light and dark pages, whose colours it keeps."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence

ROWS = 20  # of a table
CELL_CHARACTERS = 300
TEXT_CHARACTERS = 10_000
PICTURE_BYTES = 4 << 20  # above, a notebook does not hold the picture itself
_PICTURE_TYPES = {"png": "png", "jpg": "jpeg", "gif": "gif", "webp": "webp"}  # that browsers show


def escaped(text: object, characters: int = CELL_CHARACTERS) -> str:
    """Give a text for HTML, cut off where it is longer."""
    whole = str(text)
    shown = whole if len(whole) <= characters else f"{whole[: characters - 1]}…"
    return html.escape(shown.encode(errors="replace").decode())


def table(head: Sequence[str], rows: Iterable[Sequence[object]], count: int) -> str:
    """Make a table of at most `ROWS` rows; where there are more, a line says how many.

    Args:
        rows: their cells, which are escaped.
        count: how many rows there are in all.
    """
    lines = [
        f"<tr>{''.join(f'<td>{escaped(cell)}</td>' for cell in row)}</tr>"
        for row, _ in zip(rows, range(ROWS), strict=False)
    ]
    titles = "".join(f"<th>{escaped(title)}</th>" for title in head)
    return f"<table><tr>{titles}</tr>{''.join(lines)}</table>{more(count)}"


def facts(title: str, pairs: Iterable[tuple[str, object]]) -> str:
    """Make a table of names and values below a title."""
    lines = "".join(f"<tr><th>{escaped(name)}</th><td>{escaped(value)}</td></tr>" for name, value in pairs)
    return f"<b>{escaped(title)}</b><table>{lines}</table>"


def more(count: int) -> str:
    """Say how many are not shown."""
    return f"<p>… and {count - ROWS} more</p>" if count > ROWS else ""


def block(text: str) -> str:
    """Make a text of several lines."""
    return f'<pre style="white-space: pre-wrap">{escaped(text, TEXT_CHARACTERS)}</pre>'


def picture(data: bytes, extension: str) -> str | None:
    """Make a picture that lies in the page itself; None where it is too large, or browsers do not show its format."""
    if extension not in _PICTURE_TYPES or len(data) > PICTURE_BYTES:
        return None
    encoded = base64.b64encode(data).decode()
    return f'<img src="data:image/{_PICTURE_TYPES[extension]};base64,{encoded}" style="max-width: 100%">'
