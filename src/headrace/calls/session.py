"""What the calls of a client share: connections, policy, rate, budget, and who hears of it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from headrace import events
from headrace.calls.deadline import Deadline
from headrace.calls.retry import Attempts
from headrace.channels.manager import ChannelManager, Connection
from headrace.config import RetryPolicy, Timeouts
from headrace.errors import ClosedError, DeadlineExceeded, HeadraceError
from headrace.flow.rate import Budget, Concurrency, Rate
from headrace.status import Kind, kind_of


@dataclass(slots=True)
class Counts:
    """How often things happened in a client since it was made."""

    calls: int = 0  # public calls: predict, generate, stream
    attempts: int = 0  # RPCs started
    retries: int = 0
    resumes: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Session:
    """What the calls of a client share.

    `metadata` is sent along with every call: credential and request id prefix.
    """

    channels: ChannelManager
    policy: RetryPolicy
    timeouts: Timeouts
    rate: Rate
    budget: Budget
    metadata: tuple[tuple[str, str], ...] = field(repr=False)
    emit: events.Emitter
    counts: Counts = field(default_factory=Counts)

    def attempts(self, *, warm_up: float | None = None, fresh: bool = True) -> Attempts:
        """Start the attempts of one call.

        Args:
            warm_up: seconds to wait for a deploying model; None: as configured.
            fresh: a new call, which adds to the retry budget; not a further look at one that is counted already.
        """
        if fresh:
            self.budget.called()
        return Attempts(self.policy, self.budget, self.timeouts.warm_up if warm_up is None else warm_up, self.emit)

    def at_once(self) -> Connection | None:
        """Take a place on a connection that is ready, where a call has nothing to wait for; else None.

        Give it back with `Connection.leave`.
        """
        home = self.channels.home()
        concurrency = home.concurrency
        if home.waiters or not concurrency.free or self.policy.hedge_after is not None:
            return None
        now = time.monotonic()
        connection = self.channels.ready(home, now)
        if connection is None or not self.rate.start(now):
            return None
        concurrency.enter()
        connection.enter(now)
        return connection

    def line(self) -> Concurrency | None:
        """Where a call has to wait behind others before it has any use for more than its request; else None."""
        concurrency = self.channels.home().concurrency
        return None if concurrency.free or self.policy.hedge_after is not None else concurrency

    def after_line(self, line: Concurrency) -> Connection | None:
        """As `at_once`, for a call that has waited in `line`."""
        try:
            home = self.channels.home()
        except ClosedError:
            line.release()  # the next one in line hears of it as well
            raise
        now = time.monotonic()
        connection = None if home.waiters else self.channels.ready(home, now)
        if connection is None or not self.rate.start(now):
            return None
        connection.enter(now)
        return connection

    async def turn(self) -> None:
        """Wait until the client's rate lets another call start."""
        ticket = self.rate.take()
        wait = self.rate.wait(ticket)
        if wait > 0:
            self.emit(events.Throttled(wait))
        try:
            while wait > 0:
                await asyncio.sleep(wait)
                wait = self.rate.wait(ticket)
        except asyncio.CancelledError:
            self.rate.give_back(ticket)
            raise

    async def place(self, timeout: float | None) -> Connection:
        """Wait for a turn, as long as the rate asks for, then for a place on a connection, at most `timeout` seconds.

        Raises:
            DeadlineExceeded: every connection was full for so long.
        """
        await self.turn()
        try:
            async with asyncio.timeout(timeout):
                return await self.channels.acquire()
        except TimeoutError:
            raise DeadlineExceeded(
                f"{self.channels.target}: no place on {len(self.channels.connections)} connections for {timeout:g} s "
                "(Limits.connections, Limits.streams_per_connection)",
                target=str(self.channels.target),
            ) from None

    def succeeded(self) -> None:
        """Note that the server let a call through."""
        self.channels.home().concurrency.succeeded()

    def failed(self, error: HeadraceError) -> None:
        """Note a failed attempt: throttles lower the rate and the number of calls at once."""
        if kind_of(error) is Kind.THROTTLE:
            self.rate.throttled()
            self.channels.home().concurrency.throttled()


@dataclass(slots=True)
class Phase:
    """What a call is doing and what went wrong before, so that a timeout can say so."""

    doing: str = "waiting for its turn"
    last: BaseException | None = None
    failed: HeadraceError | None = None  # of an attempt that was made already, to be dealt with
    placed: bool = False  # it has its place among the calls at once already
    attempt: int = 1
    since: float = field(default_factory=time.monotonic)

    def deadline_exceeded(self, what: str, deadline: Deadline, target: object) -> DeadlineExceeded:
        """Make the error of a total deadline."""
        before = f"; the last failure was: {self.last}" if self.last is not None else ""
        error = DeadlineExceeded(
            f"{what} took longer than {deadline.seconds:g} s ({self.doing}, attempt {self.attempt}){before}",
            target=str(target),
            attempt=self.attempt,
        )
        error.__cause__ = self.last
        return error
