"""The asyncio half of a connection: a socket below, calls above, the engine between them.

All frames of one receive are handled in one callback; what the calls of one turn of the loop write leaves in one write.
Nothing here awaits but `writable`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from headrace import status
from headrace.config import KeepAlive
from headrace.errors import HeadraceError
from headrace.transport.h2.calls import StreamCall, UnaryCall
from headrace.transport.h2.deadlines import Deadlines
from headrace.transport.h2.engine import Engine, H2Limits, events
from headrace.transport.h2.engine.frames import Code, code_name
from headrace.transport.h2.engine.streams import Stream
from headrace.types import Buffer

#: Content framed at once before the socket is asked whether it takes more.
_BURST = 1 << 18
#: Buffers up to this size are joined with their neighbours; larger ones go to the socket as they are.
_JOINED = 1 << 14
#: Calls at once where the server names no limit.
_OWN_LIMIT = 1_000


@dataclass(frozen=True, slots=True)
class Options:
    """What a connection needs to know."""

    message_bytes: int
    keepalive: KeepAlive = field(default_factory=KeepAlive)
    limits: H2Limits = field(default_factory=H2Limits)


class Connection(asyncio.Protocol):
    """One connection, from the server's first SETTINGS until it is closed.

    Args:
        target: the server's name in messages.
        on_change: called when the connection ends, drains, or allows another number of calls.

    Attributes:
        ready: gets None when the server's SETTINGS have come, or the reason why there is no connection.
        paused: the socket takes no more for now.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, target: str, options: Options, on_change: Callable[[], object]):
        self.loop = loop
        self.target = target
        self.options = options
        self.engine = Engine(options.limits)
        self.ready: asyncio.Future[None] = loop.create_future()
        self.paused = False
        self.closed = False
        self.goaway = ""  # what the server said when it sent one
        self._on_change = on_change
        self._transport: asyncio.Transport | None = None
        self._flushing = False
        self._unwritten: list[Stream] = []  # opened, and not in the socket
        self._deadlines = Deadlines(loop)
        self._resumed: deque[asyncio.Future[None]] = deque()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._ended: asyncio.Future[None] | None = None  # no call runs any more
        self._heard = 0.0
        self._keepalive: asyncio.TimerHandle | None = None
        self._handlers: dict[type[Any], Callable[[Any], None]] = {
            events.ResponseHeaders: lambda e: e.stream.owner.headers(e.fields, e.end),
            events.Content: lambda e: e.stream.owner.content(e),
            events.Trailers: lambda e: e.stream.owner.trailers(e.fields),
            events.Reset: lambda e: e.stream.owner.reset(e),
            events.TooLarge: self._too_large,
            events.Unprocessed: self._unprocessed,
            events.GoAway: self._going_away,
            events.SettingsChanged: self._settings,
            events.Pong: lambda e: None,
            events.Failed: self._failed,
        }

    # --- what the calls use

    @property
    def usable(self) -> bool:
        """Whether calls can be started here, at once or when others have ended."""
        return self.engine.can_open and not self.closed

    @property
    def room(self) -> bool:
        """Whether the server allows another call."""
        most = self.engine.peer.max_streams
        return len(self.engine.streams) < (_OWN_LIMIT if most is None else most)

    def start(self, call: UnaryCall | StreamCall, block: bytes, timeout: float | None) -> None:
        """Open a call's stream."""
        stream = call.stream = self.engine.request(block)
        stream.owner = call
        self._unwritten.append(stream)
        if timeout is not None:
            self._deadlines.add(call, timeout)
        self._write_soon()

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

    def reset(self, call: UnaryCall | StreamCall) -> None:
        """End a call's stream, if it is open."""
        if call.stream is not None:
            self.engine.reset(call.stream, Code.CANCEL)
            self._write_soon()

    def ended(self, call: UnaryCall | StreamCall) -> None:
        """Note that a call is over; what it still had to send is dropped."""
        if call.bucket:
            self._deadlines.remove(call)
        stream = call.stream
        if stream is not None and stream.id in self.engine.streams and stream.received_end:
            self.engine.reset(stream, Code.NO_ERROR)  # the server has said all it has to say
            self._write_soon()
        self._admit()

    async def writable(self) -> None:
        """Wait until the socket takes more."""
        while self.paused and not self.closed:
            waiter = self.loop.create_future()
            self._resumed.append(waiter)
            await waiter

    async def wait_for_room(self) -> None:
        """Wait, in turn, until the server allows another call; returns as well when the connection takes none."""
        while self.usable and (not self.room or self._waiting):
            waiter = self.loop.create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._admit()
                raise
            if self.usable and self.room:
                return

    def _admit(self) -> None:
        """Let those wait no longer for whom there is room."""
        most = self.engine.peer.max_streams
        room = (_OWN_LIMIT if most is None else most) - len(self.engine.streams)
        while self._waiting and (room > 0 or not self.usable):
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                room -= 1
        if self._ended is not None and not self.engine.streams and not self._ended.done():
            self._ended.set_result(None)
        if self.engine.draining and not self.engine.streams:
            self.abort()

    # --- closing

    async def close(self, grace: float) -> None:
        """Close; calls that still run after `grace` seconds are cancelled."""
        if self.closed:
            return
        if not self.engine.draining:
            self.engine.goaway()
        self._write_soon()
        if self.engine.streams and grace > 0:
            self._ended = self.loop.create_future()
            await asyncio.wait([self._ended], timeout=grace)
        error = status.call_error("CANCELLED", "the client was closed", target=self.target, broken=True)
        for stream in list(self.engine.streams.values()):
            stream.owner.fail(error)
        self._flush()
        self.abort()

    def abort(self) -> None:
        """Close the socket once what is written has left."""
        if self._transport is not None and not self.closed:
            self._flush()
            self._transport.close()
            self._lost("the connection was closed")

    # --- asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: the preface and our SETTINGS leave at once."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_BURST)
        self._heard = self.loop.time()
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Handle all that has arrived."""
        self._heard = self.loop.time()
        handlers = self._handlers
        for event in self.engine.receive(data):
            handlers[type(event)](event)
        output = self.engine.output
        if output.frames or output.waiting:
            self._write_soon()
        if self._waiting or self.engine.draining:
            self._admit()

    def pause_writing(self) -> None:
        """Stop writing content: the socket's buffer is full."""
        self.paused = True

    def resume_writing(self) -> None:
        """Go on writing."""
        self.paused = False
        while self._resumed:
            waiter = self._resumed.popleft()
            if not waiter.done():
                waiter.set_result(None)
        self._write_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        """End all calls."""
        self._lost(str(exc) if exc is not None else "the server closed the connection")

    # --- events

    def _settings(self, _: events.SettingsChanged) -> None:
        if not self.ready.done():
            self.ready.set_result(None)
            if self.options.keepalive.interval is not None:
                self._watch()
        self._on_change()
        self._admit()

    def _too_large(self, event: events.TooLarge) -> None:
        limit = self.options.limits.header_list_bytes
        text = f"{event.size:,} bytes of headers or trailers; the limit is {limit:,}"
        event.stream.owner.fail(
            status.call_error("RESOURCE_EXHAUSTED", text, target=self.target, too_large=True)
        )

    def _unprocessed(self, event: events.Unprocessed) -> None:
        event.stream.owner.fail(
            status.call_error("UNAVAILABLE", self.goaway, target=self.target, unprocessed=True)
        )

    def _going_away(self, event: events.GoAway) -> None:
        debug = event.debug.decode("utf-8", "backslashreplace")
        self.goaway = f"the server sent GOAWAY ({code_name(event.code)}{': ' + debug if debug else ''})"
        self._on_change()

    def _failed(self, event: events.Failed) -> None:
        self._flush()
        self._lost(f"{event.reason} ({code_name(event.code)})")
        if self._transport is not None:
            self._transport.close()
            self.loop.call_later(1.0, self._transport.abort)

    def _lost(self, reason: str) -> None:
        """End everything that waits for the connection."""
        if self.closed:
            return
        self.closed = True
        self._deadlines.clear()
        if self._keepalive is not None:
            self._keepalive.cancel()
        unwritten = set(self._unwritten)
        text = self.goaway or reason
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(text))
            self.ready.exception()  # not every one is awaited
        for stream in list(self.engine.streams.values()):
            error: HeadraceError = status.call_error(
                "UNAVAILABLE", text, target=self.target, broken=True, unprocessed=stream in unwritten
            )
            stream.owner.fail(error)
        self.engine.streams.clear()
        for waiters in (self._waiting, self._resumed):
            while waiters:
                waiter = waiters.popleft()
                if not waiter.done():
                    waiter.set_result(None)
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)
        self._on_change()

    # --- writing

    def _write_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Write what the calls of this turn have made, and content while the socket takes it."""
        self._flushing = False
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._unwritten.clear()
        engine = self.engine
        while True:
            output = engine.take_output(0 if self.paused else _BURST)
            if not output:
                break
            if len(output) == 1:
                transport.write(output[0])
            else:
                self._write(transport, output)
            for stream in engine.take_drained():
                stream.owner.drained()
            if not engine.output.waiting or self.paused:
                break

    def _write(self, transport: asyncio.Transport, output: list[Buffer]) -> None:
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

    # --- keepalive

    def _watch(self) -> None:
        """Look again when the connection may have been silent for the interval."""
        interval = self.options.keepalive.interval
        assert interval is not None
        self._keepalive = self.loop.call_at(max(self._heard + interval, self.loop.time() + 0.01), self._look)

    def _look(self) -> None:
        interval = self.options.keepalive.interval
        assert interval is not None
        if self.loop.time() - self._heard < interval or not self.engine.streams:
            if not self.engine.streams:
                self._keepalive = self.loop.call_later(interval, self._look)
            else:
                self._watch()
            return
        asked = self._heard
        self.engine.ping(b"headrace")
        self._write_soon()

        def silent() -> None:
            if self._heard == asked and self._transport is not None:
                self._transport.abort()
                self._lost("no answer to a keepalive ping")
            elif not self.closed:
                self._watch()

        self._keepalive = self.loop.call_later(self.options.keepalive.timeout, silent)


__all__ = ["Connection", "Options"]
