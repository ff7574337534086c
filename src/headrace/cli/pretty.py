"""Output for people on a terminal: tables, bars and styles, drawn by rich.

Imported only to draw on a terminal. Text from models and files is escaped first and never markup.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

from rich.bar import Bar
from rich.console import Console
from rich.live import Live
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from headrace.cli.content import frame_concepts
from headrace.cli.terminal import line, score, width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from headrace.results import Concept, Frame, Region

_BAR_CELLS = 20
_NAME_CELLS = 32
_GAP = 2  # between columns
_LINES = 40  # of a table; plain output is never cut


def concepts(rows: Sequence[Concept], indent: int = 2) -> str:
    """Return one line per concept: name, a bar of its value, the value."""
    table = _grid(_name_column(), Column(), Column(justify="right", no_wrap=True))
    for one in rows[:_LINES]:
        table.add_row(_text(one.name), bar(one.value, _BAR_CELLS), score(one.value))
    return _drawn(table, len(rows), indent)


def regions(rows: Sequence[Region], indent: int = 2) -> str:
    """Return one line per region: name, score, where, how large (fractions of the picture), whether it has a mask."""
    table = _grid(_name_column(), Column(), Column(justify="right", no_wrap=True), Column(no_wrap=True))
    for one in rows[:_LINES]:
        wide, high = one.right - one.left, one.bottom - one.top
        place = f"at {one.left:.0%}, {one.top:.0%}, size {wide:.0%} x {high:.0%}{'  mask' if one.mask else ''}"
        table.add_row(_text(one.name or one.text or "region"), bar(one.value, 10), score(one.value), place)
    return _drawn(table, len(rows), indent)


def frames(rows: Sequence[Frame], indent: int = 2) -> str:
    """Return one line per frame: its time, what is in it."""
    table = _grid(Column(justify="right", no_wrap=True), Column(no_wrap=True, overflow="ellipsis"))
    for frame in rows[:_LINES]:
        things: list[Region | Concept] = [*frame.regions, *frame_concepts(frame)]
        names = [f"{line(one.name)} {score(one.value)}" for one in things]
        table.add_row(f"{frame.time:.2f} s", _text(", ".join(names) or "-"))
    return _drawn(table, len(rows), indent)


def row(name: str, summary: str) -> str:
    """Return one line of a growing list: a name, cut at its beginning, and the findings."""
    table = _grid(Column(width=30, no_wrap=True), Column(no_wrap=True, overflow="ellipsis"))
    table.add_row(_text(name if len(name) <= 30 else f"…{name[-29:]}"), _text(summary))
    return drawn(table)


def progress(label: str, done: float, total: float, note: str) -> RenderableType:
    """Make a line of progress: a bar of `done` of `total`, or the note alone if the total is not known (0)."""
    if total <= 0:
        return Text(line(f"{label} {note}").strip(), no_wrap=True, overflow="ellipsis")
    table = _grid(*(Column(no_wrap=True) for _ in range(3)), Column(no_wrap=True, overflow="ellipsis"), gap=1)
    table.add_row(_text(label), bar(done / total, 24), f"{done / total:4.0%}", _text(note))
    return table


def live(stream: TextIO) -> Live:
    """Make a place at the bottom of the terminal that is redrawn on each update, and disappears in the end."""
    console = Console(file=stream, highlight=False)
    return Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)


def bar(share: float, cells: int) -> Bar:
    """Make a bar of `cells` characters, filled to `share` (0..1) in eighths."""
    share = min(max(share, 0.0), 1.0) if share == share else 0.0
    return Bar(1.0, 0.0, share, width=cells, color="cyan")


def styled(text: str, style: str) -> str:
    """Return a text bold, dim or in a colour, if NO_COLOR is not set."""
    console = _console()
    with console.capture() as captured:
        console.print(Text(text, style=style), end="", soft_wrap=True)
    return captured.get()


def drawn(renderable: RenderableType) -> str:
    """Draw for stdout's terminal, at most 100 columns wide."""
    console = _console()
    with console.capture() as captured:
        console.print(renderable)
    return "\n".join(text.rstrip() for text in captured.get().splitlines())


def _drawn(table: Table, count: int, indent: int) -> str:
    text = drawn(Padding.indent(table, indent))
    if count <= _LINES:
        return text
    return f"{text}\n{' ' * indent}… and {count - _LINES} more (all of them with -o json, or in a pipe)"


def _console() -> Console:
    return Console(file=sys.stdout, width=width() + _GAP, highlight=False)  # `drawn` cuts the last column's gap off


def _grid(*columns: Column, gap: int = _GAP) -> Table:
    return Table(*columns, box=None, show_header=False, padding=(0, gap, 0, 0))


def _name_column() -> Column:
    return Column(no_wrap=True, overflow="ellipsis", max_width=_NAME_CELLS)


def _text(text: str) -> Text:
    return Text(line(text))
