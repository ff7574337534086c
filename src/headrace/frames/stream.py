"""`Model.stream_frames`: each frame with its prediction, as many in flight as a window admits.

Backpressure is applied in one place, the gate: a frame leaves its source when there is room in flight,
so the newest frame is sent. The stream underneath never holds a frame while it waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from headrace.config import Window
from headrace.errors import (
    ClosedError,
    ConcurrentUse,
    ConfigError,
    DeadlineExceeded,
    HeadraceError,
    ServerError,
    SourceError,
    StreamBroken,
)
from headrace.flow.window import FlowWindow
from headrace.frames.frame_prediction import FramePrediction
from headrace.frames.stats import FrameRate, FrameStats
from headrace.frames.window import AdaptiveWindow
from headrace.sources.iterables import Source
from headrace.support.frozen import FrozenDict
from headrace.support.later import later
from headrace.support.misuse import AsyncContext, AsyncIteration

if TYPE_CHECKING:
    from headrace.calls.options import Mode
    from headrace.calls.streams import OnError, PredictionStream
    from headrace.frames.feed import Feed, QueuedFrame
    from headrace.results import Prediction, Region
    from headrace.track import Tracker
else:
    Mode = later("headrace.calls.options", "Mode")
    OnError = later("headrace.calls.streams", "OnError")
    PredictionStream = later("headrace.calls.streams", "PredictionStream")
    Feed = later("headrace.frames.feed", "Feed")
    QueuedFrame = later("headrace.frames.feed", "QueuedFrame")
    Prediction = later("headrace.results", "Prediction")
    Region = later("headrace.results", "Region")
    Tracker = later("headrace.track", "Tracker")

MODES: tuple[Mode, ...] = ("auto", "stream", "unary")

#: Opens the calls underneath: (source, window) -> stream of predictions in order of the source, or as they are ready.
Open: TypeAlias = Callable[[Source[Any], int], "PredictionStream"]


@dataclass(frozen=True, slots=True)
class _Flight:
    frame: QueuedFrame
    sent_at: float


class _WindowedSource(Source[Any]):
    """The feed behind the gate, as a source for the calls underneath.

    A failed source ends it normally: frames in flight are answered before the failure is raised.
    """

    def __init__(self, feed: Feed, window: FlowWindow, again: list[QueuedFrame]) -> None:
        self.failure: SourceError | None = None
        self.flights: dict[int, _Flight] = {}  # position in the calls underneath -> frame
        self._feed = feed
        self._window = window
        self._again = again
        self._position = 0

    async def next(self) -> Any:
        """Wait for room, then take a frame."""
        await self._window.admit(0)
        try:
            frame = self._again.pop(0) if self._again else await self._feed.take()
        except SourceError as error:
            self._window.free(0)
            self.failure = error
            raise StopAsyncIteration from None
        except BaseException:
            self._window.free(0)
            raise
        self.flights[self._position] = _Flight(frame, time.monotonic())
        self._position += 1
        return frame.item

    async def close(self) -> None:
        """Nothing: the feed outlives the calls."""


class FrameStream(AsyncContext, AsyncIteration):
    """Frames with their predictions: an async context manager and iterator; nothing is opened before it is read.

    Leaving it ends the calls and closes the source. In the end `stats.frames` is the sum of predictions, errors and
    drops.

    Raises (from reading):
        SourceError: the source failed; what was in flight is given first.
        HeadraceError: as reading a stream (or `map`) does.
    """

    def __init__(
        self,
        feed: Feed,
        open_stream: Open,
        open_unary: Open,
        *,
        window: int,
        target_latency: float | None,
        mode: Mode,
        on_error: OnError,
        first_answer: float | None,
        tracker: Tracker | None = None,
    ) -> None:
        if not isinstance(window, int) or window < 1:
            raise ConfigError(f"window must be at least 1 frame, not {window!r}")
        if target_latency is not None and not target_latency > 0:
            raise ConfigError(f"target_latency must be positive seconds, not {target_latency}")
        if mode not in MODES:
            raise ConfigError(f"mode must be one of {', '.join(MODES)}, not {mode!r}")
        self._feed = feed
        self._open: dict[str, Open] = {"stream": open_stream, "unary": open_unary}
        self._limit = window
        self._adaptive = AdaptiveWindow(target_latency, window) if target_latency is not None else None
        self._window = FlowWindow(Window(self._adaptive.size if self._adaptive else window))
        self._mode: Literal["stream", "unary"] = "unary" if mode == "unary" else "stream"
        self._may_switch = mode == "auto"
        self._on_error = on_error
        self._first_answer = first_answer
        self._tracker = tracker
        self._trackers: dict[str, Tracker] = {}  # of each source
        self._source: _WindowedSource | None = None
        self._calls: PredictionStream | None = None
        self._before = Counter[str]()  # counts of calls that were abandoned for another mode
        self._delivered = self._bad = 0  # frames given to the consumer; those that failed
        self._loop: asyncio.AbstractEventLoop | None = None
        self._item_raised = False
        self._fps_in, self._fps_out = FrameRate(), FrameRate()
        self._newest: tuple[float, float] | None = None  # captured, latency
        self._first: asyncio.Future[Prediction] | None = None  # the first answer, waited for
        self._reading = self._closed = False

    def __repr__(self) -> str:
        stats = self.stats
        return (
            f"<FrameStream {stats.mode}: {stats.frames} frames, {stats.predictions} predictions, "
            f"{stats.errors} errors, {stats.dropped} dropped, {stats.in_flight} in flight>"
        )

    def _repr_html_(self) -> str:
        """Show its counts in a notebook."""
        return self.stats._repr_html_()

    @property
    def stats(self) -> FrameStats:
        """A snapshot of the counts."""
        now = time.monotonic()
        drops = Counter(self._feed.drops)
        sent, received, errors, resumed = (self._before[name] for name in ("sent", "received", "errors", "resumed"))
        if self._calls is not None:
            calls = self._calls.stats
            drops.update(calls.drops)
            sent, received, errors = sent + calls.sent, received + calls.received, errors + calls.errors
            resumed += calls.resumed
        return FrameStats(
            frames=self._feed.frames,
            sent=sent,
            predictions=received,
            errors=errors,
            dropped=sum(drops.values()),
            drops=FrozenDict(drops),
            in_flight=len(self._source.flights) if self._source is not None and not self._closed else 0,
            queued=self._feed.waiting,
            window=self._adaptive.size if self._adaptive else self._limit,
            fps_in=self._fps_in.look(now, self._feed.frames),
            fps_out=self._fps_out.look(now, self._delivered),
            latency=self._newest[1] if self._newest else 0.0,
            age=now - self._newest[0] if self._newest else 0.0,
            resumed=resumed,
            reconnects=self._feed.reconnects,
            mode=self._mode,
        )

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> FramePrediction:
        if self._reading:
            raise ConcurrentUse("another task is reading this stream")
        if self._closed:
            raise StopAsyncIteration
        self._reading = True
        try:
            return self._deliver(await self._next())
        finally:
            self._reading = False

    async def _next(self) -> Prediction:
        if self._tracker is not None and self._calls is None:
            from anyio import to_thread

            await to_thread.run_sync(self._tracker.prepare)
        while True:
            calls = self._begin()
            try:
                return await self._answer(calls)
            except StopAsyncIteration:
                failure = self._source.failure if self._source is not None else None
                await self.aclose()
                if failure is not None:
                    raise failure from None
                raise
            except Exception as error:
                if self._closed:
                    if isinstance(error, ClosedError):
                        raise
                    raise ClosedError("the stream was closed while it was read") from error
                if not self._should_switch(error):
                    await self.aclose()
                    raise
                await self._switch()

    def _begin(self, again: list[QueuedFrame] | None = None) -> PredictionStream:
        if self._calls is None:
            self._loop = asyncio.get_running_loop()
            self._source = _WindowedSource(self._feed, self._window, again or [])
            now = time.monotonic()
            self._fps_in.look(now, self._feed.frames)
            self._fps_out.look(now, self._delivered)
            self._calls = self._open[self._mode](self._source, self._limit)
        return self._calls

    async def _answer(self, calls: PredictionStream) -> Prediction:
        """Wait for the next answer; if another mode may be needed, not forever for the first one."""
        limit = self._first_answer
        if self._first is None:
            if not self._may_switch or self._delivered or limit is None:
                return await anext(calls)
            self._first = asyncio.ensure_future(anext(calls))
        first = self._first
        while not (await asyncio.wait([first], timeout=min(limit or 1.0, 1.0)))[0]:
            if self._stalled():
                raise TimeoutError
        if self._first is None:
            raise ClosedError("the stream was closed while it was read")
        self._first = None
        answer = first.result()
        if isinstance(answer.error, DeadlineExceeded) and not calls.stats.received and self._window.full:
            raise TimeoutError  # the same: the first frame's own timeout ended first
        return answer

    def _stalled(self) -> bool:
        """Whether the window is full of unanswered frames: some servers wait for the last input."""
        flights = self._source.flights.values() if self._source is not None else ()
        oldest = next(iter(flights), None)
        limit = self._first_answer
        return (
            oldest is not None and self._window.full and limit is not None and time.monotonic() - oldest.sent_at > limit
        )

    def _should_switch(self, error: BaseException) -> bool:
        if not self._may_switch or self._mode == "unary":
            return False
        refusal = error.__cause__ if isinstance(error, StreamBroken) and not error.received else error
        return isinstance(error, TimeoutError) or (
            isinstance(refusal, ServerError) and refusal.code is None and refusal.name == "UNIMPLEMENTED"
        )

    async def _switch(self) -> None:
        """Continue with unary calls; frames in flight are sent again, first."""
        assert self._calls is not None
        assert self._source is not None
        calls, source = self._calls, self._source
        await self._forget_first()
        try:
            await calls.aclose()
        except HeadraceError:
            pass  # it is why we are here
        stats = calls.stats
        # Frames whose answers were not delivered are sent again: only delivered ones count.
        self._before.update(
            sent=stats.sent, resumed=stats.resumed, received=self._delivered - self._bad, errors=self._bad
        )
        again = [flight.frame for flight in source.flights.values()]
        for _ in again:
            self._window.free(0)
        self._calls, self._mode, self._may_switch = None, "unary", False
        self._begin(again)

    async def _forget_first(self) -> None:
        first, self._first = self._first, None
        if first is not None:
            first.cancel()
            await asyncio.wait([first])

    def _deliver(self, prediction: Prediction) -> FramePrediction:
        assert self._source is not None
        now = time.monotonic()
        full = self._window.full or self._window.items >= (self._adaptive.size if self._adaptive else self._limit)
        flight = self._source.flights.pop(prediction.position)
        self._window.free(0)
        latency = now - flight.sent_at
        if self._adaptive is not None and prediction.error is None:
            self._window.resize(self._adaptive.observe(latency, now, full))
        self._delivered += 1
        self._bad += prediction.error is not None
        self._fps_in.look(now, self._feed.frames)
        self._fps_out.look(now, self._delivered)
        frame = flight.frame
        if self._newest is None or frame.captured >= self._newest[0]:
            self._newest = (frame.captured, latency)
        self._item_raised = prediction.error is not None and self._on_error == "raise"
        if prediction.error is not None and self._item_raised:
            raise prediction.error
        return FramePrediction(
            frame.item,
            prediction,
            frame.index,
            frame.time,
            frame.source,
            latency,
            now - frame.captured,
            frame.captured,
            self._tracked(frame.source, prediction),
        )

    def _tracked(self, source: str, prediction: Prediction) -> tuple[Region, ...] | None:
        if self._tracker is None or prediction.error is not None:
            return None
        tracker = self._trackers.get(source)
        if tracker is None:
            tracker = self._trackers[source] = self._tracker.another()
        return tracker.update(prediction.regions)

    async def __aenter__(self) -> Self:
        if self._closed:
            raise ClosedError("the stream is closed")
        return self

    async def aclose(self) -> None:
        """End the calls and close the source; idempotent."""
        self._closed = True
        try:
            await self._forget_first()
            if self._calls is not None:
                await self._calls.aclose()
        finally:
            await self._feed.close()

    def __del__(self) -> None:
        loop, calls = getattr(self, "_loop", None), getattr(self, "_calls", None)
        if loop is None or calls is None or self._closed:
            return
        if not self._item_raised:  # `async for` has no other way to end a stream whose `on_error` is "raise"
            warnings.warn(f"unclosed {self!r}: use `async with`, or read it to its end", ResourceWarning, stacklevel=2)
        if not loop.is_closed():
            loop.call_soon_threadsafe(_leave, calls, self._feed)


_leaving: set[asyncio.Task[None]] = set()  # a loop holds its tasks weakly


def _leave(calls: PredictionStream, feed: Feed) -> None:
    """Close the parts of a forgotten stream; they do not refer to the stream."""
    task = asyncio.get_running_loop().create_task(_close(calls, feed), name="headrace-leave")
    _leaving.add(task)
    task.add_done_callback(_leaving.discard)


async def _close(calls: PredictionStream, feed: Feed) -> None:
    with contextlib.suppress(Exception):  # nobody would see it
        await calls.aclose()
    with contextlib.suppress(Exception):
        await feed.close()
