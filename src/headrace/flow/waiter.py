"""Waiting for a callback of the event loop without a turn of the loop in between."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Generator
from typing import Any


class InlineWaiter:
    """An awaitable for one task: not a future, but it follows asyncio's protocol for awaitables of tasks.

    The waiter of a future goes on a turn of the event loop after its result is set; here `open` resumes it immediately.
    It says nothing but "look again": who waits for something looks whether it is there, before and after.
    Source: `asyncio.isfuture`. `_asyncio_future_blocking` says that the task's `await` has yielded it; the task then
    asks for the loop, leaves its next step with `add_done_callback`, and gives that a future that tells how it went.
    """

    __slots__ = ("_asyncio_future_blocking", "_context", "_go_on", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = False
        self._loop = loop  # a task reads it where there is no `get_loop`, which would be another call
        self._go_on: Callable[[Any], object] | None = None  # the next step of the task that waits
        self._context: contextvars.Context | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that it belongs to."""
        return self._loop

    def __await__(self) -> Generator[InlineWaiter, None, None]:
        self._asyncio_future_blocking = True
        return iter((self,))  # type: ignore[return-value]  # an iterator does, and a generator is a step more

    def open(self) -> None:
        """Let a waiting task go on, within this call: only from a callback of the event loop, never from a task."""
        go_on = self._go_on
        if go_on is not None:
            self._go_on = None
            self._context.run(go_on, self)  # type: ignore[union-attr]  # set with it

    def open_soon(self) -> None:
        """Let a waiting task go on in the next turn of the event loop."""
        self._let_go(self)

    def result(self) -> None:
        """Tell the task how its waiting went: it is over."""

    def add_done_callback(self, go_on: Callable[[Any], object], *, context: contextvars.Context | None = None) -> None:
        """Take the waiting task's next step."""
        self._go_on = go_on
        self._context = contextvars.copy_context() if context is None else context

    def cancel(self, msg: Any = None) -> bool:
        """End the task's waiting, and nothing else; False when it is about to go on anyway."""
        if self._go_on is None:
            return False
        cancelled = self._loop.create_future()
        cancelled.cancel(msg)
        self._let_go(cancelled)
        return True

    def _let_go(self, how: InlineWaiter | asyncio.Future[None]) -> None:
        go_on, self._go_on = self._go_on, None
        if go_on is not None:
            self._loop.call_soon(go_on, how, context=self._context)


__all__ = ["InlineWaiter"]
