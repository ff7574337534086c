"""Values for users: a dict that cannot be changed, and counts in a few words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, NoReturn, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class FrozenDict(dict[K, V]):
    """A dict that cannot be changed; it equals a dict with the same items, and can be hashed if its items can."""

    __slots__ = ()

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("this dict cannot be changed; make a copy with dict(...)")

    __setitem__: Callable[..., NoReturn] = _refuse
    __delitem__: Callable[..., NoReturn] = _refuse
    clear: Callable[..., NoReturn] = _refuse
    pop: Callable[..., NoReturn] = _refuse
    popitem: Callable[..., NoReturn] = _refuse
    setdefault: Callable[..., NoReturn] = _refuse
    update: Callable[..., NoReturn] = _refuse
    __ior__: Callable[..., NoReturn] = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)

    def copy(self) -> dict[K, V]:
        """Make a dict that can be changed."""
        return dict(self)


def counts(stats: Any, *first: str) -> str:
    """Write a snapshot of counts in a few words: those named, in their order, then the others that are not zero."""
    names = [*first, *(item.name for item in fields(stats) if item.name not in first and getattr(stats, item.name))]
    values = [(name.replace("_", " "), getattr(stats, name)) for name in names]
    return ", ".join(f"{name} {f'{value:.4g}' if isinstance(value, float) else value}" for name, value in values)
