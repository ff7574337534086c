"""Embedded servers as child processes, for tests of any kind: with or without asyncio."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import headrace
from headrace.local import APP_ID, USER_ID

START_SECONDS = 60.0
STOP_SECONDS = 5.0
LISTENING = "listening on "


class Server:
    """An embedded server that listens on a port of this machine.

    Attributes:
        base_url: its address, for `Client(base_url=...)`.
        user_id: whose its models are; `app_id`: in which app.
    """

    user_id: str = USER_ID
    app_id: str = APP_ID

    def __init__(self, models: tuple[str, ...], serve: tuple[str, ...], faults: str, folder: Path) -> None:
        arguments = ["--port", "0", "--watch-stdin", "--models", ",".join(models) or "none"]
        if faults:
            script = folder / "faults.toml"
            script.write_text(faults, encoding="utf-8")
            arguments += ["--faults", str(script)]
        self._log = folder / "server.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "headrace.server", *arguments, "--", *serve],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # an interrupt in the terminal is pytest's to handle
            )
        self.base_url: str = ""
        try:
            self.base_url = self._wait()
        except BaseException:
            self.stop()
            raise

    def __repr__(self) -> str:
        return f"<headrace server on {self.base_url}>"

    def client(self, **options: Any) -> headrace.Client:
        """Make a client of it, which is yours to close; options are those of `headrace.Client`."""
        return headrace.Client(base_url=self.base_url, **options)

    def model_url(self, model_id: str = "echo") -> str:
        """Give the name of one of its models, for `client.model(...)`."""
        return f"{self.user_id}/{self.app_id}/models/{model_id}"

    @property
    def log(self) -> str:
        """What it wrote to its standard error."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        """End it: asked by closing its input, then by signals."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        for end in (None, process.terminate, process.kill):
            if end is not None:
                end()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
                break
        process.stdout.close()

    def _wait(self) -> str:
        """Wait until it listens, and give its address."""
        assert self._process.stdout is not None
        late = threading.Timer(START_SECONDS, self._process.kill)
        late.daemon = True
        late.start()
        try:
            line = self._process.stdout.readline().decode(errors="replace").strip()
        finally:
            late.cancel()
            late.join()
        if not line.startswith(LISTENING):
            pytest.fail(f"headrace's server did not start:\n{self.log or 'it printed nothing'}", pytrace=False)
        return re.sub(r"\s.*", "", line.removeprefix(LISTENING))


class Servers:
    """The servers of a session: one for each set of models, started when a test first needs it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self._shared: dict[tuple[tuple[str, ...], tuple[str, ...]], Server] = {}

    @contextlib.contextmanager
    def lent(self, models: tuple[str, ...], serve: tuple[str, ...], faults: str) -> Iterator[Server]:
        """Give a server; one with faults, which count calls, is for one test."""
        if faults:
            server = self._start(models, serve, faults)
            try:
                yield server
            finally:
                server.stop()
            return
        key = (models, serve)
        if key not in self._shared:
            self._shared[key] = self._start(models, serve, "")
        yield self._shared[key]

    def close(self) -> None:
        """End all."""
        for server in self._shared.values():
            server.stop()
        self._shared.clear()

    def _start(self, models: tuple[str, ...], serve: tuple[str, ...], faults: str) -> Server:
        self._count += 1
        folder = self._folder / str(self._count)
        folder.mkdir()
        return Server(models, serve, faults, folder)
