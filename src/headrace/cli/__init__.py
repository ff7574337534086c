"""The command line. Only this file may be imported without the `cli` extra."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what `signal` wraps; that one takes long to import
import os
import sys

TYPE_CHECKING = False  # checkers know the name; until `main` runs, an interrupt would show a traceback
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run `headrace ARGV` and return the exit code.

    Args:
        argv: arguments without the program's name; None: those of this process.
    """
    try:
        _die_quietly()
        _open_standard_streams()
        try:
            import click  # noqa: F401
        except ModuleNotFoundError:
            from headrace.support.extras import install

            print(f"headrace: the command line needs the extra 'cli': {install('cli')}", file=sys.stderr)  # noqa: T201
            return 2
        from headrace.cli.run import main as run

        return run(argv)
    except KeyboardInterrupt:  # while something is imported: nothing has begun
        return 130


def _die_quietly() -> None:
    """End immediately at Ctrl-C while nothing has begun: an exception in the middle of an import leaves a traceback.

    `run` puts Python's own handler back when a command begins.
    """
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        try:
            _signal.signal(_signal.SIGINT, lambda *_: os._exit(130))
        except ValueError:  # not the main thread
            pass


def _open_standard_streams() -> None:
    """Open the null device if stdin, stdout or stderr is closed.

    The next file or socket would get its number otherwise, and take what is meant for the stream.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, "r" if descriptor == 0 else "w", closefd=False))  # noqa: SIM115
