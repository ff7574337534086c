"""Watch what 100,000 calls and 10,000 cancelled streams leave behind: `python -m benchmarks.soak`.

Prints memory (RSS), asyncio tasks, threads and open files of the client's process after a warm-up and after each part,
and fails when they grow: memory by more than 5 % after the warm-up, anything else by one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping

import psutil

from benchmarks.server import serve
from benchmarks.server.answers import clarifai
from headrace import Client, Model

GROWTH = 1.05
WARM_UP = 2000  # calls of each kind after which memory is level

Work = Callable[[Model, int], Awaitable[None]]


def snapshot() -> tuple[float, int, int, int]:
    """Measure MiB of RSS, tasks, threads and open files now."""
    gc.collect()
    files = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    return psutil.Process().memory_info().rss / 2**20, len(asyncio.all_tasks()), threading.active_count(), files


async def calls(model: Model, number: int) -> None:
    """Make unary calls, 64 at once."""
    async for prediction in model.map(("text" for _ in range(number)), concurrency=64, input_type="text"):
        assert prediction.text


async def inputs(model: Model, number: int) -> None:
    """Put inputs through one duplex stream."""
    async with model.stream_by_bytes(["text"] * number, "text", window=64) as stream:
        async for prediction in stream:
            assert prediction.text


async def cancelled(model: Model, number: int) -> None:
    """Open token streams and leave each after its first piece, 16 at once."""
    remaining = iter(range(number))

    async def worker() -> None:
        for _ in remaining:
            async with model.generate_by_bytes("text", "text") as stream:
                async for _piece in stream:
                    break

    await asyncio.gather(*(worker() for _ in range(16)))


async def soak(addresses: Mapping[str, str], number: int) -> bool:
    """Run the parts and print a row after each; tell whether all stayed flat."""
    print(f"{'after':<34}{'RSS MiB':>10}{'tasks':>8}{'threads':>9}{'files':>8}{'seconds':>10}")
    async with contextlib.AsyncExitStack() as stack:
        parts: list[tuple[str, str, Work, int]] = [
            ("unary calls", "unary", calls, number),
            ("inputs of one stream", "duplex", inputs, number),
            ("cancelled token streams", "burst", cancelled, number // 10),
        ]
        models = {}
        for _name, port, work, count in parts:  # each kind of call has a port of its own, and so a client
            client = await stack.enter_async_context(Client(base_url=f"http://{addresses[port]}"))
            models[port] = client.model("u/a/models/m")
            await work(models[port], max(count // 10, WARM_UP))
        base = snapshot()
        print(f"{'warm-up':<34}{base[0]:>10.1f}{base[1]:>8}{base[2]:>9}{base[3]:>8}")
        flat = True
        for name, port, work, count in parts:
            start = time.monotonic()
            await work(models[port], count)
            await asyncio.sleep(0.1)  # what was cancelled last has ended
            now = snapshot()
            label = f"{count:,} {name}"
            print(f"{label:<34}{now[0]:>10.1f}{now[1]:>8}{now[2]:>9}{now[3]:>8}{time.monotonic() - start:>10.1f}")
            flat = flat and now[0] <= base[0] * GROWTH and all(a <= b for a, b in zip(now[1:], base[1:], strict=True))
    return flat


def main() -> None:
    """Start the server of canned answers, soak, stop it; exit with 1 when something grew."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description="What many calls leave behind.")
    parser.add_argument("--calls", type=int, default=100_000, help="calls; a tenth as many cancelled streams")
    number = parser.parse_args().calls
    with serve(clarifai()) as addresses:
        flat = asyncio.run(soak(addresses, number))
    print("flat" if flat else "NOT flat")
    sys.exit(0 if flat else 1)


if __name__ == "__main__":
    main()
