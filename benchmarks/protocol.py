"""What a sample is: a fresh process that warms up, measures once, prints one line of JSON and ends.

Standard library only, and little of it: samples of peers run in environments where headrace is not installed.

    python -m MODULE SHAPE --address HOST:PORT --n N --concurrency C --size BYTES [--rate PER_SECOND] [--seconds S]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

#: Shapes, and what one unit of `n` is in them.
SHAPES: Mapping[str, str] = {
    "unary": "a call, --concurrency at once",
    "unary_fixed": "a call, started at --rate a second for --seconds",
    "tokens_burst": "a message; --concurrency streams at once, the server sends all at once",
    "tokens_paced": "a message; --concurrency streams at once, the server paces",
    "duplex": "an input and its answer, one stream",
    "bulk": "an input, the way the peer recommends for many",
    "bulk_stream": "an input, packed with others into the messages of one stream",
    "upload": "a call with a payload of --size bytes, --concurrency at once",
    "at_once": "a call, all --n submitted at once; extra_rss_bytes is the point",
    "gathered": "at_once by tasks, where at_once is another way",
    "long_stream": "an input through one stream; extra_rss_bytes is the drift after warm-up",
    "cold_import": "a fresh interpreter that imports the client and makes it, less a bare one",
    "cold_call": "a fresh interpreter that makes one call and reads the answer, less a bare one",
    "live": "a frame, at most --concurrency unanswered, a server that takes its time",
    "hop": "an input and its answer, a producer that never waits and a consumer that lets the loop turn each time",
    "layers_unary": "a call over a transport that answers at once in memory; the input is there, the answer unread",
    "layers_tokens": "a message, likewise",
    "layers_duplex": "an input through one stream, likewise",
    "layers_bulk": "an input of a packed request, likewise",
    "full_unary": "as layers_unary, but each input is built and each answer read",
    "full_tokens": "as layers_tokens, likewise",
    "full_duplex": "as layers_duplex, likewise",
    "full_bulk": "as layers_bulk, likewise",
}

PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class Arguments:
    """What a sample is asked for; `n` units in all (see SHAPES), after a warm-up of the sample's own choice."""

    shape: str
    address: str
    n: int
    concurrency: int
    size: int
    rate: float
    seconds: float

    def text(self) -> str:
        """Make a text input of --size bytes."""
        return "x" * self.size


@dataclass(slots=True)
class Sample:
    """What one process measured."""

    peer: str
    shape: str
    n: int
    cpu_s: float
    wall_s: float
    extra_rss_bytes: int | None = None
    versions: dict[str, str] = field(default_factory=dict)

    def print(self) -> None:
        """Print the line that the harness reads."""
        print(json.dumps(asdict(self)), flush=True)


def arguments(argv: Sequence[str] | None = None) -> Arguments:
    """Read the arguments of a sample."""
    parser = argparse.ArgumentParser(description="One sample of one shape; prints one line of JSON.")
    parser.add_argument("shape", choices=[*SHAPES])
    parser.add_argument("--address", default="", help="HOST:PORT of the server that answers this shape")
    parser.add_argument("--n", type=int, default=1000, help="units of work; see SHAPES")
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--size", type=int, default=1024, help="bytes of the input's payload")
    parser.add_argument("--rate", type=float, default=0.0, help="calls a second")
    parser.add_argument("--seconds", type=float, default=0.0, help="how long, where --rate counts")
    return Arguments(**vars(parser.parse_args(argv)))


class Meter:
    """Measures CPU (all threads) and wall time from its making, or from `start`."""

    def __init__(self) -> None:
        self.cpu_s = self.wall_s = 0.0
        self.start()

    def start(self) -> None:
        """Start again."""
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        """Take both times."""
        self.cpu_s, self.wall_s = time.process_time() - self._cpu, time.perf_counter() - self._wall


def rss() -> int:
    """Measure this process's resident memory in bytes; Linux."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * PAGE


def reset_peak() -> int:
    """Forget the peak of the resident memory; gives the memory now. Linux."""
    with open("/proc/self/clear_refs", "wb") as file:
        file.write(b"5")
    return rss()


def peak() -> int:
    """Give the peak of the resident memory in bytes since `reset_peak`."""
    with open("/proc/self/status", "rb") as file:
        for line in file:
            if line.startswith(b"VmHWM:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("this system does not tell a process's peak memory")


def cold(statements: str, n: int) -> Sample:
    """Measure fresh interpreters that run `statements` and end at once, less bare ones; the work of n of them.

    Give statements that import the client and make it, or make a call too. The first interpreter, which compiles
    bytecode, is not counted.
    """
    meter = Meter()
    ended = f"{statements}\nimport os; os._exit(0)"
    _child(ended)
    cpu = sum(_child(ended) - _child("import os; os._exit(0)") for _ in range(n))
    meter.stop()
    return Sample("", "cold_import", n, cpu, meter.wall_s)


def _child(statements: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-c", statements], check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(peer: str, shapes: Mapping[str, Callable[[Arguments], Sample]], versions: Sequence[str]) -> None:
    """Run the sample that the command line asks for.

    Args:
        peer: its name, such as "raw".
        shapes: what measures each shape; fills n, cpu_s, wall_s and extra_rss_bytes of the sample.
        versions: distributions whose versions matter.
    """
    parsed = arguments()
    if parsed.shape not in shapes:
        sys.exit(f"{peer} has no {parsed.shape}; it has {', '.join(shapes)}")
    sample = shapes[parsed.shape](parsed)
    sample.peer, sample.shape = peer, parsed.shape
    sample.versions = {name: _version(name) for name in versions}
    sample.print()


def _version(name: str) -> str:
    from importlib import metadata  # after the measurement

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "of the source folder"
