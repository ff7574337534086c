"""What the calls of a client share: connections, policy, rate, budget and events."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headrace.calls.deadline import Deadline
from headrace.channels.connection import Connection
from headrace.channels.manager import ChannelManager
from headrace.config import RetryPolicy, Timeouts
from headrace.errors import ConnectFailed, DeadlineExceeded, HeadraceError
from headrace.flow.rate import Budget, Rate, Turn, Waited
from headrace.status import Kind, kind_of

if TYPE_CHECKING:
    from headrace.calls.retry import Attempts
    from headrace.emitter import Emitter


@dataclass(slots=True, eq=False, repr=False)
class Counts:
    """How often things happened in a client since it was made."""

    calls: int = 0  # public calls: predict, generate, stream
    attempts: int = 0  # RPCs started
    retries: int = 0
    resumes: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Session:
    """What the calls of a client share.

    `metadata` is sent along with every call: credential and request id prefix.
    """

    channels: ChannelManager
    policy: RetryPolicy
    timeouts: Timeouts
    rate: Rate
    budget: Budget
    metadata: tuple[tuple[str, str], ...]
    emit: Emitter
    counts: Counts = field(default_factory=Counts)

    def attempts(self, *, warm_up: float | None = None, fresh: bool = True) -> Attempts:
        """Start the attempts of one call.

        Args:
            warm_up: seconds to wait for a deploying model; None: as configured.
            fresh: a new call, which adds to the retry budget; not a further look at one that is counted already.
        """
        from headrace.calls.retry import Attempts  # most programs start without a failure

        if fresh:
            self.budget.calls += 1
        return Attempts(self.policy, self.budget, self.timeouts.warm_up if warm_up is None else warm_up, self.emit)

    def queue(self, ends: float) -> Turn:
        """Queue a unary call for its turn; see `Concurrency.queue`.

        Args:
            ends: the end of its time, by `time.monotonic`; inf: never.
        """
        return self.channels.pool().concurrency.queue(_remaining(ends))

    async def admit(self, ends: float) -> Connection:
        """Admit a unary call whose turn it is: wait for a connection's slot and for the rate.

        Args:
            ends: the end of its time, by `time.monotonic`; inf: never.

        Raises:
            Waited: its time is over.
            ConnectFailed: there is no connection.
            ClosedError: the client is closed.
        """
        pool = self.channels.pool()
        now = time.monotonic()
        if now > ends:
            raise Waited("waiting for its turn")
        connection = None if pool.waiters else pool.find(now)
        if connection is not None and self.rate.start(now):
            connection.enter(now)
            return connection
        await self.wait_for_rate(_remaining(ends))
        return await self._connection(_remaining(ends))

    async def wait_for_rate(self, timeout: float | None = None) -> None:
        """Wait until the client's rate lets another call start.

        Raises:
            Waited: that took longer than `timeout` seconds.
            ClosedError: the client is closed.
        """
        await self.channels.pool().rate_queue.wait(self.rate, timeout, self._emit_wait)

    def _emit_wait(self, seconds: float) -> None:
        from headrace.events import Throttled

        self.emit(Throttled(seconds))

    async def acquire(self, timeout: float | None = None, call: CallState | None = None) -> Connection:
        """Take a place on a connection for a stream, after waiting for the rate; `Connection.release` gives it back.

        Args:
            timeout: seconds that connections may be full or be made; waiting for the rate is not bounded.
            call: the state that records what the stream waits for.

        Raises:
            StreamsExhausted: every connection was full for so long.
            ConnectFailed: there is no connection.
            ClosedError: the client is closed.
        """
        await self.wait_for_rate()
        if call is not None:
            call.doing = self._waiting_for()
        try:
            return await self._connection(timeout)
        except Waited:
            pass
        if not self.channels.pool().connected:
            raise ConnectFailed(f"{self.channels.target}: no connection within {timeout:g} s", target=self._target)
        connections = len(self.channels.pool().connections)
        which = f"all {connections} connections were" if connections > 1 else "the only connection was"
        raise StreamsExhausted(
            f"{self._target}: {which} at {'their' if connections > 1 else 'its'} stream limit for {timeout:g} s "
            "(Limits.connections, Limits.streams_per_connection)",
            target=self._target,
        )

    async def _connection(self, timeout: float | None) -> Connection:
        doing = self._waiting_for()
        try:
            return await self.channels.acquire(timeout)
        except TimeoutError as error:
            if isinstance(error, HeadraceError):
                raise
            raise Waited(doing) from None

    def _waiting_for(self) -> str:
        return "waiting for a connection with room" if self.channels.pool().connected else "connecting"

    @property
    def _target(self) -> str:
        return str(self.channels.target)

    def failed(self, error: HeadraceError) -> None:
        """Note a failed attempt, also of a closed client: throttles lower the rate and the concurrency."""
        if kind_of(error) is Kind.THROTTLE:
            self.rate.throttled()
            if not self.channels.closed:
                self.channels.pool().concurrency.throttled()


class StreamsExhausted(DeadlineExceeded):
    """Every connection was at its stream limit for as long as a stream may wait."""


@dataclass(slots=True, eq=False, repr=False)
class CallState:
    """What a call is doing and what went wrong before, so that a timeout can say so."""

    doing: str = "waiting for its turn"
    last: BaseException | None = None
    attempt: int = 1

    def deadline_exceeded(self, label: str, deadline: Deadline, target: object) -> DeadlineExceeded:
        """Make the error of a total deadline."""
        before = f"; the last failure was: {self.last}" if self.last is not None else ""
        error = DeadlineExceeded(
            f"{label} took longer than {deadline.seconds:g} s ({self.doing}, attempt {self.attempt}){before}",
            target=str(target),
            attempt=self.attempt,
        )
        error.__cause__ = self.last
        return error


def _remaining(ends: float) -> float | None:
    return None if ends == math.inf else max(0.0, ends - time.monotonic())
