"""Run samples in shuffled, interleaved rounds: each a fresh process on one core, the servers on another."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cells import Cell
from benchmarks.peers.base import Canned, Own, Peer
from benchmarks.protocol import Sample
from benchmarks.server import ROOT, Port, pinned, serve
from benchmarks.server.answers import canned, clarifai

SECONDS = 900.0  # after which a sample has hung
LAYERS = tuple(f"{how}_{kind}" for how in ("layers", "full") for kind in ("unary", "tokens", "duplex", "bulk"))
CALLS = ("unary", "unary_fixed", "at_once", "upload", "bulk")
STREAMS = ("tokens_burst", "tokens_paced", "duplex", "hop", "long_stream")
WIRE = ("unary", "upload", "tokens_burst", "tokens_paced", "duplex")  # of a transport alone
SHARED = (*CALLS, *STREAMS, "cold_import", "cold_call")


def own_peers(source: Path = ROOT / "src") -> dict[str, Peer]:
    """List the clients that run in this environment, with headrace as it is in `source`.

    headrace is measured over each of its transports, as a whole client (`headrace-`) and without it (`wire-`).
    """
    every = (*SHARED, "bulk_stream", "live", "gathered")
    clients = [
        ("raw", "raw", SHARED, ""),
        ("headrace-h2", "ours", every, "h2"),
        ("headrace-grpc", "ours", every, "grpc"),
        ("headrace-coalesced", "coalesced", ("unary", "unary_fixed", "at_once"), "h2"),
        ("headrace-blocking", "blocking", ("unary", "tokens_burst", "tokens_paced", "duplex"), "h2"),
        ("headrace-layers", "layers", LAYERS, ""),
        ("wire-stub", "wire", WIRE, "stub"),
        ("wire-h2", "wire", WIRE, "h2"),
        ("wire-grpc", "wire", WIRE, "grpc"),
    ]
    return {
        name: Peer(
            name,
            Path(sys.executable),
            f"benchmarks.samples.{module}",
            shapes,
            environment={"PYTHONPATH": str(source), "HEADRACE_TRANSPORT": transport},
        )
        for name, module, shapes, transport in clients
    }


@dataclass(frozen=True, slots=True)
class PlacedSample:
    """A sample, and where it belongs."""

    round: int
    cell: str
    peer: str
    sample: Sample


@dataclass(frozen=True, slots=True)
class Failed:
    """A sample that could not be taken, and why."""

    round: int
    cell: str
    peer: str
    reason: str


@dataclass(frozen=True, slots=True)
class Cores:
    """The processor of the samples and that of the servers; None: any."""

    samples: int | None
    servers: int | None


def cores() -> Cores:
    """Choose the cores, where there are two and processes can be pinned to them."""
    if sys.platform != "linux":
        return Cores(None, None)
    allowed = sorted(os.sched_getaffinity(0))
    return Cores(allowed[-1], allowed[0]) if len(allowed) > 1 else Cores(None, None)


def pairs(cells: Sequence[Cell], peers: Mapping[str, Peer]) -> list[tuple[Cell, Peer]]:
    """List who is measured where."""
    return [
        (cell, peer)
        for cell in cells
        for peer in peers.values()
        if cell.shape in peer.shapes and (cell.peers is None or peer.name in cell.peers)
    ]


@contextlib.contextmanager
def servers(wanted: Sequence[tuple[Cell, Peer]], core: int | None) -> Iterator[Callable[[Cell, Peer], str]]:
    """Run the servers that the samples need; gives what finds the HOST:PORT of one."""
    ports: dict[str, Port] = dict(clarifai())
    for _cell, peer in wanted:
        if isinstance(peer.server_behaviour, Canned):
            ports |= {f"{peer.name}.{name}": port for name, port in canned(peer.server_behaviour.answer).items()}
    with contextlib.ExitStack() as stack:
        addresses = stack.enter_context(serve(ports, core=core))
        own: dict[tuple[str, str], str] = {}
        for cell, peer in wanted:
            key = (peer.name, cell.shape)
            if isinstance(peer.server_behaviour, Own) and cell.port and key not in own:
                own[key] = stack.enter_context(_own_server(peer, peer.server_behaviour, cell.shape, core))

        def address(cell: Cell, peer: Peer) -> str:
            if not cell.port:
                return ""
            if isinstance(peer.server_behaviour, Own):
                return own[peer.name, cell.shape]
            return addresses[f"{peer.name}.{cell.port}" if peer.server_behaviour else cell.port]

        yield address


@contextlib.contextmanager
def _own_server(peer: Peer, behaviour: Own, shape: str, core: int | None) -> Iterator[str]:
    command = [str(peer.python), "-m", behaviour.module, shape]
    with pinned(core):
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert server.stdout is not None
    try:
        line = server.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"the server of {peer.name} did not start: exit code {server.wait()}")
        yield line
    finally:
        server.terminate()
        server.communicate()


def take(cell: Cell, peer: Peer, address: str, *, quick: bool, core: int | None) -> Sample | str:
    """Take one sample in a fresh process; the reason where it cannot be taken."""
    options = ["--address", address] if address else []
    command = [str(peer.python), "-m", peer.module, cell.shape, *options, *cell.arguments(quick=quick)]
    environment = {**os.environ, **peer.environment}
    with pinned(core):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment
        )
    try:
        out, errors = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return f"no end after {SECONDS:g} s"
    if process.returncode:
        return (errors.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
    return Sample(**json.loads(out.splitlines()[-1]))


def run(
    wanted: Sequence[tuple[Cell, Peer]],
    rounds: int,
    *,
    quick: bool,
    say: Callable[[str], None],
    shuffle: Callable[[list[tuple[int, Cell, Peer]]], None] = random.shuffle,
) -> tuple[list[PlacedSample], list[Failed]]:
    """Take a sample of each pair in each round, the pairs of a round in random order.

    Args:
        wanted: cells and clients.
        rounds: how many.
        quick: smaller samples.
        say: called for each sample.
    """
    samples: list[PlacedSample] = []
    failed: list[Failed] = []
    cpu = cores()
    with servers(wanted, cpu.servers) as address:
        for number in range(rounds):
            order = [(number, cell, peer) for cell, peer in wanted if cell.rounds is None or number < cell.rounds]
            shuffle(order)
            for done, (_, cell, peer) in enumerate(order, 1):
                began = time.monotonic()
                try:
                    sample = take(cell, peer, address(cell, peer), quick=quick, core=cpu.samples)
                except KeyboardInterrupt:
                    say("interrupted: what was measured so far counts")
                    return samples, failed
                start = f"round {number + 1}/{rounds}, {done}/{len(order)}: {cell.name} {peer.name}:"
                if isinstance(sample, str):
                    failed.append(Failed(number, cell.name, peer.name, sample))
                    say(f"{start} FAILED: {sample}")
                else:
                    samples.append(PlacedSample(number, cell.name, peer.name, sample))
                    cost = sample.cpu_s / sample.n * 1e6
                    say(f"{start} {cost:.1f} us, after {time.monotonic() - began:.1f} s")
    return samples, failed


def clean_up_on_sigterm() -> None:
    """Make SIGTERM leave all `with` blocks, so that servers and checked out commits go away."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
