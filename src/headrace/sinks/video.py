"""An annotated video, written by PyAV (extra `video`)."""

from __future__ import annotations

import contextlib
import os
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.errors import ConfigError
from headrace.sinks.annotate import annotated
from headrace.sinks.base import Sink
from headrace.support.extras import install
from headrace.support.files import placed

if TYPE_CHECKING:
    from headrace.frames import FramePrediction

FORMATS = (".mp4", ".mkv", ".mov", ".webm", ".avi")
TICK = Fraction(1, 90_000)


class VideoSink(Sink):
    """Writes frames with their boxes as a video; its size is the first frame's, its times are the frames' own.

    Frames without a picture (of a source that failed) are left out. A frame that failed is shown without boxes.

    Args:
        path: ends in .mp4, .mkv, .mov, .webm or .avi; it is there, in place of an older one, when the sink is closed.
        fps: frames a second if the frames have no times of their own.
        crf: quality, 0 (best) to 51.

    Raises:
        ConfigError: another ending, or PyAV is not installed.
    """

    def __init__(self, path: str | os.PathLike[str], *, fps: float = 10.0, crf: int = 23) -> None:
        super().__init__()
        self.path: Path = Path(path)
        if self.path.suffix.lower() not in FORMATS:
            raise ConfigError(f"{self.path.name}: the name of a video file must end in {', '.join(FORMATS)}")
        if not 0 < fps <= 1000 or not 0 <= crf <= 51:
            raise ConfigError("fps must be above 0 and at most 1000, crf from 0 to 51")
        try:
            import av  # noqa: F401
        except ImportError:
            raise ConfigError(f"videos need PyAV: {install('video')}") from None
        self.frames: int = 0
        self._step = 1 / Fraction(str(fps))
        self._crf = crf
        self._container: Any = None
        self._placing = contextlib.ExitStack()  # completes the file, then moves it into place
        self._stream: Any = None
        self._first = self._last = Fraction(0)

    def __repr__(self) -> str:
        return f"<VideoSink {self.path}: {self.frames} frames>"

    def _write(self, frame: FramePrediction) -> None:
        import av

        picture = annotated(frame)
        if picture is None:
            return
        time = Fraction(frame.time).limit_denominator(90_000)
        if self._container is None:
            self._open(picture.width, picture.height)
            self._first = time
        time -= self._first
        if self.frames and time <= self._last:
            time = self._last + self._step
        if picture.size != (self._stream.width, self._stream.height):
            picture = picture.resize((self._stream.width, self._stream.height))
        encoded: Any = av.VideoFrame.from_image(picture)
        encoded.pts, encoded.time_base = round(time / TICK), TICK
        self._last = time
        self._container.mux(self._stream.encode(encoded))
        self.frames += 1

    def _open(self, width: int, height: int) -> None:
        import av

        name, options = self._codec()
        with contextlib.ExitStack() as stack:
            path = stack.enter_context(placed(self.path))
            path.open("wb").close()  # FFmpeg would report only later that it cannot be written
            container = stack.enter_context(av.open(str(path), "w"))
            stream: Any = container.add_stream(name, rate=30, options=options)
            stream.width, stream.height = max(2, width // 2 * 2), max(2, height // 2 * 2)  # 4:2:0 halves them
            stream.pix_fmt = "yuv420p"
            if name != "mpeg4":
                stream.time_base = stream.codec_context.time_base = TICK
            self._container = container
            self._placing = stack.pop_all()
        self._stream = stream

    def _codec(self) -> tuple[str, dict[str, str]]:
        import av

        if self.path.suffix.lower() == ".webm":
            return "libvpx-vp9", {"crf": str(self._crf), "b:v": "0", "deadline": "realtime", "cpu-used": "8"}
        if "libx264" in av.codecs_available and self.path.suffix.lower() != ".avi":
            return "libx264", {"crf": str(self._crf), "preset": "veryfast"}
        return "mpeg4", {"qscale": "3"}

    def _close(self) -> None:
        if self._container is None:
            return
        with self._placing:
            self._container.mux(self._stream.encode(None))
