"""Cameras as sources: a device of this machine, or a stream in the network."""

from __future__ import annotations

from headrace.errors import ConfigError
from headrace.flow.pipe import Overflow
from headrace.sources.decode import location_of
from headrace.sources.videos import Resize, VideoSource, _wanted


def camera(
    device: int | str = 0,
    *,
    fps: float | None = None,
    sample_ms: float | None = None,
    keyframes: bool = False,
    resize: Resize = None,
    quality: int = 85,
    overflow: Overflow = "latest",
    max_age: float | None = None,
    buffer: int = 2,
    timeout: float = 5.0,
    outage: float | None = 60.0,
) -> VideoSource:
    """Make a live source: a camera by its number or path, or an rtsp://, http(s):// (or like) address. Needs PyAV.

    The camera never waits for its reader. A stream that breaks or ends is opened again, with growing pauses; frame
    numbers and times go on. One that cannot be opened at first is a SourceError immediately.

    Args:
        fps: frames a second at most, or `sample_ms` between two; neither: every frame.
        keyframes: only key frames.
        resize: longest side, or (width, height).
        quality: of the JPEGs, 1 to 100.
        overflow: what happens when the reader is slow: "latest" (default), "drop_oldest" or "drop_newest".
        max_age: seconds after which a frame that waits is dropped.
        buffer: decoded frames that may wait; "latest" keeps one.
        timeout: seconds of silence after which the camera counts as lost.
        outage: seconds after which a lost camera is given up, with a SourceError; None: never.

    Raises:
        ConfigError: `overflow="block"`, a file, or impossible settings.
    """
    if overflow == "block":
        raise ConfigError('a camera cannot wait: overflow must be "latest", "drop_oldest" or "drop_newest"')
    location = location_of(device, timeout)
    if location.kind == "file":
        raise ConfigError(
            f"{location.name} is not a camera or address; use video({location.name!r}, paced=True) for a file"
        )
    return VideoSource(
        location,
        _wanted(fps, sample_ms, 0.0, None, keyframes),
        live=True,
        resize=resize,
        quality=quality,
        overflow=overflow,
        max_age=max_age,
        buffer=buffer,
        outage=outage,
    )
