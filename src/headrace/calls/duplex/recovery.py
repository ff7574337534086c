"""What happens to a matched stream when one of its calls has ended: another call, or its final error."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from headrace import events
from headrace.calls.duplex.entry import Entry
from headrace.calls.duplex.ledger import Ledger, Matching
from headrace.calls.duplex.retries import Retries
from headrace.calls.duplex.sender import Outbox
from headrace.calls.duplex.settings import DuplexOptions
from headrace.calls.retry import Attempts
from headrace.calls.session import Session
from headrace.calls.stats import Tally
from headrace.errors import ConnectionLost, HeadraceError, ServerError, TransportError
from headrace.status import Kind, fatal, kind_of
from headrace.support.ids import before

#: Failures with which a server refuses a whole call before it works on any input.
REFUSALS = frozenset({Kind.WARMING, Kind.THROTTLE, Kind.TRANSIENT})


@dataclass(frozen=True, slots=True)
class Refusal:
    """A failure that names no input: it belongs to the inputs whose turn it was, or to the call if that ends."""

    failure: ServerError
    entries: list[Entry]
    attempts: Attempts
    again_at: float | None  # None: not again


class Recovery:
    """Decides after each call of a stream whether, when and with which inputs another one is opened.

    Args:
        settle: ends an input with its error.

    Attributes:
        reached: there was a connection, so a later failure is a break.
        refusal: what the call's last response was, if it was a refusal.
        last_failure: that of the last response, if it names no input.
    """

    def __init__(
        self,
        session: Session,
        ledger: Ledger,
        outbox: Outbox,
        retries: Retries,
        tally: Tally,
        options: DuplexOptions,
        settle: Callable[[Entry, HeadraceError], None],
    ) -> None:
        self.reached = False
        self.refusal: Refusal | None = None
        self.last_failure: ServerError | None = None
        self._session = session
        self._ledger = ledger
        self._outbox = outbox
        self._retries = retries
        self._tally = tally
        self._options = options
        self._settle = settle
        self._attempts = retries.new_attempts()  # at opening a call
        self._opened_with = self._attempts  # as they were when the call was opened
        self._received_before = 0  # answers when the call was opened
        self._refusals = 0  # of this call
        self._failed_ends = 0
        self._down_since: float | None = None

    # --- during a call

    def begin_call(self) -> None:
        """Note that a call is about to be opened."""
        self._received_before, self._refusals, self.refusal = self._ledger.received, 0, None
        self._opened_with = copy.copy(self._attempts)

    def refused(self, entries: list[Entry], failure: ServerError) -> None:
        """Process a refusal of a request that names no input: its inputs are sent again, or fail with it."""
        # Before any other answer it counts as an attempt to open a call, whichever input is blamed.
        if self._progress_besides(1):
            attempts = self._retries.new_attempts()
        else:
            attempts = copy.copy(self._opened_with) if self._refusals else self._attempts
        self._refusals += 1
        again_at = self._retries.again(entries, failure, attempts)
        if self.refusal is None:
            self.refusal = Refusal(failure, entries, attempts, again_at)
        else:
            self.refusal.entries.extend(entries)

    def call_refused(self) -> None:
        """Process a refusal that belongs to no request: it ends the call."""
        self._refusals += 1

    # --- after a call

    def early_end(self) -> ConnectionLost | None:
        """Make the error of a call that the server has ended too early; None if it needed no further answer.

        Raises:
            StreamBroken: this happened twice after a failure that names no input. Such a failure is blamed on the input
                whose turn it was; if the whole stream failed, that is wrong.
        """
        ledger = self._ledger
        answered = not ledger.on_wire and self.refusal is None
        if answered and (ledger.received > self._received_before or not self._outbox.sendable()):
            return None
        failure = self.last_failure
        if failure is not None and self.refusal is None:
            self._failed_ends += 1
            if self._failed_ends >= self._session.policy.ambiguous_attempts:
                raise ledger.stream_broken(
                    failure,
                    "the server ends the stream after a failure that names no input (model.map sends each input in "
                    "its own call; model.call reaches a model's typed methods)",
                ) from failure
        target = str(self._session.channels.target)
        return ConnectionLost(
            f"{target}: the server ended the stream, {ledger.on_wire} inputs unanswered", target=target
        )

    def next_call(self, failure: TransportError | ServerError) -> float:
        """Prepare another call after one that failed; return how many seconds to wait before it.

        Raises:
            HeadraceError: there is no other call; this error ends the stream.
        """
        if self._progress:
            self._attempts, self._down_since = self._session.attempts(warm_up=self._options.warm_up), None
        if self._down_since is None:
            self._down_since = time.monotonic()
        if self.refusal is not None:
            return self._after_refusal(self.refusal)
        self._session.failed(failure)
        if self._isolate(failure):
            return 0.0
        delay = self._delay(failure, time.monotonic() - self._down_since)
        if delay is None:
            raise self._final(failure)
        self._resume(failure)
        self._retries.extend(failure, delay, self._ledger.unanswered)
        return delay

    @property
    def _progress(self) -> bool:
        """Whether the call has brought an answer other than refusals."""
        return self._progress_besides(0)

    def _progress_besides(self, unread: int) -> bool:
        """Whether there were answers besides the ones being processed."""
        return self._ledger.received - self._received_before > self._refusals + unread

    def _after_refusal(self, refusal: Refusal) -> float:
        """Wait before the next call if the server has refused this one: nobody's inputs are to blame."""
        failure, again_at = refusal.failure, refusal.again_at
        if self._progress:
            if self._ledger.on_wire:
                self._resume(failure)
            if again_at is None and (delay := self._attempts.after(failure)) is not None:
                again_at = time.monotonic() + delay  # one input has had its attempts, the others have not
            else:
                self._attempts = refusal.attempts
        if again_at is None:
            raise self._final(failure)
        for entry in refusal.entries:
            self._retries.stop(entry)
            entry.attempts = None
        delay = max(0.0, again_at - time.monotonic())
        others = [entry for entry in self._ledger.unanswered if entry not in refusal.entries]
        self._retries.extend(failure, delay, others)
        self._outbox.resend(self._ledger.broken())
        return delay

    def _delay(self, failure: TransportError | ServerError, down: float) -> float | None:
        """How long to wait before opening the call again, or None to give up."""
        kind, attempts = kind_of(failure), self._attempts
        if kind is Kind.CONNECTION and self._progress:
            return 0.02 * attempts.unit()  # a single break does not mean that the server is in trouble
        if kind is Kind.CONNECT and self.reached:  # an outage: quick, cheap looks until it has lasted too long
            outage = self._session.timeouts.outage
            return None if outage is not None and down > outage else 0.05 + 0.1 * attempts.unit()
        return attempts.after(failure)

    def _resume(self, failure: TransportError | ServerError) -> None:
        """Queue sent and unanswered inputs first, to be sent again.

        Raises:
            StreamBroken: resume is off, or would not be safe.
        """
        ledger = self._ledger
        on_wire = ledger.on_wire
        if kind_of(failure) in (Kind.CONNECT, Kind.UNPROCESSED):
            self._tally.sent -= on_wire  # the server never saw them
        elif on_wire and not self._options.resume:
            raise ledger.stream_broken(failure, "resume is off") from failure
        elif on_wire and not self._options.ordered and ledger.matching is Matching.BY_ORDER:
            raise ledger.stream_broken(
                failure, "a stream matched by order can be resumed only with ordered=True"
            ) from failure
        self._outbox.resend(ledger.broken())
        if self.reached:
            self._tally.resumed += 1
            self._session.counts.resumes += 1
            self._session.emit(events.Resumed(on_wire, self._tally.resumed, str(failure)))

    def _isolate(self, failure: TransportError | ServerError) -> bool:
        """If a message was too large: end its input with that, or find out which one it is.

        The input is known if it was alone or if answers come in order; otherwise each candidate is sent
        alone, with nothing else in flight.
        """
        suspects: Sequence[Entry] = ()
        if kind_of(failure) is Kind.TOO_LARGE and self._options.resume:
            suspects = self._ledger.suspects
        if not suspects:
            return False
        self._resume(failure)
        if len(suspects) == 1:
            error = copy.copy(failure)
            error.args = (f"{before(suspects[0].name)}{failure}",)
            self._settle(suspects[0], error)
            return True
        for entry in suspects:
            entry.suspect = True
        return True

    def _final(self, failure: TransportError | ServerError) -> HeadraceError:
        """Make the error that ends the stream: the failure itself if no input can have been processed."""
        never_answered = self.refusal is not None and not self._tally.received
        if not self.reached or not self._tally.sent or fatal(failure) or never_answered:
            return failure
        error = self._ledger.stream_broken(failure, "it could not be resumed")
        error.__cause__ = failure
        return error


__all__ = ["REFUSALS", "Recovery"]
