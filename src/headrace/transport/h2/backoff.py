"""Pauses between attempts to connect that fail: many calls that try again must not become many attempts.

Source: gRPC's connection backoff, with pauses as short as those of our gRPC channel: calls have retries with pauses of
their own, and a stream that waits for the end of an outage is to be back soon.
"""

from __future__ import annotations

from collections.abc import Callable

_FIRST, _FACTOR, _LONGEST, _JITTER = 0.05, 1.6, 0.25, 0.2


class Backoff:
    """When one slot may connect again.

    Args:
        draw: gives a number from -1 to 1; None: at random.
    """

    __slots__ = ("_draw", "_failures", "_not_before")

    def __init__(self, draw: Callable[[], float] | None = None) -> None:
        self._draw = draw or _draw
        self._failures = 0
        self._not_before = 0.0

    def failed(self, now: float) -> None:
        """Note that an attempt has failed."""
        pause = min(_LONGEST, _FIRST * _FACTOR ** min(self._failures, 20))
        self._failures += 1
        self._not_before = now + pause * (1 + _JITTER * self._draw())

    def succeeded(self) -> None:
        """Note that the server has sent its settings."""
        self._failures = 0
        self._not_before = 0.0

    def pause(self, now: float) -> float:
        """Give the seconds to wait before the next attempt."""
        return max(0.0, self._not_before - now)


def _draw() -> float:
    import random  # costs as much as ten of our modules, and connections that are made at once need none of it

    return random.uniform(-1, 1)
