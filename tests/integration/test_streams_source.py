"""The user's iterator: its errors come out as themselves, and it never holds up the event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.errors import SourceError
from tests.support.rig import WIRES, Wire, read, rigged, timed

pytestmark = pytest.mark.core


class Broken(Exception):
    """What the user's iterator raises."""


def plain(fail_at: int, error: BaseException) -> Iterator[str]:
    for number in range(fail_at):
        yield f"text {number}"
    raise error


async def asynchronous(fail_at: int, error: BaseException) -> AsyncIterator[str]:
    for number in range(fail_at):
        yield f"text {number}"
    raise error


SOURCES = {"plain": plain, "async": asynchronous}


@pytest.mark.parametrize("matched", [True, False], ids=["matched", "free"])
@pytest.mark.parametrize("fail_at", [0, 5, 100])
@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("wire", WIRES)
async def test_what_the_iterator_raises_comes_out_as_itself(
    wire: Wire, kind: str, fail_at: int, matched: bool, tmp_path: Path
) -> None:
    error = Broken("the user's")
    async with rigged(wire, tmp_path) as rig:
        texts: list[str] = []
        with timed() as took, pytest.raises(Broken) as caught:
            async with rig.model.stream_by_bytes(SOURCES[kind](fail_at, error), "text", matched=matched) as stream:  # type: ignore[arg-type]
                await read(stream, texts)
        assert caught.value is error
        assert took.ours < 1.0
        assert texts == [f"text {n}" for n in range(len(texts))]
        await rig.until(lambda: all(call.finished for call in rig.calls))


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("wire", WIRES)
async def test_in_a_task_group_it_is_in_the_group(wire: Wire, kind: str, tmp_path: Path) -> None:
    error = Broken("the user's")
    async with rigged(wire, tmp_path) as rig:

        async def consume() -> None:
            async for _ in rig.model.stream_by_bytes(SOURCES[kind](3, error), "text"):  # type: ignore[arg-type]
                pass

        with timed() as took, pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(consume())
        assert caught.value.exceptions == (error,)
        assert took.ours < 1.0


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("wire", WIRES)
async def test_map_raises_it_as_well(wire: Wire, kind: str, tmp_path: Path) -> None:
    error = Broken("the user's")
    async with rigged(wire, tmp_path) as rig:
        with timed() as took, pytest.raises(Broken) as caught:
            async with rig.model.map(SOURCES[kind](3, error), input_type="text") as stream:  # type: ignore[arg-type]
                async for _ in stream:
                    pass
        assert caught.value is error
        assert took.ours < 1.0


@pytest.mark.parametrize("matched", [True, False], ids=["matched", "free"])
async def test_an_iterator_whose_own_task_was_cancelled_is_a_failure_not_a_hang_and_not_a_cancellation(
    matched: bool, tmp_path: Path
) -> None:
    async def source() -> AsyncIterator[str]:
        yield "one"
        other = asyncio.create_task(asyncio.Event().wait())
        other.cancel()
        await other

    async with rigged("memory", tmp_path) as rig:
        with pytest.raises(SourceError) as caught:
            async with asyncio.timeout(5):
                async for _ in rig.model.stream_by_bytes(source(), "text", matched=matched):
                    pass
        assert isinstance(caught.value.__cause__, asyncio.CancelledError)
        with pytest.raises(SourceError):
            async with asyncio.timeout(5), rig.model.map(source(), input_type="text") as mapped:
                async for _ in mapped:
                    pass


async def test_a_failure_that_nobody_read_is_raised_on_leaving(tmp_path: Path) -> None:
    closed = asyncio.Event()

    async def source() -> AsyncIterator[str]:
        try:
            raise Broken("the user's")
            yield ""
        finally:
            closed.set()

    async with rigged("memory", tmp_path) as rig:
        with pytest.raises(Broken):
            async with rig.model.stream_by_bytes(source(), "text"):
                await closed.wait()
                await asyncio.sleep(0)
        closed.clear()
        with pytest.raises(ZeroDivisionError):  # what the body raises is not hidden by it
            async with rig.model.stream_by_bytes(source(), "text"):
                await closed.wait()
                raise ZeroDivisionError


@pytest.mark.alone
@pytest.mark.parametrize("call", ["stream", "free", "map"])
async def test_a_generator_that_blocks_never_holds_the_loop(call: str, tmp_path: Path) -> None:
    async with rigged("grpc", tmp_path) as rig:
        threads: set[str] = set()

        def camera() -> Iterator[str]:
            for number in range(3):
                threads.add(threading.current_thread().name)
                time.sleep(0.2)  # the very thing that is tested: blocking user code
                yield f"frame {number}"

        def start() -> Any:
            if call == "map":
                return rig.model.map(camera(), input_type="text")
            return rig.model.stream_by_bytes(camera(), "text", matched=call == "stream")

        await rig.model.predict_by_bytes("connects, imports", "text")
        held = 1.0
        for _ in range(3):  # a busy machine may hold us as well: the best of three
            worst = [0.0]
            beat = asyncio.create_task(_heartbeat(worst))
            async with start() as stream:
                texts = [prediction.text async for prediction in stream]
            beat.cancel()
            assert texts == [f"frame {n}" for n in range(3)]
            held = min(held, worst[0])
            if held < 0.05:
                break
        assert held < 0.05
        assert "MainThread" not in threads


async def _heartbeat(worst: list[float]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        before = loop.time()
        await asyncio.sleep(0.005)
        worst[0] = max(worst[0], loop.time() - before - 0.005)


@pytest.mark.alone
@pytest.mark.parametrize("overflow", ["block", "drop_oldest", "drop_newest", "latest"])
async def test_a_long_list_does_not_hold_the_loop_whatever_a_full_pipe_does(overflow: Any, tmp_path: Path) -> None:
    async with rigged("memory", tmp_path, double={"server": None}) as rig:
        held = 1.0
        for _ in range(3):
            worst = [0.0]
            beat = asyncio.create_task(_heartbeat(worst))
            async with rig.model.stream_by_bytes(["text"] * 2_000, "text", overflow=overflow) as stream:
                count = len([prediction async for prediction in stream])
            beat.cancel()
            stats = stream.stats
            assert stats.pulled == 2_000 == count + stats.dropped
            held = min(held, worst[0])
            if held < 0.05:
                break
        assert held < 0.05


async def test_the_source_is_closed_when_the_stream_is_left(tmp_path: Path) -> None:
    closed: list[str] = []

    def plain_source() -> Iterator[str]:
        try:
            for number in range(1000):
                yield str(number)
        finally:
            closed.append("plain")

    async def async_source() -> AsyncIterator[str]:
        try:
            for number in range(1000):
                yield str(number)
        finally:
            closed.append("async")

    async with rigged("memory", tmp_path) as rig:
        for make in (plain_source, async_source):
            async with rig.model.stream_by_bytes(make(), "text") as stream:
                async for _ in stream:
                    break
            async with rig.model.stream_by_bytes(make(), "text", matched=False) as stream:
                async for _ in stream:
                    break
            async with rig.model.map(make(), input_type="text") as stream:
                async for _ in stream:
                    break
    assert closed == ["plain"] * 3 + ["async"] * 3
