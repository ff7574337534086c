"""Starting servers and proxies as processes of their own, and ending them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.stacks import install

SERVERS = Path(__file__).parent / "servers"
SECONDS = 30.0  # for a start, and for an end


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@dataclass
class Running:
    """A process that listens on `port`."""

    process: subprocess.Popen[str]
    port: int

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def terminate(self) -> None:
        """Ask it to end."""
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it, and the processes it has made, as a crash would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(SECONDS)

    async def refuses(self) -> None:
        """Wait until it listens no more, so that another one can."""
        async with asyncio.timeout(SECONDS):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except ConnectionRefusedError:
                    return
                except ConnectionResetError:
                    pass  # it stopped listening before it had accepted this one
                else:
                    writer.transport.abort()
                await asyncio.sleep(0.02)

    async def ended(self) -> None:
        """Wait until it has ended."""
        async with asyncio.timeout(SECONDS):
            while self.process.poll() is None:
                await asyncio.sleep(0.02)


@contextlib.contextmanager
def running(
    command: list[str | Path], port: int, *, env: dict[str, str] | None = None, log: Path | None = None
) -> Iterator[Running]:
    """Run a program that listens on a port, until the block ends; its output goes to `log`."""
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("a")) if log is not None else subprocess.DEVNULL
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            text=True,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
        try:
            _wait_for(process, port, log)
            yield Running(process, port)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            Running(process, port).kill()


def _wait_for(process: subprocess.Popen[str], port: int, log: Path | None) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError(f"{process.args!r} does not listen: {log.read_text()[-2000:] if log is not None else ''}")


@dataclass(frozen=True)
class Stack:
    """A server of the echo service.

    Attributes:
        command: gives the command that serves on a port.
        env: gives what its environment has besides.
        echo_only: it answers every method with what came, and knows no commands.
        drains: SIGTERM lets the calls that run end.
        sees_cancels: a handler hears that its call was cancelled.
        at_once: calls that it serves at once.
    """

    command: Callable[[int], list[str | Path]]
    env: Callable[[], dict[str, str]] = dict
    echo_only: bool = False
    drains: bool = False
    sees_cancels: bool = True
    at_once: int = 1000


def _nghttpd(*options: str) -> Callable[[int], list[str | Path]]:
    def command(port: int) -> list[str | Path]:
        echo = ("--no-tls", "--echo-upload", "--no-content-length", "--trailer", "grpc-status: 0")
        return [install.program("nghttpd"), *echo, *options, str(port)]

    return command


def _ruby(port: int) -> list[str | Path]:
    install.grpc_gem()
    return [install.program("ruby"), SERVERS / "echo.rb", str(port)]


#: The servers by name; a new one is one entry more.
STACKS: dict[str, Stack] = {
    "grpc.aio": Stack(lambda port: [sys.executable, SERVERS / "aio.py", str(port)], drains=True),
    "C core, threads": Stack(lambda port: [sys.executable, SERVERS / "sync.py", str(port)], drains=True),
    "Ruby": Stack(_ruby, sees_cancels=False, at_once=30),  # a call that gets no thread is refused
    "grpclib": Stack(lambda port: [install.grpclib(), SERVERS / "lib.py", str(port)]),
    "grpc-js": Stack(
        lambda port: ["node", SERVERS / "echo.cjs", str(port)],
        env=lambda: {"NODE_PATH": str(install.grpc_js() / "node_modules")},
        drains=True,
    ),
    "nghttpd": Stack(_nghttpd(), echo_only=True),
    "nghttpd, small windows, few streams": Stack(_nghttpd("-w", "14", "-W", "14", "-m", "7"), echo_only=True),
    "nghttpd, no table": Stack(_nghttpd("-c", "0", "--encoder-header-table-size=0"), echo_only=True),
    "nghttpd, padding": Stack(_nghttpd("-b", "200"), echo_only=True),
}
