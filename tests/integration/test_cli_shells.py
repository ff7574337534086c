"""Completion in real shells: each loads the script as docs/cli.md says, and completes a name that is typed."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

REQUIRED = "shells" in os.environ.get("HEADRACE_REQUIRE", "").split(",")
TYPED, COMPLETED = "headrace predict --local detec", "detector"
SECONDS = 60.0  # each completion is a process of its own


def need(shell: str) -> str:
    path = shutil.which(shell)
    if path is None:
        if REQUIRED:
            pytest.fail(f"HEADRACE_REQUIRE wants the shells; {shell} is not installed")
        pytest.skip(f"{shell} is not installed")
    return path


@pytest.fixture
def environment(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """An empty home, and a `headrace` in PATH that is the one under test."""
    command = tmp_path / "bin" / "headrace"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m headrace.cli "$@"\n')
    command.chmod(0o755)
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    return {**environment, "PATH": path, "HOME": str(tmp_path), "ZDOTDIR": str(tmp_path), "TERM": "dumb"}


class Terminal:
    """A shell on a terminal of its own: keys go in, what it shows comes out."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def type(self, keys: str, until: str) -> None:
        """Type keys and wait until the shell has shown some words after them."""
        os.write(self.descriptor, keys.encode())
        shown, deadline = "", time.monotonic() + SECONDS
        while until not in shown:
            assert time.monotonic() < deadline, f"typed {keys!r}, the shell shows {shown!r}"
            if select.select([self.descriptor], [], [], 0.5)[0]:
                shown += os.read(self.descriptor, 65536).decode(errors="replace")


@contextmanager
def interactive(command: list[str], environment: dict[str, str], folder: Path) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=folder, start_new_session=True
        ) as process:
            try:
                yield Terminal(ours)
            finally:
                process.kill()
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize(("shell", "options"), [("bash", ["--norc", "-i"]), ("zsh", ["-f", "-i"])])
def test_a_name_is_completed_at_the_prompt(
    shell: str, options: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    with interactive([need(shell), *options], environment, tmp_path) as terminal:
        # The quotes keep the echo of what is typed apart from what the command prints.
        terminal.type(f'eval "$(headrace completion {shell})"; echo "loaded"-"$?"\n', until="loaded-0")
        terminal.type(f"{TYPED}\t", until=COMPLETED)


def test_fish_completes_a_name(environment: dict[str, str], tmp_path: Path) -> None:
    script = f'headrace completion fish | source; complete --do-complete "{TYPED}"'
    done = subprocess.run(
        [need("fish"), "--no-config", "--command", script],
        capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=SECONDS,
    )  # fmt: skip
    assert (done.stdout.split(), done.stderr) == ([COMPLETED], "")


def test_zsh_takes_the_script_as_a_file_in_fpath(environment: dict[str, str], tmp_path: Path) -> None:
    shell = need("zsh")
    script = subprocess.run(
        ["headrace", "completion", "zsh"], capture_output=True, text=True, env=environment, check=True, timeout=SECONDS
    ).stdout
    assert script.splitlines()[0] == "#compdef headrace"
    (tmp_path / "functions").mkdir()
    (tmp_path / "functions" / "_headrace").write_text(script)
    (tmp_path / ".zshrc").write_text(
        "fpath=(~/functions $fpath); autoload -Uz compinit && compinit -u; PROMPT='ready''-> '"
    )
    with interactive([shell, "-i"], environment, tmp_path) as terminal:
        terminal.type("\n", until="ready-> ")
        terminal.type(f"{TYPED}\t", until=COMPLETED)
