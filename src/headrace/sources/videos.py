"""Videos as sources of frames: decoded in their own thread, dropped before they are encoded, never piled up."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Self

from headrace.errors import ConcurrentUse, ConfigError, InputError
from headrace.flow.pipe import EndOfPipe, Overflow
from headrace.flow.thread_queue import ThreadQueue
from headrace.inputs import Field
from headrace.media import pictures
from headrace.sources import shown
from headrace.sources.base import InputSource
from headrace.sources.decode import Location, Wanted, location_of
from headrace.sources.decoder import Decoder, Raw
from headrace.sources.items import SourceInput, failed, ids
from headrace.support.extras import install
from headrace.support.frozen import counts
from headrace.support.later import later

if TYPE_CHECKING:
    from PIL.Image import Image
else:
    Image = later("PIL.Image", "Image")

#: Size of the frames sent: the longest side, or (width, height); None: as they are.
Resize = int | tuple[int, int] | None


#: Called for a drop: the frame's id, its number, the cause.
DropCallback = Callable[[str, int, str], object]


class FrameInput(SourceInput):
    """One frame of a video, as an input (JPEG).

    Attributes:
        index: its number among the frames that the source gave, counted from 0; gaps are frames that were dropped.
        time: seconds since the beginning of the video, its presentation time; of a camera, since its first frame.
        captured: when it was decoded, on the clock of `time.monotonic()`.
        size: (width, height) in pixels.
    """

    __slots__ = ("captured", "size", "time")

    def __init__(
        self,
        fields: tuple[Field, ...],
        id: str,
        *,
        position: int,
        timestamp: float,
        source: str,
        time: float,
        captured: float,
        size: tuple[int, int],
    ) -> None:
        super().__init__(fields, id, position=position, timestamp=timestamp, source=source)
        self.time: float = time
        self.captured: float = captured
        self.size: tuple[int, int] = size

    @property
    def index(self) -> int:
        """The same as `position`."""
        return self.position

    @property
    def jpeg(self) -> bytes:
        """The encoded picture."""
        return bytes(self.fields[0].payload)

    def picture(self) -> Image:
        """Decode it to a Pillow picture (RGB). Blocking, a few milliseconds."""
        return pictures.decode(self.jpeg).convert("RGB")


@dataclass(frozen=True, slots=True)
class VideoStats:
    """A snapshot of a source of frames: `frames == given + dropped + waiting`, once it is closed without the last.

    Attributes:
        frames: frames that were wanted and decoded.
        given: frames that were taken.
        drops: cause ("latest", "drop_oldest", "drop_newest", "max_age", "closed") -> frames; `dropped` is their sum.
        waiting: frames inside.
        broken: packets that could not be decoded.
        reconnects: how often a live source was opened again.
    """

    frames: int = 0
    given: int = 0
    dropped: int = 0
    drops: dict[str, int] = field(default_factory=dict)
    waiting: int = 0
    broken: int = 0
    reconnects: int = 0

    def __str__(self) -> str:
        return counts(self, "frames", "given")


class VideoSource(InputSource):
    """Frames of a video file, a stream or a camera; made by `video(...)` and `camera(...)`, opened when read.

    A file waits for its reader (`block`); what is live never does: by default only the newest frame is kept. A frame
    is encoded as JPEG when it is requested, in a worker thread; dropped ones never are.

    Raises (when read):
        SourceError: it cannot be opened, holds no frame, or breaks; the position is the number of frames before it.
    """

    def __init__(
        self,
        location: Location,
        wanted: Wanted,
        *,
        live: bool,
        paced: bool = False,
        resize: Resize = None,
        quality: int = 85,
        overflow: Overflow | None = None,
        max_age: float | None = None,
        buffer: int = 2,
        outage: float | None = 60.0,
    ) -> None:
        if not 1 <= quality <= 100:
            raise ConfigError(f"quality must be from 1 to 100, not {quality}")
        if buffer < 1:
            raise ConfigError(f"buffer must be at least 1 frame, not {buffer}")
        self.name: str = location.name
        self.finite: bool = not live
        self.live: bool = live or paced
        self._location = location
        self._wanted = wanted
        self._paced = paced
        self._resize = _checked_size(resize)
        self._quality = quality
        self._buffer = buffer
        self._outage = outage
        self._overflow: Overflow = overflow or ("latest" if self.live else "block")
        self._max_age = max_age
        self._new_id = ids()
        self._on_drop: DropCallback | None = None
        self._clear()

    def _clear(self) -> None:
        self._work: Decoder | None = None
        self._encoding: asyncio.Task[SourceInput] | None = None  # the frame in hand
        self._delivered = 0
        self._closed_drops = 0
        self._reading = self._closed = False

    def __repr__(self) -> str:
        stats = self.stats
        return f"<VideoSource {self.name}: {stats.frames} frames, {stats.given} given, {stats.dropped} dropped>"

    @property
    def stats(self) -> VideoStats:
        """A snapshot of the counts."""
        work = self._work
        if work is None:
            return VideoStats()
        frames, drops, waiting = work.out.counts()
        if self._closed_drops:
            drops["closed"] = drops.get("closed", 0) + self._closed_drops
        waiting += self._encoding is not None
        return VideoStats(frames, self._delivered, sum(drops.values()), drops, waiting, work.broken, work.reconnects)

    def set_policy(self, overflow: Overflow | None, max_age: float | None) -> None:
        """Change what happens when its reader is slow, before it is read.

        Raises:
            ConfigError: it is read already.
        """
        if self._work is not None and (overflow or max_age):
            raise ConfigError(f"{self.name}: overflow and max_age cannot change while it is read")
        self._overflow = overflow or self._overflow
        self._max_age = max_age if max_age is not None else self._max_age

    def on_drop(self, callback: DropCallback) -> None:
        """Set a callback for every drop, in the event loop; after reading has begun, only for drops at closing."""
        self._on_drop = callback

    async def ready(self) -> None:
        """Wait until a frame is there, or the end; it is not taken, and a newer one may still replace it."""
        if not self._closed and self._encoding is None:
            await self._started().out.ready()

    async def __anext__(self) -> SourceInput:
        if self._reading:
            raise ConcurrentUse("another task is reading this source")
        if self._closed:
            raise StopAsyncIteration
        self._reading = True
        try:
            if self._encoding is None:
                raw = await self._started().out.take()
                self._encoding = asyncio.get_running_loop().create_task(self._encoded(raw), name="headrace-frame")
            # A reader that is cancelled here finds the same frame next time; two threads must never share a frame.
            await asyncio.wait([self._encoding])
            encoding, self._encoding = self._encoding, None
            if encoding is None:  # closed meanwhile, and counted there
                raise StopAsyncIteration
            frame = encoding.result()
            self._delivered += 1
            return frame
        except EndOfPipe:
            raise StopAsyncIteration from None
        finally:
            self._reading = False

    def _started(self) -> Decoder:
        if self._work is None:
            tell = _on_loop(self._on_drop, self._new_id) if self._on_drop is not None else None
            out = ThreadQueue(self._buffer, overflow=self._overflow, max_age=self._max_age, on_drop=tell)
            self._work = Decoder(self._location, self._wanted, out, self.finite, self._paced, self._outage)
            self._work.start()
        return self._work

    async def _encoded(self, raw: Raw) -> SourceInput:
        from anyio import to_thread

        id = self._new_id(raw.index)
        try:
            data, size = await to_thread.run_sync(_jpeg, raw, self._resize, self._quality)
        except ConfigError:
            raise
        except (ValueError, OSError, MemoryError) as error:
            why = InputError(f"frame {raw.index} of {self.name} cannot be encoded: {error}", input_id=id)
            return failed(why, raw.index, self.name, id, "image")
        return FrameInput(
            (Field("image", "bytes", data),),
            id,
            position=raw.index,
            timestamp=raw.timestamp,
            source=self.name,
            time=float(raw.time),
            captured=raw.captured,
            size=size,
        )

    async def aclose(self) -> None:
        """Stop decoding and close the file or camera; idempotent, waits at most 2 s for a camera that is silent."""
        if self._closed:
            return
        self._closed = True
        encoding, self._encoding = self._encoding, None
        try:
            if encoding is not None:
                self._closed_drops += 1
                await asyncio.wait([encoding])
                if self._on_drop is not None and not encoding.cancelled() and encoding.exception() is None:
                    self._on_drop(encoding.result().id, encoding.result().position, "closed")
        finally:
            if self._work is not None:
                await self._work.stop()

    async def restart(self) -> Self:
        """Begin again with the first frame.

        Raises:
            ConfigError: it is live.
        """
        if not self.finite:
            raise ConfigError(f"{self.name} is live: it has no beginning to go back to")
        await self.aclose()
        self._clear()
        return self

    def __del__(self) -> None:
        work = getattr(self, "_work", None)
        if work is not None:
            work.halt()  # the thread ends with the source that it works for


def _on_loop(on_drop: DropCallback, new_id: Callable[[int], str]) -> Callable[[Raw, str], None]:
    """Report drops to the loop; refers to neither the source nor its thread."""
    loop = asyncio.get_running_loop()

    def tell(raw: Raw, cause: str) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(on_drop, new_id(raw.index), raw.index, cause)

    return tell


def video(
    source: str | os.PathLike[str],
    *,
    fps: float | None = None,
    sample_ms: float | None = None,
    start: float = 0.0,
    end: float | None = None,
    keyframes: bool = False,
    resize: Resize = None,
    quality: int = 85,
    paced: bool = False,
    overflow: Overflow | None = None,
    max_age: float | None = None,
    buffer: int = 2,
    timeout: float = 10.0,
) -> VideoSource:
    """Make a source of the frames of a video file, or of one at an http(s) address. Needs PyAV and Pillow.

    Args:
        source: a path or an address; rtsp:// and the like are live, as with `camera`.
        fps: frames a second of the video's time, or `sample_ms` between two; neither: every frame. The first frame
            at or after each such time is taken, by presentation times.
        start: seconds to begin at; `end` to stop before.
        keyframes: only key frames: quick, and as many as the file happens to have.
        resize: longest side, or (width, height).
        quality: of the JPEGs, 1 to 100.
        paced: give frames at their times, as a camera would.
        overflow: what happens when the reader is slow: files wait ("block"); `paced` ones keep the "latest".
        max_age: seconds after which a frame that waits is dropped.
        buffer: decoded frames that may wait.
        timeout: seconds of silence after which a connection counts as lost.

    Raises:
        ConfigError: contradicting or impossible settings.
    """
    location = location_of(source, timeout)
    wanted = _wanted(fps, sample_ms, start, end, keyframes)
    if location.live and (start or end is not None):
        raise ConfigError(f"{location.name} is live: it has no start or end")
    return VideoSource(
        location,
        wanted,
        live=location.live,
        paced=paced and not location.live,
        resize=resize,
        quality=quality,
        overflow=overflow,
        max_age=max_age,
        buffer=buffer,
    )


def _wanted(fps: float | None, sample_ms: float | None, start: float, end: float | None, keyframes: bool) -> Wanted:
    if fps is not None and sample_ms is not None:
        raise ConfigError("give fps or sample_ms, not both")
    if fps is not None and not 0 < fps <= 1000:
        raise ConfigError(f"fps must be above 0 and at most 1000, not {fps}")
    if sample_ms is not None and not 1 <= sample_ms < 1e9:
        raise ConfigError(f"sample_ms must be at least 1, not {sample_ms}")
    if not 0 <= start < 1e9 or (end is not None and not end > start):
        raise ConfigError(f"start must not be negative and end must come after it, not {start} and {end}")
    step = None
    if fps is not None:
        step = 1 / _exact(fps)
    elif sample_ms is not None:
        step = _exact(sample_ms) / 1000
    return Wanted(step, _exact(start), _exact(end) if end is not None else None, keyframes)


def _exact(number: float) -> Fraction:
    """Return the exact fraction that a decimal number means: 0.1 is a tenth, 29.97 is 2997 hundredths."""
    return Fraction(str(number))


def _checked_size(resize: Resize) -> Resize:
    sides = resize if isinstance(resize, tuple) else (resize,)
    if resize is not None and not all(isinstance(side, int) and 1 <= side <= 16384 for side in sides):
        raise ConfigError(f"resize must be the longest side or (width, height) in pixels, not {resize!r}")
    return resize


def _jpeg(raw: Raw, resize: Resize, quality: int) -> tuple[bytes, tuple[int, int]]:
    """Turn a decoded frame into a JPEG, as a player shows it."""
    try:
        image = shown.image(raw.picture, raw.aspect, resize)
    except ImportError:
        raise ConfigError(f"frames of videos need Pillow: {install('video')}") from None
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue(), image.size
