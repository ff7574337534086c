"""Pings on a connection that has calls and is silent, and the end of one that stays silent.

Silence is counted from the last byte that came, whatever it was, and nothing is sent while no call runs: so a server
that allows one ping in each interval sees no more. While it answers pings and sends nothing else, the third comes late:
gRPC's servers count pings that are less than five minutes apart until they send something themselves, and end the
connection at the third. A call that begins after a longer silence is preceded by a ping, for
a connection that died meanwhile answers neither.

An event loop that is blocked may not have sent the ping, or not have read its answer: then the wait for the answer
starts again, once.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

QUICK_PINGS = 2  # in a silence that nothing but their answers breaks
SLOW_SECONDS = 305.0  # of silence before further ones
BLOCKED = 0.05  # seconds that a timer may be late before the event loop counts as blocked


class Pinged(Protocol):
    """A connection, as `Watch` sees it."""

    heard: float
    pong: float

    @property
    def busy(self) -> bool:
        """Whether calls run."""

    def ping(self) -> None:
        """Ask the server for a sign of life."""

    def give_up(self, reason: str) -> None:
        """End the connection: nobody answers."""


class Watch:
    """Looks after one connection.

    Args:
        interval: seconds of silence before a ping.
        timeout: seconds of silence after it before the end.

    Attributes:
        asleep: no call ran when it looked last; the next one has to `wake` it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: Pinged, interval: float, timeout: float) -> None:
        self._loop = loop
        self._connection = connection
        self._interval = interval
        self._timeout = timeout
        self.asleep: bool = False
        self._pings = 0  # since the server has sent something other than their answers
        self._timer = loop.call_later(interval, self._look)

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def wake(self) -> None:
        """Look again: a call begins."""
        self.asleep = False
        self._look_closer()

    def _look(self) -> None:
        if self._connection.busy:
            self._look_closer()
        else:
            self.asleep = True

    def _look_closer(self) -> None:
        connection = self._connection
        if connection.heard != connection.pong:
            self._pings = 0
        interval = self._interval if self._pings < QUICK_PINGS else max(self._interval, SLOW_SECONDS)
        silence = self._loop.time() - connection.heard
        if silence < interval:
            self._timer = self._loop.call_later(min(interval - silence, self._interval), self._look)
        else:
            self._pings += 1
            connection.ping()
            self._wait_for_answer(connection.heard)

    def _wait_for_answer(self, heard: float, *, again: bool = False) -> None:
        due = self._loop.time() + self._timeout
        self._timer = self._loop.call_later(self._timeout, self._check_answer, heard, due, again)

    def _check_answer(self, heard: float, due: float, again: bool) -> None:
        if self._connection.heard != heard:
            self._look()
        elif not again and self._loop.time() - due > BLOCKED:
            self._wait_for_answer(heard, again=True)
        else:
            self._connection.give_up(f"no answer to a ping within {self._timeout:g} s")
