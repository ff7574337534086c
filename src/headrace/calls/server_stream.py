"""Unary-stream calls: one input, a stream of answers (tokens).

One reader task reads from the call into a byte-bounded pipe; when the pipe is full it stops reading, and HTTP/2 flow
control stops the server. The stream object that the user holds is apart from the reader, so that a forgotten one is
noticed. Retried only before the first answer: sampling cannot be resumed.
"""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self

from headrace import codec
from headrace.calls import envelope
from headrace.calls.deadline import Deadline
from headrace.calls.session import Phase, Session
from headrace.errors import (
    ClosedError,
    ConcurrentUse,
    ConnectFailed,
    DeadlineExceeded,
    HeadraceError,
    StreamBroken,
    TransportError,
    frameless,
)
from headrace.flow.pipe import EndOfPipe, Pipe
from headrace.results import Prediction
from headrace.status import Kind, kind_of
from headrace.transport.base import Buffer, Call, Metadata

READY_BYTES = 1 << 20  # answers that wait for the consumer
READY_ITEMS = 1024

#: Makes the request's parts and the input's id; runs within the first-answer timeout (it may look things up).
Prepare = Callable[[], Awaitable[tuple[Sequence[Buffer], str]]]


class _Reader:
    """The task that opens the call, reads it, and fills the pipe."""

    def __init__(
        self,
        session: Session,
        prepare: Prepare,
        metadata: Metadata,
        first: float | None,
        idle: float | None,
        warm_up: float | None,
    ) -> None:
        self.pipe: Pipe[Prediction] = Pipe(READY_ITEMS, size_bytes=READY_BYTES, size=lambda p: len(p.raw))
        self.task: asyncio.Task[None] | None = None
        self.received = 0
        self._session = session
        self._prepare = prepare
        self._metadata = metadata
        self._first = first
        self._idle = idle
        self._warm_up = warm_up
        self._texts: list[str] = []
        self._call: Call | None = None
        self._stopped = False
        self._idle_since: float | None = None
        self._idle_over = False
        self._input_id = ""

    def start(self) -> None:
        self._session.counts.calls += 1
        self.task = asyncio.get_running_loop().create_task(self._run(), name="headrace-generate")

    async def _run(self) -> None:
        try:
            await self._read_all()
        except asyncio.CancelledError:
            self.pipe.fail(ClosedError("the stream is closed"))
            raise
        except HeadraceError as error:
            self._session.counts.failures += not self._stopped
            self.pipe.fail(self._broken(error) if self.received else error)
        except Exception as error:  # a defect of ours, or of the user's `prepare`: never swallowed
            self.pipe.fail(error)
        else:
            self.pipe.close_sender()
        finally:
            if self._call is not None:
                self._call.cancel()
                self._call = None  # the user may keep the stream

    async def _read_all(self) -> None:
        deadline = Deadline.after(self._first)
        phase = Phase()
        stack = contextlib.ExitStack()
        try:
            async with asyncio.timeout(deadline.or_none) as scope:
                first = await self._open_until_first(deadline, phase, scope, stack)
        except TimeoutError as error:
            stack.close()
            if isinstance(error, HeadraceError):
                raise
            raise phase.deadline_exceeded(
                "the first answer of the stream", deadline, self._session.channels.target
            ) from phase.last
        except BaseException:
            stack.close()
            raise
        with stack:
            if first is None:
                return
            self._session.succeeded()
            if not self._delivered(first):
                await self.pipe.send(first)
            await self._read_rest()

    async def _open_until_first(
        self, deadline: Deadline, phase: Phase, scope: asyncio.Timeout, stack: contextlib.ExitStack
    ) -> Prediction | None:
        attempts = self._session.attempts(warm_up=self._warm_up)
        phase.doing = "preparing the input"
        parts, self._input_id = await self._prepare()
        while True:
            phase.attempt = attempts.made
            try:
                return await self._open(parts, phase, stack)
            except HeadraceError as error:
                stack.close()
                if self._stopped:
                    raise
                self._session.failed(error)
                delay = attempts.after(error)
                if delay is None:
                    raise
                phase.last = frameless(error)
                if kind_of(error) is Kind.WARMING and self._warm_up is None:
                    deadline.extend(delay)  # waiting for a deploying model has a budget of its own
                    if (left := deadline.or_none) is not None:
                        scope.reschedule(asyncio.get_running_loop().time() + left)
            self._session.counts.retries += 1
            phase.doing = f"waiting {delay:.3g} s to try again"
            await asyncio.sleep(delay)

    async def _open(self, parts: Sequence[Buffer], phase: Phase, stack: contextlib.ExitStack) -> Prediction | None:
        session = self._session
        phase.doing = "waiting for its turn"
        await session.turn()
        connection = await session.channels.acquire()
        stack.callback(connection.release)
        phase.doing = "connecting"
        await connection.connect()
        phase.doing = "waiting for the first answer"
        session.counts.attempts += 1
        call = self._call = connection.transport.open(codec.GENERATE, (*session.metadata, *self._metadata))
        stack.callback(call.cancel)
        with contextlib.suppress(TransportError):  # a call that has ended already tells why when it is read
            await call.write(parts)
            await call.half_close()
        try:
            while (raw := await call.read()) is not None:
                connection.answered()
                if (answer := self._judge(raw)) is not None:
                    return answer
        except TransportError as error:
            if error.unprocessed and not isinstance(error, ConnectFailed):
                connection.refused()
            raise
        return None

    async def _read_rest(self) -> None:
        call = self._call
        assert call is not None
        loop = asyncio.get_running_loop()
        watch = self._watch(loop) if self._idle is not None else None
        try:
            while True:
                self._idle_since = loop.time()
                try:
                    raw = await call.read()
                except TransportError as error:
                    if self._idle_over:
                        raise DeadlineExceeded(
                            f"no answer of the stream for {self._idle:g} s (idle timeout)",
                            target=str(self._session.channels.target),
                        ) from None
                    raise error
                self._idle_since = None  # a slow consumer is not an idle server
                if raw is None:
                    return
                if (answer := self._judge(raw)) is not None and not self._delivered(answer):
                    await self.pipe.send(answer)
        finally:
            if watch is not None:
                watch.cancel()

    def _watch(self, loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
        """Cancel the call when the server is idle for too long: never a timeout around a read itself."""
        idle = self._idle
        assert idle is not None

        async def watch() -> None:
            while True:
                since = self._idle_since
                left = idle if since is None else since + idle - loop.time()
                if left <= 0:
                    self._idle_over = True
                    assert self._call is not None
                    self._call.cancel()
                    return
                await asyncio.sleep(left)

        return loop.create_task(watch(), name="headrace-idle")

    def _judge(self, raw: bytes) -> Prediction | None:
        answer = envelope.prediction(self._input_id, raw)
        if not answer._outputs and envelope.read(raw).marker:
            return None
        answer.position = self.received
        return answer

    def _delivered(self, answer: Prediction) -> bool:
        """Count an answer and put it in the pipe; False where there is no room yet."""
        self.received += 1
        if answer._outputs:
            self._texts.append(answer.text)
        return self.pipe.send_nowait(answer)

    def _broken(self, cause: HeadraceError) -> StreamBroken:
        error = StreamBroken(
            f"the stream broke after {self.received} answers: {cause}",
            text="".join(self._texts),
            received=self.received,
        )
        error.code = cause.code
        error.__cause__ = cause
        return error

    def stop(self) -> None:
        """End everything; never blocks."""
        self._stopped = True
        ending = self._call is not None and self._call.reading  # the task ends when its read does
        if self._call is not None:
            self._call.cancel()
        if self.task is not None and not ending:
            self.task.cancel()
        self.pipe.close_receiver()


class PredictionStream:
    """The answers of a unary-stream call; nothing is sent before it is entered or read.

    `async with` (leaving it early ends the call on the server) or plain `async for`; `await stream.text()` collects.
    Each item is a `Prediction` with one piece. What the next reading would have raised, leaving raises.

    Raises (from reading):
        DeadlineExceeded: no first answer in time; StreamBroken from it when the server was idle later.
        StreamBroken: the stream failed after the first answer; `.text` and `.received` have what came.
        ServerError, TransportError: it failed before the first answer.
        ConcurrentUse: two tasks read at once.
    """

    def __init__(
        self,
        session: Session,
        prepare: Prepare,
        *,
        metadata: Metadata = (),
        timeout: float | None,
        idle: float | None,
        warm_up: float | None = None,
    ) -> None:
        self._close_timeout = session.timeouts.close
        self._reader = _Reader(session, prepare, metadata, timeout, idle, warm_up)
        self._reading = False
        self._done = False

    def __repr__(self) -> str:
        state = "closed" if self._done else "new" if self._reader.task is None else "open"
        return f"<PredictionStream {state}: {self._reader.received} received>"

    @property
    def received(self) -> int:
        """Answers that have arrived."""
        return self._reader.received

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Prediction:
        if self._reading:
            raise ConcurrentUse("another task is reading this stream")
        if self._done:
            raise StopAsyncIteration
        self._start()
        self._reading = True
        try:
            return await self._reader.pipe.receive()
        except asyncio.CancelledError:
            raise
        except EndOfPipe:
            await self.aclose()
            raise StopAsyncIteration from None
        except BaseException:
            await self.aclose()
            raise
        finally:
            self._reading = False

    async def __aenter__(self) -> Self:
        if self._done:
            raise ClosedError("the stream is closed")
        self._start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        failure = None if self._done else self._reader.pipe.failure  # pieces that nobody read come before it
        await self.aclose()
        if exc is None and failure is not None:
            raise failure

    async def text(self) -> str:
        """Read to the end and join the pieces.

        Raises:
            StreamBroken: with the text so far, and all that reading raises.
        """
        try:
            return "".join([prediction.text async for prediction in self])
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """End the call; idempotent, time-boxed by `Timeouts.close`."""
        self._done = True
        self._reader.stop()
        task = self._reader.task
        if task is not None and not task.done():
            await asyncio.wait([task], timeout=self._close_timeout)

    def __del__(self) -> None:
        reader = getattr(self, "_reader", None)
        if reader is None or self._done or reader.task is None or reader.task.done():
            return
        warnings.warn(f"unclosed {self!r}: use `async with`, or read it to its end", ResourceWarning, stacklevel=2)
        loop = reader.task.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(reader.stop)

    def _start(self) -> None:
        if self._reader.task is None:
            self._reader.start()


__all__ = ["PredictionStream", "Prepare"]
