"""The programs of docs/live-video.md run as they stand, a clip in place of the camera and of the reader's own files."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headrace import Client
from headrace.testing import ModelDouble
from tests.support import clips

TEXT = (Path(__file__).parents[2] / "docs/live-video.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def block(word: str) -> str:
    (found,) = [text for text in BLOCKS if word in text]
    return str(found)


@pytest.mark.models
def test_the_first_program(tmp_path: Path) -> None:
    clips.steady(tmp_path / "clip.mp4", 0.3)
    program = block("camera(0)").replace("import camera", "import video").replace("camera(0)", 'video("clip.mp4")')
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 9
    assert "'cup'" in done.stdout


async def test_the_sinks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    clips.steady(tmp_path / "clip.mp4", 0.3)
    body = "".join(f"    {line}\n" for line in block("VideoSink(").splitlines() if "import" not in line)
    async with Client(transport=ModelDouble(lambda item: [("cup", 0.9)])) as client:
        names: dict[str, Any] = {"model": client.model("u/a/models/m")}
        exec("from headrace.sinks import *\nfrom headrace.sources import video\nasync def run():\n" + body, names)
        await names["run"]()
    assert (tmp_path / "out.mp4").stat().st_size > 1000


def test_the_sources_are_made_as_written(tmp_path: Path) -> None:
    names: dict[str, Any] = {"urls": ["https://example.com/a.jpg"], "generator": list, "one": None, "another": None}
    text = block("from_csv(").replace("merge(one, another)", "merge(from_bytes([]), from_bytes([]))")
    asyncio.run(_run(text, names))


async def _run(text: str, names: dict[str, Any]) -> None:
    exec(text, names)
