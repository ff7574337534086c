"""The command line, started with closed standard streams, as cron jobs and daemons do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CLOSED = {"<&-": "stdin", ">&-": "stdout", "2>&-": "stderr"}
CASES = [((one,), "1") for one in CLOSED] + [(tuple(CLOSED), "1"), (tuple(CLOSED), "0")]


@pytest.mark.parametrize(("closed", "uvloop"), CASES)
def test_closed_streams_change_nothing_but_what_is_seen(
    tmp_path: Path, environment: dict[str, str], closed: tuple[str, ...], uvloop: str
) -> None:
    command = f'"{sys.executable}" -m headrace.cli predict --local --model_id echo hi --save out {" ".join(closed)}'
    done = subprocess.run(
        command,
        shell=True,
        cwd=tmp_path,
        env={**environment, "HEADRACE_UVLOOP": uvloop},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ("" if ">&-" in closed else "hi\n")
    assert (tmp_path / "out" / "text-1.txt").read_text() == "hi"


def test_what_is_read_from_a_closed_stdin_is_nothing(tmp_path: Path, environment: dict[str, str]) -> None:
    command = f'"{sys.executable}" -m headrace.cli stream --local --model_id echo - <&-'
    done = subprocess.run(
        command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "") or (done.returncode == 2 and "no input" in done.stderr)
