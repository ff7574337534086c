"""Captions of a video as WebVTT (W3C): one for each run of equal answers."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

from headrace.sinks.base import Sink
from headrace.support.files import placed
from headrace.support.later import later

if TYPE_CHECKING:
    from headrace.frames import FramePrediction
else:
    FramePrediction = later("headrace.frames", "FramePrediction")

LAST_SECONDS = 2.0  # how long the last caption stands


def words(frame: FramePrediction) -> str:
    """Return a prediction's caption: its text, else the names of its regions, else the best concept, else ""."""
    if frame.error is not None:
        return ""
    if frame.text:
        return frame.text
    if frame.regions:
        names = [region.name for region in frame.regions if region.name]
        return ", ".join(dict.fromkeys(names))
    return frame.concepts[0].name if frame.concepts else ""


class WebVttSink(Sink):
    """Writes captions with the frames' times; frames that say the same are one caption, until something else is said.

    Args:
        path: the file; it is there, in place of an older one, when the sink is closed.
        caption: gives a frame's caption, "" for none.
    """

    def __init__(self, path: str | os.PathLike[str], caption: Callable[[FramePrediction], str] = words) -> None:
        super().__init__()
        self.path: Path = Path(path)
        self.captions: int = 0
        self._caption = caption
        self._file: IO[str] | None = None
        self._placing = contextlib.ExitStack()  # moves the file into place when it is complete
        self._text = ""
        self._since = self._until = 0.0

    def __repr__(self) -> str:
        return f"<WebVttSink {self.path}: {self.captions} captions>"

    def _write(self, frame: FramePrediction) -> None:
        self._begin()
        text = _escaped(self._caption(frame))
        if text != self._text:
            self._end(frame.time)
            self._text, self._since = text, frame.time
        self._until = frame.time

    def _begin(self) -> IO[str]:
        if self._file is None:
            with contextlib.ExitStack() as stack:
                path = stack.enter_context(placed(self.path))
                self._file = stack.enter_context(path.open("w", encoding="utf-8"))
                self._file.write("WEBVTT\n")
                self._placing = stack.pop_all()
        return self._file

    def _end(self, time: float) -> None:
        if not self._text or time <= self._since:
            return
        self._begin().write(f"\n{_clock(self._since)} --> {_clock(time)}\n{self._text}\n")
        self._begin().flush()
        self.captions += 1

    def _close(self) -> None:
        self._begin()
        with self._placing:
            self._end(self._until + LAST_SECONDS)


def _clock(seconds: float) -> str:
    whole, ms = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}.{ms:03d}"


def _escaped(text: str) -> str:
    """Make text safe inside of a caption: no markup, no arrow, no blank line."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    joined = "\n".join(line for line in lines if line)
    return joined.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
