"""Cutting a text that comes in pieces at the first of some stop texts."""

from __future__ import annotations

from collections.abc import Sequence


class Stops:
    """Cuts a text that comes in pieces at the stop text that is complete first; it may lie across pieces.

    Attributes:
        met: whether a stop text has come.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.met: bool = False

    def add(self, piece: str) -> str:
        """Take the next piece; return the text that is certainly before any stop text."""
        if not self._stops:
            return piece
        text = self._held + piece
        if (place := first_stop(text, self._stops)) is not None:
            self.met, self._held = True, ""
            return text[:place]
        keep = max(
            (size for stop in self._stops for size in range(1, len(stop)) if text.endswith(stop[:size])), default=0
        )
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def rest(self) -> str:
        """Give what was held back, at the end of the text."""
        rest, self._held = self._held, ""
        return rest


def first_stop(text: str, stops: Sequence[str]) -> int | None:
    """Find where the stop text begins that is complete first; of two that end at once, the longer; None: there is none.

    A model writes no further than that, so it does not depend on the pieces in which its text comes.
    """
    ends = [(place + len(stop), place) for stop in stops if (place := text.find(stop)) >= 0]
    return min(ends)[1] if ends else None


__all__ = ["Stops", "first_stop"]
