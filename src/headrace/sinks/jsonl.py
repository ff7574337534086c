"""Frames and predictions as JSON lines."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from headrace.sinks.base import Sink
from headrace.support import jsontext
from headrace.support.files import append

if TYPE_CHECKING:
    from headrace.frames import FramePrediction


def record(frame: FramePrediction) -> dict[str, Any]:
    """Return a frame as plain JSON values: its number, time and latency, then the prediction with the protocol's names.

    Failed ones have `error`, tracked ones `tracks` (ids in the order of the regions).
    """
    head: dict[str, Any] = {
        "source": frame.source,
        "index": frame.index,
        "time": round(frame.time, 6),
        "latency": round(frame.latency, 6),
        "age": round(frame.age, 6),
    }
    if frame.error is None and any(region.track_id for region in frame.regions):
        head["tracks"] = [region.track_id for region in frame.regions]
    return head | frame.prediction.to_dict()


class JsonlSink(Sink):
    """Writes a JSON object a line and frame, each immediately: the file is complete at any time.

    Args:
        path: the file; an existing one is replaced.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self.path: Path = Path(path)
        self.frames: int = 0
        self._file: IO[bytes] | None = None

    def __repr__(self) -> str:
        return f"<JsonlSink {self.path}: {self.frames} frames>"

    def _write(self, frame: FramePrediction) -> None:
        if self._file is None:
            self._file = self.path.open("wb", buffering=0)
        append(self._file, jsontext.dumps(record(frame)) + "\n")
        self.frames += 1

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
