"""Commands that serve HTTP, run as a process of their own."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

HEADRACE = [sys.executable, "-c", "import sys; from headrace.cli import main; sys.exit(main())"]


@contextlib.contextmanager
def running(*arguments: str, says: str) -> Iterator[str]:
    """Run a headrace command until it is interrupted; gives what stands behind `says` on a line of its stdout."""
    process = subprocess.Popen([*HEADRACE, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith(says):
                yield line.removeprefix(says).strip()
                break
        else:
            pytest.fail(f"{arguments} did not start")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
