"""A model server as a process of its own, to be killed: an echo over gRPC with nothing but the core's dependencies.

`python -m tests.support.child unix:/path [--no-ids]` prints "ready" when it listens, and ends with its stdin.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]


def plain() -> dict[str, str]:
    """Make an environment without Python's own checks: they are for the client, and slow its server down."""
    checks = ("PYTHONASYNCIODEBUG", "PYTHONDEVMODE")
    return {name: value for name, value in os.environ.items() if name not in checks}


class Child:
    """Starts and kills a server process.

    Args:
        arguments: what follows `python`.
        ready: how the line begins that it prints when it listens.
    """

    def __init__(self, arguments: list[str], ready: str = "ready") -> None:
        self._arguments = arguments
        self._ready = ready.encode()
        self.process: asyncio.subprocess.Process | None = None
        self.starts = 0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.kill()

    async def start(self) -> None:
        """Start it and wait until it listens."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, *self._arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env=plain()
        )
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        assert line.startswith(self._ready), line
        self.starts += 1

    async def kill(self) -> None:
        """SIGKILL."""
        process, self.process = self.process, None
        if process is None:
            return
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()
        assert process.stdin is not None
        process.stdin.close()
        process._transport.close()  # type: ignore[attr-defined]


def echo_child(socket: Path, *options: str) -> Child:
    """Make an echo server process on a socket file; `--no-ids`: its answers name no inputs."""
    return Child(["-m", "tests.support.child", f"unix:{socket}", *options])


async def _main(address: str, *options: str) -> None:
    from headrace.testing import MemoryServer, ModelDouble
    from tests.support.bridge import GrpcServer

    double = ModelDouble(lambda item: item.text, echo_ids="--no-ids" not in options, server=MemoryServer(keep=False))
    async with GrpcServer(double, address):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().run_in_executor(None, _wait_for_end)


def _wait_for_end() -> None:
    while os.read(0, 4096):
        pass


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
