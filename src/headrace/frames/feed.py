"""The feeds of frame streams: they can wait without taking a frame, and count dropped frames.

A frame is taken when there is room for it in flight, not before: a waiting frame can still be replaced by a newer one,
and is not encoded yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from headrace.errors import ClosedError, ConfigError, InputError
from headrace.flow.pipe import EndOfPipe, Overflow, Pipe
from headrace.inputs import Input
from headrace.media import encoding
from headrace.sources.base import CLOSE_SECONDS, InputSource
from headrace.sources.items import SourceInput, failed
from headrace.sources.iterables import Source, pull, source
from headrace.sources.merged import Merged, merge
from headrace.sources.videos import DropCallback, FrameInput, VideoSource

WAITING = 2  # items of a plain iterator that wait


@dataclass(frozen=True, slots=True)
class QueuedFrame:
    """One frame on its way: what to send, its number, its time, when it was captured (monotonic)."""

    item: Any
    index: int
    time: float
    captured: float
    source: str


class Feed(Protocol):
    """A source of frames."""

    async def take(self) -> QueuedFrame:
        """Take the next frame.

        Raises:
            StopAsyncIteration: there is none.
        """

    async def close(self) -> None:
        """Close the source."""

    @property
    def frames(self) -> int:
        """Frames that the source had."""

    @property
    def drops(self) -> Mapping[str, int]:
        """Cause -> frames dropped."""

    @property
    def waiting(self) -> int:
        """Frames inside."""

    @property
    def reconnects(self) -> int:
        """How often live sources were opened again."""


class VideoFeed:
    """Videos and cameras, one or several merged; they count their drops themselves."""

    def __init__(
        self,
        source: VideoSource | Merged,
        overflow: Overflow | None,
        max_age: float | None,
        on_drop: DropCallback | None = None,
    ) -> None:
        self._source = source
        self._videos = [source] if isinstance(source, VideoSource) else _videos(source)
        self._others = 0  # inputs that no video counts: those of other sources, and the ends of failed ones
        for video in self._videos:
            video.set_policy(overflow, max_age)
            if on_drop is not None:
                video.on_drop(on_drop)

    async def take(self) -> QueuedFrame:
        """Take the next frame; of several sources each has its turn."""
        item = await anext(self._source)
        if isinstance(item, FrameInput):
            return QueuedFrame(item, item.index, item.time, item.captured, item.source)
        if not isinstance(item.error, InputError):
            self._others += 1
        return QueuedFrame(item, item.position, 0.0, time.monotonic(), item.source)

    async def close(self) -> None:
        """Close all of them."""
        await self._source.aclose()

    @property
    def frames(self) -> int:
        """Frames decoded."""
        return sum(video.stats.frames for video in self._videos) + self._others

    @property
    def drops(self) -> Mapping[str, int]:
        """Cause -> frames dropped."""
        drops: Counter[str] = Counter()
        for video in self._videos:
            drops.update(video.stats.drops)
        return drops

    @property
    def waiting(self) -> int:
        """Frames that wait."""
        return sum(video.stats.waiting for video in self._videos)

    @property
    def reconnects(self) -> int:
        """How often they were opened again."""
        return sum(video.stats.reconnects for video in self._videos)


def _videos(source: Merged) -> list[VideoSource]:
    videos: list[VideoSource] = []
    for part in source.sources:
        if isinstance(part, VideoSource):
            videos.append(part)
        elif isinstance(part, Merged):
            videos += _videos(part)
    return videos


class PlainFeed:
    """Any (async) iterator of pictures, arrays, bytes or inputs.

    With `block` an item is pulled when there is room for it; with the other policies a task pulls all the time.
    """

    reconnects = 0

    def __init__(
        self, items: Any, overflow: Overflow | None, max_age: float | None, on_drop: DropCallback | None = None
    ) -> None:
        self._source: Source[Any] = source(items, (str, bytes, bytearray, memoryview, Input))
        self._pipe: Pipe[QueuedFrame] | None = None
        self._task: asyncio.Task[None] | None = None
        self._pulling: asyncio.Task[QueuedFrame] | None = None
        self._closed = False
        self._on_drop = on_drop
        self.frames: int = 0
        self.drops: dict[str, int] = {}
        if (overflow or "block") != "block":
            self._pipe = Pipe(WAITING, overflow=overflow or "block", max_age=max_age, on_drop=self._dropped)
        elif max_age is not None:
            raise ConfigError('max_age drops waiting frames: it needs an overflow other than "block"')

    @property
    def waiting(self) -> int:
        """Items in the pipe."""
        return len(self._pipe) if self._pipe is not None else 0

    async def take(self) -> QueuedFrame:
        """Take the next item, a picture or an array as JPEG."""
        if self._pipe is None:
            if self._pulling is None:
                self._pulling = asyncio.get_running_loop().create_task(self._pull(), name="headrace-frames")
            await asyncio.wait([self._pulling])  # if this is cancelled, the next call gets the item
            pulling, self._pulling = self._pulling, None
            frame = pulling.result()
        else:
            if self._task is None:
                self._task = asyncio.get_running_loop().create_task(self._fill(self._pipe), name="headrace-frames")
            try:
                frame = await self._pipe.receive()
            except EndOfPipe:
                raise StopAsyncIteration from None
        if isinstance(frame.item, bytes | bytearray | memoryview | Input) or not _drawable(frame.item):
            return frame
        try:
            return replace(frame, item=await self._encoded(frame))
        except asyncio.CancelledError:
            self._dropped(frame, "closed")
            raise

    async def _encoded(self, frame: QueuedFrame) -> Input:
        from anyio import to_thread

        try:
            return Input.from_bytes(await to_thread.run_sync(encoding.jpeg, frame.item), "image")
        except InputError as error:
            return failed(InputError(f"frame {frame.index}: {error}"), frame.index, "", f"f{frame.index}")

    async def _pull(self) -> QueuedFrame:
        item = await pull(self._source)
        index = item.position if isinstance(item, SourceInput) else self.frames
        self.frames += 1
        now = time.monotonic()
        name = item.source if isinstance(item, SourceInput) else ""
        return QueuedFrame(item, index, float(getattr(item, "time", 0.0)), float(getattr(item, "captured", now)), name)

    async def _fill(self, pipe: Pipe[QueuedFrame]) -> None:
        try:
            while True:
                await pipe.send(await self._pull())
                await asyncio.sleep(0)  # yield to the loop: this iterator may never wait
        except (StopAsyncIteration, ClosedError):
            if not self._closed:
                pipe.close_sender()
        except Exception as error:
            pipe.fail(error)

    def _dropped(self, frame: QueuedFrame, cause: str) -> None:
        self.drops[cause] = self.drops.get(cause, 0) + 1
        if self._on_drop is not None:
            self._on_drop(frame.item.id if isinstance(frame.item, Input) else "", frame.index, cause)

    async def close(self) -> None:
        """Stop pulling and close the iterator; idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._pipe is not None:
            self._pipe.close_receiver()
        tasks: list[asyncio.Task[Any]] = [task for task in (self._task, self._pulling) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._pulling is not None and not self._pulling.cancelled() and self._pulling.exception() is None:
            self._dropped(self._pulling.result(), "closed")
        # The user's iterator may fail or hang while it closes: it is over in any case.
        with contextlib.suppress(Exception, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._source.close()


def _drawable(item: object) -> bool:
    return hasattr(item, "__array_interface__") or (hasattr(item, "save") and hasattr(item, "size"))


def feed(items: Any, overflow: Overflow | None, max_age: float | None, on_drop: DropCallback | None = None) -> Feed:
    """Make a feed of a video source, several of them (a list or tuple: merged), or any (async) iterator of frames.

    Args:
        on_drop: called for each frame that is dropped.
    """
    if isinstance(items, list | tuple) and items and all(isinstance(item, InputSource) for item in items):
        items = merge(*items) if len(items) > 1 else items[0]
    if isinstance(items, VideoSource) or (isinstance(items, Merged) and _videos(items)):
        return VideoFeed(items, overflow, max_age, on_drop)
    return PlainFeed(items, overflow, max_age, on_drop)
