"""Matched duplex streams: inputs out, predictions in, both at once, over one RPC that is opened again when it breaks.

Each input gets one answer. The ledger is in `ledger.py`, what is sent next in `sender.py`, when a call is opened again
in `recovery.py`; this file handles answers and timeouts.
"""

from __future__ import annotations

import asyncio
import copy
import math
import time
from collections.abc import Sequence

from headrace import codec
from headrace.calls import responses
from headrace.calls.base import LAST_MOMENT
from headrace.calls.batching import is_splittable
from headrace.calls.duplex.alarm import Alarm, Standstill
from headrace.calls.duplex.base import DuplexWork
from headrace.calls.duplex.entry import Entry
from headrace.calls.duplex.ledger import Ledger, Mismatch
from headrace.calls.duplex.recovery import REFUSALS, Recovery
from headrace.calls.duplex.retries import Retries
from headrace.calls.duplex.sender import MAX_UNSENT, Outbox
from headrace.calls.duplex.settings import DuplexOptions
from headrace.calls.feeder import Convert, Template
from headrace.calls.retry import RETRIED
from headrace.calls.session import Session, StreamsExhausted
from headrace.calls.signal import Signal
from headrace.channels.connection import Connection
from headrace.errors import DeadlineExceeded, HeadraceError, ServerError, TransportError
from headrace.flow.window import FlowWindow
from headrace.inputs.prepared import Prepared
from headrace.results import Prediction
from headrace.sources.iterables import Source
from headrace.status import fatal, kind_of
from headrace.support.ids import named
from headrace.transport.base import Buffer, Call


class Duplex(DuplexWork):
    """The working parts of a matched duplex stream."""

    def __init__(
        self, session: Session, source: Source[object], convert: Convert, template: Template, options: DuplexOptions
    ) -> None:
        super().__init__(session, source, convert, template, options)
        self.ledger: Ledger = Ledger(options.ordered, FlowWindow(options.window))
        self._wakeup = Signal()  # for pump and driver
        max_unsent = max(MAX_UNSENT, options.prefetch)
        self._outbox = Outbox(
            self.pipe, self.ledger, options.batching, options.timeout, max_unsent, session.budget, self._settle
        )
        self._deadlines = Alarm(self._time_out)
        self._retries = Retries(session, self.ledger, self.tally, options.warm_up, self._settle, self._rested)
        self._recovery = Recovery(session, self.ledger, self._outbox, self._retries, self.tally, options, self._settle)
        self._waiting = False  # the pump waits for something to send, so that it can be woken
        # Inputs enter the window as soon as it admits them, and not when they are sent: if the pipe drops none and
        # each is a request of its own, it makes no difference to wait.
        self._eager = self.pipe.lossless and options.batching.inputs == 1
        self._held_up = self._eager  # nor do they wait for a pump that cannot send: their timeouts run anyway
        self._vacancy = Signal()  # for the feeder: inputs may enter the window
        self._standstill: Standstill | None = None

    @property
    def finished(self) -> bool:
        """Whether every input has entered, was answered, and was taken."""
        return self.pipe.ended and not len(self.ledger)

    @property
    def in_flight(self) -> tuple[int, int]:
        """Inputs in flight, and their peak."""
        return self.ledger.window.items, self.ledger.window.peak

    @property
    def lag(self) -> float:
        """Seconds since the oldest unanswered input left the pipe; 0 when none is unanswered."""
        oldest = None if self._stopped else next(iter(self.ledger.unanswered), None)
        return time.monotonic() - oldest.entered_at if oldest is not None else 0.0

    def take(self) -> Prediction | None:
        """Take the next prediction that can be delivered, or None."""
        entry = self.ledger.take()
        if entry is None:
            return None
        signal = self._vacancy if self._eager else self._wakeup
        if not signal.is_set:
            signal.set()
        if self._held_up and self.pipe.queue:
            self._enter_waiting()
        return entry.answer

    async def room(self) -> int:
        """Wait until an input may be pulled; return how many."""
        if self._outbox.rejected:
            self._outbox.rejected = False
            await asyncio.sleep(0)  # a source of inputs that cannot be sent waits for nothing else
        if not self._eager:
            return await super().room()
        while (room := self._room()) < 1:
            await self._vacancy.wait()
        return room

    def _room(self) -> int:
        """How many inputs may be pulled: those that the window admits and that are sent soon, then the pipe's."""
        pipe, window, largest = self.pipe, self.ledger.window, self._feeder.largest
        max_bytes = self.options.window.bytes
        if len(pipe):  # the window is full
            return min(pipe.room, (max_bytes - pipe.bytes) // (largest or 1))
        room = int(min(self._outbox.room(), pipe.room + max(0, window.room)))
        return min(room, max(1, (max_bytes - window.bytes) // largest) if largest else 1)

    def offer(self, items: Sequence[Prepared]) -> int:
        """Take inputs into the window, or else into the pipe, until one has to wait for room; return how many."""
        entered = self._outbox.enter(items) if self._eager and not self.pipe.queue else 0
        if entered == len(items):
            self._wakeup.set()
            return entered
        return entered + super().offer(items[entered:])

    async def finish(self) -> None:
        """Let a stream whose inputs are all answered end by itself, then stop it; one with late answers immediately."""
        if self._call is None or self.ledger.late:
            await self.stop()
            return
        await self._wait(self._session.timeouts.close)
        self.halt()
        await self._wait(LAST_MOMENT)
        self._leave()

    def _fed(self) -> None:
        """Wake the pump."""
        self._wakeup.set()
        if self._held_up and self.pipe.queue:
            self._enter_waiting()

    def _halted(self) -> None:
        self._eager = False
        super()._halted()
        self.ledger.window.close()
        self._deadlines.cancel()
        self._retries.close()
        if self._standstill is not None:
            self._standstill.cancel()

    def _dropped(self, item: Prepared, cause: str) -> None:
        super()._dropped(item, cause)
        self._wakeup.set()

    # --- driver: opens the call, reads it, opens it again

    async def _drive(self) -> None:
        if (limit := self._session.timeouts.first_answer) is not None:
            # Of a window that nothing leaves: some servers answer only after the last input.
            self._standstill = Standstill(limit, self._steps, self._window_stands, self._stalled)
            self._standstill.watch()
        self._session.budget.calls += 1
        while await self._something_to_send():
            failure = await self._call_once()
            if self._stopped:
                return
            if failure is None:
                self._outbox.resend(self.ledger.broken())  # the rest goes over another
                continue
            delay = self._recovery.next_call(failure)
            self._arm()
            await asyncio.sleep(delay)

    async def _call_once(self) -> TransportError | ServerError | None:
        """Open a call, write and read it; return its failure."""
        self._recovery.begin_call()
        try:
            await self._one_call()
            return self._recovery.early_end()
        except StreamsExhausted as error:
            return None if self._enters_unsent else error  # each input has its own deadline, which may be later
        except (TransportError, ServerError) as error:
            return error

    async def _something_to_send(self) -> bool:
        """Wait until there is an input to send; False when there will be none."""
        self._held_up = self._eager
        while True:
            if self._outbox.sendable():
                if self._enters_unsent:
                    self._held_up = True
                    self._enter_waiting()
                return True
            if self.pipe.ended and not self.ledger.open_count:
                return False
            await self._wakeup.wait()

    @property
    def _enters_unsent(self) -> bool:
        """Whether timeouts of sendable inputs run while a call is being opened."""
        return self.pipe.blocks and not self.options.batching.wait

    def _connected(self, connection: Connection) -> None:
        self._recovery.reached = True

    async def _read(self, call: Call, connection: Connection) -> None:
        read_now, answered = call.read_now, self._answered
        raw = await call.read()
        while raw is not None:
            connection.answered()
            self.ready.set()  # all that have arrived are processed before another task runs
            if not self._eager:
                self._wakeup.set()  # more may be sent now
            predictions = 0
            while raw is not None:
                if self._stopped:
                    return  # answers that arrived in the same moment are settled at the end
                predictions += answered(raw)
                raw = read_now()
            if predictions:
                connection.succeeded(predictions)
            raw = await call.read()

    # --- pump: pipe -> call

    async def _pump(self, call: Call, head: bytes) -> None:
        """Write inputs to send again, then new ones; ends when the call does (the reader raises the failure)."""
        outbox, tally, write = self._outbox, self.tally, call.write
        try:
            while not self._stopped:
                self._held_up = self._eager
                entries = outbox.take(len(head))
                if entries:
                    if not self._deadlines.is_set:
                        self._arm()
                    if not outbox.queue:
                        self._vacancy.set()
                    self.ledger.sent(entries)
                    tally.sent += len(entries)
                    await write(entries[0].item.request(head) if len(entries) == 1 else _request(head, entries))
                elif self._finished_sending():
                    await call.half_close()
                    return  # what is to be sent again after this goes over another call
                else:
                    self._waiting = True
                    await self._wakeup.wait(outbox.patience())
                    self._waiting = False
        except (TransportError, ServerError):
            return
        finally:
            self._waiting = False

    def _finished_sending(self) -> bool:
        return self.pipe.ended and not self._outbox.queue and not len(self._retries)

    def _enter_waiting(self) -> None:
        """Take inputs from the pipe into the window although the pump cannot send: their timeouts start now."""
        if self._stopped:
            return
        self._outbox.enter_waiting()
        self._arm()
        self._wakeup.set()
        self._vacancy.set()

    # --- answers

    def _answered(self, raw: bytes) -> int:
        """Process a response; return how many predictions it brought."""
        single = codec.single_output(raw)
        if single is not None and (entry := self.ledger.match_single(single[1])) is not None:
            self._recovery.last_failure = self._recovery.refusal = None
            self.ledger.settle(entry, Prediction(raw, (single[1],), single[0], entry.name, entry.item.position))
            self.tally.received += 1
            if entry.suspect:
                self._wakeup.set()  # others may be sent now
            return 1
        response = responses.read(raw)
        if response.marker:
            return 0
        refusal = response.refusal
        if refusal is not None and fatal(refusal):
            raise refusal
        try:
            answers = self.ledger.match(response)
        except Mismatch as error:
            failure = error.__cause__ if isinstance(error.__cause__, ServerError) else refusal
            if failure is not None and error.__cause__ is failure and kind_of(failure) in RETRIED:
                self._recovery.call_refused()
                raise failure from None  # a failure without an input: the whole call is made again
            why = f"answers cannot be matched to inputs ({error})" if failure else "answers cannot be matched to inputs"
            raise self.ledger.stream_broken(failure or error, why) from (failure or error)
        self._recovery.last_failure = response.failure
        if response.failure is not None:
            self._refused([entry for entry, _ in answers], response.failure)
        else:
            self._recovery.refusal = None
        received = 0
        for entry, answer in answers:
            if isinstance(answer, Prediction):
                received += 1
                self.ledger.settle(entry, answer)
            elif response.failure is None:
                self._failed(entry, answer)
        self.tally.received += received
        self._wakeup.set()
        return received

    def _settle(self, entry: Entry, error: HeadraceError) -> None:
        self.tally.errors += 1
        self.ledger.settle(entry, Prediction.failed(error, input_id=entry.name, position=entry.position))
        self.ready.set()
        self._wakeup.set()

    def _refused(self, entries: list[Entry], failure: ServerError) -> None:
        """Process a failure of a whole request that names none of its inputs."""
        if len(entries) > 1 and is_splittable(failure):  # one of them may be to blame: each is sent by itself
            for entry in entries:
                entry.alone = True
            self._outbox.queue.extend(entries)
            self._wakeup.set()
            return
        if kind_of(failure) in REFUSALS:
            self._recovery.refused(entries, failure)
            return
        self._recovery.refusal = None
        self._retries.again(entries, failure, self._retries.new_attempts())

    def _failed(self, entry: Entry, error: ServerError) -> None:
        """Send an input again later if its own failure allows it, else settle it."""
        if entry.attempts is not None:
            entry.attempts = copy.copy(entry.attempts)  # it may have been shared with others
        self._retries.again([entry], error, self._retries.new_attempts() if entry.attempts is None else entry.attempts)

    def _rested(self, entry: Entry) -> None:
        if entry.answer is None:
            self._outbox.queue.append(entry)
        self._wakeup.set()

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
            self._stalled(now - expired[0].entered_at)
            return
        for entry in expired:
            self.tally.errors += 1
            self._retries.stop(entry)
            error = DeadlineExceeded(
                f"{named(entry.name)}: no answer within {self.options.timeout:g} s{self._doing(entry)}",
                target=str(self._session.channels.target),
                attempt=entry.attempts.number if entry.attempts is not None else 1,
            )
            self.ledger.time_out(entry, error)
        if expired:
            self.ready.set()
            self._wakeup.set()
            if not self._waiting:  # in the middle of a write, or between two calls
                self._held_up = True
        if self._held_up:
            self._enter_waiting()
        self._arm()

    def _doing(self, entry: Entry) -> str:
        """Return what has kept an input from being sent, if that is known."""
        refusal = self._recovery.refusal
        if entry.request < 0 and refusal is not None:
            return f"; the server's last answer was: {refusal.failure}"
        return ""

    def _steps(self) -> tuple[int, ...]:
        return self.ledger.received, self.tally.sent

    def _stalled(self, seconds: float) -> None:
        self.fail(self.ledger.stalled(seconds))

    def _window_stands(self) -> bool:
        """Whether inputs wait, the window admits none, and the server is the bottleneck."""
        waiting = self.pipe.queue
        if not waiting or self.ledger.untaken or self._call is None:
            return False
        return self._outbox.gathers or not self.ledger.window.fits(waiting[0].size_bytes)


def _request(head: bytes, entries: Sequence[Entry]) -> list[Buffer]:
    parts: list[Buffer] = [head]
    for entry in entries:
        parts += entry.item.encode()
    return parts
