"""A server of canned answers in a process of its own: in C++ where a compiler is, on grpc.aio elsewhere."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.server.build import NoCompiler, executable

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Port:
    """What one port answers, whatever is asked there.

    Args:
        shape: of its calls.
        answer: the bytes of a response message.
        output: bytes that follow `answer` once for each field 4 (`inputs`) of the request message.
        messages: of a server stream.
        interval_ms: between them; 0: all at once.
        delay_ms: before each answer; requests do not wait for each other's.
    """

    shape: Literal["unary", "server_stream", "duplex"]
    answer: bytes
    output: bytes = b""
    messages: int = 0
    interval_ms: int = 0
    delay_ms: int = 0


@contextlib.contextmanager
def serve(
    ports: Mapping[str, Port], *, core: int | None = None, compiled: bool | None = None
) -> Iterator[dict[str, str]]:
    """Run the server while the body runs; gives HOST:PORT of each port by its name.

    Args:
        ports: what to answer; a port each.
        core: the processor to pin the server to; None: any.
        compiled: the C++ one (True), the grpc.aio one (False), or the first that can be had (None).

    Raises:
        NoCompiler: the C++ one was asked for, and cannot be built here.
    """
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        command = [*_command(compiled), str(_written(ports, Path(folder)))]
        with pinned(core):  # its standard input ends when this process dies, and the server with it
            server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert server.stdout is not None
        try:
            line = server.stdout.readline()
            if not line:
                raise RuntimeError(f"the server of canned answers did not start: exit code {server.wait()}")
            yield {name: f"127.0.0.1:{port}" for name, port in json.loads(line).items()}
        finally:
            server.send_signal(signal.SIGTERM)
            server.communicate()


def _command(compiled: bool | None) -> list[str]:
    if compiled is not False:
        try:
            return [str(executable())]
        except NoCompiler as error:
            if compiled:
                raise
            print(f"{error}: the slower server of grpc.aio answers, which some figures will show", file=sys.stderr)
    return [sys.executable, "-m", "benchmarks.server.canned"]


def _written(ports: Mapping[str, Port], folder: Path) -> Path:
    lines = []
    for name, port in ports.items():
        answer, output = folder / f"{name}.answer", folder / f"{name}.output"
        answer.write_bytes(port.answer)
        output.write_bytes(port.output)
        words = (name, port.shape, answer, output if port.output else "-")
        lines.append(" ".join(map(str, (*words, port.messages, port.interval_ms, port.delay_ms))))
    config = folder / "config"
    config.write_text("\n".join(lines) + "\n")
    return config


@contextlib.contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Pin this process, and so what it starts meanwhile, to one processor; where the system can."""
    if core is None or sys.platform != "linux":
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
