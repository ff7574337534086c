"""Draw what a unit costs as work grows: at once, in bytes, in streams. Needs the `bench` extra."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.cells import CELLS, KiB, MiB
from benchmarks.figures import Row, Spread

AXES = {
    "concurrency": ("calls at once", "CPU us a call"),
    "payload": ("bytes of the payload", "CPU us a call, 16 at once"),
    "streams": ("token streams at once, 50 tokens a second each", "CPU us a token"),
}


def points(measured: Sequence[Row]) -> dict[str, dict[str, list[tuple[int, Spread]]]]:
    """Sort the cells that are points of a curve: curve, client, points."""
    curves = {cell.name: cell.curve for cell in CELLS if cell.curve is not None}
    by_curve: dict[str, dict[str, list[tuple[int, Spread]]]] = {}
    for row in measured:
        if row.cell in curves:
            curve, at = curves[row.cell]
            by_curve.setdefault(curve, {}).setdefault(row.peer, []).append((at, row.microseconds))
    return {
        curve: {peer: sorted(each, key=lambda p: p[0]) for peer, each in of.items()} for curve, of in by_curve.items()
    }


def drawable() -> bool:
    """Tell whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(measured: Sequence[Row], folder: Path) -> list[Path]:
    """Write an SVG file a curve; gives the files."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "headrace"  # the same figures give the same file
    return [_curve(curve, peers, folder) for curve, peers in points(measured).items()]


def _curve(curve: str, peers: Mapping[str, Sequence[tuple[int, Spread]]], folder: Path) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for peer, each in peers.items():
        x = [at for at, _spread in each]
        middle = [spread.median for _at, spread in each]
        below = [spread.median - spread.first for _at, spread in each]
        above = [spread.third - spread.median for _at, spread in each]
        width = 2.5 if peer.startswith("headrace") else 1.2
        axes.errorbar(x, middle, yerr=[below, above], marker="o", markersize=4, capsize=3, linewidth=width, label=peer)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    at = sorted({at for each in peers.values() for at, _spread in each})
    axes.set_xticks(at, [_size(one) if curve == "payload" else str(one) for one in at])
    axes.yaxis.set_major_formatter(lambda value, _position: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda value, _position: f"{value:g}" if f"{value:e}"[0] in "25" else "")
    axes.set_xlabel(AXES[curve][0])
    axes.set_ylabel(AXES[curve][1])
    axes.grid(which="both", alpha=0.3)
    axes.legend()
    path = folder / f"performance-{curve}.svg"
    figure.savefig(path, metadata={"Date": None})
    return path


def _size(size: int) -> str:
    for unit, name in ((MiB, "MiB"), (KiB, "KiB")):
        if size >= unit:
            return f"{size // unit} {name}"
    return f"{size} B"
