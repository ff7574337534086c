"""Progress of streams in notebooks: counts and a bar below the cell, without widgets; elsewhere a line on stderr."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import AsyncIterator
from typing import Any, Generic, Protocol, Self, TypeVar

from headrace.support import htmltext
from headrace.support.misuse import AsyncContext, AsyncIteration

T_co = TypeVar("T_co", covariant=True)
_SECONDS = 0.2  # between two looks at the counts


class _Stream(Protocol[T_co]):
    """A `PredictionStream` or a `FrameStream`."""

    @property
    def stats(self) -> Any: ...
    def __aiter__(self) -> AsyncIterator[T_co]: ...
    async def __anext__(self) -> T_co: ...
    async def aclose(self) -> None: ...


class Progress(AsyncContext, AsyncIteration, Generic[T_co]):
    """A stream that shows how far it is while it is read; made by `progress`."""

    def __init__(self, stream: _Stream[T_co], total: int | None, label: str) -> None:
        self._stream = stream
        self._total = total
        self._label = label
        self._display = _display()
        self._begun = time.monotonic()
        self._shown = 0.0
        self._done = 0
        self._failed = 0
        self._closed = False

    def __repr__(self) -> str:
        return f"<Progress {self._line()}>"

    @property
    def stats(self) -> Any:
        """The stream's counts."""
        return self._stream.stats

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T_co:
        try:
            item = await self._stream.__anext__()
        except BaseException:  # its end as well
            self._show()
            raise
        self._done += 1
        self._failed += getattr(item, "error", None) is not None
        if time.monotonic() - self._shown >= _SECONDS:
            self._show()
        return item

    async def aclose(self) -> None:
        """Close the stream, and show its last counts; idempotent."""
        if not self._closed:
            self._closed = True
            try:
                await self._stream.aclose()
            finally:
                self._show()

    def _line(self) -> str:
        seconds = max(time.monotonic() - self._begun, 1e-6)
        of = f" of {self._total}" if self._total else ""
        parts = [f"{self._done}{of}", f"{self._done / seconds:.1f}/s"]
        stats = self.stats
        counts = {"failed": self._failed, "dropped": stats.dropped, "in flight": stats.in_flight}
        return ", ".join([*parts, *(f"{count} {name}" for name, count in counts.items() if count)])

    def _show(self) -> None:
        self._shown = time.monotonic()
        if self._display is None:
            sys.stderr.write(f"\r{self._label} {self._line()}\x1b[K" if sys.stderr.isatty() else "")
            return
        bar = (
            f'<progress max="{self._total}" value="{min(self._done, self._total)}"></progress> ' if self._total else ""
        )
        page = f"<div>{htmltext.escaped(self._label)} {bar}{htmltext.escaped(self._line())}</div>"
        self._display.update({"text/html": page, "text/plain": f"{self._label} {self._line()}"}, raw=True)


def progress(stream: _Stream[T_co], total: int | None = None, *, label: str = "") -> Progress[T_co]:
    """Show how far a stream is while it is read: `async for prediction in progress(model.stream(...), total=100)`.

    Use `async with progress(...) as stream` where it may be left early. Needs no widgets.

    Args:
        stream: what `stream`, `map` or `stream_frames` gives.
        total: how many inputs there are, where that is known: a bar is shown.
        label: what stands in front of it.
    """
    return Progress(stream, total, label)


def _display() -> Any:
    """Give a place below the cell that can be updated; None where nobody shows one."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is None or not hasattr(shell, "kernel"):
        return None
    handle = importlib.import_module("IPython.display").DisplayHandle()
    handle.display({"text/plain": ""}, raw=True)
    return handle


__all__ = ["Progress", "progress"]
