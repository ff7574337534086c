"""The asyncio half of a connection: a socket below, calls above, the engine between them.

All frames of one receive are handled in one callback; what the calls of one turn of the loop write leaves in one write.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

from headrace import status
from headrace.config import KeepAlive
from headrace.errors import ClosedError, HeadraceError
from headrace.transport.h2.calls import TAKERS, Call
from headrace.transport.h2.diagnosis import CHECK_PORT, EarlyEnd, check_alpn, printable, recognize
from headrace.transport.h2.engine import Engine, H2Limits, events
from headrace.transport.h2.engine.frames import Code
from headrace.transport.h2.engine.streams import Stream
from headrace.transport.h2.keepalive import Watch
from headrace.transport.h2.outcome import code_name
from headrace.types import Buffer

#: Content framed at once before the socket is asked whether it takes more.
_BURST = 1 << 18
#: Buffers up to this size are joined with their neighbours; larger ones go to the socket as they are.
_JOINED = 1 << 14
#: Calls at once where the server names no limit.
_OWN_LIMIT = 1_000
#: Servers that mean "no limit" name one this high.
_NO_LIMIT = (1 << 31) - 1
#: Codes of a GOAWAY by which a server says that we have violated the protocol.
_VIOLATIONS = frozenset(
    (
        Code.PROTOCOL_ERROR,
        Code.FLOW_CONTROL_ERROR,
        Code.SETTINGS_TIMEOUT,
        Code.STREAM_CLOSED,
        Code.FRAME_SIZE_ERROR,
        Code.COMPRESSION_ERROR,
    )
)
#: Bytes received at once. A buffer that is kept costs a tenth of the one that asyncio makes for each receive.
_RECEIVED = 1 << 17
#: Less than this of a stream's window is not given back: it would cost a step for each message.
_CREDIT = 1 << 16
_GONE = 1.0  # seconds until a socket that is being closed is cut


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Settings:
    """What a connection needs to know."""

    target: str
    keepalive: KeepAlive = field(default_factory=KeepAlive)
    limits: H2Limits = field(default_factory=H2Limits)


class Owner(Protocol):
    """What a connection needs of its slot."""

    def changed(self, connection: Connection) -> None:
        """The connection ended, drains, or allows another number of calls."""


class Connection(asyncio.BufferedProtocol):
    """One connection, from the first byte until it is closed.

    Attributes:
        ready: gets None when the server's SETTINGS have come, or the reason why there is no connection.
        paused: the socket takes no more for now.
        closed: no call runs here any more, and none can begin.
        heard: when the last byte came.
        pong: when the last answer to a ping came.
        credit_bytes: how much of a stream's window is given back at once.
        goaway: what the server said when it sent one, or "".
        too_many_pings: the server has complained of our keepalive.
        violation: what one side did against the protocol, as it or the other one saw it, or "".
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: Owner, settings: Settings) -> None:
        self.engine: Engine = Engine(settings.limits)
        self.ready: asyncio.Future[None] = loop.create_future()
        self.paused: bool = False
        self.closed: bool = False
        self.heard: float = loop.time()
        self.pong: float = 0.0
        self.credit_bytes: int = min(_CREDIT, settings.limits.stream_window_bytes // 4)
        self.goaway: str = ""
        self.too_many_pings: bool = False
        self.violation: str = ""
        self._loop = loop
        self._owner = owner
        self._settings = settings
        self._transport: asyncio.Transport | None = None
        self._flushing = False
        self._limit = _OWN_LIMIT  # of calls at once
        self._lone = False  # there was one, or none: calls come one at a time
        self._first = b""  # what the server said before its SETTINGS
        self._received = memoryview(bytearray(_RECEIVED))
        self._resumed: deque[asyncio.Future[None]] = deque()
        self._idle: asyncio.Future[None] | None = None  # for `close`: no call runs any more
        self._gone: asyncio.Future[None] = loop.create_future()  # the socket is closed
        self._watch: Watch | None = None
        self._cut: asyncio.TimerHandle | None = None

    # --- what the slot uses

    @property
    def usable(self) -> bool:
        """Whether calls can begin here, at once or when others have ended."""
        return self.engine.can_open and not self.closed

    @property
    def unused(self) -> bool:
        """Whether no call has begun here yet."""
        return self.engine.next_id == 1

    def has_room(self) -> bool:
        """Whether another call can begin now."""
        engine = self.engine
        return engine.can_open and len(engine.streams) < self._limit and not self.closed

    @property
    def max_streams(self) -> int | None:
        """Calls that the server allows at once; None without a limit."""
        limit = self.engine.peer.max_streams
        return None if limit is None or limit >= _NO_LIMIT else limit

    def start(self, call: Call, block: bytes, message: Sequence[Buffer] | None) -> None:
        """Open a stream for a call, with `message` if that is all it sends."""
        if self._watch is not None and self._watch.asleep:
            self._watch.wake()
        call.connection, call.credit_bytes = self, self.credit_bytes
        engine = self.engine
        call.stream = engine.request(block, False, message, call)
        if not self._flushing:
            if self._lone and call.at_once and len(engine.streams) == 1:
                self._end_turn()  # a turn of the loop is a tenth of what such a call costs
            else:
                self._write_soon()

    def calls(self) -> list[Call]:
        """List the calls that run."""
        return [stream.owner for stream in self.engine.streams.values()]

    def drain(self) -> None:
        """Take no more calls, and close when those that run have ended."""
        if not self.closed:
            if not self.engine.draining:
                self.engine.goaway()
            self._write_soon()

    async def close(self, grace: float) -> None:
        """Close; calls that still run after `grace` seconds are cancelled."""
        try:
            if not self.closed:
                self.drain()
                if self.engine.streams and grace > 0:
                    self._idle = self._idle or self._loop.create_future()
                    await asyncio.wait([self._idle], timeout=grace)
        finally:
            for stream in list(self.engine.streams.values()):
                stream.owner.fail(ClosedError("the connection was closed during the call"))
            self.abort("the connection was closed")
        await asyncio.wait([self._gone], timeout=_GONE)
        if self._transport is not None:
            self._transport.abort()

    def abort(self, reason: str) -> None:
        """End the connection; the socket is closed once what is written has left."""
        if not self.closed and self._transport is not None:
            self._flush(last=True)
            self._transport.close()
            self._cut = self._loop.call_later(_GONE, self._transport.abort)
        self._lost(reason)

    def forget(self) -> None:
        """Close the socket and nothing else: the loop is closed, or the parent process's."""
        transport, self._transport, self.closed = self._transport, None, True
        if transport is None:
            return
        wrapped = getattr(transport.get_extra_info("socket"), "_sock", None)  # the socket itself, in asyncio's loops
        if wrapped is not None:
            wrapped.close()

    # --- what the calls use

    def send(self, stream: Stream, parts: Sequence[Buffer], *, end: bool) -> bool:
        """Send content; False where it waits, and the call's `drained` tells when it is on its way."""
        written = self.engine.send(stream, parts, end)
        self._write_soon()
        return written

    def consumed(self, stream: Stream, size: int) -> None:
        """Give the server's window back what was used up."""
        self.engine.consumed(stream, size)
        if self.engine.output.frames:
            self._write_soon()

    def reset(self, stream: Stream) -> None:
        """End a stream, if it is open."""
        self.engine.reset(stream, Code.CANCEL)
        self._write_soon()

    def ended(self, stream: Stream) -> None:
        """Note that a stream's call is over; what it still had to send is dropped."""
        if stream.id in self.engine.streams:
            self.engine.reset(stream, Code.NO_ERROR)  # the server has said all it has to say
            self._write_soon()

    async def writable(self) -> None:
        """Wait until the socket takes more."""
        while self.paused and not self.closed:
            waiter = self._loop.create_future()
            self._resumed.append(waiter)
            await waiter

    # --- what the watch uses

    @property
    def busy(self) -> bool:
        """Whether calls run."""
        return bool(self.engine.streams)

    def ping(self) -> None:
        """Ask the server for a sign of life."""
        self.engine.ping(b"headrace")
        self._write_soon()

    def give_up(self, reason: str) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()
        self._lost(reason)

    # --- asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: the preface and our SETTINGS leave at once."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_BURST)
        if (misfit := check_alpn(transport)) is not None:
            self._lost(str(misfit), misfit)
            self._transport.abort()
            return
        self._flush()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Give the buffer for what has arrived."""
        return self._received

    def buffer_updated(self, nbytes: int) -> None:
        """Take what has arrived; the buffer is used again."""
        self.data_received(bytes(self._received[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Handle all that has arrived."""
        self.heard = self._loop.time()
        engine = self.engine
        if not engine.ready:
            self._first = (self._first + data)[:256]
        self._handle(iter(engine.receive(data)))
        if engine.output.frames or engine.output.waiting or not (engine.can_open or engine.streams):
            self._write_soon()  # which closes a connection that nobody needs any more

    def pause_writing(self) -> None:
        """Stop writing content: the socket's buffer is full."""
        self.paused = True

    def resume_writing(self) -> None:
        """Go on writing."""
        self.paused = False
        self._wake_writers()
        self._write_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        """End all calls."""
        reason = getattr(exc, "strerror", None) or str(exc) if exc is not None else "the server closed the connection"
        if not self.engine.ready and not isinstance(exc, ssl.SSLError):
            reason = f"{reason} before its HTTP/2 settings came: {CHECK_PORT}"
            exc = ConnectionError(reason) if self._first else EarlyEnd(reason)
        self._lost(reason, exc)
        self._transport = None
        if self._cut is not None:
            self._cut.cancel()
        _settle(self._gone)

    # --- events

    def _handle(self, reported: Iterator[events.Event]) -> None:
        """Pass events on. Tasks that wait for them go on at once, in here."""
        try:
            for event in reported:
                if type(event) is events.Answer:
                    if not (call := event.stream.owner).done:
                        call.take_answer(event)
                elif (taker := TAKERS.get(type(event))) is None:
                    self._take(event)
                elif not (call := event.stream.owner).done:  # type: ignore[union-attr]
                    taker(call, event)
        except BaseException:  # a task that went on has ended the program, or tried to
            self._loop.call_soon(self._handle, reported)
            raise

    def _take(self, event: events.Event) -> None:
        if isinstance(event, events.SettingsChanged):
            limit = self.engine.peer.max_streams
            self._limit = _OWN_LIMIT if limit is None else limit
            if not self.ready.done():
                self._first = b""
                self.ready.set_result(None)
                keepalive = self._settings.keepalive
                if keepalive.interval is not None:
                    self._watch = Watch(self._loop, self, keepalive.interval, keepalive.timeout)
            self._owner.changed(self)
        elif isinstance(event, events.Pong):
            self.pong = self.heard
        elif isinstance(event, events.GoAway):
            debug = printable(event.debug.decode("utf-8", "backslashreplace"))
            self.goaway = f"the server sent GOAWAY ({code_name(event.code)}{': ' + debug if debug else ''})"
            if event.code in _VIOLATIONS:
                self.violation = self.goaway
            self.too_many_pings = event.code == Code.ENHANCE_YOUR_CALM and event.debug == b"too_many_pings"
            for stream in event.unprocessed:
                stream.owner.fail(self._error(self.goaway, unprocessed=True))
            self._owner.changed(self)
            self._write_soon()
        elif isinstance(event, events.Failed):
            reason = f"the server violated HTTP/2: {event.reason} ({code_name(event.code)})"
            if recognize(self._first) is None:  # it speaks HTTP/2
                self.violation = reason
            self.abort(reason if self.engine.ready else f"{reason}: {CHECK_PORT}")

    def _lost(self, reason: str, error: Exception | None = None) -> None:
        """End everything that waits for the connection."""
        if self.closed:
            return
        self.closed = True
        if self._watch is not None:
            self._watch.stop()
        if not self.ready.done():
            self.ready.set_exception(recognize(self._first) or error or ConnectionError(self.goaway or reason))
            self.ready.exception()  # not every one is awaited
        text = f"{self.goaway}; {reason}" if self.goaway else reason
        streams = list(self.engine.streams.values())
        self.engine.streams.clear()
        for stream in streams:
            stream.owner.fail(self._error(text, unprocessed=stream.id >= self.engine.unsent))
        self._wake_writers()
        _settle(self._idle)
        self._owner.changed(self)

    def _error(self, reason: str, *, unprocessed: bool) -> HeadraceError:
        return status.call_error("UNAVAILABLE", reason, target=self._settings.target, unprocessed=unprocessed)

    # --- writing

    def _write_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._flushing = False
        self._lone = self.engine.next_id - self.engine.unsent <= 2
        self._flush()
        if not self.engine.streams and self.engine.ready and not self.usable:
            _settle(self._idle)
            self.abort(self.goaway or "the connection is not needed any more")

    def _flush(self, *, last: bool = False) -> None:
        """Write what the calls of this turn have made, and content, while the socket takes it.

        While it takes nothing the engine keeps what waits, and counts it: a server that does not read, and sends what
        has to be acknowledged, would fill the socket's buffer without end. `last`: what is ready leaves all the same.
        """
        transport, engine = self._transport, self.engine
        if transport is None or transport.is_closing():
            return
        while (last or not self.paused) and (output := engine.take_output(0 if self.paused else _BURST)):
            if len(output) == 1:
                transport.write(output[0])
            elif max(map(len, output)) <= _JOINED:
                transport.write(b"".join(output))
            else:
                _write(transport, output)
            if engine.output.drained:
                for stream in engine.take_drained():
                    stream.owner.drained()
            if not engine.output.waiting and not engine.output.frames:
                break

    def _wake_writers(self) -> None:
        while self._resumed:
            _settle(self._resumed.popleft())


def _settle(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


def _write(transport: asyncio.Transport, output: list[Buffer]) -> None:
    """Write small neighbours as one, large ones as they are: joining those would copy them."""
    small: list[Buffer] = []
    for buffer in output:
        if len(buffer) <= _JOINED:
            small.append(buffer)
            continue
        if small:
            transport.write(b"".join(small))
            small = []
        transport.write(buffer)
    if small:
        transport.write(b"".join(small))


__all__ = ["Connection", "Settings"]
