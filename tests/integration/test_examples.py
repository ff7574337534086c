"""The examples, run as their users run them: what they print, and one line for each failure to be expected."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import av
import httpx
import pytest

import headrace
from tests.support import clips
from tests.support.cameras import Camera, RtspCamera
from tests.support.weights import need

pytestmark = pytest.mark.models
FRAMEWORKS = {
    "http_endpoint": "aiohttp",
    "tokens_aiohttp": "aiohttp",
    "tokens_fastapi": "fastapi uvicorn",
    "tokens_websocket": "starlette uvicorn websockets",
}
EXAMPLES = Path(__file__).parents[2] / "examples"


@contextlib.asynccontextmanager
async def running(name: str, *argv: str, cwd: Path, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("CLARIFAI_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-u",
        str(EXAMPLES / f"{name}.py"),
        *argv,
        cwd=cwd,
        env={**kept, "XDG_CONFIG_HOME": str(cwd / "config"), "PYTHONIOENCODING": "utf-8", **environment},
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


def samples() -> Path:
    return Path(headrace.__file__).parent / "data" / "samples"


async def test_predict(tmp_path: Path) -> None:
    out = await ran("predict", str(samples() / "photos" / "cat.jpg"), cwd=tmp_path)
    assert "tiger cat" in out.splitlines()[0]
    assert len(out.splitlines()) == 5


async def test_generate(tmp_path: Path) -> None:
    need("smollm2-135m-instruct")
    assert "Paris" in await ran("generate", "What is the capital of France?", cwd=tmp_path)


async def test_stream(tmp_path: Path) -> None:
    photos = [str(samples() / "photos" / name) for name in ("cat.jpg", "coffee.jpg")]
    out = await ran("stream", photos[0], "nope.jpg", photos[1], cwd=tmp_path)
    first, second, third, last = out.splitlines()
    assert f"{photos[0]}: tiger cat" in first
    assert second.startswith("nope.jpg: ")
    assert f"{photos[1]}: espresso" in third
    assert re.fullmatch(r"2 answers, at most [1-3] in flight", last)


@pytest.mark.parametrize(
    ("name", "extras"),
    [
        *((path.stem, "local") for path in sorted(EXAMPLES.glob("*.py"))),
        *((name, "all") for name in FRAMEWORKS),  # what runs without an extra runs with it
    ],
)
async def test_each_says_how_it_is_used_with_the_local_extra_alone(name: str, extras: str, tmp_path: Path) -> None:
    """Extra `local` has no SciPy and no web framework: what needs them says so in one line."""
    if extras == "local":
        for package in ("scipy", "aiohttp", "fastapi", "starlette", "uvicorn"):
            (tmp_path / f"{package}.py").write_text("raise ImportError")
    async with running(name, "--help", cwd=tmp_path, PYTHONPATH=str(tmp_path)) as process:
        out, err = await process.communicate()
    if name in FRAMEWORKS and extras == "local":
        needed = FRAMEWORKS[name]
        assert (process.returncode, err.decode()) == (1, f"this example needs {needed}: pip install {needed}\n")
    else:
        assert (process.returncode, err) == (0, b"")
        assert out.startswith(b"usage: ")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["predict", "nope.jpg"], "cannot read nope.jpg"),
        (["generate", "Hi", "--model", "https://clarifai.com/a/b/models/c"], "no credential"),
        (["generate", "Hi", "--model", "nonsense"], "nonsense"),
        (["stream", "nope.jpg", "--model", "https://clarifai.com/a/b/models/c"], "no credential"),
        (["webcam", "--camera", "77"], "no such camera: /dev/video77"),
        (["webcam", "--camera", "http://127.0.0.1:1/live.ts"], "Connection refused"),
        (["three_cameras", "nonsense"], "nonsense is not a camera or address"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
async def test_a_failure_to_be_expected_is_one_line(command: list[str], message: str, tmp_path: Path) -> None:
    async with running(*command, cwd=tmp_path) as process, asyncio.timeout(60):
        _, err = await process.communicate()
    assert process.returncode == 1
    assert err.decode().startswith(f"{command[0]}.py: ")
    assert message in err.decode()
    assert err.count(b"\n") == 1, err.decode()


async def test_webcam(tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    clip = clips.steady(tmp_path / "clip.mp4", 4)
    out = await ran("webcam", "--camera", str(clip.path), "--save", "out.mp4", "--track", cwd=tmp_path)
    assert "cup #1" in out
    answers = int(out.split(" answers")[0].split()[-1])
    assert answers > 3
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream: Any = container.streams.video[0]
        assert sum(1 for _ in container.decode(stream)) == answers


@pytest.mark.timeout(200)
async def test_three_cameras_one_of_which_goes_away(tmp_path: Path) -> None:
    for seconds in ("6", "60"):  # a busy machine needs longer to load the model and to see something
        out = await seen_by_three_cameras(seconds, tmp_path)
        assert "time is up" in out
        assert "hunter2" not in out
        last = {line.split(":")[0]: line for line in out.splitlines() if "fps in" in line}
        if all(f"camera {number}: a cup" in out for number in range(3)) and "reconnects" in last["camera 2"]:
            break
    assert set(last) == {"camera 0", "camera 1", "camera 2"}
    for number in range(3):
        assert f"camera {number}: a cup" in out
    assert "reconnects" in last["camera 2"]


async def seen_by_three_cameras(seconds: str, tmp_path: Path) -> str:
    """Run the example, take the third camera away once something was seen there, and give what was printed."""
    lines: list[str] = []
    # Five frames a second, so that a detector on a busy machine keeps up with three cameras.
    async with Camera(5) as hall, RtspCamera(5) as door, Camera(5) as yard:
        urls = (hall.url, door.url, yard.url)
        async with running("three_cameras", *urls, "--seconds", seconds, cwd=tmp_path) as process, asyncio.timeout(90):
            assert process.stdout is not None
            async for line in process.stdout:
                lines.append(line.decode())
                if line.startswith(b"camera 2: a cup") and yard.up:
                    await yard.unplug()
            assert await process.wait() == 0
    return "".join(lines)


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
        assert bad.status_code == 400
        assert bad.json() == {"error": "the video: cannot be opened: Invalid data found when processing input"}
        assert (await http.post(url, params={"fps": "many"}, content=b"x")).status_code == 400
        good = await http.post(url, params={"fps": 1}, content=clip.path.read_bytes(), timeout=60)
        assert len(good.text.splitlines()) == 4


@pytest.mark.parametrize("name", ["tokens_aiohttp", "tokens_fastapi", "tokens_websocket"])
async def test_tokens_in_a_browser(name: str, tmp_path: Path) -> None:
    need("smollm2-135m-instruct")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    question = "What colour is grass? One word."  # to others it may give 256 tokens
    async with running(name, "--port", str(port), cwd=tmp_path) as process, aiohttp.ClientSession() as session:
        async with asyncio.timeout(60):
            pieces: list[str] = []
            if name == "tokens_websocket":
                async with await _connected(session.ws_connect, f"http://127.0.0.1:{port}/chat") as ws:
                    for _ in range(2):  # one question after the other
                        await ws.send_str(question)
                        while "done" not in (message := await ws.receive_json()):
                            pieces.append(message["text"])
            else:
                url = f"http://127.0.0.1:{port}/ask"
                async with await _connected(session.get, url, params={"question": question}) as answer:
                    *events, done = (await answer.text()).strip().split("\n\n")
                assert done.startswith("event: done\n")
                pieces = [json.loads(event.removeprefix("data: "))["text"] for event in events]
        assert len(pieces) > 3  # what a small model says differs from time to time
        assert any(piece.strip() for piece in pieces)
        assert process.returncode is None


async def _connected(connect: Any, url: str, **options: Any) -> Any:
    """Call until somebody listens."""
    while True:
        try:
            return await connect(url, **options)
        except aiohttp.ClientConnectorError:
            await asyncio.sleep(0.05)
