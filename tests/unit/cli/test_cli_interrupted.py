"""Ctrl-C before anything has begun: quiet, with the shell's own code."""

from __future__ import annotations

import subprocess
import sys

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
