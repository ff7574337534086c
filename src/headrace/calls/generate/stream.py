"""Unary-stream calls: one input, a stream of answers (tokens).

A task opens the call and waits for the first answer; from then on answers are read ahead in callbacks (`Ahead`), up to
a bound in bytes: beyond it nothing is read, and HTTP/2 flow control stops the server. The stream object that the user
holds is apart from the reader, so that a forgotten one is noticed. Retried only before the first answer: sampling
cannot be resumed.
"""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self

from headrace import codec
from headrace.calls import responses
from headrace.calls.deadline import Deadline
from headrace.calls.generate.readahead import Ahead
from headrace.calls.session import Phase, Session
from headrace.errors import (
    ClosedError,
    ConcurrentUse,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    HeadraceError,
    StreamBroken,
    TransportError,
    frameless,
)
from headrace.misuse import AsyncContext, AsyncIteration
from headrace.results import Prediction
from headrace.status import Kind, kind_of
from headrace.transport.base import Buffer, Call, Metadata

READY_BYTES = 1 << 20  # answers that wait for the consumer
READY_ITEMS = 1024
IDLE_LOOKS = 8  # in an idle timeout, which is that much longer at most

#: Makes the request's parts and the input's id; runs within the first-answer timeout (it may look things up).
Prepare = Callable[[], Awaitable[tuple[Sequence[Buffer], str]]]


class _Reader:
    """What opens the call, reads it, and fills the queue: a task up to the first answer, callbacks from then on."""

    def __init__(
        self,
        session: Session,
        prepare: Prepare,
        metadata: Metadata,
        first: float | None,
        idle: float | None,
        warm_up: float | None,
    ) -> None:
        self.ahead: Ahead | None = None
        self.received = 0
        self._opening: asyncio.Task[None] | None = None
        self._session = session
        self._prepare = prepare
        self._metadata = metadata
        self._first = first
        self._idle = idle
        self._warm_up = warm_up
        self._texts: list[str] = []
        self._call: Call | None = None
        self._stopped = False
        self._heard = False
        self._full = False
        self._timer: asyncio.TimerHandle | None = None
        self._idle_over = False
        self._input_id = ""

    def start(self) -> Ahead:
        """Begin, unless it has."""
        if self.ahead is None:
            self._session.counts.calls += 1
            self.ahead = Ahead(READY_ITEMS, READY_BYTES)
            opening = self._open_and_read(self.ahead)
            self._opening = asyncio.get_running_loop().create_task(opening, name="headrace-generate")
        return self.ahead

    async def _open_and_read(self, ahead: Ahead) -> None:
        """Open the call, wait for its first answer, and leave the rest to callbacks."""
        stack = contextlib.ExitStack()
        try:
            first = await self._first_answer(stack)
            if first is not None:
                self._session.succeeded()
                self.received = 1
                self._texts.append(first.text if first._outputs else "")
                ahead.put(first)
                ahead.run(self._read_rest(ahead, stack))
                return
        except asyncio.CancelledError:
            self._close(stack)
            ahead.end(ClosedError("the stream is closed"))
            raise
        except Exception as error:  # one that is not ours is a defect, or of the user's `prepare`: never swallowed
            self._close(stack)
            ahead.end(self._told(error))
        else:
            self._close(stack)
            ahead.end(None)

    def _close(self, stack: contextlib.ExitStack) -> None:
        stack.close()
        if self._call is not None:
            self._call.cancel()
            self._call = None  # the user may keep the stream

    async def _first_answer(self, stack: contextlib.ExitStack) -> Prediction | None:
        deadline = Deadline.after(self._first)
        phase = Phase()
        try:
            async with asyncio.timeout(deadline.or_none) as scope:
                return await self._open_until_first(deadline, phase, scope, stack)
        except TimeoutError as error:
            if isinstance(error, HeadraceError):
                raise
            raise phase.deadline_exceeded(
                "the first answer of the stream", deadline, self._session.channels.target
            ) from phase.last

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
                self._call = None
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
        metadata = (*session.metadata, *self._metadata)
        call = self._call = connection.transport.open(codec.GENERATE, metadata, first=parts)
        stack.callback(call.cancel)
        try:
            while (raw := await call.read()) is not None:
                connection.answered()
                if (answer := responses.piece(self._input_id, raw)) is not None:
                    return answer
        except TransportError as error:
            if error.unprocessed and not isinstance(error, ConnectFailed):
                connection.refused()
            raise
        return None

    async def _read_rest(self, ahead: Ahead, stack: contextlib.ExitStack) -> Exception | None:
        """Read to the end, and tell why it came where it is no good one; no task runs this, see `Ahead`."""
        call, texts, input_id = self._call, self._texts, self._input_id
        assert call is not None
        if self._idle is not None:
            self._watch(self._idle, IDLE_LOOKS)
        try:
            while not self._stopped and (raw := await call.read()) is not None:
                self._heard = True
                answer = responses.piece(input_id, raw)
                if answer is not None:
                    answer.position = self.received
                    self.received += 1
                    if answer._outputs:
                        texts.append(answer.text)
                    if ahead.put(answer):
                        self._full = True  # a slow consumer is not an idle server
                        await ahead.room()
                        self._full, self._heard = False, True
        except asyncio.CancelledError:  # nobody can cancel this: the call has ended on this side
            return self._told(ConnectionLost("the call ended on this side"))
        except Exception as error:
            return self._told(self._idled() if self._idle_over else error)
        finally:
            call = None  # the error's traceback keeps this frame, and may be kept for long
            if self._timer is not None:
                self._timer.cancel()
            self._close(stack)
        return None

    def _idled(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"no answer of the stream for {self._idle:g} s (idle timeout)", target=str(self._session.channels.target)
        )

    def _watch(self, idle: float, left: int) -> None:
        """Cancel the call when the server is idle for too long: never a timeout around a read itself.

        Looked at a few times in that long: asking for the time at each message costs more than taking it in.
        """
        if self._heard or self._full:
            self._heard, left = False, IDLE_LOOKS
        elif left == 0:
            self._idle_over = True
            assert self._call is not None
            self._call.cancel()
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(idle / IDLE_LOOKS, self._watch, idle, left - 1)

    def _told(self, error: Exception) -> Exception:
        """Give the error that the user gets for a failure, and count it."""
        if not isinstance(error, HeadraceError):
            return error
        self._session.counts.failures += not self._stopped
        return self._broken(error) if self.received else error

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
        if self._call is not None:
            self._call.cancel()
        if self._opening is not None:
            self._opening.cancel()
        if self.ahead is not None:
            self.ahead.close()

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        opening, ahead = self._opening, self.ahead
        if opening is None or ahead is None:
            return False
        return not opening.done() or not (ahead.over or opening.cancelled())  # perhaps before its first step

    async def ended(self) -> None:
        """Wait until nothing of it runs."""
        opening, ahead = self._opening, self.ahead
        if opening is not None and ahead is not None:
            await asyncio.wait([opening])
            if not opening.cancelled():
                await ahead.ended()


class TokenStream(AsyncContext, AsyncIteration):
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
        state = "closed" if self._done else "new" if self._reader.ahead is None else "open"
        return f"<TokenStream {state}: {self._reader.received} received>"

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
        ahead = self._reader.ahead or self._reader.start()
        self._reading = True
        try:
            while not (ahead.ready or ahead.over or ahead.closed):
                await ahead.gate
            return ahead.take()
        except asyncio.CancelledError:
            raise
        except BaseException:
            await self.aclose()
            raise
        finally:
            self._reading = False

    async def __aenter__(self) -> Self:
        if self._done:
            raise ClosedError("the stream is closed")
        self._reader.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        ahead = self._reader.ahead
        failure = None
        if ahead is not None and not (self._done or ahead.ready):  # pieces that nobody read come before it
            failure = ahead.failure
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
        reader = self._reader
        reader.stop()
        if reader.running:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._close_timeout):
                    await reader.ended()

    def __del__(self) -> None:
        reader = getattr(self, "_reader", None)
        if reader is None or self._done or not reader.running:
            return
        warnings.warn(f"unclosed {self!r}: use `async with`, or read it to its end", ResourceWarning, stacklevel=2)
        loop = reader.ahead.gate.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(reader.stop)


#: Its name until it was told apart from the streams of many inputs.
PredictionStream = TokenStream

__all__ = ["PredictionStream", "Prepare", "TokenStream"]
