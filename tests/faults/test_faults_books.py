"""The books of streams and maps balance, however they end, on both wires: nothing is counted twice, nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from headrace import HeadraceError, RetryPolicy, Timeouts
from tests.support.cases import run_together
from tests.support.rig import WIRES, Rig, Wire, rigged

pytestmark = pytest.mark.core

INPUTS = 20
SHAPES: dict[str, dict[str, Any]] = {
    "stream": {},
    "unordered": {"ordered": False},
    "small window": {"window": 2, "prefetch": 1},
    "packed": {"batch": 4},
    "latest": {"overflow": "latest"},
    "no resume": {"resume": False},
    "map": {},
    "packed map": {"batch": 4},
    "unordered map": {"ordered": False},
}
ENDS = [
    "natural", "break", "source error", "close error", "base exception", "cancel", "timeout", "client closed", "killed"
]  # fmt: skip


class UsersError(Exception):
    """What the source raises."""


class Abort(BaseException):
    """As test tools' fail and skip are."""


class Items:
    """A source whose end can be chosen."""

    def __init__(self, end: str, at: int) -> None:
        self.end, self.at, self.number = end, at, 0

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        if self.number >= INPUTS:
            raise StopAsyncIteration
        if self.number == self.at and self.end == "source error":
            raise UsersError
        if self.number == self.at and self.end == "base exception":
            raise Abort
        self.number += 1
        return str(self.number - 1)

    async def aclose(self) -> None:
        if self.end == "close error":
            raise UsersError


def plain(items: Items) -> Iterator[str]:
    for number in range(INPUTS):
        if number == items.at and items.end in ("source error", "base exception"):
            raise UsersError if items.end == "source error" else Abort
        yield str(number)


async def live(rig: Rig, shape: str, end: str, at: int, threaded: bool) -> Any:
    items = Items(end, at)
    source: Any = plain(items) if threaded else items
    if "map" in shape:
        stream = rig.model.map(source, input_type="text", on_error="yield", concurrency=3, **SHAPES[shape])
    else:
        stream = rig.model.stream_by_bytes(source, "text", **SHAPES[shape])
    taken: list[int] = []

    async def consume() -> None:
        async with stream:
            async for prediction in stream:
                taken.append(prediction.position)
                if len(taken) != at:
                    continue
                if end in ("break", "close error"):
                    break
                if end == "cancel":
                    task = asyncio.current_task()
                    assert task is not None
                    task.cancel()
                if end == "client closed":
                    await rig.client.close()
                if end == "killed":
                    rig.double.server.kill()
                    if rig.server is not None:
                        await rig.server.stop()

    task = asyncio.create_task(consume())
    await asyncio.wait([task], timeout=20)
    assert task.done(), "it hangs"
    with contextlib.suppress(HeadraceError, UsersError, Abort, asyncio.CancelledError):
        task.result()
    assert len(set(taken)) == len(taken)
    return stream


def check(stats: Any) -> None:
    assert stats.pulled == stats.received + stats.errors + stats.dropped, stats
    assert stats.dropped == sum(stats.drops.values())
    assert min(stats.received, stats.errors, stats.dropped) >= 0


@contextlib.asynccontextmanager
async def rig_for(wire: Wire, folder: Path, end: str) -> AsyncIterator[Rig]:
    async def answer(item: Any) -> Any:
        if end == "timeout" and int(item.text) % 3 == 1:
            await asyncio.sleep(0.3)
        return 30300 if int(item.text) % 7 == 3 else item.text

    async with rigged(
        wire,
        folder,
        answer,
        retry=RetryPolicy(attempts=2, initial=0.001, cap=0.002),
        timeouts=Timeouts(close=0.5, outage=0.05, connect=0.5, input=0.1 if end == "timeout" else 10, total=10),
    ) as rig:
        yield rig


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("wire", WIRES)
async def test_they_balance_however_a_stream_ends(wire: Wire, end: str, tmp_path: Path) -> None:
    async def ended(shape: str, at: int) -> None:
        async with rig_for(wire, tmp_path, end) as rig:
            stream = await live(rig, shape, end, at, threaded=at == 5)
            check(stream.stats)
            after = stream.stats
            for _ in range(5):
                await asyncio.sleep(0)
            assert stream.stats == after, "something was counted after the end"

    await run_together({case: ended(*case) for case in itertools.product(SHAPES, (1, 5))})


@settings(
    max_examples=30,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@pytest.mark.parametrize("wire", WIRES)
@given(
    shape=st.sampled_from(sorted(SHAPES)),
    end=st.sampled_from(ENDS),
    at=st.integers(1, INPUTS),
    threaded=st.booleans(),
)
def test_random_lives_balance(wire: Wire, shape: str, end: str, at: int, threaded: bool, tmp_path: Path) -> None:
    async def life() -> None:
        async with rig_for(wire, tmp_path, end) as rig:
            check((await live(rig, shape, end, at, threaded)).stats)

    asyncio.run(life())


@pytest.mark.parametrize("wire", WIRES)
async def test_frames_inherit_it(wire: Wire, tmp_path: Path) -> None:
    async with rigged(wire, tmp_path, lambda item: "seen") as rig:
        for at in range(1, 12):
            frames = rig.model.stream_frames(b"x" for _ in range(INPUTS))
            async with frames:
                for _ in range(at):
                    await anext(frames)
            stats = frames.stats
            assert stats.frames == stats.predictions + stats.errors + stats.dropped, stats
