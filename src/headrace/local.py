"""The embedded server as a child process on a private socket file, started and ended by the client."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from headrace.emitter import Emitter
from headrace.errors import ClosedError, ConfigError, ConnectFailed
from headrace.events import ServerLog
from headrace.support.extras import install
from headrace.target import Target

logger: logging.Logger = logging.getLogger("headrace.server")

USER_ID, APP_ID = "headrace", "local"  # where the built-in models live
START_SECONDS = 30.0
STOP_SECONDS = 3.0
SOCKET = "server.sock"
SOCKET_PATH_BYTES = 103  # the longest that every system accepts


class LocalServer:
    """One `python -m headrace.server` on a socket that only this user can reach (0600 in a 0700 folder).

    It ends when its standard input does, so it never outlives this process.

    Args:
        needed: calls go to it; False: a double or a tape answers them, and nothing is started.
    """

    user_id: str = USER_ID
    app_id: str = APP_ID

    def __init__(self, models: Sequence[str] | None, serve: Sequence[str], *, needed: bool = True) -> None:
        self._needed = needed
        self._folder = _private_folder()
        self.target: Target = Target.of_socket(self._folder / SOCKET)
        self._arguments = ["--unix", self.target.path, "--watch-stdin"]
        for name, value in (("models", models), ("serve", serve)):
            if isinstance(value, str):
                raise ConfigError(f"{name} must be a list, as in {name}=[{value!r}]")
        if models is not None:
            self._arguments += ["--models", ",".join(models)]
        self._arguments += list(serve)
        self._process: asyncio.subprocess.Process | None = None
        self._log: asyncio.Task[None] | None = None
        self._process_id = os.getpid()  # only this process: a forked child must not end the server
        self._last_lines: collections.deque[str] = collections.deque(maxlen=20)
        self._stopped = False

    @property
    def started(self) -> bool:
        """Whether calls can be made: the server is up, or none is needed."""
        return (self._process is not None or not self._needed) and not self._stopped

    @property
    def stopped(self) -> bool:
        """Whether it was ended: it is not started again."""
        return self._stopped

    @property
    def pid(self) -> int | None:
        """The child's process id, None before it starts."""
        return self._process.pid if self._process is not None else None

    async def start(self, emit: Emitter) -> None:
        """Start the server and wait until it listens; once.

        Raises:
            ConnectFailed: it ended, or said nothing for half a minute; the message has its last lines.
            ClosedError: it was stopped before.
        """
        if self._stopped:
            raise ClosedError("the client is closed")
        if self.started:
            return
        self._folder.mkdir(mode=0o700)
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # modules must not be imported from the current folder
                "-m",
                "headrace.server",
                *self._arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,  # the client handles an interrupt in the terminal
            )
            self._log = asyncio.get_running_loop().create_task(self._read_log(emit), name="headrace-server-log")
            await self._wait_until_ready()
        except BaseException:
            await asyncio.shield(asyncio.ensure_future(self.stop()))
            raise

    async def stop(self) -> None:
        """End the server: asked by closing its input, then by signals; removes its folder. Idempotent, time-boxed."""
        if self._stopped:
            return
        self._stopped = True
        if self._process_id != os.getpid():
            return
        process = self._process
        if process is not None:
            if process.stdin is not None:
                process.stdin.close()
            for signal in (None, process.terminate, process.kill):
                if signal is not None:
                    with contextlib.suppress(ProcessLookupError):
                        signal()
                try:
                    async with asyncio.timeout(STOP_SECONDS):
                        await process.wait()
                    break
                except TimeoutError:
                    continue
        if self._log is not None:
            await asyncio.wait([self._log], timeout=STOP_SECONDS)
            self._log.cancel()
        if process is not None and (transport := getattr(process, "_transport", None)) is not None:
            transport.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _wait_until_ready(self) -> None:
        process, log = self._process, self._log
        assert process is not None
        assert process.stdout is not None
        assert log is not None
        try:
            async with asyncio.timeout(START_SECONDS):
                line = await process.stdout.readline()
        except TimeoutError:
            raise self._failed(f"did not start to listen within {START_SECONDS:g} s") from None
        if not line.startswith(b"listening on "):
            await asyncio.wait([log], timeout=STOP_SECONDS)
            raise self._failed("ended while it started")

    def _failed(self, failure: str) -> ConnectFailed:
        lines = "\n".join(self._last_lines) or "it printed nothing"
        hint = ""
        if "No module named" in lines or " is not installed: pip install " in lines:
            hint = f" (the embedded server needs its extra: {install('local')})"
        return ConnectFailed(f"the embedded server {failure}{hint}:\n{lines}", target=str(self.target))

    async def _read_log(self, emit: Emitter) -> None:
        """Turn progress into events, and keep the last lines for an error."""
        assert self._process is not None
        assert self._process.stderr is not None
        while True:
            try:
                line = await self._process.stderr.readline()
            except ValueError:  # a line longer than the reader's limit
                continue
            if not line:
                return
            text = line.decode(errors="replace").rstrip()
            progress = _progress(text)
            if progress is not None:
                emit(progress)
            elif text:
                self._last_lines.append(text)
                logger.warning(
                    "%s", text.removeprefix("headrace: ")
                )  # it is silent normally: a user's model has failed, or the server


def _private_folder() -> Path:
    """Choose a new folder in which the path of a socket is short enough.

    Raises:
        ConfigError: no folder for temporary files can be written to.
    """
    name = f"headrace-{os.urandom(6).hex()}"
    try:
        places = [tempfile.gettempdir()]
    except OSError as error:
        raise ConfigError(f"Client.local() needs a folder for temporary files: {error}") from None
    for place in [*places, "/tmp", "/var/tmp"]:
        folder = Path(f"/{place.lstrip('/')}" if place.startswith("/") else place) / name
        if len(os.fsencode(folder / SOCKET)) <= SOCKET_PATH_BYTES and os.access(place, os.W_OK | os.X_OK):
            return folder
    raise ConfigError(f"the path of the folder for temporary files is too long for a socket file: {places[0]}")


def _progress(text: str) -> ServerLog | None:
    if not text.startswith("{"):
        return None
    try:
        fields = json.loads(text)
    except ValueError:
        return None
    if not isinstance(fields, dict) or fields.get("event") != "weights":
        return None
    return ServerLog(str(fields.get("name", "")), int(fields.get("done") or 0), int(fields.get("total") or 0))
