"""Write the tables of docs/comparison.md and the README from docs/performance.md: `python -m tools.comparison`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PERFORMANCE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- comparison:begin -->", "<!-- comparison:end -->"

Cells = dict[tuple[str, str], list[str]]  # (cell, client) -> the columns behind them


class Line(NamedTuple):
    """A line of the table: a cell of the benchmarks, what it is, which column, and by how much it is divided."""

    cell: str
    words: str
    column: int
    unit: str
    divisor: float = 1.0


MICROSECONDS, MEMORY = 0, 5
LINES = (
    Line("unary-1", "`predict`, one at a time", MICROSECONDS, "us"),
    Line("unary-64", "`predict`, 64 at once", MICROSECONDS, "us"),
    Line("tokens-burst", "a token, as fast as they come", MICROSECONDS, "us"),
    Line("tokens-paced-100", "a token of 100 streams at reading speed", MICROSECONDS, "us"),
    Line("duplex", "an input of a duplex stream", MICROSECONDS, "us"),
    Line("upload-4", "an upload of 20 MiB, 4 at once", MICROSECONDS, "ms", 1000),
    Line("upload-4", "extra memory of these", MEMORY, "MB"),
    Line("at-once", "extra memory of 10,000 inputs at once", MEMORY, "MB"),
    Line("cold-import", "import, and make a client", MICROSECONDS, "ms", 1000),
)
#: Columns of the table; a client that has several programs is shown with the one that measured the cell.
CLIENTS = {
    "headrace": ("headrace-h2",),
    "headrace, grpc": ("headrace-grpc",),
    "headrace, coalesced": ("headrace-coalesced",),
    "raw grpc.aio": ("raw",),
    "clarifai, async": ("sdk-async", "sdk-stream"),
    "clarifai, threads": ("sdk-threads",),
    "tritonclient": ("tritonclient", "tritonclient-stream", "tritonclient-tokens"),
    "grpclib": ("grpclib",),
    "openai": ("openai",),
}
#: What the README shows of it.
SHORT_LINES = tuple(
    line for line in LINES if line.cell in ("unary-1", "unary-64", "tokens-paced-100", "upload-4", "at-once")
)
SHORT_CLIENTS = ("headrace", "headrace, grpc", "raw grpc.aio", "clarifai, async", "openai")


def measured(text: str) -> tuple[str, Cells]:
    """Read the benchmarks' block of a page: the line that says when and where, and the cells."""
    block = text.partition("<!-- benchmarks:begin -->")[2].partition("<!-- benchmarks:end -->")[0]
    cells: Cells = {}
    for row in re.findall(r"^\| ([\w-]+) \| ([\w-]+) \| (.*) \|$", block, re.MULTILINE):
        cells[row[0], row[1]] = [column.strip() for column in row[2].split("|")]
    return block.strip().splitlines()[0], cells


def table(cells: Cells, *, short: bool = False) -> str:
    """Put the lines and the clients that were measured into a table; `short`: the main ones."""
    measured_clients = {client for _, client in cells}
    clients = {
        name: peers
        for name, peers in CLIENTS.items()
        if measured_clients.intersection(peers) and (name in SHORT_CLIENTS or not short)
    }
    rows = ["| client CPU, or memory | " + " | ".join(clients) + " |", "|---|" + "---:|" * len(clients)]
    for line in SHORT_LINES if short else LINES:
        shown = [_value(cells, line, peers) for peers in clients.values()]
        if any(shown):
            rows.append(f"| {line.words}, {line.unit} | " + " | ".join(shown) + " |")
    return "\n".join(rows)


def _value(cells: Cells, line: Line, peers: tuple[str, ...]) -> str:
    for peer in peers:
        columns = cells.get((line.cell, peer), [])
        if line.column < len(columns) and columns[line.column]:
            value = float(columns[line.column].replace(",", "")) / line.divisor
            return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return ""


def page(text: str, performance: str, *, short: bool = False) -> str:
    """Give a page with its table as the measurements are now.

    Raises:
        ValueError: the page lacks the markers.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"a page lacks {BEGIN} or {END}")
    run, cells = measured(performance)
    return f"{before}{BEGIN}\n{table(cells, short=short)}\n\nMeasured {run}\n{END}{after}"


#: Pages with such a table, and whether it is the short one.
PAGES = {ROOT / "docs" / "comparison.md": False, ROOT / "README.md": True}


def main() -> None:
    """Write them."""
    performance = PERFORMANCE.read_text(encoding="utf-8")
    for path, short in PAGES.items():
        path.write_text(page(path.read_text(encoding="utf-8"), performance, short=short), encoding="utf-8")


if __name__ == "__main__":
    main()
