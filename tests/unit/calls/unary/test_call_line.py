"""Calls that wait behind others: in order, within their time, with little made for each before its turn."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headrace import Limits, Timeouts
from headrace.errors import ClosedError, DeadlineExceeded, InputError
from headrace.testing import GrpcFail
from headrace.transport.base import Metadata
from headrace.transport.memory.client import MemoryTransport
from tests.support.rig import Rig, rigged

pytestmark = pytest.mark.core


class Slow:
    """Answers each input with its text when it may; counts how many it works on at once."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.running = self.most = 0
        self.order: list[str] = []
        self.fails = 0

    async def __call__(self, item: object) -> object:
        text: str = item.text  # type: ignore[attr-defined]
        self.order.append(text)
        self.running += 1
        self.most = max(self.most, self.running)
        await self.open.wait()
        self.running -= 1
        if self.fails:
            self.fails -= 1
            return GrpcFail("UNAVAILABLE")
        return text


@pytest.fixture
async def slow() -> Slow:
    return Slow()


@pytest.fixture
async def rig(slow: Slow, tmp_path: Path) -> AsyncIterator[Rig]:
    async with rigged("memory", tmp_path, slow, limits=Limits(concurrency=2)) as made:
        yield made


def submit(rig: Rig, number: int, timeout: float | None = 60.0) -> list[asyncio.Task[str]]:
    async def one(text: str) -> str:
        return (await rig.model.predict_by_bytes(text, "text", timeout=timeout)).text

    return [asyncio.ensure_future(one(str(index))) for index in range(number)]


async def started(rig: Rig, slow: Slow, number: int) -> None:
    await rig.until(lambda: len(slow.order) >= number)


def line(rig: Rig) -> tuple[int, int]:
    """Tell how many calls run and how many wait."""
    return rig.client.stats.running, rig.client.stats.waiting


def scopes() -> int:
    gc.collect()
    return sum(isinstance(thing, asyncio.Timeout) for thing in gc.get_objects())


@pytest.mark.parametrize("timeout", [60.0, 1e307, None])
async def test_calls_in_line_go_in_order(rig: Rig, slow: Slow, timeout: float | None) -> None:
    tasks = submit(rig, 50, timeout)
    await started(rig, slow, 2)
    assert line(rig) == (2, 48)
    slow.open.set()
    assert await asyncio.gather(*tasks) == [str(index) for index in range(50)]
    assert slow.most == 2
    assert slow.order == [str(index) for index in range(50)]
    assert line(rig) == (0, 0)


async def test_a_call_in_line_has_no_timeout_scope_of_its_own(rig: Rig, slow: Slow) -> None:
    before = scopes()
    tasks = submit(rig, 50)
    await started(rig, slow, 2)
    assert scopes() - before <= 4
    slow.open.set()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("method", ["predict", "predict_by_bytes"])
@pytest.mark.parametrize(
    "options",
    {
        "no options": {},
        "timeout": {"timeout": 50.0},
        "no timeout": {"timeout": None},
        "parameters": {"inference_params": {"temperature": 0.5}},
        "metadata": {"metadata": [("x-name", "value")]},
    }.values(),
)
async def test_a_text_in_line_is_not_copied_and_its_call_is_small(
    rig: Rig, slow: Slow, method: str, options: dict[str, Any]
) -> None:
    text, number = "x" * 100_000, 200
    first = submit(rig, 2)
    await started(rig, slow, 2)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tasks = [asyncio.ensure_future(getattr(rig.model, method)(text, "text", **options)) for _ in range(number)]
        while line(rig) != (2, number):
            await asyncio.sleep(0)
        assert (tracemalloc.get_traced_memory()[0] - before) / number < 2_500  # with the task
    finally:
        tracemalloc.stop()
    slow.open.set()
    assert [prediction.text for prediction in await asyncio.gather(*tasks)] == [text] * number
    await asyncio.gather(*first)


@pytest.mark.parametrize("method", ["predict", "predict_by_bytes"])
@pytest.mark.parametrize(
    ("text", "message"),
    {
        "surrogate": ("caf\udce9", "the text has lone surrogates"),
        "empty": ("", "the text is empty"),
        "too long": ("x" * 11, "the text has 11 bytes; the limit is 10"),
        "too long as UTF-8": ("\xe9" * 6, "the text has 12 bytes; the limit is 10"),
    }.values(),
)
async def test_a_wrong_text_does_not_wait_in_line(
    slow: Slow, tmp_path: Path, method: str, text: str, message: str
) -> None:
    async with rigged("memory", tmp_path, slow, limits=Limits(concurrency=2, input_bytes={"text": 10})) as rig:
        first = submit(rig, 3)
        await started(rig, slow, 2)
        with pytest.raises(InputError, match=message):
            await getattr(rig.model, method)(text)
        assert line(rig) == (2, 1)
        slow.open.set()
        assert await asyncio.gather(*first) == ["0", "1", "2"]


@pytest.mark.parametrize("text", ["plain", "caf\xe9", "\N{GRINNING FACE}", "nul \x00"])
async def test_a_text_arrives_as_it_is_also_after_a_failure(rig: Rig, slow: Slow, text: str) -> None:
    slow.fails = 1
    slow.open.set()
    assert (await rig.model.predict(text)).text == text
    assert slow.order == [text, text]


async def test_time_in_line_counts(rig: Rig, slow: Slow) -> None:
    first = submit(rig, 2)
    await started(rig, slow, 2)
    late = submit(rig, 3, timeout=0.05)
    for task in late:
        with pytest.raises(DeadlineExceeded, match=r"the input took longer than 0.05 s \(waiting for its turn"):
            await task
    assert line(rig) == (2, 0)
    slow.open.set()
    assert await asyncio.gather(*first) == ["0", "1"]
    assert slow.order == ["0", "1"]
    assert rig.client.stats.failures == 3


async def test_what_is_left_after_the_line_is_the_calls_time(
    rig: Rig, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []
    unary = MemoryTransport.unary

    async def noted(
        transport: MemoryTransport, method: str, parts: Any, metadata: Metadata, timeout: float | None
    ) -> bytes:
        assert timeout is not None
        given.append(timeout)
        return await unary(transport, method, parts, metadata, timeout)

    monkeypatch.setattr(MemoryTransport, "unary", noted)
    first, last = submit(rig, 2, timeout=0.2), submit(rig, 1, timeout=10.0)
    for task in first:
        with pytest.raises(DeadlineExceeded, match=r"took longer than 0\.2 s"):
            await task
    slow.open.set()
    await asyncio.gather(*last)
    assert len(given) == 3
    assert given[-1] < 9.9
    assert line(rig) == (0, 0)


async def test_a_cancelled_call_leaves_the_line(rig: Rig, slow: Slow) -> None:
    tasks = submit(rig, 6)
    await started(rig, slow, 2)
    for task in tasks[2:5]:
        task.cancel()
    await asyncio.wait(tasks[2:5])
    assert line(rig) == (2, 1)
    slow.open.set()
    await asyncio.wait(tasks)
    assert [task.cancelled() for task in tasks] == [False, False, True, True, True, False]
    assert slow.order == ["0", "1", "5"]
    assert line(rig) == (0, 0)


async def test_a_cancel_together_with_the_turn_hands_it_on(rig: Rig, slow: Slow) -> None:
    concurrency = rig.client._open_session().channels.pool().concurrency
    tasks = submit(rig, 4)
    await started(rig, slow, 2)
    concurrency.release()  # wakes the third
    tasks[2].cancel()
    await started(rig, slow, 3)
    concurrency.enter()
    slow.open.set()
    await asyncio.wait(tasks)
    assert tasks[2].cancelled()
    assert slow.order == ["0", "1", "3"]
    assert line(rig) == (0, 0)


async def test_failures_after_the_line_are_tried_again(rig: Rig, slow: Slow) -> None:
    slow.fails = 5
    slow.open.set()
    assert await asyncio.gather(*submit(rig, 10)) == [str(index) for index in range(10)]
    assert len(slow.order) == 15
    assert line(rig) == (0, 0)


async def test_a_turn_by_the_rate_comes_after_the_line(slow: Slow, tmp_path: Path) -> None:
    slow.open.set()
    async with rigged("memory", tmp_path, slow, limits=Limits(concurrency=2, requests_per_second=200)) as rig:
        assert await asyncio.gather(*submit(rig, 12)) == [str(index) for index in range(12)]
        assert slow.order == [str(index) for index in range(12)]
        assert line(rig) == (0, 0)


async def test_closing_ends_calls_in_line(slow: Slow, tmp_path: Path) -> None:
    limits, timeouts = Limits(concurrency=2), Timeouts(close=0.05)
    async with rigged("memory", tmp_path, slow, limits=limits, timeouts=timeouts) as rig:
        tasks = submit(rig, 6)
        await started(rig, slow, 2)
        await rig.client.close()
        for task in tasks:
            with pytest.raises(ClosedError):
                await asyncio.wait_for(task, 5)
