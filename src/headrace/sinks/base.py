"""The base of all sinks: written frame by frame, in worker threads, one job after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from headrace.errors import ClosedError
from headrace.support.later import later
from headrace.support.misuse import AsyncContext

if TYPE_CHECKING:
    from headrace.frames import FramePrediction
else:
    FramePrediction = later("headrace.frames", "FramePrediction")


class Sink(AsyncContext):
    """Takes frames with their predictions; `async with`, or `aclose()` in the end, completes the file.

    The methods that do the work block, and never run concurrently: a cancelled write is finished before the next.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()  # one piece of work at a time, in the order in which they were asked for
        self._writing: asyncio.Task[None] | None = None  # held here: a loop holds its tasks weakly
        self._closed = False

    async def write(self, frame: FramePrediction) -> None:
        """Write one frame.

        Raises:
            ClosedError: it is closed.
            OSError: the file cannot be written.
        """
        if self._closed:
            raise ClosedError(f"{self!r} is closed")
        await self._run(lambda: self._write(frame))

    async def aclose(self) -> None:
        """Complete the file and close it; idempotent."""
        if self._closed:
            return
        self._closed = True
        await self._run(self._close)

    async def _run(self, work: Callable[[], None]) -> None:
        from anyio import to_thread

        await self._lock.acquire()
        writing = self._writing = asyncio.get_running_loop().create_task(to_thread.run_sync(work), name="headrace-sink")
        writing.add_done_callback(lambda _: self._lock.release())  # then, also if nobody waits for it any more
        await asyncio.shield(writing)

    def _write(self, frame: FramePrediction) -> None:
        raise NotImplementedError

    def _close(self) -> None:
        raise NotImplementedError
