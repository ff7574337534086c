"""A budget of pixels shared by all decodes of the process: a decode beyond it waits for others to end."""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
from collections.abc import Iterator

MAX_PIXELS_AT_ONCE = 100_000_000
_LARGE = 20_000_000  # pixels from which memory is given back to the system immediately


class PixelBudget:
    """Pixels that may be decoded at a time; a picture of more than all of them is decoded alone."""

    def __init__(self, limit: int = MAX_PIXELS_AT_ONCE) -> None:
        self._limit = limit
        self._used = 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def decoding(self, pixels: int) -> Iterator[None]:
        """Hold `pixels` of the budget while the block runs; blocking, so not for the event loop."""
        share = min(max(pixels, 0), self._limit)
        with self._changed:
            self._changed.wait_for(lambda: self._used + share <= self._limit)
            self._used += share
        try:
            yield
        finally:
            with self._changed:
                self._used -= share
                self._changed.notify_all()
            if pixels >= _LARGE:
                trim()


def trim() -> None:
    """Give freed memory back to the system, if the C library keeps it for later."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)


PIXELS = PixelBudget()
