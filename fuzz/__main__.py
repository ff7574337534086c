"""`python -m fuzz [TARGET ...] [--seconds N | --count N] [--first NUMBER]`."""

from __future__ import annotations

import argparse
import importlib.util
import resource
import sys
import time
import traceback

from fuzz.targets import TARGETS

SLOW = 5.0  # seconds that an input may take, on a machine that does something else as well
GROWTH = 64 << 10  # KiB that the process may grow after its first inputs


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together")
    parser.add_argument("--count", type=int, help="inputs of each target, instead of a time")
    parser.add_argument("--first", type=int, default=0, help="the number of the first input")
    options = parser.parse_args()
    names = options.targets or list(TARGETS)
    return max(run(name, options.seconds / len(names), options.count, options.first) for name in names)


def run(name: str, seconds: float, count: int | None, first: int) -> int:
    """Run one target; gives 1 where an input has failed."""
    if name == "verdicts" and importlib.util.find_spec("ngh2") is None:
        print(f"{name}: skipped, for the package ngh2 is not installed")
        return 0
    begin, number, grown = time.monotonic(), first, 0
    while number - first < count if count is not None else time.monotonic() - begin < seconds:
        start = time.monotonic()
        try:
            TARGETS[name](number)
            if time.monotonic() - start > SLOW:
                raise AssertionError(f"it took {time.monotonic() - start:.1f} s")
            if number - first == 200:
                grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            elif grown and resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - grown > GROWTH:
                raise AssertionError("the process grows")
        except Exception:
            traceback.print_exc()
            print(f"{name}: input {number} failed; again: python -m fuzz {name} --first {number} --count 1")
            return 1
        number += 1
    print(f"{name}: {number - first:,} inputs in {time.monotonic() - begin:.0f} s, nothing found")
    return 0


sys.exit(main())
