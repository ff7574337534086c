"""One direction of an in-memory call: messages in order, limited in bytes by what the reader has not taken."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from headrace.errors import ConcurrentUse

Failure: TypeAlias = Callable[[], Exception]


PREFIX_BYTES = 5  # what every message costs on the wire besides its own bytes


class StreamHalf:
    """A pipe for one writer and one reader, with a window in bytes; its end can be orderly, failed or sudden.

    Args:
        window_bytes: `put` waits while more than so many bytes would be unread, the prefix of each message counted;
            one message always fits alone.
        started: whether messages may come in already.
    """

    __slots__ = (
        "_closed",
        "_ended",
        "_failure",
        "_getter",
        "_messages",
        "_paused",
        "_putter",
        "_started",
        "_window",
        "size",
    )

    def __init__(self, window_bytes: int, *, started: bool) -> None:
        self.size: int = 0  # bytes that are unread
        self._window = window_bytes
        self._started = started
        self._paused = False
        self._messages: deque[bytes] = deque()
        self._ended = False  # no more messages come: what is here can be read, then comes the end
        self._closed = False  # nobody reads what is written
        self._failure: Failure | None = None
        self._getter: asyncio.Future[None] | None = None
        self._putter: asyncio.Future[None] | None = None

    async def put(self, message: bytes) -> bool:
        """Write one message when there is room; False when nobody reads any more.

        Cancelling it while it waits means that the message was not sent.
        """
        size = PREFIX_BYTES + len(message)
        while not self._closed and not self._fits(size):
            if self._putter is not None:
                raise ConcurrentUse("another task is writing to this call already; one task writes, one task reads")
            self._putter = asyncio.get_running_loop().create_future()
            try:
                await self._putter
            finally:
                self._putter = None
        if self._closed:
            return False
        if self._ended:
            raise RuntimeError("write after half_close: no more messages may follow")
        self._messages.append(message)
        self.size += size
        _wake(self._getter)
        return True

    def put_first(self, message: bytes) -> None:
        """Write the first message, which always fits."""
        if not self._closed:
            self._messages.append(message)
            self.size += PREFIX_BYTES + len(message)
            _wake(self._getter)

    async def get(self) -> bytes | None:
        """Take the next message; None at an orderly end, the failure at another one."""
        while self._paused or not (self._messages or self._ended):
            if self._getter is not None:
                raise ConcurrentUse("another task is reading this call already; one task writes, one task reads")
            self._getter = asyncio.get_running_loop().create_future()
            try:
                await self._getter
            finally:
                self._getter = None
        if not self._messages:
            if (failure := self.failure) is not None:
                raise failure
            return None
        return self._take()

    def get_now(self, limit: int) -> bytes | None:
        """Take the next message if it is here, not held back, and not larger than `limit` bytes."""
        if self._paused or not self._messages or len(self._messages[0]) > limit:
            return None
        return self._take()

    def start(self) -> None:
        """Let messages in: the call has its place on the connection."""
        self._started = True
        _wake(self._putter)

    def hold(self, paused: bool) -> None:
        """Hold messages back from the reader, or let them pass again."""
        self._paused = paused
        _wake(self._getter)

    def end(self, failure: Failure | None = None) -> None:
        """Say that no more messages come; what is unread can still be read, then comes the end or the failure."""
        if not self._ended:
            self._ended = True
            self._failure = failure
            _wake(self._getter)

    def close(self) -> None:
        """Note that nobody reads any more."""
        self._closed = True
        _wake(self._putter)

    def break_off(self, failure: Failure) -> None:
        """End immediately; unread messages are lost, except one that a reader was woken for. The first end counts."""
        self.close()
        if self._ended and not self._messages:
            return
        woken = self._getter is not None and self._getter.done() and not self._getter.cancelled() and not self._paused
        while len(self._messages) > woken:  # as over gRPC, where an answer that was handed up is not taken back
            self._messages.pop()
        self.size = sum(PREFIX_BYTES + len(message) for message in self._messages)
        self._ended = True
        self._paused = False
        self._failure = failure
        _wake(self._getter)

    @property
    def drained(self) -> bool:
        """Whether it has ended and all of it was read."""
        return self._ended and not self._messages

    @property
    def failure(self) -> Exception | None:
        """Why it ended, or None: it has not, or in order."""
        return self._failure() if self._failure is not None else None

    def _take(self) -> bytes:
        message = self._messages.popleft()
        self.size -= PREFIX_BYTES + len(message)
        _wake(self._putter)
        return message

    def _fits(self, size: int) -> bool:
        return self._started and (not self._messages or self.size + size <= self._window)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
