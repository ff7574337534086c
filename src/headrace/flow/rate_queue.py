"""Calls that wait for the client's rate start in their order, whatever their timers do."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from headrace.flow.rate import Rate, Waited


class RateQueue:
    """The calls of one event loop that wait for the rate; one timer, for the first of them, wakes them in order.

    If each had a timer, a call that a busy machine stops before it sets its own would be passed by those behind it.
    """

    __slots__ = ("_loop", "_timer", "_waiters", "_woken")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._woken = 0  # calls that may start and have not run yet
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, rate: Rate, timeout: float | None, on_wait: Callable[[float], object]) -> None:
        """Wait until a call may start; calls behind one that stops waiting move up.

        Args:
            rate: that of the client: the same for all calls.
            timeout: seconds; None: as long as it takes.
            on_wait: gets the seconds to wait, if there are any.

        Raises:
            Waited: the call could not start within `timeout` seconds.
        """
        ticket = rate.take()
        if not self._waiters and not self._woken and rate.wait(ticket) == 0:
            return
        if (seconds := rate.until(ticket)) > 0:
            on_wait(seconds)
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append((ticket, waiter))
        timer = self._loop.call_later(timeout, _give_up, waiter) if timeout is not None else None
        if self._timer is None and not self._woken:
            self._wake(rate)
        try:
            await waiter
        finally:
            if timer is not None:
                timer.cancel()
            if waiter.cancelled() or waiter.exception() is not None:
                rate.give_back(ticket)
            else:
                self._woken -= 1
                if self._timer is None and self._waiters:
                    self._wake(rate)

    def refuse(self, error: BaseException) -> None:
        """Fail the calls that wait."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiters:
            _, waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(error)

    def _wake(self, rate: Rate) -> None:
        """Wake the calls whose time has come, and look again when that of the next one comes."""
        self._timer = None
        while self._waiters:
            ticket, waiter = self._waiters[0]
            if not waiter.done():
                if seconds := rate.wait(ticket):
                    self._timer = self._loop.call_later(seconds, self._wake, rate)
                    return
                self._woken += 1
                waiter.set_result(None)
            self._waiters.popleft()


def _give_up(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(Waited("waiting for its turn"))


__all__ = ["RateQueue"]
