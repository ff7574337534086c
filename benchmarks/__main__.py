"""Measure headrace against raw grpc.aio and other clients, as ratios with their spread: `python -m benchmarks`.

Every sample is CPU time of a fresh process on one core; a fast server of canned answers runs on another. The samples of
a round come in random order, and each ratio is taken within its round.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import peers as other
from benchmarks.cells import CELLS, Cell
from benchmarks.figures import rows, verdicts
from benchmarks.goals import GOALS
from benchmarks.harness import clean_up_on_sigterm, own_peers, pairs, run
from benchmarks.peers.base import Peer
from benchmarks.plots import draw, drawable
from benchmarks.report import markdown, report, samples_of, update
from benchmarks.server import ROOT

DOCUMENT = ROOT / "docs" / "performance.md"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what the command line asks for; gives the exit code: 1 when a sample failed."""
    arguments = _parser().parse_args(argv)
    if arguments.list:
        _list()
        return 0
    if arguments.update_docs and not drawable():
        sys.exit('plots need matplotlib: pip install "headrace[bench]"')
    results = json.loads(Path(arguments.read).read_text()) if arguments.read else _measured(arguments)
    samples = samples_of(results)
    measured = rows(samples)
    tables = markdown(results, verdicts(GOALS, samples), measured)
    print(tables)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(results, indent=1) + "\n")
    if arguments.update_docs:
        plots = draw(measured, DOCUMENT.parent)
        pictures = [f"![cost by {plot.stem.partition('-')[2]}]({plot.name})" for plot in plots]
        update(DOCUMENT, "\n\n".join([tables, *pictures]))
    return 1 if results["failed"] else 0


def _measured(arguments: argparse.Namespace) -> dict[str, Any]:
    wanted = pairs(_cells(arguments.only), _peers(arguments.peers))
    if not wanted:
        sys.exit("nothing is left to measure: see --list")
    clean_up_on_sigterm()
    rounds = arguments.rounds or (3 if arguments.quick else 7)
    samples, failed = run(wanted, rounds, quick=arguments.quick, say=_say)
    if not samples:
        sys.exit("nothing was measured")
    return report(samples, failed, rounds, quick=arguments.quick)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="3 rounds of smaller samples: minutes, not an hour")
    parser.add_argument("--only", nargs="+", default=["*"], metavar="NAME", help="cells; * and ? match any")
    parser.add_argument("--peers", nargs="*", metavar="NAME", help="others than raw and headrace; else all installed")
    parser.add_argument("--rounds", type=int, help="7 unless given, 3 with --quick")
    parser.add_argument("--json", metavar="PATH", help="write every sample and figure there")
    parser.add_argument("--read", metavar="PATH", help="measure nothing, take what --json wrote")
    parser.add_argument("--update-docs", action="store_true", help="write tables and plots into docs/")
    parser.add_argument("--list", action="store_true", help="name cells and clients, then end")
    return parser


def _cells(patterns: Sequence[str]) -> list[Cell]:
    unknown = [pattern for pattern in patterns if not fnmatch.filter([cell.name for cell in CELLS], pattern)]
    if unknown:
        sys.exit(f"no cell matches {', '.join(unknown)}: see --list")
    return [cell for cell in CELLS if any(fnmatch.fnmatch(cell.name, pattern) for pattern in patterns)]


def _peers(names: Sequence[str] | None) -> dict[str, Peer]:
    installed, missing = other.available(), other.missing()
    if names is None:
        for name, command in missing.items():
            _say(f"{name} is not installed: {command}")
        return {**own_peers(), **installed}
    for name in names:
        if name in missing:
            sys.exit(f"{name} is not installed: {missing[name]}")
        if name not in installed:
            sys.exit(f"there is no client {name}: see --list")
    return {**own_peers(), **{name: installed[name] for name in names}}


def _list() -> None:
    print("cells: " + ", ".join(cell.name for cell in CELLS))
    print("clients: " + ", ".join([*own_peers(), *other.available()]))
    for name, command in other.missing().items():
        print(f"not installed: {name}: {command}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
