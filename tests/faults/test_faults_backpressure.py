"""Nothing piles up: not before a server that does not read, not behind a consumer that does not."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.testing import MemoryServer, ServerCall
from headrace.testing.handlers import GENERATE, STREAM
from tests.support.bridge import GrpcServer
from tests.support.rig import MODEL, WIRES, Wire, rigged

pytestmark = pytest.mark.core

WINDOW, PIPE = 16, 4


class Counter:
    """An endless source that counts what is pulled from it."""

    def __init__(self, size: int = 10) -> None:
        self.pulled = 0
        self._text = "x" * size

    async def asynchronous(self) -> AsyncIterator[str]:
        while True:
            self.pulled += 1
            yield self._text
            await asyncio.sleep(0)

    def plain(self) -> Iterator[str]:
        while True:
            self.pulled += 1
            yield self._text


async def settled(read: Any) -> int:
    """Wait until a number no longer grows."""
    before = -1
    for _ in range(200):
        now: int = read()
        if now == before:
            return now
        before = now
        await asyncio.sleep(0.05)  # nothing is to happen: there is no event to wait for
    raise AssertionError("it grows for ever")


@pytest.mark.parametrize("kind", ["asynchronous", "plain"])
@pytest.mark.parametrize("wire", WIRES)
async def test_a_server_that_never_reads(wire: Wire, kind: str, tmp_path: Path) -> None:
    async def never(call: ServerCall) -> None:
        await asyncio.Event().wait()

    async with rigged(wire, tmp_path) as rig:
        rig.double.server.handlers[STREAM] = never
        source = Counter()
        async with rig.model.stream_by_bytes(getattr(source, kind)(), "text", window=WINDOW, prefetch=PIPE) as stream:
            reading = asyncio.ensure_future(anext(stream))
            await rig.until(lambda: rig.calls)
            assert 0 < await settled(lambda: source.pulled) <= WINDOW + PIPE + 1
            assert stream.stats.in_flight <= WINDOW
            reading.cancel()


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("kind", ["asynchronous", "plain"])
@pytest.mark.parametrize("wire", WIRES)
async def test_a_consumer_that_never_reads(wire: Wire, kind: str, ordered: bool, tmp_path: Path) -> None:
    async with rigged(wire, tmp_path) as rig:
        source = Counter()
        async with rig.model.stream_by_bytes(
            getattr(source, kind)(), "text", window=WINDOW, prefetch=PIPE, ordered=ordered
        ) as stream:
            await rig.until(lambda: rig.double.answered >= WINDOW)
            assert WINDOW <= await settled(lambda: source.pulled) <= WINDOW + PIPE + 1
            stats = stream.stats
            assert stats.sent == stats.in_flight == stats.peak_in_flight == WINDOW
            assert rig.double.answered == WINDOW
            for _ in range(5):
                await anext(stream)
            assert await settled(lambda: source.pulled) <= WINDOW + PIPE + 1 + 5


@pytest.mark.parametrize("wire", WIRES)
async def test_the_window_in_bytes_holds_as_well_and_one_input_always_passes(wire: Wire, tmp_path: Path) -> None:
    async with rigged(wire, tmp_path) as rig:
        source = Counter(size=1000)
        async with rig.model.stream_by_bytes(
            source.asynchronous(), "text", window=None, window_bytes=10_000, prefetch=PIPE
        ) as stream:
            await rig.until(lambda: rig.double.answered >= 10)
            assert await settled(lambda: source.pulled) <= 10 + PIPE + 1
            assert stream.stats.in_flight == 10
        huge = Counter(size=50_000)
        async with rig.model.stream_by_bytes(
            huge.asynchronous(), "text", window=None, window_bytes=10_000, prefetch=PIPE
        ) as stream:
            for _ in range(5):
                await anext(stream)
            assert stream.stats.peak_in_flight == 1
            assert await settled(lambda: huge.pulled) <= 5 + 1 + PIPE + 1


async def test_memory_is_flat_behind_a_consumer_that_never_reads(tmp_path: Path) -> None:
    async with rigged("memory", tmp_path, double={"server": MemoryServer(keep=False)}) as rig:
        source = Counter(size=100_000)
        async with rig.model.stream_by_bytes(source.plain(), "text", window=WINDOW, prefetch=PIPE):
            await rig.until(lambda: rig.double.answered >= WINDOW)
            await settled(lambda: source.pulled)
            tracemalloc.start()
            try:
                before, _ = tracemalloc.get_traced_memory()
                await settled(lambda: source.pulled)
                _after, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert peak - before < 1_000_000


@pytest.mark.parametrize("wire", WIRES)
async def test_a_map_that_nobody_reads_pulls_no_more_than_its_bound(wire: Wire, tmp_path: Path) -> None:
    async with rigged(wire, tmp_path) as rig:
        source = Counter()
        async with rig.model.map(source.asynchronous(), concurrency=8, input_type="text"):
            assert 8 <= await settled(lambda: source.pulled) <= 2 * 8 + 1


async def test_a_token_stream_that_nobody_reads_stops_the_server(tmp_path: Path) -> None:
    written = 0

    async def flood(call: ServerCall) -> None:
        nonlocal written
        await call.read()
        while True:
            await call.write(_piece)
            written += len(_piece)

    async with rigged("grpc", tmp_path) as rig:
        rig.double.server.handlers[GENERATE] = flood
        async with rig.model.generate_by_bytes("go", "text") as stream:
            await anext(stream)
            assert await settled(lambda: written) < 16 << 20


async def test_a_free_stream_that_nobody_reads_stops_the_server(tmp_path: Path) -> None:
    written = 0

    async def flood(call: ServerCall) -> None:
        nonlocal written
        await call.read()
        while True:
            await call.write(_piece)
            written += len(_piece)

    server = MemoryServer({STREAM: flood})
    async with GrpcServer(server, f"unix:{tmp_path}/s") as wire:
        from headrace import Client

        async with Client(base_url=wire.address) as client:
            stream = client.model(**MODEL).stream_by_bytes(["go"], "text", matched=False, window_bytes=1 << 20)
            async with stream:
                await anext(stream)
                assert await settled(lambda: written) < 16 << 20


def _a_piece() -> bytes:
    from headrace.testing.answers import to_response

    return to_response(["x" * 10_000], [None], "r").SerializeToString()


_piece = _a_piece()
