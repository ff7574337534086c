"""Batches of items for models that are faster on several together: only of waiting items, without a delay."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from headrace.server.envelope import PREDICTION_FAILED, QUEUE_FULL
from headrace.server.failures import failed_answer, ordinary
from headrace.server.model import Item, ModelError


class Batcher:
    """Collect items while the model is busy, and hand them over together.

    Args:
        run: answers a batch, in its order; a ModelError in place of an answer fails that item alone.
        size: items of a batch, at most.
        runs: batches at a time, at most.
        max_waiting: items that wait, at most; more are refused.
    """

    def __init__(
        self, run: Callable[[Sequence[Item]], Awaitable[Sequence[Any]]], size: int, runs: int, max_waiting: int
    ) -> None:
        self._run = run
        self._size = size
        self._max_waiting = max_waiting
        self._runs = runs
        self._waiting: deque[tuple[Item, asyncio.Future[Any]]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    async def predict(self, item: Item) -> Any:
        """Wait for the item's answer; an item whose caller leaves before its batch starts is skipped.

        Raises:
            ModelError: 40030 too many items wait already.
        """
        if len(self._waiting) >= self._max_waiting:
            self._waiting = deque(pair for pair in self._waiting if not pair[1].done())
            if len(self._waiting) >= self._max_waiting:
                raise ModelError(QUEUE_FULL, f"{len(self._waiting)} inputs wait for this model; try again later")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if len(self._tasks) < self._runs:
            task = asyncio.create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    def close(self) -> None:
        """Cancel the batches in flight."""
        for task in self._tasks:
            task.cancel()

    async def _work(self) -> None:
        await asyncio.sleep(0)  # items of the same loop turn go into one batch
        while batch := self._next():
            items = [item for item, _ in batch]
            try:
                values: Sequence[Any] = await self._run(items)
                if len(values) != len(items):
                    raise ModelError(
                        PREDICTION_FAILED, f"predict_many returned {len(values)} answers to {len(items)} items"
                    )
            except Exception as error:
                values = [error] * len(items)
            for (_, future), value in zip(batch, values, strict=True):
                if future.done():
                    continue  # its caller has gone
                if isinstance(value, BaseException):
                    failure = ordinary(value)
                    future.set_exception(failed_answer(failure) if len(items) > 1 else failure)
                else:
                    future.set_result(value)

    def _next(self) -> list[tuple[Item, asyncio.Future[Any]]]:
        batch: list[tuple[Item, asyncio.Future[Any]]] = []
        while self._waiting and len(batch) < self._size:
            item, future = self._waiting.popleft()
            if not future.done():
                batch.append((item, future))
        return batch
