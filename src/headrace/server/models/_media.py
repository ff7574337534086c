"""Decoding untrusted sounds and videos with PyAV.

The container's format is taken from the first bytes and forced, never guessed from content, and only bytes are
given to the library: playlists and reference files, which could make it open files or addresses, are not formats here.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from headrace import media
from headrace.server.model import ModelError
from headrace.sources import shown

if TYPE_CHECKING:
    import threading

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

AUDIO_UNSUPPORTED, AUDIO_OVER_LIMIT, AUDIO_INVALID = 30101, 30105, 30300
VIDEO_UNSUPPORTED, VIDEO_OVER_LIMIT, VIDEO_INVALID = 31101, 31105, 31300
MAX_SOUND_SECONDS = 30 * 60
MAX_VIDEO_SECONDS = 10 * 60
MAX_FRAMES = 1200  # that are looked at, of one video
MAX_FRAME_PIXELS = 36_000_000  # a little more than 8K
SOUND_RATE = 16_000


def sound(data: bytes, cancelled: threading.Event) -> NDArray[np.float32]:
    """Decode a sound to one channel of 16,000 samples a second, from -1 to 1.

    Args:
        data: a WAV, MP3, FLAC, Ogg, M4A or WebM file; of a video with sound, the sound.

    Raises:
        ModelError: 30101 no such format, 30105 longer than 30 minutes, 30300 broken or without sound.
    """
    import numpy as np

    if not data:
        raise ModelError(AUDIO_INVALID, "the sound is empty")
    format = _sound_format(data)
    if format is None:
        raise ModelError(AUDIO_UNSUPPORTED, _unknown(data, "sound", "WAV, MP3, FLAC, OGG, M4A"))
    parts: list[NDArray[np.float32]] = []
    length = 0
    with _opened(data, format, AUDIO_INVALID, "sound") as container:
        for samples in _samples(container):
            parts.append(samples)
            length += len(samples)
            if length > MAX_SOUND_SECONDS * SOUND_RATE:
                raise ModelError(AUDIO_OVER_LIMIT, f"the sound is longer than {MAX_SOUND_SECONDS // 60} minutes")
            if cancelled.is_set():
                break
    if not length:
        raise ModelError(AUDIO_INVALID, "the sound has no samples")
    return np.concatenate(parts)


def frames(
    data: bytes, step_ms: int, longest_side: int, cancelled: threading.Event
) -> Iterator[tuple[int, int, Image]]:
    """Decode a video and give what it shows in the middle of every `step_ms`: (frame number, time in ms, picture).

    Args:
        data: an MP4, MOV, 3GPP, AVI, WMV, WebM or Matroska file.
        longest_side: larger pictures are given smaller, in pixels.

    Raises:
        ModelError: 31101 no such format, 31105 longer than 10 minutes, too many frames to look at, or frames
            larger than 8K, 31300 broken or without pictures.
    """
    if not data:
        raise ModelError(VIDEO_INVALID, "the video is empty")
    format = _video_format(data)
    if format is None:
        raise ModelError(VIDEO_UNSUPPORTED, _unknown(data, "video", "MP4, MOV, 3GPP, AVI, WMV, WebM, Matroska"))
    count = 0
    with _opened(data, format, VIDEO_INVALID, "video") as container:
        stream = _video_stream(container)
        aspect = shown.aspect_of(stream)
        for number, time_ms, frame in _in_the_middle(_timed(container, stream), step_ms):
            if cancelled.is_set():
                return
            count += 1
            if count > MAX_FRAMES:
                reason = f"more than {MAX_FRAMES} frames to look at; use a larger sample_ms"
                raise ModelError(VIDEO_OVER_LIMIT, reason)
            yield number, time_ms, shown.image(frame, aspect, longest_side)
    if not count:
        raise ModelError(VIDEO_INVALID, "the video has no frames")


def _timed(container: Any, stream: Any) -> Iterator[tuple[int, float, float, Any]]:
    """Decode: each frame's number, when it begins and ends to be shown in ms, and the frame; damaged packets left out.

    Raises:
        ModelError: 31105 it is too long, 31300 all of it is damaged.
    """
    length = 1 / float(stream.average_rate or 25)
    start: float | None = None
    number = broken = 0
    for packet in container.demux(stream):
        try:
            for frame in shown.pictures(packet):
                time = frame.time if frame.time is not None else number * length
                start = time if start is None else start
                if time - start > MAX_VIDEO_SECONDS:
                    raise _too_long(time - start)
                seconds = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else length
                yield number, (time - start) * 1000, (time - start + seconds) * 1000, frame
                number += 1
        except shown.BrokenPacket:
            broken += 1
    if broken and not number:
        raise ModelError(VIDEO_INVALID, f"none of the video's {broken} packets can be decoded")


def _in_the_middle(timed: Iterator[tuple[int, float, float, Any]], step_ms: int) -> Iterator[tuple[int, int, Any]]:
    """Yield the frame that is shown in the middle of each span of `step_ms`; a last, shorter span counts as a whole."""
    middle, span = step_ms / 2, 0
    frame: Any = None
    number, end = 0, 0.0
    for later_number, begin, later_end, later in timed:
        while frame is not None and span * step_ms + middle < round(begin, 3):
            yield number, round(span * step_ms + middle), frame
            span += 1
        number, end, frame = later_number, later_end, later
    while frame is not None and span * step_ms < round(end, 3):
        yield number, round(span * step_ms + middle), frame
        span += 1


@contextlib.contextmanager
def _opened(data: bytes, format: str, code: int, kind: str) -> Iterator[Any]:
    """Open a file of a forced format; what FFmpeg cannot read, now or later, becomes a ModelError."""
    import av

    try:
        with av.open(io.BytesIO(data), format=format, container_options={"protocol_whitelist": ""}) as container:
            yield container
    except (av.FFmpegError, ValueError) as error:
        raise ModelError(code, f"the {kind}'s bytes are damaged or cut off") from error


def _samples(container: Any) -> Iterator[NDArray[np.float32]]:
    """Decode: pieces of one channel, damaged packets left out.

    Raises:
        ModelError: 30101 an unknown codec, 30300 there is no sound, or all of it is damaged.
    """
    import av

    if not container.streams.audio:
        raise ModelError(AUDIO_INVALID, "the file holds no sound")
    resampler: Any = av.AudioResampler(format="flt", layout="mono", rate=SOUND_RATE)
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise ModelError(AUDIO_UNSUPPORTED, "the sound's codec is not known here; convert it to WAV")
    decoded = broken = 0
    for packet in container.demux(stream):
        try:
            for frame in shown.pictures(packet):
                decoded += 1
                for piece in resampler.resample(frame):
                    yield piece.to_ndarray().reshape(-1)
        except shown.BrokenPacket:
            broken += 1
    if broken and not decoded:
        raise ModelError(AUDIO_INVALID, f"none of the sound's {broken} packets can be decoded")
    for piece in resampler.resample(None):  # flush the decoder
        yield piece.to_ndarray().reshape(-1)


def _video_stream(container: Any) -> Any:
    """Choose the first video stream, its limits checked as far as the header goes."""
    streams = shown.films(container)
    if not streams:
        sound = ": there is only sound in it" if container.streams.audio else ""
        raise ModelError(VIDEO_INVALID, f"the file holds no video{sound}")
    stream = streams[0]
    context = stream.codec_context
    if context is None:
        raise ModelError(VIDEO_UNSUPPORTED, "the video's codec is not known here; convert it to H.264 in MP4")
    if context.width * context.height > MAX_FRAME_PIXELS:
        size = f"{context.width} x {context.height}"
        raise ModelError(VIDEO_OVER_LIMIT, f"the video's frames are {size}; at most 8K is taken")
    if container.duration is not None and container.duration > MAX_VIDEO_SECONDS * 1_000_000:
        raise _too_long(container.duration / 1_000_000)
    context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}  # frames may grow on the way
    context.thread_type = "AUTO"
    return stream


def _too_long(seconds: float) -> ModelError:
    limit = f"at most {MAX_VIDEO_SECONDS // 60} minutes are taken"
    return ModelError(VIDEO_OVER_LIMIT, f"the video lasts {seconds / 60:.1f} minutes or more; {limit}")


def _sound_format(data: bytes) -> str | None:
    format_ = media.format_of(data)
    names = {"WAV": "wav", "MP3": "mp3", "FLAC": "flac", "Ogg": "ogg", "Matroska or WebM": "matroska"}
    return names.get(format_.name if format_ is not None else "") or _movie(data)


def _video_format(data: bytes) -> str | None:
    format_ = media.format_of(data)
    names = {"AVI": "avi", "WMV": "asf", "Matroska or WebM": "matroska"}
    return names.get(format_.name if format_ is not None else "") or _movie(data)


def _movie(data: bytes) -> str | None:
    return "mov" if data[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip") else None


def _unknown(data: bytes, kind: str, known: str) -> str:
    format_ = media.format_of(data)
    format = f" but {format_.name}" if format_ is not None else ""
    return f"the bytes are not a {kind} in a known format ({known}){format}"
