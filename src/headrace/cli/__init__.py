"""The command line. Only this file may be imported without the `cli` extra."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # checkers know the name; until `main` runs, an interrupt would show a traceback
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run `headrace ARGV` and give back the exit code.

    Args:
        argv: arguments without the program's name; None: those of this process.
    """
    try:
        try:
            import click  # noqa: F401
        except ModuleNotFoundError:
            print("headrace: the command line needs the extra 'cli': pip install 'headrace[cli]'", file=sys.stderr)  # noqa: T201
            return 2
        from headrace.cli.run import main as run

        return run(argv)
    except KeyboardInterrupt:  # while something is imported: nothing has begun
        return 130
