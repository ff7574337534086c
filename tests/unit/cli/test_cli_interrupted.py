"""Ctrl-C before anything has begun: quiet, with the shell's own code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import sys


class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            raise KeyboardInterrupt


sys.meta_path.insert(0, Interrupted())
from headrace.cli import main

sys.exit(main(["--version"]))
"""


@pytest.mark.parametrize("module", ["click", "headrace.errors", "headrace.cli.run", "headrace.cli.app"])
def test_an_interrupt_while_something_is_imported(module: str) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, module], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr in ("", "headrace: interrupted\n")


def test_an_interrupt_at_any_moment_is_quiet_and_leaves_nothing_running(tmp_path: Path) -> None:
    """From the interpreter's start to the answer: wherever it comes, there is no traceback and no server stays."""
    argv = [sys.executable, "-m", "headrace.cli", "predict", "--local", "--model_id", "echo", "hi"]
    for tenths in range(1, 16):
        with subprocess.Popen(
            argv, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            time.sleep(tenths / 10)
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the server gets it, too
            out, err = process.communicate(timeout=30)
        if "KeyboardInterrupt" in err and "headrace" not in err:
            continue  # Python itself was starting
        assert "Traceback" not in err, f"after {tenths / 10} s: {err}"
        assert (process.returncode, out, err) in (
            (130, "", ""),
            (130, "", "headrace: interrupted\n"),
            (-signal.SIGINT, "", ""),
            (-signal.SIGINT, "hi\n", ""),  # the interpreter was on its way out
            (130, "hi\n", "headrace: interrupted\n"),
            (0, "hi\n", ""),
        ), f"after {tenths / 10} s: {process.returncode} {err}"
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)
