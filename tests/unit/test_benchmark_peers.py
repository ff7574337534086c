"""The clients that the benchmarks compare with: their list, and the canned server of chat completions."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import peers
from benchmarks.peers import install, sse_server
from benchmarks.peers.__main__ import main
from benchmarks.protocol import SHAPES
from benchmarks.server import ROOT


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "headrace-bench" / "peers"


def whole(name: str) -> None:
    """Leave what a finished installation leaves."""
    install.python(name).parent.mkdir(parents=True)
    install.python(name).touch()
    install._marker(name).write_text(install._wanted(name))


def test_nothing_is_there_before_it_is_installed(cache: Path) -> None:
    assert peers.available() == {}
    missing = peers.missing()
    assert missing["sdk-threads"] == "python -m benchmarks.peers install sdk"
    assert {command.split()[-1] for command in missing.values()} == set(install.names())


def test_a_whole_environment_gives_its_peers(cache: Path) -> None:
    for name in install.names():
        whole(name)
    assert peers.missing() == {}
    found = peers.available()
    assert found["tritonclient"].python == cache / "tritonclient" / "bin" / "python"
    for peer in found.values():
        assert set(peer.shapes) <= set(SHAPES)
        assert (ROOT / f"{peer.module.replace('.', '/')}.py").exists()


def test_changed_requirements_make_an_environment_missing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole("grpclib")
    assert "grpclib" in peers.available()
    monkeypatch.setattr(install, "_lines", lambda _name: ["grpclib==0.0.1"])
    assert "grpclib" not in peers.available()


def test_installing_what_is_unknown_is_an_error(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install", "nobody"]) == 1
    assert "there is no peer nobody; there are connect, grpclib, openai, sdk, tritonclient" in capsys.readouterr().err


def test_a_failed_installation_says_why_and_is_not_taken_for_whole(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "executable", str(cache / "no-python"))
    assert main(["install", "openai"]) == 1
    assert "no-python -m venv" in capsys.readouterr().err
    assert not install.installed("openai")


def ask(**body: Any) -> bytes:
    """Make a request."""
    content = json.dumps({"model": "m", "messages": [], **body}).encode()
    return b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content)


async def headers(reader: asyncio.StreamReader) -> dict[str, str]:
    """Read the head of a response that must be good."""
    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    found = {}
    while (line := (await reader.readline()).decode().strip()) != "":
        name, _, value = line.partition(": ")
        found[name] = value
    return found


async def chunks(reader: asyncio.StreamReader) -> list[bytes]:
    """Read a body in chunked encoding."""
    found = []
    while length := int(await reader.readline(), 16):
        found.append(await reader.readexactly(length))
        assert await reader.readline() == b"\r\n"
    assert await reader.readline() == b"\r\n"
    return found


def contents(body: list[bytes]) -> Iterator[str]:
    """Read the tokens of server-sent events."""
    for event in body:
        data = event.decode().removeprefix("data: ").removesuffix("\n\n")
        if data != "[DONE]":
            yield json.loads(data)["choices"][0]["delta"].get("content", "")


@pytest.mark.parametrize("interval", [0.0, 0.001], ids=["burst", "paced"])
async def test_the_server_answers_streams_and_calls_on_one_connection(interval: float) -> None:
    server = await sse_server.start(3, interval)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        async with asyncio.timeout(10):
            stream, call = ask(stream=True), ask()
            writer.write(stream + stream + call[:-10])  # of the call only a part, while the streams are answered
            for _ in range(2):
                assert (await headers(reader))["transfer-encoding"] == "chunked"
                body = await chunks(reader)
                assert [*contents(body)] == ["", "word ", "word ", "word ", ""]
                assert body[-1] == b"data: [DONE]\n\n"
            writer.write(call[-10:])
            length = int((await headers(reader))["content-length"])
            completion = json.loads(await reader.readexactly(length))
            assert completion["choices"][0]["message"]["content"] == "five words that answer it"
    finally:
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
