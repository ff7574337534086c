"""Install the peers, or tell which are there: `python -m benchmarks.peers install [NAME ...]`, `… list`."""

from __future__ import annotations

import argparse
import functools
import sys
import time
from collections.abc import Sequence

from benchmarks.peers import install


def install_all(names: Sequence[str]) -> int:
    """Make what is named, or everything; gives how many failed."""
    failed = 0
    for name in names or install.names():
        start = time.monotonic()
        try:
            is_new = install.make(name, functools.partial(_say, name))
        except install.Failed as error:
            print(f"{name}: {error}", file=sys.stderr, flush=True)
            failed += 1
            continue
        took = f"ready after {time.monotonic() - start:.0f} s" if is_new else "is there"
        _say(name, f"{took}, {_versions(name)}")
    return failed


def _say(name: str, text: str) -> None:
    print(f"{name}: {text}", flush=True)


def show() -> None:
    """Print a line for every environment."""
    for name in install.names():
        state = _versions(name) if install.installed(name) else f"missing: python -m benchmarks.peers install {name}"
        print(f"{name:<14}{state}")


def _versions(name: str) -> str:
    return ", ".join(f"{one} {version}" for one, version in install.versions(name).items())


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description="The clients to compare with.")
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("install", help="make virtual environments under the user's cache folder")
    making.add_argument("name", nargs="*", help=f"of {', '.join(install.names())}; all by default")
    commands.add_parser("list", help="tell what is there, with versions")
    arguments = parser.parse_args(argv)
    if arguments.command == "list":
        show()
        return 0
    return 1 if install_all(arguments.name) else 0


if __name__ == "__main__":
    raise SystemExit(main())
