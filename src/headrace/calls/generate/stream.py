"""Unary-stream calls: one input, a stream of answers (tokens). What the user holds; `Reader` does the work.

The two are apart so that a forgotten stream is noticed.
"""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from collections import deque
from types import TracebackType
from typing import Self

from headrace.calls.generate.reader import Prepare, Reader
from headrace.calls.session import Session
from headrace.errors import ClosedError, ConcurrentUse
from headrace.results import Prediction
from headrace.support.misuse import AsyncContext, AsyncIteration
from headrace.transport.base import Metadata


class TokenStream(AsyncContext, AsyncIteration):
    """The answers of a unary-stream call; nothing is sent before it is entered or read.

    `async with` (leaving it early ends the call on the server) or plain `async for`; `await stream.text()` collects.
    Each item is a `Prediction` with one piece. What the next reading would have raised, leaving raises.

    Raises (from reading):
        DeadlineExceeded: no first answer in time; StreamBroken from it when the server was idle later.
        StreamBroken: the stream failed after the first answer; `.text` (the last million characters) and `.received`
            have what came.
        ServerError, TransportError: it failed before the first answer.
        ConcurrentUse: two tasks read at once.
    """

    def __init__(
        self,
        session: Session,
        prepare: Prepare,
        *,
        metadata: Metadata = (),
        timeout: float | None,
        idle: float | None,
        warm_up: float | None = None,
    ) -> None:
        self._close_timeout = session.timeouts.close
        self._reader = Reader(session, prepare, metadata, timeout, idle, warm_up)
        self._taken: deque[Prediction] = deque()  # from the reader, all that was there at once
        self._reading = False
        self._done = False

    def __repr__(self) -> str:
        state = "closed" if self._done else "new" if self._reader.ahead is None else "open"
        return f"<TokenStream {state}: {self.received} received>"

    @property
    def received(self) -> int:
        """Answers that have arrived."""
        return self._reader.pieces.received

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Prediction:
        if not self._taken:
            await self._take()
        return self._taken.popleft()

    async def _take(self) -> None:
        """Take the answers that are ready from the reader; wait for one."""
        if self._reading:
            raise ConcurrentUse("another task is reading this stream")
        if self._done:
            raise StopAsyncIteration
        ahead = self._reader.ahead or self._reader.start()
        self._reading = True
        try:
            while not (ahead.ready or ahead.over or ahead.closed):
                await ahead.waiter
            self._taken = ahead.take()
        except asyncio.CancelledError:
            raise
        except BaseException:
            await self.aclose()
            raise
        finally:
            self._reading = False

    async def __aenter__(self) -> Self:
        if self._done:
            raise ClosedError("the stream is closed")
        self._reader.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        ahead = self._reader.ahead
        failure = None
        if ahead is not None and not (self._done or self._taken or ahead.ready):
            failure = ahead.failure  # pieces that nobody has read would come before it
        await self.aclose()
        if exc is None and failure is not None:
            raise failure

    async def text(self) -> str:
        """Read to the end and join the pieces.

        Raises:
            StreamBroken: with the text so far, and all that reading raises.
        """
        try:
            return "".join([prediction.text async for prediction in self])
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """End the call; idempotent, time-boxed by `Timeouts.close`."""
        self._done = True
        self._taken.clear()
        reader = self._reader
        reader.stop()
        if reader.running:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._close_timeout):
                    await reader.ended()

    def __del__(self) -> None:
        reader = getattr(self, "_reader", None)
        if reader is None or self._done or not reader.running:
            return
        warnings.warn(f"unclosed {self!r}: use `async with`, or read it to its end", ResourceWarning, stacklevel=2)
        loop = reader.ahead.waiter.loop
        if not loop.is_closed():
            loop.call_soon_threadsafe(reader.stop)


__all__ = ["Prepare", "TokenStream"]
