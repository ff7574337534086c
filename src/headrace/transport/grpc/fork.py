"""What happens to connections when the process forks.

gRPC's core does not survive a fork: a child that inherits it hangs when it uses it, or brings its parent down, for both
share what the core polls. So a core is not inherited: before a fork all idle connections are dropped, for the next call
to make again, and the core ends with the last of them; a child makes its own. If that cannot be,
the child's calls are refused.
"""

from __future__ import annotations

import weakref
from typing import Protocol

from headrace.errors import ClosedError
from headrace.support import forks
from headrace.transport.grpc import core

SETTLE = 1.0  # seconds that a fork waits at most until the core has ended, if we used it


class User(Protocol):
    """An owner of a channel."""

    def drop_if_idle(self) -> bool:
        """Drop the channel if no call uses it; False if it has to stay, and a fork would break it."""


_users: weakref.WeakSet[User] = weakref.WeakSet()
_used = False  # we opened a connection since the last fork
_busy = False  # the core could not be ended before the last fork
_lost = False  # this is a child that inherited a core


def use_core(user: User) -> None:
    """Note that `user` is about to open a channel.

    Raises:
        ClosedError: this process inherited a core from its parent.
    """
    global _used
    if _lost:
        raise ClosedError(
            "gRPC was in use when this process was forked, which it does not survive: fork when no call runs and no "
            'other asyncio channel of gRPC is open, or start processes with the "spawn" method'
        )
    _used = True
    _users.add(user)


def _before() -> None:
    global _used, _busy
    ended = [user.drop_if_idle() for user in list(_users)]  # all of them, even after a busy one
    _busy = not all(ended)
    if not _busy:
        if _used:
            _busy = not core.settle(SETTLE)
        elif core.runs():
            _busy = core.is_held()
        _used = _busy


def _after_in_child() -> None:
    global _lost
    _lost = _lost or _busy


forks.register(before=_before, after_in_child=_after_in_child)
