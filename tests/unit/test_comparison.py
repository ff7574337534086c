"""The tables of the comparison have the figures of the measurements, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import comparison


@pytest.mark.parametrize("path", comparison.PAGES, ids=lambda path: path.stem)
def test_the_page_has_the_latest_figures(path: Path) -> None:
    performance = comparison.PERFORMANCE.read_text(encoding="utf-8")
    text = path.read_text(encoding="utf-8")
    expected = comparison.page(text, performance, short=comparison.PAGES[path])
    assert text == expected, "run: python -m tools.comparison"


def test_a_figure_is_taken_from_its_cell() -> None:
    performance = """
<!-- benchmarks:begin -->
2026-01-01, commit abc.

| cell | client | us | ratio | quartiles | least - most | a second | extra memory, MB |
|---|---|---|---|---|---|---|---|
| unary-1 | raw | 224 | 1.00 | 1.00 - 1.00 | 1.00 - 1.00 | 3,783 |  |
| upload-4 | headrace-h2 | 15,122 | 0.19 | 0.14 - 0.21 | 0.13 - 0.22 | 64.8 | 41.7 |
<!-- benchmarks:end -->
"""
    run, cells = comparison.measured(performance)
    assert run == "2026-01-01, commit abc."
    assert comparison.table(cells).splitlines() == [
        "| client CPU, or memory | headrace | raw grpc.aio |",
        "|---|---:|---:|",
        "| `predict`, one at a time, us |  | 224 |",
        "| an upload of 20 MiB, 4 at once, ms | 15.1 |  |",
        "| extra memory of these, MB | 41.7 |  |",
    ]
