"""Unmatched duplex streams: any number of answers to any number of inputs, in the server's order.

No matching, no window of items, no resume, no accounting: what the server sends is delivered as it arrives.
Answers that wait for the consumer are bounded in bytes; timeouts bound the server's silence before the first answer and
between two. Reopened only before the first answer, with what was sent until then.
"""

from __future__ import annotations

import asyncio
import math
import time

from headrace.calls import responses
from headrace.calls.duplex.alarm import Alarm
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
    """The working parts of an unmatched duplex stream.

    Args:
        first_answer: seconds that a call waits for an answer while none has come; `idle`: between two. None: any time.
    """

    def __init__(
        self,
        session: Session,
        source: Source[object],
        convert: Convert,
        template: Template,
        options: DuplexOptions,
        first_answer: float | None,
        idle: float | None,
    ) -> None:
        super().__init__(session, source, convert, template, options)
        self._first_answer = first_answer
        self._idle = idle
        self._answers: Pipe[Prediction] = Pipe(
            1 << 16, size_bytes=options.window.bytes, size=lambda prediction: len(prediction.raw)
        )
        self._sent: list[Prepared] = []  # until the first answer: the inputs that another call must begin with
        self._sent_bytes = 0
        self._bad: Prediction | None = None  # an input that could not be sent, before its error is delivered
        self._silence = Alarm(self._fell_silent)
        self._silent = False

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
        self._silence.cancel()

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
                    failure: TransportError | ServerError = self._silence_failure() if self._silent else error
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
        self._watch_silence()
        try:
            while (raw := await call.read()) is not None and not self._stopped:
                self._silence.cancel()
                connection.answered()
                await self._deliver(raw, connection)
                self._watch_silence()
        finally:
            self._silence.cancel()

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

    @property
    def _limit(self) -> float | None:
        """How long the server may be silent now."""
        return self._idle if self.tally.received else self._first_answer

    def _watch_silence(self) -> None:
        """Start to count how long the server is silent; not while the consumer is the bottleneck."""
        if (limit := self._limit) is not None and not self._stopped:
            self._silence.set(time.monotonic() + limit)

    def _fell_silent(self) -> None:
        self._silent = True
        if self._call is not None:
            self._call.cancel()

    def _silence_failure(self) -> DeadlineExceeded:
        """Make the error of a call that was ended because the server was silent for too long."""
        limit, target = self._limit, str(self._session.channels.target)
        if self.tally.received:
            return DeadlineExceeded(f"the stream gave no answer for {limit:g} s (idle timeout)", target=target)
        return DeadlineExceeded(f"the stream gave no first answer within {limit:g} s", target=target)

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
