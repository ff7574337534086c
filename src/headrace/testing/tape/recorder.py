"""Recording: a transport around the real one that notes what passes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headrace.errors import ClosedError, ConcurrentUse, DeadlineExceeded, HeadraceError
from headrace.testing.tape import failures, file, messages
from headrace.testing.tape.calls import LEFT, OK, Event, Kind, RecordedCall, Shape
from headrace.testing.tape.ids import Numbering

if TYPE_CHECKING:
    from headrace.config import Target, Transmission
    from headrace.testing.tape.redaction import Redaction
    from headrace.transport.base import Call, Transport, TransportFactory
    from headrace.types import Buffer, Metadata

CLOCKS = 0.01  # seconds by which a call's own clock may be ahead of ours


@dataclass(slots=True)
class Take:
    """A call while it is recorded: bytes and errors, as they came."""

    method: str
    shape: Shape
    metadata: Metadata
    target: str
    timeout: float | None = None
    began: float = field(default_factory=time.monotonic)
    events: list[tuple[Kind, Any, float]] = field(default_factory=list)
    ended: bool = False

    def note(self, kind: Kind, value: Any = True) -> None:
        """Note what happens, unless the call is over."""
        if not self.ended:
            self.ended = kind == "end"
            self.events.append((kind, value, time.monotonic() - self.began))

    def failed(self, error: BaseException, transport: Transport) -> None:
        """Note how the call failed, or that the client went away."""
        if not isinstance(error, HeadraceError) or isinstance(error, ClosedError | ConcurrentUse):
            self.note("end", LEFT)
            return
        marks = {} if transport.healthy else {"disconnected": True}
        waited = time.monotonic() - self.began
        if isinstance(error, DeadlineExceeded) and self.timeout is not None and waited > self.timeout - CLOCKS:
            marks["timed_out"] = True
        self.note("end", (error, marks))


class Recorder:
    """Keeps what the transports of a tape note, and writes it down.

    Args:
        redaction: takes credentials out.
    """

    def __init__(self, redaction: Redaction) -> None:
        self.takes: list[Take] = []
        self.running = 0  # transports that are not closed
        self._redaction = redaction
        self._failed_connects: list[tuple[int, HeadraceError, str]] = []
        self._lock = threading.Lock()  # clients in several threads may share a tape

    def begin(self, method: str, shape: Shape, metadata: Metadata, target: str, timeout: float | None) -> Take:
        """Begin to record a call."""
        take = Take(method, shape, tuple(metadata), target, timeout)
        with self._lock:
            self.takes.append(take)
        return take

    def connect_failed(self, error: HeadraceError, target: str) -> None:
        """Note an attempt to connect that failed."""
        with self._lock:
            self._failed_connects.append((len(self.takes), error, target))

    def contents(self) -> file.Contents:
        """Give all that was recorded so far, without credentials.

        They are taken out now and not before, for one that comes with a later call may stand in an earlier answer.
        """
        redaction, contents = self._redaction, file.Contents()
        takes = [(take, list(take.events)) for take in self.takes]
        for take, events in takes:
            redaction.metadata(take.metadata)
            for kind, value, _ in events:
                if kind == "send" and (message := messages.read(take.method, value, request=True)) is not None:
                    redaction.learn(message)
        for number, (take, events) in enumerate(takes, 1):
            call = RecordedCall(number, take.method, take.shape, redaction.metadata(take.metadata))
            call.metadata = [[name, redaction.text(value)] for name, value in call.metadata]
            numbering = Numbering()
            call.events = [
                Event(kind, self._plain(take, kind, value, numbering, contents), at) for kind, value, at in events
            ]
            if not take.ended:
                call.events.append(Event("end", LEFT, time.monotonic() - take.began))
            contents.calls.append(call)
        contents.failed_connects = [
            (begun, failures.to_plain(error, target, redaction.text, redaction.data))
            for begun, error, target in self._failed_connects
        ]
        return contents

    def _plain(self, take: Take, kind: Kind, value: Any, numbering: Numbering, contents: file.Contents) -> Any:
        if kind in ("send", "receive"):
            keep = messages.short if kind == "send" else contents.blobs.keep
            return plain_message(self._redaction, take.method, value, numbering, keep, request=kind == "send")
        if kind == "end" and isinstance(value, tuple):
            error, marks = value

            def text(text: str) -> str:
                return numbering.text(self._redaction.text(text))

            return {**failures.to_plain(error, take.target, text, self._redaction.data), **marks}
        return value


def plain_message(
    redaction: Redaction,
    method: str,
    raw: bytes,
    numbering: Numbering,
    keep: Callable[[bytes], str],
    *,
    request: bool,
) -> messages.Plain:
    """Write a message down without credentials and with numbered ids."""
    message = messages.read(method, raw, request=request)
    if message is None:
        return {messages.WHOLE: keep(redaction.data(raw))}
    redaction.clean(message, numbering.text)
    plain = messages.to_plain(message, keep)
    if messages.WHOLE in plain:  # of fields that nobody knows, only the bytes can be looked at
        message = type(message).FromString(redaction.data(message.SerializeToString(deterministic=True)))
        plain = messages.to_plain(message, keep)
    return plain


class RecordingTransport:
    """A transport that passes everything on to another one, and notes it."""

    def __init__(
        self,
        recorder: Recorder,
        factory: TransportFactory,
        target: Target,
        options: Transmission,
        closed: Callable[[], object],
    ) -> None:
        self._recorder = recorder
        self._inner = factory(target, options)
        self.survives_fork: bool = self._inner.survives_fork
        self._target = str(target)
        self._on_closed: Callable[[], object] | None = closed
        recorder.running += 1

    def __repr__(self) -> str:
        return f"<RecordingTransport of {self._inner!r}>"

    @property
    def on_max_streams(self) -> Callable[[], object] | None:
        """What is called when `max_streams` has changed."""
        return self._inner.on_max_streams

    @on_max_streams.setter
    def on_max_streams(self, callback: Callable[[], object] | None) -> None:
        self._inner.on_max_streams = callback

    @property
    def healthy(self) -> bool:
        """Whether the connection is ready; see `Transport.healthy`."""
        return self._inner.healthy

    @property
    def max_streams(self) -> int | None:
        """Concurrent calls that the server allows; see `Transport.max_streams`."""
        return self._inner.max_streams

    async def connect(self, timeout: float) -> None:
        """Connect unless connected; see `Transport.connect`."""
        try:
            await self._inner.connect(timeout)
        except ClosedError:
            raise
        except HeadraceError as error:
            self._recorder.connect_failed(error, self._target)
            raise

    async def unary(self, method: str, parts: Sequence[Buffer], metadata: Metadata, timeout: float | None) -> bytes:
        """Make one unary call; see `Transport.unary`."""
        take = self._recorder.begin(method, "unary", metadata, self._target, timeout)
        take.note("send", b"".join(parts))
        try:
            answer = await self._inner.unary(method, parts, metadata, timeout)
        except BaseException as error:
            take.failed(error, self._inner)
            raise
        take.note("receive", bytes(answer))
        take.note("end", OK)
        return answer

    def open(
        self,
        method: str,
        metadata: Metadata,
        *,
        timeout: float | None = None,
        first: Sequence[Buffer] | None = None,
    ) -> Call:
        """Open a call that streams; see `Transport.open`."""
        call = self._inner.open(method, metadata, timeout=timeout, first=first)
        shape: Shape = "duplex" if first is None else "server stream"
        take = self._recorder.begin(method, shape, metadata, self._target, timeout)
        if first is not None:
            take.note("send", b"".join(first))
        return RecordingCall(call, take, self._inner)

    async def close(self, grace: float) -> None:
        """Close the connection; see `Transport.close`."""
        try:
            await self._inner.close(grace)
        finally:
            self._closed()

    def discard(self) -> None:
        """Release everything without I/O; see `Transport.discard`."""
        self._inner.discard()
        self._closed()

    def _closed(self) -> None:
        on_closed, self._on_closed = self._on_closed, None
        if on_closed is not None:
            self._recorder.running -= 1
            on_closed()


class RecordingCall:
    """A call that notes what passes; see `Call`."""

    def __init__(self, call: Call, take: Take, transport: Transport) -> None:
        self._call = call
        self._take = take
        self._transport = transport

    async def write(self, parts: Sequence[Buffer]) -> None:
        """Send one message; noted before it is sent, for its answer may come before this returns."""
        self._take.note("send", b"".join(parts))
        await self._call.write(parts)

    async def half_close(self) -> None:
        """Say that no more messages come."""
        self._take.note("half_close")
        await self._call.half_close()

    async def read(self) -> bytes | None:
        """Receive one message."""
        try:
            message = await self._call.read()
        except (asyncio.CancelledError, ConcurrentUse):
            raise  # the call goes on, or is cancelled next
        except BaseException as error:
            self._take.failed(error, self._transport)
            raise
        if message is None:
            self._take.note("end", OK)
        else:
            self._take.note("receive", bytes(message))
        return message

    def read_now(self) -> bytes | None:
        """Receive a message that has arrived."""
        message = self._call.read_now()
        if message is not None:
            self._take.note("receive", bytes(message))
        return message

    def cancel(self) -> None:
        """End the call now."""
        self._take.note("end", LEFT)
        self._call.cancel()
