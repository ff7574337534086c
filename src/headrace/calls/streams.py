"""What the user holds of a stream of inputs: an async context manager and iterator with statistics."""

from __future__ import annotations

import warnings
from types import TracebackType
from typing import Literal, Self, TypeAlias

from headrace.calls.base import StreamWork
from headrace.calls.stats import StreamStats
from headrace.errors import ClosedError, ConcurrentUse
from headrace.results import Prediction
from headrace.support.misuse import AsyncContext, AsyncIteration

OnError: TypeAlias = Literal["yield", "raise"]


class PredictionStream(AsyncContext, AsyncIteration):
    """The predictions of a stream of inputs; nothing is pulled or sent before it is entered or read.

    `async with` (leaving it early ends the call on the server and closes the source) or plain `async for`. Reading
    raises the source's exception, or the error that ended the stream, after all predictions; if nobody
    read it, leaving does.

    Raises (from reading):
        ServerError: the server refuses the whole stream (credential, permission, quota, unknown model).
        StreamBroken: it broke and could not be resumed; `.received`, `.unanswered`.
        ConnectFailed: the server was never reached.
        ConcurrentUse: two tasks read at once.
        ClosedError: another task closed it meanwhile.
    """

    def __init__(self, work: StreamWork, on_error: OnError) -> None:
        self._work = work
        self._on_error = on_error
        self._reading = False
        self._closed = False
        self._raised = False  # the failure was raised
        self._item_raised = False

    def __repr__(self) -> str:
        stats = self.stats
        state = "closed" if self._closed else "open" if self._work.started else "new"
        return (
            f"<PredictionStream ({self._work.kind}) {state}: {stats.sent} sent, {stats.received} received, "
            f"{stats.errors} errors, {stats.dropped} dropped, {stats.in_flight} in flight>"
        )

    def _repr_html_(self) -> str:
        """Show its counts in a notebook."""
        return self.stats._repr_html_()

    @property
    def stats(self) -> StreamStats:
        """A snapshot of the counts."""
        return self._work.tally.snapshot(*self._work.in_flight, self._work.lag)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Prediction:
        if self._reading:
            raise ConcurrentUse("another task is reading this stream")
        if self._closed:
            self._raise_untold()
            raise StopAsyncIteration
        prediction = self._work.take()
        if prediction is None:
            prediction = await self._next()
        self._item_raised = False
        if prediction.error is not None and self._on_error == "raise":
            self._item_raised = True
            prediction.error.add_note(f"This was the input at position {prediction.position}.")
            raise prediction.error
        return prediction

    async def _next(self) -> Prediction:
        """Wait for the next prediction."""
        work = self._work
        if not work.started:
            work.start()
        self._reading = True
        try:
            while True:
                prediction = work.take()
                if prediction is not None:
                    return prediction
                if work.failure is not None:
                    await self.aclose()
                    self._raise_untold()
                if work.finished:
                    self._closed = True
                    await work.finish()
                    raise StopAsyncIteration
                await work.ready.wait()
                if self._closed:
                    raise ClosedError("the stream was closed while it was read")
        finally:
            self._reading = False

    async def __aenter__(self) -> Self:
        if self._closed:
            raise ClosedError("the stream is closed")
        if not self._work.started:
            self._work.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
        if exc is None:
            self._raise_untold()

    async def aclose(self) -> None:
        """End the call and close the source; idempotent, time-boxed by `Timeouts.close`."""
        self._closed = True
        await self._work.stop()

    def _raise_untold(self) -> None:
        """Raise the error that ended the stream, unless it was raised: a cancelled reader has not seen it."""
        if self._work.failure is not None and not self._raised:
            self._raised = True
            raise self._work.failure

    def __del__(self) -> None:
        work = getattr(self, "_work", None)
        if work is None or self._closed or not work.started or not work.running:
            return
        if not self._item_raised:  # `async for` has no other way to end a stream whose `on_error` is "raise"
            warnings.warn(f"unclosed {self!r}: use `async with`, or read it to its end", ResourceWarning, stacklevel=2)
        loop = work.loop
        if not loop.is_closed():
            loop.call_soon_threadsafe(work.halt)


DuplexStream = PredictionStream  # its earlier name

__all__ = ["DuplexStream", "OnError", "PredictionStream", "StreamStats"]
