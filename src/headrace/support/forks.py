"""Hooks around a fork, in an order that does not depend on which module was imported first."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

Hook: TypeAlias = Callable[[], None]


class _Hooks(NamedTuple):
    before: Hook | None
    after_in_parent: Hook | None
    after_in_child: Hook | None


_registered: list[_Hooks] = []


def register(
    *,
    before: Hook | None = None,
    after_in_parent: Hook | None = None,
    after_in_child: Hook | None = None,
    outermost: bool = False,
) -> None:
    """Call functions before and after each fork of this process, in the thread that forks.

    Args:
        outermost: run before all others before the fork, and after all others after it.
    """
    _registered.insert(0 if outermost else len(_registered), _Hooks(before, after_in_parent, after_in_child))


def _before() -> None:
    for hooks in _registered:
        if hooks.before is not None:
            hooks.before()


def _after_in_parent() -> None:
    for hooks in reversed(_registered):
        if hooks.after_in_parent is not None:
            hooks.after_in_parent()


def _after_in_child() -> None:
    for hooks in reversed(_registered):
        if hooks.after_in_child is not None:
            hooks.after_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)

__all__ = ["register"]
