"""Sources that misbehave: what they raise reaches the caller as itself, and none of them holds up the end."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace import Timeouts
from tests.support.rig import WIRES, Rig, Wire, rigged, timed

pytestmark = pytest.mark.core

SHAPES = ["stream", "packed", "unmatched", "map", "packed map"]
CLOSE = 0.3


def opened(rig: Rig, shape: str, source: Any) -> Any:
    batch: Any = {"batch": 4} if "packed" in shape else {}
    if "map" in shape:
        return rig.model.map(source, input_type="text", **batch)
    return rig.model.stream_by_bytes(source, "text", matched=shape != "unmatched", **batch)


class Abort(BaseException):
    """As test tools' fail and skip are."""


class Source:
    """Yields three texts and misbehaves in one way."""

    def __init__(self, way: str) -> None:
        self.way = way
        self.number = 0
        self.released = asyncio.Event()

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        if self.number == 3:
            raise StopAsyncIteration
        self.number += 1
        return str(self.number)

    async def aclose(self) -> None:
        if self.way == "sleeps":
            await self.released.wait()
        if self.way == "cancelled":
            raise asyncio.CancelledError
        if self.way == "raises":
            raise ValueError("while closing")
        if self.way == "aborts":
            raise Abort
        while self.way == "swallows" and not self.released.is_set():
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                pass
        if self.way == "own task":
            task = asyncio.create_task(self.released.wait())
            task.cancel()
            await task


CLOSES = ["sleeps", "cancelled", "raises", "aborts", "swallows", "own task"]


@pytest.mark.parametrize("way", CLOSES)
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_source_that_closes_badly_holds_nothing_up(
    shape: str, way: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source(way)
    async with rigged("memory", tmp_path, timeouts=Timeouts(close=CLOSE)) as rig:
        for early in (False, True):
            source = Source(way)
            caplog.clear()
            with timed() as took, caplog.at_level(logging.WARNING, "headrace"):
                texts = []
                async with opened(rig, shape, source) as stream:
                    async for prediction in stream:
                        texts.append(prediction.text)
                        if early:
                            break
            assert texts == (["1"] if early else ["1", "2", "3"])
            assert took.ours < CLOSE + 1
            held_up = way in ("sleeps", "swallows")
            assert sum("did not close" in record.message for record in caplog.records) == held_up
            source.released.set()
            await asyncio.sleep(0)


RAISED = [ValueError("mine"), Abort(), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), StopAsyncIteration()]


@pytest.mark.parametrize("raised", RAISED, ids=repr)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["plain", "asynchronous"])
async def test_what_a_source_raises_reaches_the_caller_as_itself(
    kind: str, shape: str, raised: BaseException, tmp_path: Path
) -> None:
    class Plain:
        def __init__(self) -> None:
            self.number = 0

        def __iter__(self) -> Iterator[str]:
            return self

        def __next__(self) -> str:
            self.number += 1
            if self.number == 3:
                raise raised
            return str(self.number)

    async def asynchronous() -> AsyncIterator[str]:
        yield "1"
        yield "2"
        raise raised

    source = Plain() if kind == "plain" else asynchronous()
    expected = RuntimeError if isinstance(raised, StopAsyncIteration) else type(raised)  # as Python's generators
    async with rigged("memory", tmp_path, timeouts=Timeouts(close=CLOSE)) as rig:
        stream = opened(rig, shape, source)
        with pytest.raises(expected) as caught:
            async with asyncio.timeout(5):
                async for _ in stream:
                    pass
        assert caught.value is raised or isinstance(caught.value.__cause__, StopAsyncIteration)


user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["plain", "asynchronous"])
async def test_a_source_sees_the_callers_context(kind: str, shape: str, tmp_path: Path) -> None:
    threads = set()

    def plain() -> Iterator[str]:
        threads.add(threading.current_thread())
        yield user.get()

    async def asynchronous() -> AsyncIterator[str]:
        yield user.get()

    user.set("anna")
    async with rigged("memory", tmp_path) as rig:
        stream = opened(rig, shape, plain() if kind == "plain" else asynchronous())
        assert [p.text async for p in stream] == ["anna"]
    assert threading.current_thread() not in threads


@pytest.mark.parametrize("wire", WIRES)
async def test_an_iterator_that_goes_on_when_cancelled_is_not_counted_twice(wire: Wire, tmp_path: Path) -> None:
    async def stubborn() -> AsyncIterator[str]:
        yield "1"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            yield "2"
        yield "3"

    for shape in ("stream", "map"):
        async with (
            rigged(wire, tmp_path, timeouts=Timeouts(close=CLOSE)) as rig,
            opened(rig, shape, stubborn()) as stream,
        ):
            assert (await anext(stream)).text == "1"
        stats = stream.stats
        assert stats.pulled == stats.received + stats.errors + stats.dropped
