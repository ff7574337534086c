"""Tests that measure time run alone: no other process runs a test of this checkout meanwhile."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO


class Turns:
    """A lock that many tests share, or one has alone; those that want it alone are not passed by others.

    Args:
        checkout: the tests that know of each other.
    """

    def __init__(self, checkout: Path) -> None:
        name = hashlib.sha256(str(checkout).encode()).hexdigest()[:16]
        base = Path(tempfile.gettempdir()) / f"headrace-tests-{name}"
        self._door: IO[bytes] = base.with_suffix(".door").open("ab")
        self._room: IO[bytes] = base.with_suffix(".room").open("ab")

    @contextlib.contextmanager
    def taken(self, alone: bool) -> Iterator[None]:
        """Run a test, beside others or alone."""
        fcntl.flock(self._door, fcntl.LOCK_EX)  # held while waiting: nobody else gets in before us
        fcntl.flock(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(self._door, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._room, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the files."""
        self._door.close()
        self._room.close()
