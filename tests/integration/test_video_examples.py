"""The examples of live video, run as their users run them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import av
import httpx
import pytest

from tests.support import clips
from tests.support.cameras import Camera, RtspCamera

pytestmark = pytest.mark.models
EXAMPLES = Path(__file__).parents[2] / "examples"


@contextlib.asynccontextmanager
async def running(name: str, *argv: str, cwd: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("CLARIFAI_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-u",
        str(EXAMPLES / f"{name}.py"),
        *argv,
        cwd=cwd,
        env={**kept, "XDG_CONFIG_HOME": str(cwd / "config"), "PYTHONIOENCODING": "utf-8"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.communicate()


async def ran(name: str, *argv: str, cwd: Path) -> str:
    """Run an example to its end and give what it printed."""
    async with running(name, *argv, cwd=cwd) as process, asyncio.timeout(90):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert "Traceback" not in err.decode()
    return out.decode()


async def test_webcam(tmp_path: Path) -> None:
    clip = clips.steady(tmp_path / "clip.mp4", 4)
    out = await ran("webcam", "--camera", str(clip.path), "--save", "out.mp4", cwd=tmp_path)
    assert "cup #1" in out
    answers = int(out.split(" answers")[0].split()[-1])
    assert answers > 3
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream: Any = container.streams.video[0]
        assert sum(1 for _ in container.decode(stream)) == answers


async def test_three_cameras_one_of_which_goes_away(tmp_path: Path) -> None:
    async with Camera(15) as hall, RtspCamera(15) as door, Camera(15) as yard:
        urls = (hall.url, door.url, yard.url)
        lines: list[str] = []
        async with running("three_cameras", *urls, "--seconds", "8", cwd=tmp_path) as process, asyncio.timeout(60):
            assert process.stdout is not None
            async for line in process.stdout:
                lines.append(line.decode())
                if line.startswith(b"camera 2: a cup") and yard.up:
                    await yard.unplug()
            assert await process.wait() == 0
    out = "".join(lines)
    assert "time is up" in out
    last = {line.split(":")[0]: line for line in out.splitlines() if "fps in" in line}
    assert set(last) == {"camera 0", "camera 1", "camera 2"}
    for number in (0, 1):
        assert f"camera {number}: a cup" in out
    assert "reconnects" in last["camera 2"]
    assert "hunter2" not in out


async def test_http_endpoint(tmp_path: Path) -> None:
    clip = clips.steady(tmp_path / "clip.mp4", 4)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/detect"
    async with running("http_endpoint", "--port", str(port), cwd=tmp_path) as process, httpx.AsyncClient() as http:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            await process.stdout.readuntil(b"Running on")
        async with http.stream("POST", url, params={"fps": 5}, content=clip.path.read_bytes(), timeout=60) as answer:
            assert answer.status_code == 200
            lines = [json.loads(line) async for line in answer.aiter_lines()]
        assert [line["time"] for line in lines] == [round(n / 5, 6) for n in range(20)]
        assert all("cup" in json.dumps(line["outputs"]) for line in lines)
        # Somebody who leaves in the middle hurts nobody.
        async with http.stream("POST", url, params={"fps": 30}, content=clip.path.read_bytes(), timeout=60) as answer:
            async for _ in answer.aiter_lines():
                break
        bad = await http.post(url, content=b"no video")
        assert (bad.status_code, "cannot be opened" in bad.json()["error"]) == (400, True)
        assert (await http.post(url, params={"fps": "many"}, content=b"x")).status_code == 400
        good = await http.post(url, params={"fps": 1}, content=clip.path.read_bytes(), timeout=60)
        assert len(good.text.splitlines()) == 4
