"""One gRPC call on an HTTP/2 stream: what arrives becomes messages and, at the end, a result or an error.

A call is made at once, and placed on a connection when one has room for it: its stream is opened then. Until then it
only waits, and ends by its deadline, by its cancel, or with the attempt to connect.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from headrace import status
from headrace.errors import HeadraceError
from headrace.flow.deadlines import Bucket
from headrace.flow.waiter import InlineWaiter
from headrace.transport.h2 import outcome
from headrace.transport.h2.engine import events
from headrace.transport.h2.engine.headers import Fields
from headrace.transport.h2.engine.streams import Stream
from headrace.transport.h2.messages import PREFIX_BYTES, Assembler, MessageError, framed, whole_message, whole_messages
from headrace.types import Buffer


class Slot(Protocol):
    """What a call needs from its transport."""

    target: str
    message_bytes: int

    def ended(self, call: Call) -> None:
        """Note that a call is over."""


class Wire(Protocol):
    """What a call needs from its connection."""

    paused: bool
    credit_bytes: int

    def send(self, stream: Stream, parts: Sequence[Buffer], *, end: bool) -> bool:
        """Send content; False where it waits, and the call's `drained` tells when it is on its way."""

    def consumed(self, stream: Stream, size: int) -> None:
        """Give the server's window back what was used up."""

    def reset(self, stream: Stream) -> None:
        """End a stream, if it is open."""

    def ended(self, stream: Stream) -> None:
        """Note that a stream's call is over."""

    async def writable(self) -> None:
        """Wait until the socket takes more."""


class Call:
    """What unary calls and streams share: the way from HTTP/2 to a gRPC status.

    Attributes:
        deadline: by the loop's clock, or None.
        bucket: where `Deadlines` keeps it.
        done: it is over.
        connection, stream: None until it is placed, and once it is over.
        credit_bytes: bytes of the server's window that are worth a frame; set when it is placed.
        at_once: it may leave in the turn of the loop in which it begins, so that a cancel in that turn comes too late.
    """

    at_once = False

    __slots__ = (
        "_assembler",
        "_excerpt",
        "_http",
        "_slot",
        "_unreturned",
        "bucket",
        "connection",
        "credit_bytes",
        "deadline",
        "done",
        "loop",
        "stream",
    )  # fmt: skip

    credit_bytes: int
    _excerpt: bytes  # of what is no gRPC answer

    def __init__(self, slot: Slot, loop: asyncio.AbstractEventLoop) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self.deadline: float | None = None
        self.bucket: Bucket | None = None
        self.done: bool = False
        self.connection: Wire | None = None
        self.stream: Stream | None = None
        self._slot = slot
        self._unreturned = 0  # bytes of the server's window that were not given back
        self._assembler: Assembler | None = None  # made where messages are compressed, or do not come whole
        self._http: Fields | None = None  # headers of an answer that is no gRPC answer

    def reject(self, error: MessageError) -> None:
        """End with what is wrong with a message."""
        self.fail(self._bad_message(error))

    def expired(self) -> None:
        """End with the deadline's error."""
        waited = "" if self.stream is not None else "no connection had room for it"
        self.fail(status.call_error("DEADLINE_EXCEEDED", waited, target=self._slot.target))

    def fail(self, error: HeadraceError) -> None:
        """End from here: the server is told, where it does not know."""
        if not self.done:
            if self.connection is not None and self.stream is not None:
                self.connection.reset(self.stream)
            self._end(error)

    def cancel(self) -> None:
        """End the call now; see `headrace.transport.base.Call.cancel`."""
        if not self.done:
            self.fail(self._error("", "the call was cancelled locally", broken=True))

    # --- events of the stream

    def take_headers(self, event: events.ResponseHeaders) -> None:
        """Take the response's headers."""
        fields = event.fields
        facts = fields.note or outcome.facts_of(fields)
        if not facts.grpc:
            self._http, self._excerpt = fields, b""
            if event.end:
                self._end(outcome.error_of_http(fields, b"", self._slot.target))
        elif event.end:
            self._end_with_status(fields)
        elif facts.encoding != "identity":
            self._assembler = Assembler(self._slot.message_bytes, facts.encoding)

    def take_content(self, event: events.Content) -> None:
        """Take a piece of the response."""
        if self._http is not None:
            self._take_excerpt(event, self._http)
            return
        limit = self._slot.message_bytes
        messages = whole_messages(event.data, limit) if self._assembler is None else None
        if messages is None:
            self._assembler = self._assembler or Assembler(limit)
            try:
                messages = self._assembler.take(event.data)
            except MessageError as error:
                self.reject(error)
                return
        self._unreturned += event.size
        if event.end:
            self._end(self._error("INTERNAL", "the response ended without trailers"))
        self._received(messages)

    def take_trailers(self, event: events.Trailers) -> None:
        """Take the trailers, which end the call."""
        if self._http is not None and event.fields.first.get("grpc-status", "0") == "0":
            self._end(outcome.error_of_http(self._http, self._excerpt, self._slot.target))
        else:
            self._end_with_status(event.fields)

    def take_answer(self, event: events.Answer) -> None:
        """Take a whole response."""
        stream, headers, data, trailers = event
        self.take_headers(events.ResponseHeaders(stream, headers, False))
        if not self.done:
            self.take_content(events.Content(stream, data, len(data), False))
        if not self.done:
            self.take_trailers(events.Trailers(stream, trailers))

    def take_reset(self, event: events.Reset) -> None:
        """Take the early end of the stream."""
        if self._late():
            self.expired()
        else:
            self._end(outcome.error_of_reset(event, self._slot.target))

    def drained(self) -> None:
        """Content can be sent: that which waited is on its way, or the call was placed after it had waited."""

    def _end_with_status(self, fields: Fields) -> None:
        error: HeadraceError | None = None
        if not (fields.note or outcome.facts_of(fields)).success:
            error = outcome.error_of_status(fields, self._slot.target)
        if error is None and self._assembler is not None and not self._assembler.empty:
            error = self._error("INTERNAL", "the response ended inside a message")
        if error is not None and self._late() and fields.first.get("grpc-status") == "1":
            error = self._error("DEADLINE_EXCEEDED", "")
        self._end(error)

    def _take_excerpt(self, event: events.Content, http: Fields) -> None:
        enough = 4 * outcome.EXCERPT
        self._excerpt += bytes(event.data[:enough])
        if event.end or len(self._excerpt) >= enough:
            self.fail(outcome.error_of_http(http, self._excerpt, self._slot.target))
        else:
            self._unreturned += event.size
            self._give_back(self._unreturned)

    def _late(self) -> bool:
        return self.deadline is not None and self.loop.time() >= self.deadline

    def _give_back(self, size: int) -> None:
        """Let the server send as much as was used up."""
        self._unreturned -= size
        if self.connection is not None and self.stream is not None:
            self.connection.consumed(self.stream, size)

    def _bad_message(self, error: MessageError) -> HeadraceError:
        name = "RESOURCE_EXHAUSTED" if error.too_large else "INTERNAL"
        return self._error(name, str(error), too_large=error.too_large)

    def _error(self, name: str, details: str, **facts: Any) -> HeadraceError:
        return status.call_error(name, details, target=self._slot.target, **facts)

    def _end(self, error: HeadraceError | None) -> None:
        self.done = True
        connection, stream = self.connection, self.stream
        if connection is not None:
            self.connection = self.stream = None  # the stream refers to the call
            if stream is not None:
                connection.ended(stream)
        self._slot.ended(self)
        self._over(error)

    def _received(self, messages: list[bytes]) -> None:
        """Take whole messages; `_unreturned` tells how much smaller the window is."""

    def _over(self, error: HeadraceError | None) -> None:
        """Tell who waits that the call is over."""


class UnaryCall(Call):
    """A call with one message each way; `waiter` lets go when it is over, and `answer` tells how."""

    at_once = True
    connection: Wire | None
    stream: Stream | None
    __slots__ = ("_answer", "_failure", "waiter")

    def __init__(self, slot: Slot, loop: asyncio.AbstractEventLoop) -> None:
        Call.__init__(self, slot, loop)
        self.waiter: InlineWaiter = InlineWaiter(loop)
        self._answer: bytes | None = None
        self._failure: HeadraceError | None = None

    def answer(self) -> bytes:
        """Give the answer of a call that is over, or raise its error."""
        failure = self._failure
        if failure is None:
            assert self._answer is not None
            return self._answer
        try:
            raise failure.with_traceback(None)
        finally:
            del self, failure  # the traceback keeps this frame, and the call keeps the error

    def take_answer(self, event: events.Answer) -> None:
        """Take a whole response: in one step, where it is one message and a success."""
        stream, headers, data, trailers = event
        opening, ending = headers.note, trailers.note  # None: the blocks are new
        if opening is not None and opening.plain and ending is not None and ending.success and stream.sent_end:
            message = whole_message(data, self._slot.message_bytes)
            if message is not None:
                self.done = True
                self.connection = self.stream = None
                self._answer = message
                self._slot.ended(self)
                self.waiter.open()
                return
        Call.take_answer(self, event)

    def _received(self, messages: list[bytes]) -> None:
        if self._unreturned >= self.credit_bytes:
            self._give_back(self._unreturned)
        for message in messages:
            if self._answer is not None:
                self.fail(self._error("INTERNAL", "more than one response to a unary call"))
                return
            self._answer = message

    def _over(self, error: HeadraceError | None) -> None:
        if error is None and self._answer is None:
            error = self._error("INTERNAL", "no answer to a unary call")
        self._failure = error
        if error is None:
            self.waiter.open()  # a success comes from the server alone
        else:
            self.waiter.open_soon()  # not now: we may be in a task


class StreamCall(Call):
    """A call with any number of messages each way; see `headrace.transport.base.Call`."""

    __slots__ = ("_failure", "_messages", "_reader", "_used", "_writer")

    def __init__(self, slot: Slot, loop: asyncio.AbstractEventLoop) -> None:
        Call.__init__(self, slot, loop)
        self._messages: deque[bytes] = deque()
        self._used = 0  # bytes that were read, less those given back
        self._reader: InlineWaiter | None = None
        self._writer: asyncio.Future[None] | None = None
        self._failure: HeadraceError | None = None

    async def write(self, parts: Sequence[Buffer]) -> None:
        """Send one message; returns when all of it is on its way."""
        while self.stream is None and not self.done:
            await self._writable()
        connection, stream = self.connection, self.stream
        if self.done or connection is None or stream is None:
            raise self._ended()
        try:
            message = framed(parts)
        except MessageError as error:
            raise self._bad_message(error) from None
        if not connection.send(stream, message, end=False):
            try:
                await self._writable()
            except asyncio.CancelledError:
                self.cancel()  # half of a message cannot be taken back
                raise
        if connection.paused and not self.done:
            await connection.writable()
        if self.done:
            raise self._ended()

    async def half_close(self) -> None:
        """Say that no more messages come."""
        while self.stream is None and not self.done:
            await self._writable()
        if not self.done and self.connection is not None and self.stream is not None:
            self.connection.send(self.stream, (), end=True)

    async def read(self) -> bytes | None:
        """Receive one message, None at the end."""
        while (message := self.read_now()) is None:
            if self.done:
                failure = self._failure
                if failure is None:
                    return None
                try:
                    raise failure.with_traceback(None)
                finally:
                    del self, failure  # the traceback keeps this frame, and the call keeps the error
            self._reader = self._reader or InlineWaiter(self.loop)
            await self._reader
        return message

    def read_now(self) -> bytes | None:
        """Receive a message that has arrived, None if there is none."""
        if not self._messages:
            return None
        message = self._messages.popleft()
        self._used += len(message) + PREFIX_BYTES
        if self._unreturned >= self.credit_bytes:
            self._make_room()
        return message

    def drained(self) -> None:
        """Let the writer go on."""
        _wake(self._writer)

    async def _writable(self) -> None:
        self._writer = self.loop.create_future()
        try:
            await self._writer
        finally:
            self._writer = None

    def _received(self, messages: list[bytes]) -> None:
        if messages:
            self._messages.extend(messages)
            if self._reader is not None:
                self._reader.open()
        elif not self._messages and self._unreturned >= self.credit_bytes:
            self._make_room()  # for the rest of a message

    def _make_room(self) -> None:
        """Let the server send as much as was read; all of its window, where nothing waits to be read."""
        size = min(self._unreturned, max(0, self._used)) if self._messages else self._unreturned
        self._used -= size
        self._give_back(size)

    def _over(self, error: HeadraceError | None) -> None:
        self._failure = error
        if self._reader is not None:
            self._reader.open_soon()  # not now: we may be in a task
        _wake(self._writer)

    def _ended(self) -> HeadraceError:
        return self._error("UNAVAILABLE", "the call has ended", broken=True)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


#: Which method of a call takes an event.
TAKERS: dict[type[Any], Callable[[Any, Any], None]] = {
    events.ResponseHeaders: Call.take_headers,
    events.Content: Call.take_content,
    events.Trailers: Call.take_trailers,
    events.Reset: Call.take_reset,
}
