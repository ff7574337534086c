"""Count instructions instead of time: `python -m benchmarks.instructions [BEFORE]`; needs valgrind.

They are the same on a busy machine and on a quiet one, to a few in a thousand, where the time of a sample differs by up
to 1.8 times. They say nothing of system calls and of caches. The costs of the start cancel out: each figure is the
difference of two samples, one of them with twice the work. With BEFORE, a commit, both trees are counted.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fnmatch
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cells import CELLS, Cell
from benchmarks.harness import SECONDS, clean_up_on_sigterm, cores, own_peers, pairs, servers
from benchmarks.peers.base import Peer
from benchmarks.regression import checked_out
from benchmarks.server import ROOT

DEFAULT = ("unary-1", "unary-64", "tokens-burst", "duplex", "bulk", "layers-*", "full-*")
CLIENTS = ("headrace-h2", "wire-h2", "headrace-layers")
VALGRIND = ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")
_TOTAL = re.compile(r"I\s+refs:\s+([\d,]+)")


class Failed(Exception):
    """A sample that could not be counted; the text says why."""


def total(report: str) -> int:
    """Read the number of instructions from what valgrind reports.

    Raises:
        Failed: there is none; the text has the report's last line.
    """
    if (found := _TOTAL.search(report)) is None:
        raise Failed((report.strip().splitlines() or ["valgrind reports nothing"])[-1])
    return int(found[1].replace(",", ""))


def count(cell: Cell, peer: Peer, address: str, n: int) -> int:
    """Count the instructions of a sample of n units, its start included.

    Raises:
        Failed: it did not end well.
    """
    options = ["--address", address] if address else []
    sample = dataclasses.replace(cell, quick=n).arguments(quick=True)
    command = [*VALGRIND, str(peer.python), "-m", peer.module, cell.shape, *options, *sample]
    environment = {**os.environ, **peer.environment, "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=SECONDS)
    return total(done.stderr)


def per_unit(cell: Cell, peer: Peer, address: str) -> float:
    """Count the instructions of one unit."""
    n = 2 * cell.quick  # more than the warm-ups, which are then the same in both
    runs = 2 if peer.name == "headrace-layers" else 1  # its warm-up is as long as what it measures
    return (count(cell, peer, address, 2 * n) - count(cell, peer, address, n)) / (runs * n)


def main(argv: Sequence[str] | None = None) -> int:
    """Count what the command line asks for; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description="Count instructions.")
    parser.add_argument("before", nargs="?", help="a commit to compare the working tree with")
    parser.add_argument("--only", nargs="+", default=DEFAULT, metavar="NAME", help="cells; * and ? match any")
    parser.add_argument("--clients", nargs="+", default=CLIENTS, metavar="NAME", help="raw, headrace-grpc, ...; --list")
    arguments = parser.parse_args(argv)
    if shutil.which("valgrind") is None:
        sys.exit("counting instructions needs valgrind: install it with the system's packages (apt install valgrind)")
    cells = [cell for cell in CELLS if any(fnmatch.fnmatch(cell.name, pattern) for pattern in arguments.only)]
    clean_up_on_sigterm()
    with contextlib.ExitStack() as stack:
        sources = [ROOT / "src"]
        if arguments.before:
            sources.insert(0, stack.enter_context(checked_out(arguments.before)))
        return _count_all(cells, arguments.clients, sources)


def _count_all(cells: Sequence[Cell], clients: Sequence[str], sources: Sequence[Path]) -> int:
    """Print a line for each cell and client; gives the exit code: 1 when a sample failed."""
    sides = [{name: peer for name, peer in own_peers(source).items() if name in clients} for source in sources]
    wanted = pairs(cells, sides[-1])
    if not wanted:
        sys.exit("nothing is left to count: python -m benchmarks --list names cells and clients")
    failed = False
    print(f"{'instructions a unit':<36}{'before':>12}{'now':>12}" if len(sides) > 1 else "instructions a unit")
    with servers(wanted, cores().servers) as address:
        for cell, peer in wanted:
            try:
                figures = [per_unit(cell, side[peer.name], address(cell, peer)) for side in sides]
            except (Failed, subprocess.TimeoutExpired) as error:
                failed = True
                print(f"{cell.name:<20}{peer.name:<16} FAILED: {error}", flush=True)
                continue
            print(f"{cell.name:<20}{peer.name:<16}" + "".join(f"{figure:>12,.0f}" for figure in figures), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
