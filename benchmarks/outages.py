"""Mixed load while the server is killed again and again: `python -m benchmarks.outages --seconds 300 --every 5`.

Streams, maps and token streams run without pause against the embedded server, a child process that is killed (SIGKILL)
at every interval and started again. Each input must end as exactly one prediction with its own text or one error, in
order; memory and open files of this process must stay where they were after the first fifth of the time.
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

from benchmarks.soak import snapshot
from headrace import Client, Model, StreamBroken
from headrace.errors import HeadraceError

GROWTH = 1.05


class Server:
    """The embedded server with the echo model on a socket file, in a process that can be killed."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it listens."""
        self._socket.unlink(missing_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "headrace.server", "--models", "echo", "--unix", str(self._socket)),
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


async def soak(seconds: float, every: float) -> bool:
    """Run the load for so many seconds; print what it counted; tell whether nothing was lost and nothing grew."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "s")
        await server.start()
        kills = 0
        base = (0.0, 0, 0, 0)
        async with Client(base_url=f"unix:{folder}/s") as client:
            load = Load(client.model("headrace/local/models/echo"))
            start = time.monotonic()
            async with asyncio.TaskGroup() as group:
                for work in (load.streams, load.streams, load.maps, load.tokens, load.tokens):
                    group.create_task(work())
                while time.monotonic() - start < seconds:
                    await asyncio.sleep(every)
                    await server.kill()
                    kills += 1
                    await server.start()
                    now = snapshot()
                    if not base[0] and time.monotonic() - start >= seconds / 5:
                        base = now
                    print(
                        f"{time.monotonic() - start:6.0f} s  {now[0]:7.1f} MiB  {now[3]:4} files  {dict(load.counts)}"
                    )
                load.stop = True
        end = snapshot()
        with contextlib.suppress(ProcessLookupError):
            await server.kill()
    bad = {name: count for name, count in load.counts.items() if name.split()[-1].isupper()}
    flat = end[0] <= base[0] * GROWTH and end[3] <= base[3]
    print(f"{kills} kills; {dict(load.counts)}; RSS {base[0]:.1f} -> {end[0]:.1f} MiB, files {base[3]} -> {end[3]}")
    print("nothing lost, nothing grew" if flat and not bad else f"NOT clean: {bad or 'growth'}")
    return flat and not bad


def main() -> None:
    """Soak; exit with 1 where something was lost or grew."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outages", description="Mixed load, a dying server.")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between kills")
    options = parser.parse_args()
    sys.exit(0 if asyncio.run(soak(options.seconds, options.every)) else 1)


if __name__ == "__main__":
    main()
