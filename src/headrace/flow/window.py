"""The window: how many inputs and bytes are in flight, and waiting for room."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Iterable
from typing import Protocol

from headrace.config import Window


class Sized(Protocol):
    """An input, as the window sees it."""

    @property
    def size_bytes(self) -> int:
        """Bytes of its payloads."""


class FlowWindow:
    """Admits inputs while their number and bytes in flight stay within a window; one is always admitted when none is.

    In flight is what was sent and whose answer the consumer has not taken: the consumer's taking calls `free`.
    """

    __slots__ = ("_bytes", "_closed", "_items", "_peak", "_waiters", "_window")

    def __init__(self, window: Window) -> None:
        self._window = window
        self._items = self._bytes = self._peak = 0
        self._closed = False
        self._waiters: deque[asyncio.Future[None]] = deque()

    @property
    def items(self) -> int:
        """Inputs in flight now."""
        return self._items

    @property
    def bytes(self) -> int:
        """Bytes in flight now."""
        return self._bytes

    @property
    def peak(self) -> int:
        """The largest number of inputs in flight so far."""
        return self._peak

    @property
    def max_items(self) -> float:
        """How many inputs may be in flight; inf: any number."""
        return math.inf if self._window.inputs is None else self._window.inputs

    @property
    def room(self) -> float:
        """How many more inputs would be admitted by their number."""
        return self.max_items - self._items

    @property
    def full(self) -> bool:
        """Whether someone waits for room."""
        return bool(self._waiters)

    def fits(self, size: int) -> bool:
        """Whether an input of `size` bytes would be admitted now."""
        if not self._items or self._closed:
            return True
        limit = self._window.inputs
        return (limit is None or self._items < limit) and self._bytes + size <= self._window.bytes

    def admits(self, inputs: Iterable[Sized]) -> int:
        """Count how many of these inputs would be admitted now, in order."""
        before, total, closed = self._items, self._bytes, self._closed
        limit = math.inf if self._window.inputs is None else self._window.inputs
        limit_bytes = self._window.bytes
        items = before
        for one in inputs:
            total += one.size_bytes
            if items and not closed and (items >= limit or total > limit_bytes):
                break
            items += 1
        return items - before

    async def admit(self, size: int) -> None:
        """Wait for room for one input of `size` bytes and take it. One task at a time; a cancelled wait took none."""
        while not self.fits(size):
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
        self.take(size)

    def take(self, size: int, inputs: int = 1) -> None:
        """Take room for inputs of `size` bytes together without asking."""
        self._items += inputs
        self._bytes += size
        if self._items > self._peak:
            self._peak = self._items

    def free(self, size: int) -> None:
        """Give the room of one input back."""
        self._items -= 1
        self._bytes -= size
        if self._waiters:
            self._wake()

    def resize(self, inputs: int | None) -> None:
        """Change the number of inputs that are admitted; what is in flight stays."""
        self._window = Window(inputs, self._window.bytes)
        self._wake()

    def close(self) -> None:
        """Admit every waiter: the stream ends."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
