"""Which connection a call uses: a pure choice from the state of each."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final, Literal, Protocol, TypeVar

QUIET = 1.0  # seconds without any answer on a connection with calls, after which a new call avoids it
DOUBT = 1.0  # seconds of connecting, or since a failed attempt, in which a call avoids it while another is connected


class Assignable(Protocol):
    """The state of a connection that the choice depends on."""

    calls: int  # running now
    limit: int  # calls that it takes at once
    ready: bool  # it is connected
    last_answer: float  # when the server last answered on it, or when it was idle
    connecting_since: float | None
    failed_at: float  # when the last attempt to connect failed; -inf: it did not


class _New(enum.Enum):
    NEW = "open a new connection"


NEW: Final = _New.NEW
C = TypeVar("C", bound=Assignable)


def assign(connections: Sequence[C], limit: int, now: float) -> C | Literal[_New.NEW] | None:
    """Choose the connection of the next call: a connected one, one to connect, `NEW`, or None if it has to wait.

    The least loaded connected one with room that is not quiet; else one to connect; else a new one if there are
    fewer than `limit`; else a quiet one with room. A doubtful one is chosen only if none is connected.
    """
    best = quiet = unconnected = doubtful = None
    connected = False
    for connection in connections:
        calls = connection.calls
        if connection.ready:
            connected = True
            if calls >= connection.limit:
                continue
            if calls and now - connection.last_answer > QUIET:
                if quiet is None or calls < quiet.calls:
                    quiet = connection
            elif best is None or calls < best.calls:
                best = connection
        elif _in_doubt(connection, now):
            doubtful = doubtful or connection
        elif unconnected is None and calls < connection.limit:
            unconnected = connection
    if best is not None:
        return best
    if unconnected is not None:
        return unconnected
    if doubtful is None and len(connections) < limit:
        return NEW
    return quiet if connected else doubtful


def _in_doubt(connection: Assignable, now: float) -> bool:
    since = connection.connecting_since
    return now - since > DOUBT if since is not None else now - connection.failed_at < DOUBT


__all__ = ["DOUBT", "NEW", "QUIET", "Assignable", "assign"]
