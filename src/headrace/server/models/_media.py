"""Decoding sounds and videos that strangers send, by PyAV.

The container's format is taken from the first bytes and forced, never guessed from content, and only bytes are
given to the library: playlists and reference files, which could make it open files or addresses, are no formats here.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from headrace.server.model import ModelError

if TYPE_CHECKING:
    import threading

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

AUDIO_UNSUPPORTED, AUDIO_OVER_LIMIT, AUDIO_INVALID = 30101, 30105, 30300
VIDEO_UNSUPPORTED, VIDEO_OVER_LIMIT, VIDEO_INVALID = 31101, 31105, 31300
MOST_SOUND_SECONDS = 30 * 60
MOST_VIDEO_SECONDS = 10 * 60
MOST_FRAMES = 1200  # that are looked at, of one video
MOST_FRAME_PIXELS = 36_000_000  # a little more than 8K
SOUND_RATE = 16_000

_MATROSKA = b"\x1a\x45\xdf\xa3"
_ASF = bytes.fromhex("3026b2758e66cf11")


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
        raise ModelError(AUDIO_UNSUPPORTED, "the bytes are not a sound in a known format (WAV, MP3, FLAC, OGG, M4A)")
    parts: list[NDArray[np.float32]] = []
    length = 0
    with _opened(data, format, AUDIO_INVALID, "sound") as container:
        for samples in _samples(container):
            parts.append(samples)
            length += len(samples)
            if length > MOST_SOUND_SECONDS * SOUND_RATE:
                raise ModelError(AUDIO_OVER_LIMIT, f"the sound is longer than {MOST_SOUND_SECONDS // 60} minutes")
            if cancelled.is_set():
                break
    if not length:
        raise ModelError(AUDIO_INVALID, "the sound has no samples")
    return np.concatenate(parts)


def frames(
    data: bytes, step_ms: int, longest_side: int, cancelled: threading.Event
) -> Iterator[tuple[int, int, Image]]:
    """Decode a video and give a frame every `step_ms`: (its number in the video, its time in ms, the picture).

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
        raise ModelError(VIDEO_UNSUPPORTED, "the bytes are not a video in a known format (MP4, MOV, 3GPP, AVI, WMV)")
    given, due = 0, 0.0
    with _opened(data, format, VIDEO_INVALID, "video") as container:
        stream = _video_stream(container)
        rate = float(stream.average_rate or 25)
        start = None
        for number, frame in enumerate(container.decode(stream)):
            if cancelled.is_set():
                return
            time = frame.time if frame.time is not None else number / rate
            start = time if start is None else start
            time_ms = round((time - start) * 1000)
            if time_ms > MOST_VIDEO_SECONDS * 1000:
                raise _too_long(time_ms / 1000)
            if time_ms < due:
                continue
            due = (time_ms // step_ms + 1) * step_ms
            given += 1
            if given > MOST_FRAMES:
                reason = f"more than {MOST_FRAMES} frames to look at; a larger sample_ms makes them fewer"
                raise ModelError(VIDEO_OVER_LIMIT, reason)
            yield number, time_ms, _picture(frame, longest_side)
    if not given:
        raise ModelError(VIDEO_INVALID, "the video has no frames")


@contextlib.contextmanager
def _opened(data: bytes, format: str, code: int, kind: str) -> Iterator[Any]:
    """Open a file of a forced format; what FFmpeg cannot read, now or later, becomes a ModelError."""
    import av

    try:
        with av.open(io.BytesIO(data), format=format, container_options={"protocol_whitelist": ""}) as container:
            yield container
    except (av.FFmpegError, ValueError) as error:
        raise ModelError(code, f"the {kind}'s bytes are broken or end early") from error


def _samples(container: Any) -> Iterator[NDArray[np.float32]]:
    import av

    if not container.streams.audio:
        raise ModelError(AUDIO_INVALID, "the file holds no sound")
    resampler: Any = av.AudioResampler(format="flt", layout="mono", rate=SOUND_RATE)
    for frame in container.decode(container.streams.audio[0]):
        for piece in resampler.resample(frame):
            yield piece.to_ndarray().reshape(-1)
    for piece in resampler.resample(None):  # what it still holds
        yield piece.to_ndarray().reshape(-1)


def _video_stream(container: Any) -> Any:
    """Choose the first video stream, its limits checked as far as the header tells."""
    if not container.streams.video:
        raise ModelError(VIDEO_INVALID, "the file holds no video")
    stream = container.streams.video[0]
    context = stream.codec_context
    if context.width * context.height > MOST_FRAME_PIXELS:
        size = f"{context.width} x {context.height}"
        raise ModelError(VIDEO_OVER_LIMIT, f"the video's frames are {size}; at most 8K is taken")
    if container.duration is not None and container.duration > MOST_VIDEO_SECONDS * 1_000_000:
        raise _too_long(container.duration / 1_000_000)
    context.options = {"max_pixels": str(MOST_FRAME_PIXELS)}  # frames may grow on the way
    context.thread_type = "AUTO"
    return stream


def _too_long(seconds: float) -> ModelError:
    limit = f"at most {MOST_VIDEO_SECONDS // 60} minutes are taken"
    return ModelError(VIDEO_OVER_LIMIT, f"the video lasts {seconds / 60:.1f} minutes or more; {limit}")


def _picture(frame: Any, longest_side: int) -> Image:
    shrink = min(1.0, longest_side / max(frame.width, frame.height))
    width, height = max(1, round(frame.width * shrink)), max(1, round(frame.height * shrink))
    image: Image = frame.to_image(width=width, height=height)
    turned = getattr(frame, "rotation", 0)  # phones store how they were held
    return image.rotate(turned, expand=True) if turned else image


def _sound_format(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "wav"
    if data[:3] == b"ID3" or (data[0] == 0xFF and len(data) > 1 and data[1] & 0xE0 == 0xE0):
        return "mp3"
    return {b"fLaC": "flac", b"OggS": "ogg", _MATROSKA: "matroska"}.get(data[:4]) or _movie(data)


def _video_format(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"AVI ":
        return "avi"
    if data[:8] == _ASF:
        return "asf"
    return "matroska" if data[:4] == _MATROSKA else _movie(data)


def _movie(data: bytes) -> str | None:
    return "mov" if data[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip") else None
