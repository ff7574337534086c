"""LangChain's own test suite passes; it brings plugins for pytest, so it runs in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pages import ROOT

HERE = Path(__file__).parent
MODELS = ("parrot.py:Parrot", "parrot.py:OtherParrot", "door.py:Talker", "door.py:Lengths")
#: What the suite skips: where a feature is asked about that models do not have here, and what needs recordings.
MAX_SKIPPED = 45


@pytest.mark.timeout(600)  # on a busy machine
@pytest.mark.skipif(importlib.util.find_spec("langchain_tests") is None, reason="langchain-tests is not installed")
def test_the_standard_suite_passes(tmp_path: Path) -> None:
    settings = tmp_path / "pytest.ini"
    settings.write_text("[pytest]\nasyncio_mode = auto\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LANGSMITH_TRACING": "false"}
    serve = [sys.executable, "-m", "headrace.server", "--watch-stdin", "--models", "echo"]
    with subprocess.Popen(
        [*serve, *(str(ROOT / "tests" / "support" / model) for model in MODELS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        environment["STANDARD_BASE_URL"] = server.stdout.readline().removeprefix("listening on ").strip()
        options = ["--noconftest", "-c", str(settings), "--rootdir", str(ROOT), "-q", "-p", "no:cacheprovider"]
        command = [sys.executable, "-m", "pytest", *options, "--benchmark-disable", str(HERE / "langchain_standard.py")]
        run = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=550, check=False
        )
        server.stdin.close()
    assert run.returncode == 0, run.stdout[-20_000:]
    counts = {word: int(count) for count, word in re.findall(r"(\d+) (passed|skipped)", run.stdout.splitlines()[-1])}
    assert counts["passed"] > 130
    assert counts["skipped"] <= MAX_SKIPPED
