"""Decoding a video in a thread, by PyAV (extra `video`): what to open and how, and which frames are wanted when.

Times are presentation times, exact fractions of seconds since the beginning: counting frames would be wrong wherever
the rate varies.
"""

from __future__ import annotations

import errno
import itertools
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from time import monotonic
from typing import Any, Literal
from urllib.parse import urlsplit

from headrace import media
from headrace.errors import ConfigError, SourceError
from headrace.sources import shown
from headrace.sources.remote import index_is_out_of_reach
from headrace.sources.urls import without_secrets
from headrace.support.extras import install

LIVE_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp", "rtp")
SCHEMES = ("http", "https", *LIVE_SCHEMES)
TIMELESS = ("mpjpeg", "mjpeg", "h264", "hevc", "m4v")  # FFmpeg's names of formats without times
BACK_SECONDS = (Fraction(0), Fraction(5), Fraction(30))  # how far before the start seeking is tried
LONGEST_SECONDS = 10_000_000  # maximum that a header's value is trusted with
ROUNDING_SECONDS = Fraction(1, 1000)  # by which a container may round times; coarser ticks are whole frames
_INVALID_DATA = 0x41444E49  # FFmpeg's AVERROR_INVALIDDATA ("INDA")
TRUNCATED_SECONDS = Fraction(1, 2)  # a file that ends so much earlier than its header says is truncated


@dataclass(frozen=True, slots=True)
class Location:
    """Where a video comes from.

    Attributes:
        kind: a local file, an address, or a capture device.
        address: for FFmpeg.
        name: for messages, without credentials.
        format: FFmpeg's name of a device's format, else "".
        timeout: seconds of silence after which a connection counts as lost.
    """

    kind: Literal["file", "url", "device"]
    address: str
    name: str
    format: str = ""
    timeout: float = 10.0

    @property
    def live(self) -> bool:
        """Whether it is live by its nature; an http(s) address may be either."""
        return self.kind == "device" or urlsplit(self.address).scheme in LIVE_SCHEMES


def location_of(address: str | os.PathLike[str] | int, timeout: float) -> Location:
    """Return what a path, an address or a device's number means.

    Raises:
        ConfigError: an address of a kind that is not known.
    """
    if isinstance(address, int):
        return _device(address, timeout)
    text = os.fspath(address)
    if isinstance(address, str) and "://" in text:
        scheme = urlsplit(text).scheme.lower()
        if scheme not in SCHEMES:
            raise ConfigError(f"{without_secrets(text)}: cannot open {scheme}://, only {', '.join(SCHEMES)} and files")
        return Location("url", text, without_secrets(text), timeout=timeout)
    if text.startswith("/dev/video"):
        return Location("device", text, text, "v4l2", timeout)
    return Location("file", text, text, timeout=timeout)


def _device(number: int, timeout: float) -> Location:
    if sys.platform == "darwin":
        return Location("device", str(number), f"camera {number}", "avfoundation", timeout)
    if sys.platform == "win32":
        raise ConfigError("on Windows name the camera: camera('video=NAME')")
    return Location("device", f"/dev/video{number}", f"/dev/video{number}", "v4l2", timeout)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which frames of a video are wanted.

    Attributes:
        step: seconds between two; None: every frame.
        start: seconds since the beginning; `end` likewise, None: to the end.
        keyframes: only key frames; nothing else is decoded.
    """

    step: Fraction | None = None
    start: Fraction = Fraction(0)
    end: Fraction | None = None
    keyframes: bool = False


@dataclass(slots=True)
class Sampler:
    """Chooses frames by their presentation times: the first one at or after each multiple of the step from the start.

    If frames are farther apart than the step, each counts once.
    """

    wanted: Wanted
    _due: Fraction = field(init=False)

    def __post_init__(self) -> None:
        self._due = self.wanted.start

    def choose(self, time: Fraction, tick: Fraction) -> bool:
        """Return whether the frame at `time` is wanted; times are rounded to the container's `tick`."""
        wanted, time = self.wanted, time + min(tick / 2, ROUNDING_SECONDS)
        if time < self._due:
            return False
        if wanted.step is not None:
            self._due = wanted.start + ((time - wanted.start) // wanted.step + 1) * wanted.step
        return True

    def past(self, time: Fraction) -> bool:
        """Return whether the end is reached."""
        return self.wanted.end is not None and time >= self.wanted.end


@dataclass(frozen=True, slots=True)
class Decoded:
    """One frame.

    Attributes:
        time: its presentation time, in seconds since the beginning of the video.
        tick: the unit in which that is known.
        picture: PyAV's frame.
        aspect: how much wider than high its pixels are shown.
        known: whether the file has its time; else it is counted.
    """

    time: Fraction
    tick: Fraction
    picture: Any
    aspect: Fraction
    known: bool


class Opened:
    """An open video; `close()` releases it. All of it belongs to one thread.

    Raises:
        SourceError: no such file or device, empty, no video in it, a codec that cannot be read.
        ConfigError: PyAV is not installed.
    """

    def __init__(self, location: Location, wanted: Wanted, *, live: bool) -> None:
        self._location = location
        self._wanted = wanted
        self._live = live
        self.broken: int = 0  # packets that could not be decoded
        self.decoded: int = 0
        self._open()

    def _open(self) -> None:
        self._container = _open(self._location, self._live)
        try:
            self._stream = self._video()
            self._aspect = shown.aspect_of(self._stream)
            if self._wanted.keyframes:
                self._stream.codec_context.skip_frame = "NONKEY"
            self._stream.codec_context.thread_count = 1
            # If the format has no times, FFmpeg invents them, for 25 frames a second.
            self._timeless = self._live and self._container.format.name in TIMELESS
            self._origin = None if self._timeless else self._beginning()
        except BaseException:
            self._container.close()
            raise

    def frames(self) -> Iterator[Decoded]:
        """Decode frame by frame, in the order of presentation; with a start, from a key frame before it.

        Raises:
            SourceError: the source failed, ended in the middle, or holds no frame.
        """
        start = self._wanted.start
        if start and not self._live:
            for back in BACK_SECONDS:
                if back < start and (frames := self._from(start - back)) is not None:
                    yield from frames
                    return
            self._container.close()  # it is not seekable: start from its beginning, and forget what was read
            self.broken = 0
            self._open()
        yield from self._decoded()

    def _from(self, target: Fraction) -> Iterator[Decoded] | None:
        """Seek, and decode from there; None if that does not lead to a key frame at or before the start."""
        import av

        broken = self.broken
        try:
            offset = int((target + (self._origin or 0)) / self._stream.time_base)
            self._container.seek(offset, stream=self._stream)
            frames = self._decoded()
            first = next(frames, None)
        except (av.FFmpegError, SourceError):
            first = None
        if first is None or first.time > self._wanted.start or not (first.known and first.picture.key_frame):
            self.broken, self.decoded = broken, 0
            return None
        return itertools.chain([first], frames)

    def _decoded(self) -> Iterator[Decoded]:
        import av

        last: Fraction | None = None
        end = Fraction(0)
        tick = Fraction(self._stream.time_base)
        frame_seconds = 1 / Fraction(self._stream.average_rate or 25)
        try:
            for packet in self._container.demux(self._stream):
                for picture in self._pictures(packet):
                    known = picture.pts is not None
                    unit = Fraction(picture.time_base or tick)
                    if self._timeless:
                        time = Fraction(round(monotonic() * 1000), 1000)
                    elif known:
                        time = picture.pts * unit
                    else:
                        time = last + frame_seconds if last is not None else (self._origin or Fraction(0))
                    last = time
                    end = time + (picture.duration * unit if picture.duration else Fraction(0))
                    self.decoded += 1
                    if self._origin is None:
                        self._origin = time
                    yield Decoded(time - self._origin, tick, picture, self._aspect, known)
        except av.FFmpegError as error:
            reason = _reason(error) if last is not None else _reason_at_start(error, self._location)
            raise self._error(f"the video cannot be decoded {self._position(last)}: {reason}") from error
        self._check_end(last, end)

    def _pictures(self, packet: Any) -> Iterator[Any]:
        try:
            yield from shown.pictures(packet)
        except shown.BrokenPacket:  # one packet: the following ones may be fine
            self.broken += 1

    def close(self) -> None:
        """Close the file or connection."""
        self._container.close()

    def _video(self) -> Any:
        streams = shown.films(self._container)
        if not streams:
            sound = "only sound" if self._container.streams.audio else "no video"
            raise self._error(f"it contains {sound}")
        stream = streams[0]
        context = stream.codec_context
        if context is None:
            raise self._error("its codec cannot be read: FFmpeg knows no decoder for it")
        if context.width * context.height > media.MAX_PIXELS:
            limit = f"at most {media.MAX_PIXELS / 1e6:.0f} megapixels are decoded"
            raise self._error(f"its frames have {context.width} x {context.height} pixels, {limit}")
        context.options = {"max_pixels": str(media.MAX_PIXELS)}  # frames may grow on the way
        return stream

    def _beginning(self) -> Fraction | None:
        start = self._stream.start_time
        return start * Fraction(self._stream.time_base) if start is not None else None

    def _check_end(self, last: Fraction | None, end: Fraction) -> None:
        """Check whether a file is truncated.

        Raises:
            SourceError: it has.
        """
        if last is None and self.broken:
            raise self._error(f"none of its {self.broken} packets can be decoded")
        if last is None and not self._wanted.start:
            raise self._error("it contains no frame")
        if last is None or last - (self._origin or 0) < self._wanted.start:
            raise self._error(f"it has no frame from {float(self._wanted.start):g} s on")
        duration = self._duration()
        if self._location.live or duration is None or self._wanted.keyframes:
            return
        missing = duration - (end - (self._origin or 0))
        if missing > max(TRUNCATED_SECONDS, 3 / Fraction(self._stream.average_rate or 25)):
            position = self._position(last)
            raise self._error(f"the video ends in the middle: {float(missing):.2f} s are missing {position}")

    def _duration(self) -> Fraction | None:
        """The length that the header gives; of the whole file only if it has nothing longer than the video."""
        if self._stream.duration is not None:
            seconds = Fraction(self._stream.duration) * Fraction(self._stream.time_base)
            return seconds if seconds < LONGEST_SECONDS else None
        if self._container.duration is None or len(self._container.streams) > 1:
            return None
        return Fraction(self._container.duration, 1_000_000)

    def _position(self, last: Fraction | None) -> str:
        return f"after {float(last - (self._origin or 0)):.2f} s" if last is not None else "before its first frame"

    def _error(self, message: str) -> SourceError:
        return SourceError(f"{self._location.name}: {message}", source=self._location.name, position=self.decoded)


def _open(location: Location, live: bool) -> Any:
    try:
        import av
    except ImportError:
        raise ConfigError(f"videos need PyAV: {install('video')}") from None
    _look(location)
    options = {"protocol_whitelist": "file,crypto,data"}
    if location.kind == "url":
        options = {"protocol_whitelist": "http,https,tcp,tls,crypto,data,udp,rtp,srtp,rtsp,rtsps,rtmp,rtmps,srt"}
        if urlsplit(location.address).scheme.lower().startswith("rtsp"):
            options["rtsp_transport"] = "tcp"
        elif not live:
            options |= {"reconnect": "1", "reconnect_delay_max": str(int(location.timeout))}
    elif location.kind == "device":
        options = {}
    if live:
        options["fflags"] = "nobuffer"
    address = f"file:{location.address}" if location.kind == "file" else location.address
    try:
        # As `options` they would go to the streams as well, which older versions of PyAV do beyond the end of an
        # array when the streams appear late, as those of RTSP do.
        limits = (location.timeout, location.timeout)
        return av.open(address, format=location.format or None, container_options=options, timeout=limits)
    except (av.FFmpegError, ValueError, OSError) as error:
        reason = _reason_at_start(error, location)
        raise SourceError(f"{location.name}: cannot be opened: {reason}", source=location.name, position=0) from error


def _look(location: Location) -> None:
    """Raise a clear error for a file that FFmpeg would describe badly.

    Raises:
        SourceError: no such file or device, a folder, no bytes.
    """
    if location.kind == "url" or (location.kind == "device" and location.format != "v4l2"):
        return
    path = Path(location.address)
    try:
        size = path.stat().st_size
    except OSError as error:
        if location.kind == "device":
            cameras = ", ".join(sorted(str(path) for path in Path("/dev").glob("video*"))) or "none"
            raise SourceError(
                f"no such camera: {path} (there are: {cameras})", source=location.name, position=0
            ) from error
        raise SourceError(f"cannot read {path}: {error.strerror}", source=location.name, position=0) from error
    if location.kind == "file" and path.is_file() and not size:
        raise SourceError(f"{path} is empty (0 bytes)", source=location.name, position=0)
    if path.is_dir():
        raise SourceError(f"{path} is a folder", source=location.name, position=0)


def _reason_at_start(error: BaseException, location: Location) -> str:
    """Return why nothing of a video can be read."""
    failed_reading = location.kind == "url" and getattr(error, "errno", None) in (errno.EIO, _INVALID_DATA)
    if failed_reading and index_is_out_of_reach(location.address, location.timeout):
        return "its index is at the end and the server gives no ranges: download it first"
    return _reason(error)


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).partition("\n")[0]
