"""Duplex calls: inputs out, predictions in, both at once, over one RPC that is opened again when it breaks.

Three plain tasks a stream, owned by it: the feeder pulls the user's source into the pipe, the pump writes from the pipe
to the call within the window, and the driver opens the call and reads it. None of them touches the user's stream
object, so a forgotten stream is noticed. The books are in `ledger.py`.
"""

from __future__ import annotations

import asyncio
import copy
import math
import time
from collections import deque
from collections.abc import Sequence

from headrace import codec, events
from headrace.calls import responses
from headrace.calls.base import DuplexWork
from headrace.calls.batching import apart
from headrace.calls.duplex.broken import broken, stalled
from headrace.calls.duplex.ledger import Entry, Ledger, Matching, Mismatch
from headrace.calls.duplex.sender import Outbox
from headrace.calls.parts import Convert, DuplexOptions, Pulled, Signal, Template
from headrace.calls.retry import RETRIED, Attempts
from headrace.calls.session import Session
from headrace.errors import (
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    HeadraceError,
    InputError,
    ServerError,
    TransportError,
)
from headrace.flow.window import Gate
from headrace.results import Prediction
from headrace.sources.iterables import Source
from headrace.status import Kind, fatal, kind_of
from headrace.transport.base import Buffer, Call


class Duplex(DuplexWork):
    """The working parts of a matched duplex stream; `DuplexStream` is what the user holds."""

    def __init__(
        self, session: Session, source: Source[object], convert: Convert, template: Template, options: DuplexOptions
    ) -> None:
        super().__init__(session, source, convert, options, self._fed)
        self.gate = Gate(options.window)
        self.ledger = Ledger(options.ordered, self._free)
        self._template = template
        self._head: bytes | None = None
        self._work = Signal()  # for pump and driver
        self._outbox = Outbox(self.pipe, self.gate, self.ledger, options.packing, self._enter)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._resting: dict[int, asyncio.TimerHandle] = {}
        self._reached = False  # there was a connection, so that what fails later is a break
        self._window_full_since: float | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._last_failure: ServerError | None = None  # of the last response, where it names no input
        self._failed_ends = 0

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
        oldest = next(iter(self.ledger.unanswered), None)
        return time.monotonic() - oldest.left if oldest is not None else 0.0

    def take(self) -> Prediction | None:
        """Take the next prediction that can be delivered, or None."""
        entry = self.ledger.take()
        if entry is None:
            return None
        assert entry.answer is not None
        return entry.answer

    async def finish(self) -> None:
        """Let a stream whose inputs are all answered end by itself, then stop it; one with late answers at once."""
        tasks = [task for task in self._tasks if not task.done()]
        if tasks and self._call is not None and not self.ledger.late:
            await asyncio.wait(tasks, timeout=self._session.timeouts.close)
        await self.stop()

    def _halted(self) -> None:
        if self.failure is not None:
            self.tally.errors += self.ledger.open_count
        else:
            self.tally.drop("closed", self.ledger.open_count)
        self.gate.close()
        for handle in (self._timer, self._stall_timer, *self._resting.values()):
            if handle is not None:
                handle.cancel()

    def _dropped(self, pulled: Pulled, cause: str) -> None:
        super()._dropped(pulled, cause)
        self._work.set()

    def _fed(self) -> None:
        self._work.set()
        if self.pipe.ended:
            self.ready.set()

    # --- driver: opens the call, reads it, opens it again

    async def _drive(self) -> None:
        session = self._session
        attempts, down_since = session.attempts(warm_up=self.options.warm_up), None
        while await self._something_to_send():
            before = self.ledger.received
            try:
                await self._one_call()
                if not self.ledger.on_wire and (self.ledger.received > before or not self._outbox.sendable):
                    self._outbox.again = deque(self.ledger.broken())  # ended well; the rest goes over another
                    continue
                self._check_failed_end()
                raise ConnectionLost(
                    f"{session.channels.target}: the server ended the stream, {self.ledger.on_wire} inputs unanswered",
                    target=str(session.channels.target),
                )
            except (TransportError, ServerError) as error:
                failure: TransportError | ServerError = error
            if self._stopped:
                return
            session.failed(failure)
            progress = self.ledger.received > before
            if progress:
                attempts, down_since = session.attempts(warm_up=self.options.warm_up), None
            down_since = time.monotonic() if down_since is None else down_since
            delay = self._delay(failure, attempts, progress, time.monotonic() - down_since)
            if delay is None:
                raise self._final(failure)
            self._prepare_resume(failure)
            await asyncio.sleep(delay)

    def _check_failed_end(self) -> None:
        """Give up on a server that twice ended the stream after a failure that names no input.

        Such a failure is blamed on the input whose turn it was; where the whole stream failed, that is wrong.
        """
        failure = self._last_failure
        self._failed_ends += failure is not None
        if failure is not None and self._failed_ends >= self._session.policy.ambiguous_attempts:
            raise broken(
                self.ledger,
                failure,
                "the server ends the stream after a failure that names no input (model.map sends each input by itself; "
                "model.call reaches a model's typed methods)",
            ) from failure

    def _delay(
        self, failure: TransportError | ServerError, attempts: Attempts, progress: bool, down: float
    ) -> float | None:
        """How long to wait before opening the call again, or None to give up."""
        kind = kind_of(failure)
        if kind is Kind.CONNECTION and progress:
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
            raise broken(self.ledger, failure, "resume is off") from failure
        elif on_wire and not self.options.ordered and self.ledger.matching is Matching.BY_ORDER:
            raise broken(self.ledger, failure, "answers by order can be resumed with ordered=True only") from failure
        self._outbox.again = deque(self.ledger.broken())
        if self._reached:
            self.tally.resumed += 1
            self._session.counts.resumes += 1
            self._session.emit(events.Resumed(on_wire, self.tally.resumed, str(failure)))

    def _final(self, failure: TransportError | ServerError) -> HeadraceError:
        if not self._reached or not self.tally.sent or fatal(failure):
            return failure
        error = broken(self.ledger, failure, "it could not be resumed")
        error.__cause__ = failure
        return error

    async def _something_to_send(self) -> bool:
        """Wait until there is an input to send; False when there will be none."""
        while True:
            if self._outbox.sendable:
                return True
            if self.pipe.ended and not self.ledger.open_count:
                return False
            await self._work.wait()

    async def _one_call(self) -> None:
        session = self._session
        if self._head is None:
            self._head = await self._template()
        timeout = self.options.timeout
        connection = await session.place(None if timeout == math.inf else timeout)
        call: Call | None = None
        pump: asyncio.Task[None] | None = None
        try:
            await connection.connect()
            self._reached = self._reached or connection.transport.healthy
            session.counts.attempts += 1
            call = self._call = connection.transport.open(codec.STREAM, (*session.metadata, *self.options.metadata))
            pump = asyncio.get_running_loop().create_task(self._pump(call, self._head), name="headrace-pump")
            pump.add_done_callback(self._pumped)
            while (raw := await call.read()) is not None:
                connection.answered()
                self._answered(raw)
        except TransportError as error:
            if error.unprocessed and not isinstance(error, ConnectFailed):
                connection.refused()
            raise
        finally:
            self._call = None
            if call is not None:
                call.cancel()
            connection.release()
            if pump is not None:
                pump.cancel()
                await asyncio.wait([pump])

    def _pumped(self, pump: asyncio.Task[None]) -> None:
        if not pump.cancelled() and (error := pump.exception()) is not None:
            self.fail(error)

    # --- pump: pipe -> call

    async def _pump(self, call: Call, head: bytes) -> None:
        """Write what is to be sent again, then what is new; ends when the call does (the reader tells how)."""
        try:
            while not self._stopped:
                entries = self._outbox.take(len(head))
                if entries:
                    self._window_full_since = None
                    self._arm()
                    self._session.budget.called(self._outbox.fresh)
                    self.ledger.sent(entries)
                    self.tally.sent += len(entries)
                    await call.write(_request(head, entries))
                elif self._finished_sending():
                    await call.half_close()
                    return  # what is to be sent again after this goes over another call
                else:
                    self._note_stall()
                    await self._work.wait(self._outbox.patience())
        except (TransportError, ServerError):
            return

    def _finished_sending(self) -> bool:
        return self.pipe.ended and not self._outbox.again and not self._resting

    def _enter(self, pulled: Pulled, size: int) -> Entry | None:
        """Take what has left the pipe into the window; None where it ends there because it is bad."""
        item, error = pulled.item, pulled.error
        if error is None and self.ledger.knows(item.id):
            error = InputError(f"input {item.id}: another input with this id is still in flight", input_id=item.id)
        self.gate.take(size)
        entry = self.ledger.enter(pulled.position, item, size, time.monotonic(), self.options.timeout)
        if error is not None:
            self._settle(entry, error)
            return None
        return entry

    def _free(self, entry: Entry) -> None:
        self.gate.free(entry.size)
        self._work.set()

    # --- answers

    def _answered(self, raw: bytes) -> None:
        response = responses.read(raw)
        if response.marker:
            return
        self._last_failure = response.failure
        self._window_full_since = None
        refusal = response.refusal
        if refusal is not None and fatal(refusal):
            raise refusal
        try:
            answers = self.ledger.match(response)
        except Mismatch as error:
            if isinstance(error.__cause__, ServerError) and kind_of(error.__cause__) in RETRIED:
                raise error.__cause__ from None  # a failure of nobody in particular: the whole call is made again
            raise broken(self.ledger, error, "answers cannot be matched to inputs") from error
        received = 0
        for entry, answer in answers:
            if isinstance(answer, Prediction):
                received += 1
                self.ledger.settle(entry, answer)
            elif response.failure is not None and entry.company > 1:
                self._refused_together(entry, copy.copy(answer))
            else:
                self._failed(entry, answer)
        if received:
            self.tally.received += received
            self._session.succeeded()
        self.ready.set()
        self._work.set()

    def _settle(self, entry: Entry, error: HeadraceError) -> None:
        self.tally.errors += 1
        self.ledger.settle(entry, Prediction.failed(error, input_id=entry.item.id, position=entry.position))
        self.ready.set()
        self._work.set()

    def _refused_together(self, entry: Entry, error: ServerError) -> None:
        """Send an input of a refused request by itself where another one may be to blame, else as any that failed."""
        if not apart(error):
            self._failed(entry, error)
            return
        entry.alone = True
        self._outbox.again.append(entry)
        self._work.set()

    def _failed(self, entry: Entry, error: ServerError) -> None:
        """Send an input again later where its failure allows it, else settle it."""
        self._session.failed(error)
        if entry.attempts is None:
            entry.attempts = self._session.attempts(warm_up=self.options.warm_up, fresh=False)
        delay = entry.attempts.after(error)
        if delay is None:
            error.input_id = error.input_id or entry.item.id
            self._settle(entry, error)
            return
        self.tally.retries += 1
        self._session.counts.retries += 1
        if kind_of(error) is Kind.WARMING and self.options.warm_up is None:
            self.ledger.extend(entry, delay)
            self._arm()
        entry.resting = True
        loop = asyncio.get_running_loop()
        self._resting[entry.seq] = loop.call_later(delay, self._rested, entry)

    def _rested(self, entry: Entry) -> None:
        self._resting.pop(entry.seq, None)
        entry.resting = False
        if entry.answer is None:
            self._outbox.again.append(entry)
        self._work.set()

    # --- time

    def _arm(self) -> None:
        """Set the one timer to the next deadline."""
        when = self.ledger.next_deadline()
        if when is None or when == math.inf:
            return
        if self._timer is not None:
            if self._timer_at <= when:
                return
            self._timer.cancel()
        self._timer_at = when
        delay = max(0.0, when - time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(delay, self._time_out)

    def _time_out(self) -> None:
        self._timer = None
        now = time.monotonic()
        expired = self.ledger.expired(now)
        if expired and self._stalled():
            self.fail(stalled(self.ledger, now - expired[0].left))
            return
        for entry in expired:
            self.tally.errors += 1
            if (rest := self._resting.pop(entry.seq, None)) is not None:
                rest.cancel()
            error = DeadlineExceeded(
                f"input {entry.item.id}: no answer within {self.options.timeout:g} s",
                target=str(self._session.channels.target),
                attempt=entry.attempts.made if entry.attempts is not None else 1,
            )
            self.ledger.time_out(entry, error)
        if expired:
            self.ready.set()
            self._work.set()
        self._arm()

    def _stalled(self) -> bool:
        """Whether the window has kept inputs back and the server has never answered."""
        return not self.ledger.received and self._window_full_since is not None

    def _note_stall(self) -> None:
        """Watch a window that is full before any answer: some servers answer only after the last input."""
        limit, waiting = self._session.timeouts.first_answer, self.pipe.peek()
        if self.ledger.received or waiting is None or self._window_full_since is not None:
            return
        if self.gate.fits(waiting) and not self._outbox.held:
            return
        self._window_full_since = time.monotonic()
        if limit is not None:
            self._stall_timer = asyncio.get_running_loop().call_later(limit, self._check_stall, self._window_full_since)

    def _check_stall(self, since: float) -> None:
        if self._window_full_since == since and self._stalled():
            self.fail(stalled(self.ledger, time.monotonic() - since))


def _request(head: bytes, entries: Sequence[Entry]) -> list[Buffer]:
    if len(entries) == 1:
        return entries[0].item.request(head)
    parts: list[Buffer] = [head]
    for entry in entries:
        parts += entry.item.encode()
    return parts
