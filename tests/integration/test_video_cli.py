"""`headrace stream --video` as its users meet it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import pytest

from tests.support import clips
from tests.support.cameras import Camera


def headrace(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CLARIFAI_")}
    done = subprocess.run(
        [sys.executable, "-m", "headrace.cli", "stream", *argv],
        capture_output=True,
        encoding="utf-8",
        cwd=folder,
        env={**kept, "XDG_CONFIG_HOME": str(folder / "config"), "PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.DEVNULL,
        timeout=100,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.models
def test_a_video_is_annotated_counted_and_captioned(tmp_path: Path) -> None:
    clips.steady(tmp_path / "clip.mp4", 1)
    asked = "--video clip.mp4 --fps 5 --draw out.mp4 --captions out.vtt --track --meter -o jsonl"
    done = headrace(tmp_path, "--local", *asked.split())
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["time"] for line in lines] == [0.0, 0.2, 0.4, 0.6, 0.8]
    cups = [line for line in lines if "cup" in json.dumps(line["outputs"])]  # the small model misses it at times
    assert len(cups) >= 2
    assert all(line["tracks"] for line in cups)
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream: Any = container.streams.video[0]
        assert [round(frame.time, 3) for frame in container.decode(stream)] == [0.0, 0.2, 0.4, 0.6, 0.8]
    assert "cup" in (tmp_path / "out.vtt").read_text()
    assert "using detector" in done.stderr
    assert "5 frames: 5 answers, in " in done.stderr
    assert "fps in" in done.stderr
    again = headrace(tmp_path, *["--local", "--video", "clip.mp4", "--draw", "out.mp4"])
    assert (again.returncode, again.stdout) == (2, "")
    assert "out.mp4 already exists; --force" in again.stderr


@pytest.mark.models
def test_pictures_of_frames(tmp_path: Path) -> None:
    clips.steady(tmp_path / "clip.mp4", 1)
    done = headrace(tmp_path, *["--local", "--video", "clip.mp4", "--fps", "2", "--save", "out", "--draw"])
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["000000.jpg", "000001.jpg"]
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["0.000", "0.500"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--video nope.mp4", "missing file: nope.mp4"),
        ("--video clip.mp4 --draw", "--draw takes the video to write"),
        ("--video clip.mp4 --draw clip.mp4 --force", "is the video that is read"),
        ("--video clip.mp4 detector photo.jpg", "give no others"),
        ("--video clip.mp4 --video clip.mp4 --draw out.mp4", "need exactly one video"),
        ("--camera 0 -o json", "use -o jsonl"),
        ("--camera clip.mp4", "is not a camera or address"),
        ("--video clip.mp4 --fps 0", "is not in the range"),
    ],
)
def test_wrong_usage(tmp_path: Path, argv: str, message: str) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"x")
    done = headrace(tmp_path, "--local", *argv.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_no_such_camera(tmp_path: Path) -> None:
    done = headrace(tmp_path, *["--local", "--camera", "97"])
    assert done.returncode == 1
    assert "no such camera: /dev/video97" in done.stderr


@pytest.mark.models
async def test_ctrl_c_completes_the_video_of_a_camera(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CLARIFAI_")}
    async with Camera(15) as served:
        asked = f"stream --local --camera {served.url} --draw out.mp4 --resize 320".split()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "headrace.cli", *asked),
            cwd=tmp_path,
            env={**kept, "XDG_CONFIG_HOME": str(tmp_path / "config"), "PYTHONIOENCODING": "utf-8"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        async with asyncio.timeout(60):
            lines = [await process.stdout.readline() for _ in range(10)]
            process.send_signal(signal.SIGINT)
            out, err = await process.communicate()
    assert process.returncode == 130, err.decode()
    assert all(b"\t" in line for line in lines)
    assert "interrupted" in err.decode()
    assert "answers" in err.decode()
    assert "Traceback" not in err.decode()
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream: Any = container.streams.video[0]
        shown = [frame.width for frame in container.decode(stream)]
    assert set(shown) == {320}
    assert len(shown) >= 10 + len(out.splitlines())
