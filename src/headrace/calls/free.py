"""Free duplex streams: any number of answers to any number of inputs, in the server's order.

No matching, no window of items, no resume and no conservation claim: what the server sends is delivered as it comes.
What waits for the consumer is bounded in bytes; the call's idle timeout bounds silence.
"""

from __future__ import annotations

import asyncio
import contextlib
import math

from headrace import codec
from headrace.calls import envelope
from headrace.calls.parts import Convert, DuplexOptions, Signal, Tally, Template
from headrace.calls.session import Session
from headrace.errors import DeadlineExceeded, HeadraceError, ServerError, StreamBroken, TransportError
from headrace.flow.pipe import Pipe
from headrace.results import Prediction
from headrace.sources.iterables import Source, pull
from headrace.transport.base import Buffer, Call
from headrace.v2 import resources_pb2 as pb


class FreeDuplex:
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
        self.tally = Tally()
        self.failure: BaseException | None = None
        self.ready = Signal()
        self._session = session
        self._source = source
        self._convert = convert
        self._template = template
        self._options = options
        self._idle = idle
        self._answers: Pipe[Prediction] = Pipe(
            1 << 16, size_bytes=options.window.bytes, size=lambda prediction: len(prediction.raw)
        )
        self._task: asyncio.Task[None] | None = None
        self._call: Call | None = None
        self._stopped = False
        self._idle_timer: asyncio.TimerHandle | None = None
        self._idle_over = False

    @property
    def started(self) -> bool:
        """Whether it was started."""
        return self._task is not None

    @property
    def running(self) -> bool:
        """Whether its task still runs."""
        return self._task is not None and not self._task.done()

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

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop it runs in."""
        assert self._task is not None
        return self._task.get_loop()

    def start(self) -> None:
        """Start the call."""
        self._session.counts.calls += 1
        self._task = asyncio.get_running_loop().create_task(self._run(), name="headrace-free-stream")

    def take(self) -> Prediction | None:
        """Take the next answer, or None."""
        return self._answers.receive_nowait()

    def halt(self) -> None:
        """End without waiting."""
        self._stopped = True
        if self._call is not None:
            self._call.cancel()
        if self._task is not None:
            self._task.cancel()
        self.ready.set()

    async def finish(self) -> None:
        """End after all was taken."""
        await self.stop()

    async def stop(self) -> None:
        """End now; time-boxed."""
        self.halt()
        if self._task is None:
            with contextlib.suppress(Exception):
                await self._source.close()
        elif not self._task.done():
            await asyncio.wait([self._task], timeout=self._session.timeouts.close)

    async def _run(self) -> None:
        try:
            await self._one_call()
        except Exception as error:
            wire = isinstance(error, TransportError | ServerError)
            self.failure = self._broken(error) if self.tally.sent and wire else error
        finally:
            with contextlib.suppress(Exception):
                await self._source.close()
            self._answers.close_sender()
            self.ready.set()

    async def _one_call(self) -> None:
        session, loop = self._session, asyncio.get_running_loop()
        head = await self._template()
        timeout = self._options.timeout
        connection = await session.place(None if timeout == math.inf else timeout)
        pump: asyncio.Task[None] | None = None
        try:
            await connection.connect()
            session.counts.attempts += 1
            call = self._call = connection.transport.open(codec.STREAM, (*session.metadata, *self._options.metadata))
            pump = loop.create_task(self._pump(call, head), name="headrace-pump")
            pump.add_done_callback(self._pumped)
            self._touch(loop)
            try:
                while (raw := await call.read()) is not None:
                    self._touch(None)
                    connection.answered()
                    await self._deliver(raw)
                    self._touch(loop)
            except TransportError:
                self._raise_own_failure(pump)
                raise
            self._raise_own_failure(pump)
        finally:
            self._touch(None)
            if self._call is not None:
                self._call.cancel()
            connection.release()
            if pump is not None:
                pump.cancel()
                await asyncio.wait([pump])

    def _raise_own_failure(self, pump: asyncio.Task[None]) -> None:
        """The producer's error, or the idle timeout, beats the broken call that it caused."""
        if pump.done() and not pump.cancelled() and (error := pump.exception()) is not None:
            raise error
        if self._idle_over:
            raise DeadlineExceeded(
                f"no answer of the stream for {self._idle:g} s (idle timeout)",
                target=str(self._session.channels.target),
            )

    async def _pump(self, call: Call, head: bytes) -> None:
        while True:
            try:
                raw = await pull(self._source)
            except StopAsyncIteration:
                break
            self.tally.pulled += 1
            parts: list[Buffer] = [head, *(await self._convert(raw)).encode()]
            try:
                await call.write(parts)
            except (TransportError, ServerError):
                return  # the reader tells how the call ended
            self.tally.sent += 1
        await call.half_close()

    def _pumped(self, pump: asyncio.Task[None]) -> None:
        if not pump.cancelled() and pump.exception() is not None and self._call is not None:
            self._call.cancel()

    async def _deliver(self, raw: bytes) -> None:
        response = envelope.read(raw)
        if response.marker:
            return
        if response.failure is not None:
            raise response.failure
        outputs: list[pb.Output] = []
        for answer in response.answers:
            if isinstance(answer, HeadraceError):
                raise answer
            outputs.append(answer)
        input_id = outputs[0].input.id if outputs else ""
        prediction = Prediction(raw, outputs, status=response.status, input_id=input_id, position=self.tally.received)
        self.tally.received += 1
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

    def _broken(self, cause: Exception) -> StreamBroken:
        error = StreamBroken(
            f"the stream broke after {self.tally.received} answers: {cause}", received=self.tally.received
        )
        error.code = getattr(cause, "code", None)
        error.__cause__ = cause
        return error
