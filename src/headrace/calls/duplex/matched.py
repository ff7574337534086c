"""Matched duplex streams: inputs out, predictions in, both at once, over one RPC that is opened again when it breaks.

Each input gets one answer. The books are in `ledger.py`, what is sent next in `sender.py`; here is when a call is
opened again, what becomes of an answer, and what happens in time.
"""

from __future__ import annotations

import asyncio
import copy
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from headrace import events
from headrace.calls import responses
from headrace.calls.base import LAST_MOMENT
from headrace.calls.batching import is_splittable
from headrace.calls.duplex.alarm import Alarm, Standstill
from headrace.calls.duplex.base import DuplexWork
from headrace.calls.duplex.ledger import Entry, Ledger, Matching, Mismatch
from headrace.calls.duplex.retries import Retries
from headrace.calls.duplex.sender import Outbox
from headrace.calls.duplex.settings import DuplexOptions
from headrace.calls.feeder import Convert, Pulled, Template
from headrace.calls.retry import RETRIED, Attempts
from headrace.calls.session import Session
from headrace.calls.signal import Signal
from headrace.channels.connection import Connection
from headrace.errors import ConnectionLost, DeadlineExceeded, HeadraceError, ServerError, TransportError
from headrace.flow.window import Gate
from headrace.results import Prediction
from headrace.sources.iterables import Source
from headrace.status import Kind, fatal, kind_of
from headrace.transport.base import Buffer, Call

#: What a server refuses a whole call with, before it has worked on any input.
REFUSALS = frozenset({Kind.WARMING, Kind.THROTTLE, Kind.TRANSIENT})


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A failure that named no input: that of the inputs whose turn it was, or, if the call ends, of the call."""

    failure: ServerError
    entries: list[Entry]
    attempts: Attempts
    again_at: float | None  # None: not again


class Duplex(DuplexWork):
    """The working parts of a matched duplex stream."""

    def __init__(
        self, session: Session, source: Source[object], convert: Convert, template: Template, options: DuplexOptions
    ) -> None:
        super().__init__(session, source, convert, template, options)
        self.gate = Gate(options.window)
        self.ledger = Ledger(options.ordered, self._free)
        self._work = Signal()  # for pump and driver
        self._outbox = Outbox(self.pipe, self.gate, self.ledger, options.packing, self._enter)
        self._deadlines = Alarm(self._time_out)
        self._retries = Retries(session, self.ledger, self.tally, options.warm_up, self._settle, self._rested)
        self._reached = False  # there was a connection, so that what fails later is a break
        self._attempts = session.attempts(warm_up=options.warm_up, fresh=False)  # at opening a call
        self._opened_with = self._attempts  # as they were when the call was opened
        self._received_before = 0  # answers when the call was opened
        self._refusal: _Refusal | None = None  # the last response was one
        self._refusals = 0  # of this call
        self._last_failure: ServerError | None = None  # of the last response, where it names no input
        self._failed_ends = 0
        self._waiting = False  # the pump waits for something to send, so that it can be woken
        self._held_up = False  # it cannot be: what waits in the pipe has its time run all the same
        self._standstill: Standstill | None = None

    @property
    def finished(self) -> bool:
        """Whether every input has entered, was answered, and was taken."""
        return self.pipe.ended and not len(self.ledger)

    @property
    def in_flight(self) -> tuple[int, int]:
        """Inputs in flight, and the most at once."""
        return self.gate.items, self.gate.peak

    @property
    def lag(self) -> float:
        """Seconds since the oldest unanswered input left the pipe; 0 when none is unanswered."""
        oldest = None if self._stopped else next(iter(self.ledger.unanswered), None)
        return time.monotonic() - oldest.left if oldest is not None else 0.0

    def take(self) -> Prediction | None:
        """Take the next prediction that can be delivered, or None."""
        entry = self.ledger.take()
        if entry is None:
            return None
        if self._held_up:
            self._enter_waiting()
        return entry.answer

    async def finish(self) -> None:
        """Let a stream whose inputs are all answered end by itself, then stop it; one with late answers at once."""
        if self._call is None or self.ledger.late:
            await self.stop()
            return
        await self._wait(self._session.timeouts.close)
        self.halt()
        await self._wait(LAST_MOMENT)
        self._leave()

    def fed(self) -> None:
        """Wake the pump, and the consumer where it has nothing more to wait for."""
        self._work.set()
        if self._held_up:
            self._enter_waiting()
        if self.pipe.ended:
            self.ready.set()

    def _halted(self) -> None:
        super()._halted()
        self.gate.close()
        self._deadlines.cancel()
        self._retries.close()
        if self._standstill is not None:
            self._standstill.cancel()

    def _dropped(self, pulled: Pulled, cause: str) -> None:
        super()._dropped(pulled, cause)
        self._work.set()

    # --- driver: opens the call, reads it, opens it again

    async def _drive(self) -> None:
        if (limit := self._session.timeouts.first_answer) is not None:
            # Of a window that nothing leaves: some servers answer only after the last input.
            self._standstill = Standstill(limit, self._steps, self._window_stands, self._stalled)
            self._standstill.watch()
        down_since: float | None = None
        self._session.budget.called()
        while await self._something_to_send():
            failure = await self._call_once()
            if self._stopped:
                return
            if failure is None:
                self._outbox.resend(self.ledger.broken())  # the rest goes over another
                continue
            if self._progress:
                self._attempts, down_since = self._session.attempts(warm_up=self.options.warm_up), None
            down_since = time.monotonic() if down_since is None else down_since
            if self._refusal is not None:
                await self._wait_after_refusal(self._refusal)
                continue
            self._session.failed(failure)
            if self._isolate(failure):
                continue
            delay = self._delay(failure, time.monotonic() - down_since)
            if delay is None:
                raise self._final(failure)
            self._prepare_resume(failure)
            self._extend(failure, delay, self.ledger.unanswered)
            await asyncio.sleep(delay)

    async def _call_once(self) -> TransportError | ServerError | None:
        """Open a call, write and read it; give what went wrong with it."""
        self._received_before, self._refusals, self._refusal = self.ledger.received, 0, None
        self._opened_with = copy.copy(self._attempts)
        try:
            await self._one_call()
            return self._early_end()
        except (TransportError, ServerError) as error:
            return error

    @property
    def _progress(self) -> bool:
        """Whether the call has brought an answer other than refusals."""
        return self._progress_but(0)

    def _progress_but(self, unread: int) -> bool:
        """Whether it has, besides those that are being looked at."""
        return self.ledger.received - self._received_before > self._refusals + unread

    def _early_end(self) -> ConnectionLost | None:
        """Make the error of a call that the server has ended too early; None where it needed no further answer.

        Raises:
            StreamBroken: it was so twice after a failure that names no input. Such a failure is blamed on the input
                whose turn it was; where the whole stream failed, that is wrong.
        """
        answered = not self.ledger.on_wire and self._refusal is None
        if answered and (self.ledger.received > self._received_before or not self._outbox.sendable()):
            return None
        failure = self._last_failure
        if failure is not None and self._refusal is None:
            self._failed_ends += 1
            if self._failed_ends >= self._session.policy.ambiguous_attempts:
                raise self.ledger.stream_broken(
                    failure,
                    "the server ends the stream after a failure that names no input (model.map sends each input by "
                    "itself; model.call reaches a model's typed methods)",
                ) from failure
        target = str(self._session.channels.target)
        return ConnectionLost(
            f"{target}: the server ended the stream, {self.ledger.on_wire} inputs unanswered", target=target
        )

    async def _wait_after_refusal(self, refusal: _Refusal) -> None:
        """Wait before the next call where the server has refused this one: nobody's inputs are to blame."""
        failure, again_at = refusal.failure, refusal.again_at
        if self._progress:
            if self.ledger.on_wire:
                self._prepare_resume(failure)
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
        self._extend(failure, delay, [entry for entry in self.ledger.unanswered if entry not in refusal.entries])
        self._outbox.resend(self.ledger.broken())
        await asyncio.sleep(delay)

    def _extend(self, failure: TransportError | ServerError, delay: float, entries: Sequence[Entry]) -> None:
        self._retries.extend(failure, delay, entries)
        self._arm()

    def _delay(self, failure: TransportError | ServerError, down: float) -> float | None:
        """How long to wait before opening the call again, or None to give up."""
        kind, attempts = kind_of(failure), self._attempts
        if kind is Kind.CONNECTION and self._progress:
            return 0.02 * attempts.unit()  # one break of a working stream is no server in trouble
        if kind is Kind.CONNECT and self._reached:  # an outage: quick, cheap looks until it has lasted too long
            outage = self._session.timeouts.outage
            return None if outage is not None and down > outage else 0.05 + 0.1 * attempts.unit()
        return attempts.after(failure)

    def _prepare_resume(self, failure: TransportError | ServerError) -> None:
        """Put what was sent and not answered in front, to be sent again.

        Raises:
            StreamBroken: that is off, or would not be safe.
        """
        on_wire = self.ledger.on_wire
        if kind_of(failure) in (Kind.CONNECT, Kind.UNPROCESSED):
            self.tally.sent -= on_wire  # the server never saw them
        elif on_wire and not self.options.resume:
            raise self.ledger.stream_broken(failure, "resume is off") from failure
        elif on_wire and not self.options.ordered and self.ledger.matching is Matching.BY_ORDER:
            raise self.ledger.stream_broken(
                failure, "answers by order can be resumed with ordered=True only"
            ) from failure
        self._outbox.resend(self.ledger.broken())
        if self._reached:
            self.tally.resumed += 1
            self._session.counts.resumes += 1
            self._session.emit(events.Resumed(on_wire, self.tally.resumed, str(failure)))

    def _isolate(self, failure: TransportError | ServerError) -> bool:
        """Where a message was too large: end its input with that, or find out which one it is.

        Which one it is, is known where it was alone, or where answers come in order; else each that may be it is sent
        by itself, with nothing else on its way.
        """
        suspects = self.ledger.suspects if kind_of(failure) is Kind.TOO_LARGE and self.options.resume else []
        if not suspects:
            return False
        self._prepare_resume(failure)
        if len(suspects) == 1:
            error = copy.copy(failure)
            error.args = (f"input {suspects[0].name}: {failure}",)
            self._settle(suspects[0], error)
            return True
        for entry in suspects:
            entry.suspect = True
        return True

    def _final(self, failure: TransportError | ServerError) -> HeadraceError:
        never_answered = self._refusal is not None and not self.tally.received
        if not self._reached or not self.tally.sent or fatal(failure) or never_answered:
            return failure
        error = self.ledger.stream_broken(failure, "it could not be resumed")
        error.__cause__ = failure
        return error

    async def _something_to_send(self) -> bool:
        """Wait until there is an input to send; False when there will be none."""
        self._held_up = False
        while True:
            if self._outbox.sendable():
                if self.pipe.blocks and not self.options.packing.wait:
                    # The time of what could be sent runs, however long it takes to open a call.
                    self._held_up = True
                    self._enter_waiting()
                return True
            if self.pipe.ended and not self.ledger.open_count:
                return False
            await self._work.wait()

    def _connected(self, connection: Connection) -> None:
        self._reached = True

    async def _read(self, call: Call, connection: Connection) -> None:
        while (raw := await call.read()) is not None:
            if self._stopped:
                return  # what has arrived in the same moment is counted as what became of it at the end
            connection.answered()
            self._answered(raw)

    # --- pump: pipe -> call

    async def _pump(self, call: Call, head: bytes) -> None:
        """Write what is to be sent again, then what is new; ends when the call does (the reader tells how)."""
        outbox = self._outbox
        try:
            while not self._stopped:
                self._held_up = False
                entries = outbox.take(len(head))
                if entries:
                    self._arm()
                    self._session.budget.called(outbox.fresh)
                    self.ledger.sent(entries)
                    self.tally.sent += len(entries)
                    await call.write(_request(head, entries))
                elif self._finished_sending():
                    await call.half_close()
                    return  # what is to be sent again after this goes over another call
                else:
                    self._waiting = True
                    await self._work.wait(outbox.patience())
                    self._waiting = False
        except (TransportError, ServerError):
            return
        finally:
            self._waiting = False

    def _finished_sending(self) -> bool:
        return self.pipe.ended and not self._outbox.again and not len(self._retries)

    def _enter(self, pulled: Pulled, size: int) -> Entry | None:
        """Take what has left the pipe into the window; None where it ends there because it is bad."""
        self.gate.take(size)
        entry = self.ledger.enter(pulled.position, pulled.item, size, time.monotonic(), self.options.timeout)
        if pulled.error is not None:
            self._settle(entry, pulled.error)
            return None
        return entry

    def _enter_waiting(self) -> None:
        """Take what waits in the pipe into the window although the pump cannot: its time runs from now on."""
        if not self._stopped:
            self._session.budget.called(self._outbox.enter_waiting())
            self._arm()

    def _free(self, entry: Entry) -> None:
        self.gate.free(entry.size)
        self._work.set()

    # --- answers

    def _answered(self, raw: bytes) -> None:
        response = responses.read(raw)
        if response.marker:
            return
        refusal = response.refusal
        if refusal is not None and fatal(refusal):
            raise refusal
        try:
            answers = self.ledger.match(response)
        except Mismatch as error:
            failure = error.__cause__ if isinstance(error.__cause__, ServerError) else refusal
            if failure is not None and error.__cause__ is failure and kind_of(failure) in RETRIED:
                self._refusals += 1
                raise failure from None  # a failure of nobody in particular: the whole call is made again
            why = f"answers cannot be matched to inputs ({error})" if failure else "answers cannot be matched to inputs"
            raise self.ledger.stream_broken(failure or error, why) from (failure or error)
        self._last_failure = response.failure
        if response.failure is not None:
            self._refused([entry for entry, _ in answers], response.failure)
        else:
            self._refusal = None
        received = 0
        for entry, answer in answers:
            if isinstance(answer, Prediction):
                received += 1
                self.ledger.settle(entry, answer)
            elif response.failure is None:
                self._failed(entry, answer)
        if received:
            self.tally.received += received
            self._session.succeeded()
        self.ready.set()
        self._work.set()

    def _settle(self, entry: Entry, error: HeadraceError) -> None:
        self.tally.errors += 1
        self.ledger.settle(entry, Prediction.failed(error, input_id=entry.name, position=entry.position))
        self.ready.set()
        self._work.set()

    def _refused(self, entries: list[Entry], failure: ServerError) -> None:
        """Take in a failure of a whole request that names no input of it."""
        if len(entries) > 1 and is_splittable(failure):  # one of them may be to blame: each is sent by itself
            for entry in entries:
                entry.alone = True
            self._outbox.again.extend(entries)
            self._work.set()
            return
        if kind_of(failure) not in REFUSALS:
            self._refusal = None
            self._retries.again(entries, failure, self._retries.new_attempts())
            return
        # Before any other answer it counts as one of the attempts at opening a call, whoever is blamed.
        if self._progress_but(1):
            attempts = self._retries.new_attempts()
        else:
            attempts = copy.copy(self._opened_with) if self._refusals else self._attempts
        self._refusals += 1
        again_at = self._retries.again(entries, failure, attempts)
        if self._refusal is None:
            self._refusal = _Refusal(failure, entries, attempts, again_at)
        else:
            self._refusal.entries.extend(entries)

    def _failed(self, entry: Entry, error: ServerError) -> None:
        """Send an input again later where its own failure allows it, else settle it."""
        if entry.attempts is not None:
            entry.attempts = copy.copy(entry.attempts)  # it may have been shared with others
        self._retries.again([entry], error, self._retries.new_attempts() if entry.attempts is None else entry.attempts)

    def _rested(self, entry: Entry) -> None:
        if entry.answer is None:
            self._outbox.again.append(entry)
        self._work.set()

    # --- time

    def _arm(self) -> None:
        """Set the one timer to the next deadline."""
        when = self.ledger.next_deadline()
        if when is not None and when != math.inf:
            self._deadlines.set(when)

    def _time_out(self) -> None:
        now = time.monotonic()
        expired = self.ledger.expired(now)
        if expired and not self.ledger.received and self._window_stands():
            self._stalled(now - expired[0].left)
            return
        for entry in expired:
            self.tally.errors += 1
            self._retries.stop(entry)
            error = DeadlineExceeded(
                f"input {entry.name}: no answer within {self.options.timeout:g} s{self._doing(entry)}",
                target=str(self._session.channels.target),
                attempt=entry.attempts.made if entry.attempts is not None else 1,
            )
            self.ledger.time_out(entry, error)
        if expired:
            self.ready.set()
            self._work.set()
            if not self._waiting:  # in the middle of a write, or between two calls
                self._held_up = True
        if self._held_up:
            self._enter_waiting()
        self._arm()

    def _doing(self, entry: Entry) -> str:
        """Tell what has kept an input from being sent, where that is known."""
        if entry.request < 0 and self._refusal is not None:
            return f"; the server's last answer was: {self._refusal.failure}"
        return ""

    def _steps(self) -> tuple[int, ...]:
        return self.ledger.received, self.tally.sent

    def _stalled(self, seconds: float) -> None:
        self.fail(self.ledger.stalled(seconds))

    def _window_stands(self) -> bool:
        """Whether inputs wait, the window admits none, and it is the server whom all wait for."""
        waiting = self.pipe.waiting
        if waiting is None or self.ledger.untaken or self._call is None:
            return False
        return self._outbox.held or not self.gate.fits(waiting)


def _request(head: bytes, entries: Sequence[Entry]) -> list[Buffer]:
    if len(entries) == 1:
        return entries[0].item.request(head)
    parts: list[Buffer] = [head]
    for entry in entries:
        parts += entry.item.encode()
    return parts
