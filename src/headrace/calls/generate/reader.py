"""Opens a token stream and reads it: a task up to the first answer, callbacks from then on.

Answers are read ahead up to a bound in bytes: beyond it nothing is read, and HTTP/2 flow control stops the server.
Retried only before the first answer: sampling cannot be resumed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from headrace import codec
from headrace.calls import responses
from headrace.calls.deadline import Deadline
from headrace.calls.generate.readahead import ReadAhead
from headrace.calls.session import CallState, Session
from headrace.channels.connection import Connection
from headrace.errors import (
    ClosedError,
    ConnectionLost,
    DeadlineExceeded,
    HeadraceError,
    StreamBroken,
    TransportError,
    drop_traceback,
)
from headrace.status import Kind, kind_of
from headrace.transport.base import Buffer, Call, Metadata

READY_BYTES = 1 << 19  # answers that wait for the consumer; it may hold as many
READY_ITEMS = 512
IDLE_LOOKS = 8  # in an idle timeout, which is that much longer at most

#: Makes the request's parts and the input's id; runs within the first-answer timeout (it may look things up).
Prepare = Callable[[], Awaitable[tuple[Sequence[Buffer], str]]]


class _OpenedCall:
    """A call and its place on a connection; closed once."""

    __slots__ = ("_call", "_connection", "read", "read_now")

    def __init__(self, call: Call, connection: Connection) -> None:
        self._call = call
        self._connection: Connection | None = connection
        self.read = call.read
        self.read_now = call.read_now

    def answered(self) -> None:
        """Note that the server answers."""
        if self._connection is not None:
            self._connection.answered()

    def cancel(self) -> None:
        """End the call; whoever reads it goes on."""
        self._call.cancel()

    def close(self) -> None:
        """End the call, and give its place back; idempotent."""
        connection, self._connection = self._connection, None
        self._call.cancel()
        if connection is not None:
            connection.release()


class Reader:
    """Opens a call, reads it, and fills the queue.

    Attributes:
        ahead: the queue; None: not begun.
        pieces: what has arrived.
    """

    def __init__(
        self,
        session: Session,
        prepare: Prepare,
        metadata: Metadata,
        first: float | None,
        idle: float | None,
        warm_up: float | None,
    ) -> None:
        self.ahead: ReadAhead | None = None
        self.pieces: responses.Pieces = responses.Pieces()
        self._opening: asyncio.Task[None] | None = None
        self._session = session
        self._prepare = prepare
        self._metadata = metadata
        self._first = first
        self._idle = idle
        self._warm_up = warm_up
        self._opened: _OpenedCall | None = None
        self._stopped = False
        self._heard = False
        self._full = False
        self._timer: asyncio.TimerHandle | None = None
        self._idle_over = False

    def start(self) -> ReadAhead:
        """Begin, unless it has."""
        if self.ahead is None:
            self._session.counts.calls += 1
            self.ahead = ReadAhead(READY_ITEMS, READY_BYTES)
            opening = self._open_and_read(self.ahead)
            self._opening = asyncio.get_running_loop().create_task(opening, name="headrace-generate")
        return self.ahead

    async def _open_and_read(self, ahead: ReadAhead) -> None:
        """Open the call, wait for its first answer, and leave the rest to callbacks."""
        try:
            answered = await self._first_answer(ahead)
        except asyncio.CancelledError:
            self._close()
            ahead.end(ClosedError("the stream is closed"))
            raise
        except Exception as error:  # any other exception is a bug, or the user's `prepare`: never swallowed
            self._close()
            ahead.end(self._failure(error))
            return
        if answered:
            ahead.run(self._read_rest(ahead))
        else:
            self._close()
            ahead.end(None)

    def _close(self) -> None:
        opened, self._opened = self._opened, None  # the user may keep the stream
        if opened is not None:
            opened.close()

    async def _first_answer(self, ahead: ReadAhead) -> bool:
        deadline = Deadline.after(self._first)
        phase = CallState()
        try:
            async with asyncio.timeout(deadline.or_none) as scope:
                return await self._open_until_first(ahead, deadline, phase, scope)
        except TimeoutError as error:
            if isinstance(error, HeadraceError):
                raise
            raise phase.deadline_exceeded(
                "the first answer of the stream", deadline, self._session.channels.target
            ) from phase.last

    async def _open_until_first(
        self, ahead: ReadAhead, deadline: Deadline, phase: CallState, scope: asyncio.Timeout
    ) -> bool:
        attempts = self._session.attempts(warm_up=self._warm_up)
        phase.doing = "preparing the input"
        parts, input_id = await self._prepare()
        self.pieces.input_id = input_id
        while True:
            phase.attempt = attempts.number
            try:
                return await self._open(ahead, parts, phase)
            except HeadraceError as error:
                self._close()
                if self._stopped:
                    raise
                self._session.failed(error)
                delay = attempts.after(error)
                if delay is None:
                    raise
                phase.last = drop_traceback(error)
                if kind_of(error) is Kind.WARMING and self._warm_up is None:
                    deadline.extend(delay)  # waiting for a deploying model has a budget of its own
                    if (remaining := deadline.or_none) is not None:
                        scope.reschedule(asyncio.get_running_loop().time() + remaining)
            self._session.counts.retries += 1
            phase.doing = f"waiting {delay:.3g} s to try again"
            await asyncio.sleep(delay)

    async def _open(self, ahead: ReadAhead, parts: Sequence[Buffer], phase: CallState) -> bool:
        """Open the call and read up to the first answer; False if it ends without any."""
        session = self._session
        phase.doing = "waiting for its turn"
        connection = await session.acquire(call=phase)
        try:
            phase.doing = "waiting for the first answer"
            session.counts.attempts += 1
            call = connection.transport.open(codec.GENERATE, (*session.metadata, *self._metadata), first=parts)
        except BaseException:
            connection.release()
            raise
        opened = self._opened = _OpenedCall(call, connection)
        try:
            while (raw := await opened.read()) is not None:
                opened.answered()
                if (answer := self.pieces.read(raw)) is not None:
                    self._full = ahead.put(answer, len(raw))
                    connection.succeeded()
                    return True
        except TransportError as error:
            connection.failed(error)
            raise
        return False

    async def _read_rest(self, ahead: ReadAhead) -> Exception | None:
        """Read to the end, and return the error if the stream failed; no task runs this, see `ReadAhead`."""
        opened = self._opened
        assert opened is not None
        read, read_now, answer_of = opened.read, opened.read_now, self.pieces.read
        if self._idle is not None:
            self._watch(self._idle, IDLE_LOOKS)
        try:
            while not self._stopped:
                if self._full:  # a slow consumer is not an idle server
                    await ahead.room()
                    self._full, self._heard = False, True
                if (raw := await read()) is None:
                    break
                self._heard = True
                while raw is not None:
                    answer = answer_of(raw)
                    if answer is not None and ahead.put(answer, len(raw)):
                        self._full = True
                        break
                    raw = read_now()
        except asyncio.CancelledError:  # nobody can cancel this: the call was ended locally
            return self._failure(ConnectionLost("the call was cancelled locally"))
        except Exception as error:
            return self._failure(self._idle_error() if self._idle_over else error)
        finally:
            opened = read = read_now = None  # type: ignore[assignment]  # the error's traceback keeps this frame
            if self._timer is not None:
                self._timer.cancel()
            self._close()
        return None

    def _idle_error(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"the stream gave no answer for {self._idle:g} s (idle timeout)", target=str(self._session.channels.target)
        )

    def _watch(self, idle: float, remaining: int, due: float | None = None) -> None:
        """Cancel the call when the server is idle for too long: never a timeout around a read itself.

        Checked a few times per timeout: reading the clock for each message costs more than the message. A check
        that is late because the event loop was blocked is not the last one: messages that arrived are read first.
        """
        loop = asyncio.get_running_loop()
        now, pause = loop.time(), idle / IDLE_LOOKS
        if self._heard or self._full:
            self._heard, remaining = False, IDLE_LOOKS
        elif due is not None and now - due > pause:
            remaining = max(1, remaining)
        elif remaining == 0:
            self._idle_over = True
            assert self._opened is not None
            self._opened.cancel()
            return
        self._timer = loop.call_later(pause, self._watch, idle, remaining - 1, now + pause)

    def _failure(self, error: Exception) -> Exception:
        """Return the error that the user gets for a failure, and count it."""
        if not isinstance(error, HeadraceError):
            return error
        self._session.counts.failures += not self._stopped
        return self._broken(error) if self.pieces.received else error

    def _broken(self, cause: HeadraceError) -> StreamBroken:
        error = StreamBroken(
            f"the stream broke after {self.pieces.received} answers: {cause}",
            text=self.pieces.text,
            received=self.pieces.received,
        )
        error.code = cause.code
        error.__cause__ = cause
        return error

    def stop(self) -> None:
        """End everything; never blocks."""
        self._stopped = True
        if self._opened is not None:
            self._opened.cancel()
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


__all__ = ["Prepare", "Reader"]
