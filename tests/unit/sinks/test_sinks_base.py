"""What holds for every sink: one piece of work at a time, in order, and a cancelled one is finished first."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from headrace.errors import ClosedError
from headrace.sinks.base import Sink

pytestmark = pytest.mark.core


class Slow(Sink):
    def __init__(self, go: threading.Event | None = None) -> None:
        super().__init__()
        self.go = go  # what a write waits for
        self.inside = self.peak = 0
        self.written: list[Any] = []
        self.lock = threading.Lock()

    def _write(self, found: Any) -> None:
        with self.lock:
            self.inside += 1
            self.peak = max(self.peak, self.inside)
        if self.go is None:
            time.sleep(0.01)  # as long as encoding takes
        else:
            assert self.go.wait(10)
        with self.lock:
            self.inside -= 1
        if found == "bad":
            raise OSError("full")
        self.written.append(found)

    def _close(self) -> None:
        self.written.append("closed")


async def test_writes_of_several_tasks_run_one_at_a_time_in_order() -> None:
    sink = Slow()
    await asyncio.gather(*(sink.write(number) for number in range(8)))  # type: ignore[arg-type]
    await sink.aclose()
    assert sink.peak == 1
    assert sink.written == [*range(8), "closed"]
    with pytest.raises(ClosedError):
        await sink.write(9)  # type: ignore[arg-type]


async def test_a_cancelled_write_is_finished_and_one_that_waited_took_nothing() -> None:
    sink = Slow(threading.Event())
    first, second = (asyncio.create_task(sink.write(number)) for number in range(2))  # type: ignore[arg-type]
    while not sink.inside:
        await asyncio.sleep(0)
    first.cancel()
    second.cancel()
    await asyncio.wait([first, second])
    assert sink.go is not None
    sink.go.set()
    await sink.write(2)  # type: ignore[arg-type]
    assert sink.written == [0, 2]
    assert sink.peak == 1


async def test_a_failed_write_is_its_callers_alone() -> None:
    sink = Slow()
    results = await asyncio.gather(*(sink.write(n) for n in ("a", "bad", "b")), return_exceptions=True)  # type: ignore[arg-type]
    assert [type(result) for result in results] == [type(None), OSError, type(None)]
    assert sink.written == ["a", "b"]
