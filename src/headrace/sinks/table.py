"""Frames and predictions as a Parquet or Arrow table (extra `arrow`)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.sinks.base import Sink

if TYPE_CHECKING:
    from headrace.frames import FramePrediction


class TableSink(Sink):
    """Writes a row for each frame, see `headrace.tables`; the file is there when the sink is closed.

    Args:
        path: ends in .parquet, .arrow or .feather; an older file is replaced then.

    Raises:
        ConfigError: another ending, or pyarrow is not installed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        from headrace.tables.writer import TableWriter

        self.path: Path = Path(path)
        self._writer = TableWriter(path)

    def __repr__(self) -> str:
        return f"<TableSink {self.path}: {self.frames} frames>"

    @property
    def frames(self) -> int:
        """How many were written."""
        return self._writer.rows

    def _write(self, frame: FramePrediction) -> None:
        self._writer.write(frame)

    def _close(self) -> None:
        self._writer.close()
