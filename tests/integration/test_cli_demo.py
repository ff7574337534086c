"""The demo, run as its users run it, on real models."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.weights import need

LLM = "smollm2-135m-instruct"


def run(*argv: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", **env}
    done = subprocess.run(
        [sys.executable, *argv],
        capture_output=True,
        encoding="utf-8",
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        timeout=110,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.models
def test_demo(tmp_path: Path) -> None:
    need(LLM, "whisper-tiny-en", "minilm-l6-v2", "minilm-l6-v2-tokenizer")
    done = run("-m", "headrace.cli", "demo", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout  # plain where nobody looks
    for expected in (
        "tiger cat",
        r"person\t0\.\d+",
        "2 espresso",
        "Mr. John Dashwood had then leisure",
        r"0\.\d+  Simmer the soup.*\n +-?0\.",
        "positive",
        "negative",
        r"\d+ pieces, \d+ a second; the first after",
        r"photographer\.jpg +tripod",
        r"4 answers in .*; the first after .*, with [1-4] of 4 sent",
        "headrace predict --local YOUR-PHOTO.jpg",
    ):
        assert re.search(expected, done.stdout), expected
    picture = tmp_path / "headrace-demo" / "photographer-boxes.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["headrace-demo"]
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_demo_shows_first_what_needs_no_weights(tmp_path: Path) -> None:
    done = run("-m", "headrace.cli", "demo", cwd=tmp_path, HEADRACE_CACHE=str(tmp_path / "cache"), PIP_NO_INDEX="1")
    assert done.returncode == 1
    before, announced, after = done.stdout.partition("The rest needs 185 MB of weights")
    assert announced
    for result in ("tiger cat", r"person\t0\.\d+", "2 espresso", "positive", "4 answers in .*; the first after"):
        assert re.search(result, before), result
    assert "Simmer the soup" not in after
    failures = [text for text in done.stderr.splitlines() if "fetching" not in text]
    for name, failure in zip(("minilm-l6-v2", "whisper-tiny-en", LLM), failures, strict=True):
        assert re.fullmatch(
            rf"headrace: model {name} cannot be loaded: the weights of '{name}' .* With a network, run: "
            rf"headrace models pull {name}",
            failure,
        ), failure
