"""Leaving a token stream early: the server sees it at once, every time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headrace.model import Model
from tests.support.rig import WIRES, Rig, Wire, rigged

pytestmark = pytest.mark.core

TIMES = 200
SOON = 0.2  # seconds


async def endless(_: Any) -> AsyncIterator[str]:
    while True:
        yield "token "
        await asyncio.sleep(0.002)  # a model that takes its time for each token


async def by_break(model: Model) -> float:
    async with model.generate_by_bytes("go on", "text") as stream:
        async for _ in stream:
            break
        return time.perf_counter()


async def by_aclose(model: Model) -> float:
    stream = model.generate_by_bytes("go on", "text")
    await anext(stream)
    start = time.perf_counter()
    await stream.aclose()
    return start


async def by_cancel(model: Model) -> float:
    reading = asyncio.Event()

    async def read() -> None:
        async with model.generate_by_bytes("go on", "text") as stream:
            async for _ in stream:
                reading.set()

    task = asyncio.create_task(read())
    await reading.wait()
    start = time.perf_counter()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return start


async def by_crash(model: Model) -> float:
    start = 0.0
    with pytest.raises(ZeroDivisionError):
        async with model.generate_by_bytes("go on", "text") as stream:
            async for _ in stream:
                start = time.perf_counter()
                raise ZeroDivisionError
    return start


async def by_break_of_a_duplex(model: Model) -> float:
    async with model.stream_by_bytes(endless(None), "text") as stream:
        async for _ in stream:
            break
        return time.perf_counter()


WAYS = [by_break, by_aclose, by_cancel, by_crash, by_break_of_a_duplex]


async def _cancel_seen(rig: Rig, start: float) -> float:
    await rig.until(lambda: rig.calls[-1].finished)
    took = time.perf_counter() - start
    assert rig.calls[-1].cancelled
    return took


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("wire", WIRES)
async def test_the_server_sees_it_two_hundred_times_of_two_hundred(wire: Wire, way: Any, tmp_path: Path) -> None:
    duplex = way is by_break_of_a_duplex
    async with rigged(wire, tmp_path, (lambda item: item.text) if duplex else endless) as rig:
        times = []
        for _ in range(TIMES):
            tries = [await _cancel_seen(rig, await way(rig.model))]
            while min(tries) >= SOON and len(tries) < 3:  # best of three, for the time alone: each cancel is seen
                tries.append(await _cancel_seen(rig, await way(rig.model)))
            times.append(min(tries))
        assert len(rig.calls) >= TIMES
        assert sum(seconds < SOON for seconds in times) == TIMES, f"slowest: {max(times):.3f} s"
        assert rig.client.stats.running == 0


async def test_many_at_once_are_all_seen(tmp_path: Path) -> None:
    async with rigged("grpc", tmp_path, endless) as rig:
        starts = await asyncio.gather(*(by_cancel(rig.model) for _ in range(TIMES)))
        await rig.until(lambda: all(call.finished for call in rig.calls))
        assert time.perf_counter() - max(starts) < SOON
        assert all(call.cancelled for call in rig.calls)
        assert len(rig.calls) == TIMES
