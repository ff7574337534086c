"""Annotated frames as pictures in a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.sinks.annotate import annotated
from headrace.sinks.base import Sink
from headrace.support.files import placed

if TYPE_CHECKING:
    from headrace.frames import FramePrediction


class PictureSink(Sink):
    """Writes each frame with its boxes as `000042.jpg` into a folder, which is made if it is missing.

    Args:
        folder: where to; files of the same names are replaced.
        quality: of the JPEGs, 1 to 100.
    """

    def __init__(self, folder: str | os.PathLike[str], *, quality: int = 90) -> None:
        super().__init__()
        self.folder: Path = Path(folder)
        self.frames: int = 0
        self._quality = quality

    def __repr__(self) -> str:
        return f"<PictureSink {self.folder}: {self.frames} frames>"

    def _write(self, frame: FramePrediction) -> None:
        picture = annotated(frame)
        if picture is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with placed(self.folder / f"{frame.index:06d}.jpg") as path:
            picture.save(path, "JPEG", quality=self._quality)
        self.frames += 1

    def _close(self) -> None:
        """Nothing: each picture is complete."""
