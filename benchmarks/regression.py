"""Compare two commits: `python -m benchmarks.regression BEFORE [AFTER]`.

Each commit's headrace is checked out beside the others and measured by today's samples: both in the same shuffled
rounds, ratios pair by pair. The exit code is 1 when a cell costs more than the tolerance allows, beyond its spread.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fnmatch
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.cells import CELLS, Cell
from benchmarks.figures import Spread, by_round
from benchmarks.goals import cost_ratio
from benchmarks.harness import PlacedSample, clean_up_on_sigterm, own_peers, pairs, run
from benchmarks.report import number
from benchmarks.server import ROOT

DEFAULT = ("unary-1", "unary-64", "unary-fixed", "tokens-burst", "tokens-paced-100", "duplex", "upload-4", "layers-*")


@contextlib.contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """Check a commit out into a folder of its own while the body runs; gives the folder of its packages."""
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        tree = Path(folder) / "tree"
        _git("worktree", "add", "--detach", str(tree), commit)
        try:
            yield tree / "src"
        finally:
            _git("worktree", "remove", "--force", str(tree))


def _git(*words: str) -> None:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"git {words[0]} {words[1]}: {done.stderr.strip()}")


def compare(
    cells: Sequence[Cell], before: Path, after: Path, rounds: int, *, quick: bool, client: str = "headrace-h2"
) -> list[PlacedSample]:
    """Measure two source folders in the same rounds: `client` where it has the cell, our layers where it has not.

    Raises:
        SystemExit: a sample failed.
    """
    wanted = [
        (cell, dataclasses.replace(peer, name=side))
        for side, source in (("before", before), ("after", after))
        for cell, peer in pairs(cells, {name: own_peers(source)[name] for name in (client, "headrace-layers")})
    ]
    samples, failed = run(wanted, rounds, quick=quick, say=lambda text: print(text, file=sys.stderr, flush=True))
    if failed:
        sys.exit(f"{failed[0].cell} of the commit {failed[0].peer}: {failed[0].reason}")
    return samples


def worse(ratio: Spread, tolerance: float) -> bool:
    """Tell whether the median is over the tolerance, and three quarters of the rounds say that it costs more."""
    return ratio.median > tolerance and ratio.first > 1.0


def print_table(samples: Sequence[PlacedSample], tolerance: float) -> int:
    """Print a line a cell; gives the exit code."""
    rounds = by_round(samples)
    print(f"{'cell':<20}{'before us':>11}{'after us':>11}{'ratio':>8}{'quartiles':>16}{'least - most':>16}")
    bad = 0
    for cell in dict.fromkeys(one.cell for one in samples):
        before, after = rounds[cell, "before"], rounds[cell, "after"]
        ratio = Spread.of([cost_ratio(after[at], before[at]) for at in before])
        times = [Spread.of([one.cpu_s / one.n * 1e6 for one in side.values()]).median for side in (before, after)]
        verdict = "WORSE" if worse(ratio, tolerance) else ""
        bad += bool(verdict)
        print(
            f"{cell:<20}{number(times[0]):>11}{number(times[1]):>11}{ratio.median:>8.2f}"
            f"{f'{ratio.first:.2f} - {ratio.third:.2f}':>16}{f'{ratio.low:.2f} - {ratio.high:.2f}':>16} {verdict}"
        )
    return 1 if bad else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Compare what the command line asks for; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.regression", description="Compare two commits.")
    parser.add_argument("before", help="a commit")
    parser.add_argument("after", nargs="?", help="a commit; the working tree unless given")
    parser.add_argument("--only", nargs="+", default=DEFAULT, metavar="NAME", help="cells; * and ? match any")
    parser.add_argument("--client", default="headrace-h2", metavar="NAME", help="headrace-grpc, wire-h2, ...; --list")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="smaller samples")
    parser.add_argument("--tolerance", type=float, default=1.1, metavar="RATIO", help="1.1: a tenth more is no matter")
    arguments = parser.parse_args(argv)
    cells = [cell for cell in CELLS if any(fnmatch.fnmatch(cell.name, pattern) for pattern in arguments.only)]
    if not cells:
        parser.error(f"no cell matches {', '.join(arguments.only)}")
    clean_up_on_sigterm()
    with contextlib.ExitStack() as stack:
        before = stack.enter_context(checked_out(arguments.before))
        after = stack.enter_context(checked_out(arguments.after)) if arguments.after else ROOT / "src"
        samples = compare(cells, before, after, arguments.rounds, quick=arguments.quick, client=arguments.client)
    return print_table(samples, arguments.tolerance)


if __name__ == "__main__":
    sys.exit(main())
