"""Free duplex streams: any number of answers to any number of inputs, in the server's order.

No matching, no window of items, no resume and no conservation claim: what the server sends is delivered as it comes.
What waits for the consumer is bounded in bytes; the call's idle timeout bounds silence. Made again only before the
first answer, with what was sent until then.
"""

from __future__ import annotations

import asyncio
import math

from headrace import codec
from headrace.calls import responses
from headrace.calls.base import DuplexWork
from headrace.calls.parts import Convert, DuplexOptions, Template
from headrace.calls.responses import id_of
from headrace.calls.session import Session
from headrace.errors import (
    ConnectFailed,
    DeadlineExceeded,
    HeadraceError,
    ServerError,
    StreamBroken,
    TransportError,
)
from headrace.flow.pipe import EndOfPipe, Pipe
from headrace.inputs import Input
from headrace.results import Output, Prediction
from headrace.sources.iterables import Source
from headrace.status import fatal
from headrace.transport.base import Call


class FreeDuplex(DuplexWork):
    """The working parts of a free duplex stream."""

    def __init__(
        self,
        session: Session,
        source: Source[object],
        convert: Convert,
        template: Template,
        options: DuplexOptions,
        idle: float | None,
    ) -> None:
        super().__init__(session, source, convert, options, lambda: None)
        self._template = template
        self._idle = idle
        self._answers: Pipe[Prediction] = Pipe(
            1 << 16, size_bytes=options.window.bytes, size=lambda prediction: len(prediction.raw)
        )
        self._sent: list[Input] = []  # until the first answer: what another call has to begin with
        self._sent_bytes = 0
        self._idle_timer: asyncio.TimerHandle | None = None
        self._idle_over = False

    @property
    def finished(self) -> bool:
        """Whether the server has ended the stream and all was taken."""
        return self._answers.ended

    @property
    def in_flight(self) -> tuple[int, int]:
        """Nothing is matched, so nothing is known to be in flight."""
        return 0, 0

    @property
    def lag(self) -> float:
        """Nothing is matched: 0."""
        return 0.0

    def take(self) -> Prediction | None:
        """Take the next answer, or None."""
        return self._answers.receive_nowait()

    async def finish(self) -> None:
        """End after all was taken."""
        await self.stop()

    def _halted(self) -> None:
        """Nothing more: what was sent is matched to no answer."""

    async def _drive(self) -> None:
        session = self._session
        warm_up = self.options.warm_up
        # A timeout that the user gave bounds the wait for a deploying model as well; no clock of an input does it here.
        attempts = session.attempts(warm_up=self.options.timeout if warm_up == math.inf else warm_up)
        head = await self._template()
        try:
            while True:
                try:
                    await self._one_call(head)
                    return
                except (TransportError, ServerError) as error:
                    failure: TransportError | ServerError = error
                if self._stopped:
                    return
                session.failed(failure)
                replayable = not self.tally.received and self._sent_bytes <= self.options.window.bytes
                delay = attempts.after(failure) if replayable else None
                if delay is None:
                    raise self._final(failure)
                session.counts.retries += 1
                await asyncio.sleep(delay)
        finally:
            self._answers.close_sender()

    async def _one_call(self, head: bytes) -> None:
        session, loop = self._session, asyncio.get_running_loop()
        timeout = self.options.timeout
        connection = await session.place(None if timeout == math.inf else timeout)
        pump: asyncio.Task[None] | None = None
        try:
            await connection.connect()
            session.counts.attempts += 1
            call = self._call = connection.transport.open(codec.STREAM, (*session.metadata, *self.options.metadata))
            pump = loop.create_task(self._pump(call, head), name="headrace-pump")
            pump.add_done_callback(self._pumped)
            self._touch(loop)
            while (raw := await call.read()) is not None:
                self._touch(None)
                connection.answered()
                await self._deliver(raw)
                self._touch(loop)
        except TransportError as error:
            if self._idle_over:
                raise DeadlineExceeded(
                    f"no answer of the stream for {self._idle:g} s (idle timeout)",
                    target=str(session.channels.target),
                ) from None
            if error.unprocessed and not isinstance(error, ConnectFailed):
                connection.refused()
            raise
        finally:
            self._touch(None)
            if self._call is not None:
                self._call.cancel()
                self._call = None
            connection.release()
            if pump is not None:
                pump.cancel()
                await asyncio.wait([pump])

    def _pumped(self, pump: asyncio.Task[None]) -> None:
        if not pump.cancelled() and (error := pump.exception()) is not None:
            self.fail(error)

    async def _pump(self, call: Call, head: bytes) -> None:
        """Write what another call had before, then what the pipe gives; ends when the call does (`read` tells how)."""
        try:
            for item in self._sent:
                await call.write(item.request(head))
            while True:
                try:
                    pulled = await self.pipe.receive()
                except EndOfPipe:
                    break
                item = pulled.item
                if pulled.error is not None:
                    self.tally.errors += 1
                    await self._answers.send(
                        Prediction.failed(pulled.error, input_id=item.id, position=pulled.position)
                    )
                    self.ready.set()
                    continue
                self.tally.sent += 1
                if not self.tally.received and self._sent_bytes <= self.options.window.bytes:
                    self._sent.append(item)
                    self._sent_bytes += item.size_bytes
                await call.write(item.request(head))
            await call.half_close()
        except (TransportError, ServerError):
            return

    async def _deliver(self, raw: bytes) -> None:
        response = responses.read(raw)
        if response.marker:
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
        self._session.succeeded()
        waiting = self._answers.send_nowait(prediction)
        self.ready.set()
        if not waiting:
            await self._answers.send(prediction)
            self.ready.set()

    def _touch(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Start the idle clock anew, or stop it while the consumer holds things up."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        if loop is not None and self._idle is not None:
            self._idle_timer = loop.call_later(self._idle, self._idled)

    def _idled(self) -> None:
        self._idle_over = True
        if self._call is not None:
            self._call.cancel()

    def _final(self, cause: TransportError | ServerError) -> HeadraceError:
        """Tell how the stream ended: as itself where nothing was answered or nothing could be, else as broken."""
        if not self.tally.received or fatal(cause):
            return cause
        error = StreamBroken(
            f"the stream broke after {self.tally.received} answers: {cause}", received=self.tally.received
        )
        error.code = cause.code
        error.__cause__ = cause
        return error
