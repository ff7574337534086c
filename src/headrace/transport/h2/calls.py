"""One gRPC call on an HTTP/2 stream: what arrives becomes messages and, at the end, a result or an error."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from headrace import status
from headrace.errors import HeadraceError
from headrace.transport.h2 import outcome
from headrace.transport.h2.engine import events
from headrace.transport.h2.engine.headers import Fields
from headrace.transport.h2.engine.streams import Stream
from headrace.transport.h2.messages import PREFIX_BYTES, Assembler, MessageError, framed
from headrace.types import Buffer

if TYPE_CHECKING:
    from headrace.transport.h2.connection import Connection


class _Call:
    """What unary calls and streams share: the way from HTTP/2 to a gRPC status."""

    __slots__ = ("_assembler", "_connection", "_excerpt", "_http", "bucket", "done", "stream")

    def __init__(self, connection: Connection) -> None:
        self.stream: Stream | None = None
        self.bucket = 0
        self.done = False
        self._connection = connection
        self._assembler = Assembler(connection.options.message_bytes)
        self._http: Fields | None = None  # headers of an answer that is no gRPC answer
        self._excerpt = b""

    @property
    def _target(self) -> str:
        return self._connection.target

    def headers(self, fields: Fields, end: bool) -> None:
        """Take the response's headers."""
        if not outcome.speaks_grpc(fields):
            self._http = fields
            if end:
                self._end(outcome.error_of_http(fields, b"", self._target))
        elif end:
            self._end(outcome.error_of_status(fields, self._target))
        else:
            self._assembler.encoding = fields.first.get("grpc-encoding", "identity")

    def content(self, event: events.Content) -> None:
        """Take a piece of the response."""
        if self._http is not None:
            self._take_excerpt(event)
            return
        try:
            messages = self._assembler.take(event.data)
        except MessageError as error:
            number = "RESOURCE_EXHAUSTED" if error.too_large else "INTERNAL"
            self.fail(status.call_error(number, str(error), target=self._target, too_large=error.too_large))
            return
        self._received(messages, event)
        if event.end and not self.done:
            self._end(self._broken("the response ended without trailers"))

    def trailers(self, fields: Fields) -> None:
        """Take the trailers, which end the call."""
        if self._http is not None:
            self._end(outcome.error_of_http(self._http, self._excerpt, self._target))
            return
        error = outcome.error_of_status(fields, self._target)
        if error is None and not self._assembler.empty:
            error = self._broken("the response ended inside a message")
        self._end(error)

    def reset(self, event: events.Reset) -> None:
        """Take the early end of the stream."""
        answered = event.stream.status != 0
        self._end(outcome.error_of_reset(event.code, event.reason, answered=answered, target=self._target))

    def expired(self) -> None:
        """End with the deadline's error."""
        self.fail(status.call_error("DEADLINE_EXCEEDED", "", target=self._target))

    def fail(self, error: HeadraceError) -> None:
        """End from here: the server is told, where it does not know."""
        if not self.done:
            self._connection.reset(self)
            self._end(error)

    def _take_excerpt(self, event: events.Content) -> None:
        assert self._http is not None
        self._excerpt += bytes(event.data[: 4 * outcome.EXCERPT])
        self._connection.consumed(event.stream, event.size)
        if event.end or len(self._excerpt) >= 4 * outcome.EXCERPT:
            self.fail(outcome.error_of_http(self._http, self._excerpt, self._target))

    def _broken(self, what: str) -> HeadraceError:
        return status.call_error("INTERNAL", what, target=self._target)

    def _end(self, error: HeadraceError | None) -> None:
        self.done = True
        self._connection.ended(self)
        self._over(error)

    def _received(self, messages: list[bytes], event: events.Content) -> None:
        raise NotImplementedError

    def _over(self, error: HeadraceError | None) -> None:
        raise NotImplementedError


class UnaryCall(_Call):
    """A call with one answer, which `future` gets."""

    __slots__ = ("_answer", "future")

    def __init__(self, connection: Connection, future: asyncio.Future[bytes]) -> None:
        super().__init__(connection)
        self.future = future
        self._answer: bytes | None = None

    def _received(self, messages: list[bytes], event: events.Content) -> None:
        self._connection.consumed(event.stream, event.size)
        for message in messages:
            if self._answer is not None:
                self.fail(status.call_error("UNIMPLEMENTED", "more than one answer to a unary call", target=self._target))
                return
            self._answer = message

    def _over(self, error: HeadraceError | None) -> None:
        if self.future.done():
            return
        if error is not None:
            self.future.set_exception(error)
        elif self._answer is None:
            self.future.set_exception(
                status.call_error("UNIMPLEMENTED", "no answer to a unary call", target=self._target)
            )
        else:
            self.future.set_result(self._answer)


class StreamCall(_Call):
    """A call with any number of messages each way; see `headrace.transport.base.Call`."""

    __slots__ = ("_error", "_held", "_messages", "_reader", "_writer")

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._messages: deque[bytes] = deque()
        self._held = 0  # bytes of the stream's window that the messages take
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._error: HeadraceError | None = None

    async def write(self, parts: Sequence[Buffer]) -> None:
        """Send one message; returns when all of it is on its way."""
        if self.done or self.stream is None:
            raise self._closed()
        connection = self._connection
        if not connection.send(self.stream, framed(parts), end=False):
            self._writer = connection.loop.create_future()
            try:
                await self._writer
            except asyncio.CancelledError:
                self.cancel()  # half of a message cannot be taken back
                raise
            finally:
                self._writer = None
            if self.done:
                raise self._closed()
        if connection.paused:
            await connection.writable()

    async def half_close(self) -> None:
        """Say that no more messages come."""
        if not self.done and self.stream is not None:
            self._connection.send(self.stream, (), end=True)

    async def read(self) -> bytes | None:
        """Receive one message, None at the end."""
        messages = self._messages
        while not messages:
            if self.done:
                if self._error is not None:
                    raise self._error
                return None
            self._reader = self._connection.loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        message = messages.popleft()
        size = self._held if not messages else min(self._held, len(message) + PREFIX_BYTES)
        self._held -= size
        if self.stream is not None:
            self._connection.consumed(self.stream, size)
        return message

    def cancel(self) -> None:
        """End the call now."""
        if not self.done:
            self.fail(status.call_error("CANCELLED", "the call was cancelled locally", target=self._target, broken=True))

    def drained(self) -> None:
        """The content that waited is on its way."""
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)

    def _received(self, messages: list[bytes], event: events.Content) -> None:
        if messages:
            self._messages.extend(messages)
            self._held += event.size  # given back as the messages are read
            self._wake()
        else:  # part of a message: the rest has to find room
            self._connection.consumed(event.stream, event.size)

    def _over(self, error: HeadraceError | None) -> None:
        self._error = error
        self._wake()
        self.drained()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _closed(self) -> HeadraceError:
        return status.call_error("UNAVAILABLE", "the call has ended", target=self._target, broken=True)


__all__ = ["StreamCall", "UnaryCall"]
