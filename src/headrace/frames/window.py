"""A window that adapts itself so that latency stays under a target. Pure; no clock of its own."""

from __future__ import annotations

from dataclasses import dataclass, field

FIRST_HOLD, MAX_HOLD = 10.0, 60.0  # seconds before a size that was too large is tried again


@dataclass(slots=True)
class AdaptiveWindow:
    """Grows while the window is the bottleneck, and shrinks when an answer took too long.

    It begins with one frame in flight and doubles until the first answer over the target, then takes a quarter away
    and grows by one a round (as many answers as the window holds). A size that was too large is tried again after
    10 s, then 20, 40 and 60: each trial costs an answer or two over the target.

    Args:
        target: seconds from a frame's leaving the source to the taking of its answer.
        limit: the largest window.
    """

    target: float
    limit: int
    size: int = 1
    _round: int = 0  # answers since the last change
    _skip: int = 0  # answers to frames that left before the last change
    _doubling: bool = True
    _ceiling: int = 0  # a size that was too large, 0: none known
    _hold: float = field(default=FIRST_HOLD)
    _try_at: float = 0.0

    def observe(self, latency: float, now: float, full: bool) -> int:
        """Note one answer and return the window.

        Args:
            full: whether the window was full; growing is useless otherwise.
        """
        if self._skip:
            self._skip -= 1
            return self.size
        if latency > self.target:
            self._shrink(now)
        elif full:
            self._round += 1
            if self._round >= self.size:
                self._grow(now)
        return self.size

    def _shrink(self, now: float) -> None:
        if self._ceiling == self.size:
            self._hold = min(self._hold * 2, MAX_HOLD)
        self._doubling = False
        self._ceiling, self._try_at = self.size, now + self._hold
        self._skip, self._round = self.size - 1, 0
        self.size = max(1, min(self.size - 1, self.size * 3 // 4))

    def _grow(self, now: float) -> None:
        self._round = 0
        larger = min(self.size * 2 if self._doubling else self.size + 1, self.limit)
        if self._ceiling and larger >= self._ceiling:
            if now < self._try_at:
                return
            larger = self._ceiling
            self._try_at = now + self._hold
        if self._ceiling and self.size >= self._ceiling:  # it held a whole round: the limit has moved
            self._ceiling, self._hold = 0, FIRST_HOLD
        self.size = larger
