"""A view that is read from the message once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

T = TypeVar("T")

if TYPE_CHECKING:
    from functools import cached_property as cached
else:

    class cached(Generic[T]):
        """`functools.cached_property` without its lock, which costs more than reading five concepts up to Python 3.11.

        Two threads that look at once may both read the message; they read the same.
        """

        def __init__(self, read: Callable[[Any], T]) -> None:
            self._read = read
            self._name = read.__name__
            self.__doc__ = read.__doc__

        def __get__(self, owner: Any, cls: type | None = None) -> T:
            if owner is None:
                return self
            value = owner.__dict__[self._name] = self._read(owner)
            return value


__all__ = ["cached"]
