"""Unmatched duplex streams: any number of answers to any number of inputs, in the server's order.

No matching, no window of items, no resume, no accounting: what the server sends is delivered as it arrives.
Answers that wait for the consumer are bounded in bytes; the idle timeout bounds silence. Reopened only before the
first answer, with what was sent until then.
"""

from __future__ import annotations

import asyncio
import math

from headrace.calls import responses
from headrace.calls.duplex.base import DuplexWork
from headrace.calls.duplex.settings import DuplexOptions
from headrace.calls.feeder import Convert, Template
from headrace.calls.responses import id_of
from headrace.calls.session import Session
from headrace.channels.connection import Connection
from headrace.errors import (
    ClosedError,
    DeadlineExceeded,
    HeadraceError,
    ServerError,
    StreamBroken,
    TransportError,
)
from headrace.flow.pipe import EndOfPipe, Pipe
from headrace.inputs.prepared import Prepared
from headrace.results import Output, Prediction
from headrace.sources.iterables import Source
from headrace.status import fatal
from headrace.transport.base import Call


class FreeDuplex(DuplexWork):
    """The working parts of an unmatched duplex stream."""

    def __init__(
        self,
        session: Session,
        source: Source[object],
        convert: Convert,
        template: Template,
        options: DuplexOptions,
        idle: float | None,
    ) -> None:
        super().__init__(session, source, convert, template, options)
        self._idle = idle
        self._answers: Pipe[Prediction] = Pipe(
            1 << 16, size_bytes=options.window.bytes, size=lambda prediction: len(prediction.raw)
        )
        self._sent: list[Prepared] = []  # until the first answer: the inputs that another call must begin with
        self._sent_bytes = 0
        self._bad: Prediction | None = None  # an input that could not be sent, before its error is delivered
        self._idle_timer: asyncio.TimerHandle | None = None
        self._idle_over = False

    @property
    def finished(self) -> bool:
        """Whether the server has ended the stream and all was taken."""
        return self._answers.ended

    def take(self) -> Prediction | None:
        """Take the next answer, or None."""
        return self._answers.receive_nowait()

    @property
    def in_order(self) -> bool:
        """Yes: only the order says what belongs together."""
        return True

    @property
    def _open(self) -> int:
        """None: what was sent is matched to no answer."""
        return 0

    def _halted(self) -> None:
        super()._halted()
        self._answers.close_sender()
        self._stop_idle_clock()

    async def _drive(self) -> None:
        session = self._session
        warm_up = self.options.warm_up
        # A timeout that the user gave bounds the wait for a deploying model as well; no clock of an input does it here.
        attempts = session.attempts(warm_up=self.options.timeout if warm_up == math.inf else warm_up)
        try:
            while True:
                try:
                    await self._one_call()
                    return
                except (TransportError, ServerError) as error:
                    failure: TransportError | ServerError = self._idle_failure() or error
                if self._stopped:
                    return
                session.failed(failure)
                delay = attempts.after(failure) if self._replayable else None
                if delay is None:
                    raise self._final(failure)
                session.counts.retries += 1
                await asyncio.sleep(delay)
        finally:
            self._answers.close_sender()

    @property
    def _replayable(self) -> bool:
        """Whether another call can begin with all that was sent."""
        return not self.tally.received and self._sent_bytes <= self.options.window.bytes

    async def _read(self, call: Call, connection: Connection) -> None:
        self._start_idle_clock()
        try:
            while (raw := await call.read()) is not None and not self._stopped:
                self._stop_idle_clock()
                connection.answered()
                await self._deliver(raw, connection)
                self._start_idle_clock()
        finally:
            self._stop_idle_clock()

    async def _pump(self, call: Call, head: bytes) -> None:
        """Write what another call had before, then what the pipe gives."""
        try:
            for item in tuple(self._sent):  # the first answer empties the list, so work on a copy
                await call.write(item.request(head))
            while not self._stopped:
                if self._bad is not None:
                    await self._answers.send(self._bad)
                    self._bad = None
                    self.ready.set()
                try:
                    item = await self.pipe.receive()
                except EndOfPipe:
                    break
                if item.error is not None:
                    self.tally.errors += 1
                    self._bad = Prediction.failed(item.error, input_id=item.id, position=item.position)
                    continue
                self.tally.sent += 1
                if self._replayable:
                    self._sent.append(item)
                self._sent_bytes += item.size_bytes
                await call.write(item.request(head))
            await call.half_close()
        except (ClosedError, TransportError, ServerError):
            return

    async def _deliver(self, raw: bytes, connection: Connection) -> None:
        response = responses.read(raw)
        if response.marker or self._stopped:
            return
        if response.failure is not None:
            raise response.failure
        outputs: list[Output] = []
        for answer in response.answers:
            if isinstance(answer, HeadraceError):
                raise answer
            outputs.append(answer)
        input_id = id_of(outputs[0]) if outputs else ""
        prediction = Prediction(raw, outputs, status=response.head, input_id=input_id, position=self.tally.received)
        self.tally.received += 1
        self._sent.clear()
        connection.succeeded()
        waiting = self._answers.send_nowait(prediction)
        self.ready.set()
        if not waiting:
            await self._answers.send(prediction)
            self.ready.set()

    def _start_idle_clock(self) -> None:
        """Start to count how long the server is silent."""
        if self._idle is not None and not self._stopped:
            self._idle_timer = asyncio.get_running_loop().call_later(self._idle, self._idled)

    def _stop_idle_clock(self) -> None:
        """Do not count while the consumer is the bottleneck."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    def _idled(self) -> None:
        self._idle_over = True
        if self._call is not None:
            self._call.cancel()

    def _idle_failure(self) -> DeadlineExceeded | None:
        """Make the error of a call that was ended because the server was silent for too long."""
        if not self._idle_over:
            return None
        return DeadlineExceeded(
            f"the stream gave no answer for {self._idle:g} s (idle timeout)", target=str(self._session.channels.target)
        )

    def _final(self, cause: TransportError | ServerError) -> HeadraceError:
        """Return the stream's final error: the failure itself if nothing was answered, otherwise `StreamBroken`."""
        if not self.tally.received or fatal(cause):
            return cause
        error = StreamBroken(
            f"the stream broke after {self.tally.received} answers: {cause}", received=self.tally.received
        )
        error.code = cause.code
        error.__cause__ = cause
        return error
