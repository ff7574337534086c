"""Mixed load while the server is killed again and again: `python -m benchmarks.outages --seconds 300 --every 5`.

Streams, maps and token streams run without pause against the embedded server, a child process that is killed (SIGKILL)
at every interval and started again. Each input must end as exactly one prediction with its own text or one error, in
order; memory and open files of this process must stay where they were after the first fifth of the time.

`--transport h2` takes another transport. `--drain 60` puts an Envoy before the server (`python -m tests.stacks.install`
has it): every so many seconds another one takes the port over, and the old one drains its connections and ends.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

from benchmarks.soak import snapshot
from headrace import Client, Model, RetryPolicy, StreamBroken
from headrace.errors import HeadraceError
from tests.stacks.proxies import Proxy, envoy
from tests.stacks.running import free_port

Transport = Literal["auto", "h2", "grpc"]
GROWTH = 1.05
#: A proxy answers where its server is down, and then attempts count; where connections are refused, the client waits.
PATIENT = RetryPolicy(100, ambiguous_attempts=100, cap=1.0, budget=None)


class Server:
    """The embedded server with the echo model on a loopback port, in a process that can be killed."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it listens."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "headrace.server", "--models", "echo", "--port", str(self.port)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        await self._process.stdout.readline()

    async def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None


class Envoys:
    """Envoy before a server; one after the other listens on the same port."""

    def __init__(self, folder: Path, upstream: int) -> None:
        self._folder = folder
        self._upstream = upstream
        self._current: tuple[contextlib.ExitStack, Proxy] | None = None
        self.port = free_port()
        self.drains = 0

    async def start(self) -> None:
        """Start one."""
        stack = contextlib.ExitStack()
        start = envoy(self._folder, self._upstream, port=self.port)
        self._current = (stack, await asyncio.to_thread(stack.enter_context, start))
        await asyncio.sleep(1.0)  # where another one listens there, that it listens cannot be seen

    async def drain(self) -> None:
        """Start the next one, drain the one before, and end it."""
        assert self._current is not None
        stack, before = self._current
        await self.start()
        await asyncio.to_thread(before.ask, "/drain_listeners?graceful")
        await asyncio.sleep(5.0)
        await asyncio.to_thread(stack.close)
        self.drains += 1

    async def close(self) -> None:
        """End the last one."""
        if self._current is not None:
            await asyncio.to_thread(self._current[0].close)


class Load:
    """What runs meanwhile, with its counts: "stream ok", "map error", "token stream broken" and so on."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.stop = False
        self.counts: Counter[str] = Counter()

    async def streams(self) -> None:
        """One duplex stream after the other, each of 2,000 inputs."""
        for number in itertools.count():
            if self.stop:
                return
            texts = [f"s{number}-{i}" for i in range(2_000)]
            async with self._model.stream_by_bytes(iter(texts), "text", window=32) as stream:
                await self._check("stream", texts, stream)
                self._balance("stream", stream.stats.pulled, stream.stats.received, stream.stats.errors)

    async def maps(self) -> None:
        """One map after the other, each of 500 inputs."""
        for number in itertools.count():
            if self.stop:
                return
            texts = [f"m{number}-{i}" for i in range(500)]
            async with self._model.map(texts, concurrency=16, on_error="yield", input_type="text") as stream:
                await self._check("map", texts, stream)
                self._balance("map", stream.stats.pulled, stream.stats.received, stream.stats.errors)

    async def tokens(self) -> None:
        """One token stream after the other, each of 40 pieces."""
        text = " ".join(f"word{i}" for i in range(40))
        while not self.stop:
            read = ""
            try:
                async with self._model.generate_by_bytes(text, "text", inference_params={"delay": 0.002}) as stream:
                    async for piece in stream:
                        read += piece.text
                self._count("tokens", ok=read == text)
            except StreamBroken as error:
                self._count("tokens", ok=text.startswith(read) and error.text == read, outcome="broken")
            except HeadraceError:
                self._count("tokens", ok=not read, outcome="error")

    async def _check(self, name: str, texts: list[str], stream: AsyncIterator[object]) -> None:
        position = 0
        async for prediction in stream:
            error = getattr(prediction, "error", None)
            in_order = getattr(prediction, "position", -1) == position
            if error is None:
                self._count(name, ok=in_order and getattr(prediction, "text", "") == texts[position])
            else:
                self._count(name, ok=in_order, outcome="error")
            position += 1
        if position != len(texts):
            self.counts[f"{name} LOST"] += len(texts) - position

    def _balance(self, name: str, pulled: int, received: int, errors: int) -> None:
        if pulled != received + errors:
            self.counts[f"{name} UNBALANCED"] += 1

    def _count(self, name: str, *, ok: bool, outcome: str = "ok") -> None:
        self.counts[f"{name} {outcome if ok else 'WRONG'}"] += 1


async def soak(seconds: float, every: float, transport: Transport, drain: float | None) -> bool:
    """Run the load for so many seconds; print what it counted; tell whether nothing was lost and nothing grew."""
    server = Server(free_port())
    await server.start()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(server.kill)
        port = server.port
        envoys: Envoys | None = None
        if drain is not None:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            envoys = Envoys(Path(folder), server.port)
            await envoys.start()
            stack.push_async_callback(envoys.close)
            port = envoys.port
        retry = PATIENT if envoys is not None else None
        client = Client(base_url=f"http://127.0.0.1:{port}", transport=transport, retry=retry)
        await stack.enter_async_context(client)
        load = Load(client.model("headrace/local/models/echo"))
        kills, base = await _watched(load, server, envoys, seconds, every, drain)
    end = snapshot()
    bad = {name: count for name, count in load.counts.items() if name.split()[-1].isupper()}
    flat = end[0] <= base[0] * GROWTH and end[3] <= base[3]
    drains = f", {envoys.drains} drains" if envoys is not None else ""
    print(f"{kills} kills{drains}; {dict(load.counts)}; {client.stats}")
    print(f"RSS {base[0]:.1f} -> {end[0]:.1f} MiB, files {base[3]} -> {end[3]}")
    print("nothing lost, nothing grew" if flat and not bad else f"NOT clean: {bad or 'growth'}")
    return flat and not bad


async def _watched(
    load: Load, server: Server, envoys: Envoys | None, seconds: float, every: float, drain: float | None
) -> tuple[int, tuple[float, int, int, int]]:
    """Run the load and kill the server meanwhile; gives the number of kills and what was in use after a while."""
    kills = 0
    base = (0.0, 0, 0, 0)
    start = time.monotonic()

    async def drains() -> None:
        while envoys is not None and drain is not None and not load.stop:
            await asyncio.sleep(drain)
            await envoys.drain()

    async with asyncio.TaskGroup() as group:
        for work in (load.streams, load.streams, load.maps, load.tokens, load.tokens):
            group.create_task(work())
        draining = group.create_task(drains())
        while time.monotonic() - start < seconds:
            await asyncio.sleep(every)
            await server.kill()
            kills += 1
            await server.start()
            now = snapshot()
            if not base[0] and time.monotonic() - start >= seconds / 5:
                base = now
            print(
                f"{time.monotonic() - start:6.0f} s  {now[0]:7.1f} MiB  {now[3]:4} files  {dict(load.counts)}",
                flush=True,
            )
        load.stop = True
        draining.cancel()
    return kills, base


def main() -> None:
    """Soak; exit with 1 where something was lost or grew."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outages", description="Mixed load, a dying server.")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between kills")
    parser.add_argument("--transport", choices=("auto", "h2", "grpc"), default="auto")
    parser.add_argument(
        "--drain", type=float, default=None, help="seconds between drains of an Envoy before the server"
    )
    options = parser.parse_args()
    clean = asyncio.run(soak(options.seconds, options.every, options.transport, options.drain))
    sys.exit(0 if clean else 1)


if __name__ == "__main__":
    main()
