"""Values that are handed out: a dict that cannot be changed, and counts in a few words."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, NoReturn, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class FrozenDict(dict[K, V]):
    """A dict that cannot be changed; it equals a dict with the same items, and can be hashed where its items can."""

    __slots__ = ()

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("this dict cannot be changed; make a copy with dict(...)")

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)

    def copy(self) -> dict[K, V]:
        """Make a dict that can be changed."""
        return dict(self)


def counts(stats: Any, *always: str) -> str:
    """Write a snapshot of counts in a few words: those named, and the others that are not zero."""
    parts = []
    for item in fields(stats):
        value = getattr(stats, item.name)
        if value if item.name not in always else True:
            shown = f"{value:.4g}" if isinstance(value, float) else str(value)
            parts.append(f"{item.name.replace('_', ' ')} {shown}")
    return ", ".join(parts)
