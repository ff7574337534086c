"""The embedded server as a child: started once, told what it says, ended for good, and explained when it fails."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace import Client, blocking, local
from headrace.emitter import Emitter
from headrace.errors import ClosedError, ConnectFailed
from headrace.events import Event, ServerLog
from headrace.local import LocalServer
from headrace.testing import ModelDouble, Tape

Child = Callable[[str], LocalServer]


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Child:
    """Give a function that makes the child process a script of ours, in a folder of the test."""
    monkeypatch.setattr(local.tempfile, "gettempdir", lambda: str(tmp_path))  # type: ignore[attr-defined]

    def make(script: str) -> LocalServer:
        command = tmp_path / "python"
        command.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{script}' \"$@\"\n")
        command.chmod(0o700)
        monkeypatch.setattr(local.sys, "executable", str(command))  # type: ignore[attr-defined]
        return LocalServer(["echo"], ["m.py:Class"])

    return make


READY = 'import sys; print("listening on x", flush=True); '
WAIT = "sys.stdin.read()"


async def test_it_waits_until_the_server_listens_and_ends_it(child: Child, tmp_path: Path) -> None:
    server = child(READY + WAIT)
    assert not server.started
    first_pid = server.pid
    assert first_pid is None
    await server.start(Emitter())
    await server.start(Emitter())  # once
    assert server.started
    folder = Path(server.target.path).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert server.pid is not None
    os.kill(server.pid, 0)
    await server.stop()
    await server.stop()
    assert not server.started
    assert not folder.exists()
    with pytest.raises(ClosedError):
        await server.start(Emitter())


async def test_it_learns_what_to_serve_and_ends_with_us(child: Child, tmp_path: Path) -> None:
    told = tmp_path / "arguments"
    server = child(READY + f'open("{told}", "w").write(" ".join(sys.argv[1:])); ' + WAIT)
    await server.start(Emitter())
    await server.stop()
    arguments = told.read_text()
    assert arguments.startswith(f"-P -m headrace.server --unix {server.target.path} --watch-stdin")
    assert arguments.endswith("--models echo m.py:Class")


@pytest.mark.parametrize(
    ("script", "named"),
    [
        ('import sys; sys.exit("no such model")', "ended while it started:\nno such model"),
        ('import sys; sys.exit("No module named x")', r"pip install '\S*\[local\]'"),
        ("pass", "it printed nothing"),
        ('import sys; print("hello"); sys.stderr.write("odd"); sys.exit(3)', "odd"),
    ],
)
async def test_a_server_that_does_not_start_is_explained(child: Child, script: str, named: str) -> None:
    server = child(script)
    with pytest.raises(ConnectFailed, match=named):
        await server.start(Emitter())
    assert not Path(server.target.path).parent.exists()


async def test_one_that_says_nothing_is_given_up(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "START_SECONDS", 0.3)
    server = child("import time; time.sleep(60)")
    monkeypatch.setattr(local, "STOP_SECONDS", 0.1)
    with pytest.raises(ConnectFailed, match=r"within 0\.3 s"):
        await server.start(Emitter())


async def test_one_that_does_not_end_is_killed(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "STOP_SECONDS", 0.2)
    server = child("import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + READY + "time.sleep(60)")
    await server.start(Emitter())
    pid = server.pid
    assert pid is not None
    await server.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_start_that_is_cancelled_leaves_no_process(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "STOP_SECONDS", 0.2)
    server = child("import time; time.sleep(60)")
    task = asyncio.create_task(server.start(Emitter()))
    while (pid := server.pid) is None:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_progress_becomes_events(child: Child) -> None:
    got: list[Event] = []
    lines = (
        'sys.stderr.write("{\\"event\\": \\"weights\\", \\"name\\": \\"w\\", \\"done\\": 5, \\"total\\": 9}\\n'
        '{not json\\n[1]\\n{\\"event\\": \\"other\\"}\\nplain\\n"); sys.stderr.flush(); '
    )
    server = child("import sys; " + lines + 'print("listening on x", flush=True); ' + WAIT)
    await server.start(Emitter(got.append))
    await server.stop()
    assert got == [ServerLog("w", 5, 9)]


async def test_a_tape_records_the_embedded_server_and_is_replayed_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "echo.jsonl"

    async def texts(**options: Any) -> list[str]:
        async with Client.local(["echo"], transport=Tape(path, **options)) as client:
            model = client.model(model_id="echo")
            streamed = [p.text async for p in model.stream(["a", "b"], "text")]
            return [(await model.predict("one", "text")).text, *streamed]

    recorded = await texts(mode="record")
    assert len(recorded) == 3
    monkeypatch.setattr(local.sys, "executable", "/nowhere/python")  # type: ignore[attr-defined]
    assert await texts() == recorded
    with pytest.raises(OSError, match="nowhere"):
        await texts(mode="record")


async def test_a_double_in_place_of_the_embedded_server_starts_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local.sys, "executable", "/nowhere/python")  # type: ignore[attr-defined]
    double = ModelDouble(lambda item: item.text.upper())
    async with Client.local(transport=double) as client:
        assert (await client.model(model_id="echo").predict("one", "text")).text == "ONE"
    with pytest.raises(ClosedError, match="embedded server ended"):
        await client.model(model_id="echo").predict("one", "text")


def test_the_blocking_client_takes_a_transport_too() -> None:
    double = ModelDouble(lambda item: item.text.upper())
    with blocking.Client.local(transport=double) as client:
        assert client.model(model_id="echo").predict("one", "text").text == "ONE"
