"""The command line, run as its users run it: in a process, a folder and an environment of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import CANARY, URL, Run
from tests.support.forkserver import ForkServer, serving


@pytest.fixture(scope="module")
def echo_server() -> Iterator[str]:
    """Give the address of a server with the echo model."""
    command = [sys.executable, "-m", "headrace.server", "--models", "echo", "--watch-stdin"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening on http://127.0.0.1:")
        yield line.removeprefix("listening on ").strip()
        assert process.stdin is not None
        process.stdin.close()
        process.wait(10)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Give an environment without any credential or context of whoever runs the tests."""
    theirs = ("CLARIFAI_", "HEADRACE_", "PYTHONUNBUFFERED")  # the last would hide a missing flush
    kept = {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
    cache = os.environ.get("HEADRACE_CACHE")
    return {
        **kept,
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "PYTHONIOENCODING": "utf-8",
        **({"HEADRACE_CACHE": cache} if cache else {}),
    }


@pytest.fixture(scope="session")
def forks() -> Iterator[ForkServer]:
    """Give a process that runs commands without importing the command line again."""
    with serving() as server:
        yield server


@pytest.fixture
def run(tmp_path: Path, environment: dict[str, str], forks: ForkServer) -> Run:
    """Give a function that runs `headrace ARGV` in a process and a folder of its own."""

    def headrace(*argv: str, input: str | bytes | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        done = forks.run(
            argv,
            stdin=input.encode() if isinstance(input, str) else input,
            environment={**environment, **env},
            folder=tmp_path,
            timeout=60,
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        assert "Traceback" not in err
        assert CANARY not in out + err
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    return headrace


@pytest.fixture
def run_here(
    tmp_path: Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Run]:
    """Give a function that runs `headrace ARGV` in this process: for what ends before a server is called."""
    from headrace.cli import main

    interrupts = signal.getsignal(signal.SIGINT)
    monkeypatch.chdir(tmp_path)

    def headrace(*argv: str, **env: str) -> subprocess.CompletedProcess[str]:
        with monkeypatch.context() as patch, open(os.devnull, encoding="utf-8") as nothing:
            patch.setattr("sys.stdin", nothing)
            for name, value in {**environment, **env}.items():
                patch.setenv(name, value)
            code = main(argv)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        assert CANARY not in out + err
        return subprocess.CompletedProcess(argv, code, out, err)

    yield headrace
    signal.signal(signal.SIGINT, interrupts)


@pytest.fixture
def echo(run: Run, echo_server: str) -> Run:
    """Give a function that runs a command against the echo model."""

    def headrace(command: str, *argv: str, **given: Any) -> subprocess.CompletedProcess[str]:
        return run(*command.split(), "--base_url", echo_server, "--model_url", URL, *argv, **given)

    return headrace
