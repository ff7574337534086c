"""Objects made once and shared by models: the language model, the detector, the readers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """Something that is made when first asked for and kept for the life of the process."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._instances: list[T] = []

    def __call__(self) -> T:
        """Return the object; the first caller makes it, others wait. After a failure the next caller tries again."""
        with self._lock:
            if not self._instances:
                self._instances.append(self._make())
            return self._instances[0]
