"""The lean transport: a slot for one HTTP/2 connection, which it makes and makes again; see `headrace.transport.base`.

Calls for which no connection has room wait here, in their order, and not on a connection: when that one drains or
breaks, they move to the next one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from itertools import chain
from typing import TypeAlias

from headrace import status
from headrace.config import KeepAlive, Target, Transmission
from headrace.errors import ClosedError, HeadraceError
from headrace.flow.deadlines import FAR, Deadlines
from headrace.transport.h2.backoff import Backoff
from headrace.transport.h2.calls import Call, StreamCall, UnaryCall
from headrace.transport.h2.connection import Connection, Settings
from headrace.transport.h2.dial import DialFailed, Phase, dial
from headrace.transport.h2.messages import MessageError, framed
from headrace.transport.h2.metadata import RequestBlocks
from headrace.types import Buffer, Metadata

_Request: TypeAlias = tuple[str, Sequence[Buffer] | None, Metadata]  # method, the only message, metadata


class H2Transport:
    """A slot for one connection; `headrace.transport.base.Transport` tells what it promises.

    Attributes:
        target: the server's name in messages.
        on_connection_end: called when a connection has ended, with the violation of the protocol, or "".
        message_bytes: largest message to receive.
    """

    survives_fork = True

    def __init__(self, target: Target, options: Transmission) -> None:
        self.on_max_streams: Callable[[], object] | None = None
        self.on_connection_end: Callable[[str], object] | None = None
        self.target: str = str(target)
        self.message_bytes: int = options.message_bytes
        self._address = target
        self._options = options
        self._blocks = RequestBlocks(options.tls.server_name or authority_of(target), tls=target.tls)
        self._keepalive = options.keepalive
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = os.getpid()
        self._deadlines: Deadlines | None = None
        self._connection: Connection | None = None
        self._draining: set[Connection] = set()
        self._loop_end: AsyncGenerator[None, None] | None = None  # waits for it
        self._attempt: asyncio.Task[DialFailed | HeadraceError | None] | None = None
        self._phase = Phase()
        self._backoff = Backoff()
        self._connecting = 0  # tasks in `connect`
        self._waiting: dict[Call, _Request] = {}
        self._serving = False
        self._max_streams: int | None = None
        self._closed = False

    @property
    def healthy(self) -> bool:
        """Whether the connection is ready."""
        connection = self._connection
        return connection is not None and connection.engine.can_open and not connection.closed

    @property
    def max_streams(self) -> int | None:
        """Concurrent calls that the server allows."""
        return self._connection.max_streams if self._connection is not None else None

    async def connect(self, timeout: float) -> None:
        """Connect unless connected; see `Transport.connect`."""
        self._check_open()
        if self.healthy:
            return
        attempt = self._attempt or self._start_attempt(timeout)
        self._connecting += 1
        try:
            done, _ = await asyncio.wait([attempt], timeout=timeout)
        finally:
            self._connecting -= 1
            self._drop_attempt()
        self._check_open()
        if not done:
            raise self._connect_failed(self._phase.late(timeout))
        failure = attempt.result()
        if failure is None and not self.healthy:
            failure = DialFailed("the server ended the connection as soon as it was made")
        if failure is not None:
            raise self._connect_failed(failure)

    async def unary(self, method: str, parts: Sequence[Buffer], metadata: Metadata, timeout: float | None) -> bytes:
        """Make one unary call; see `Transport.unary`."""
        call = UnaryCall(self, self._loop or self._bind())
        self._begin(call, method, parts, metadata, timeout)
        try:
            if not call.done:
                await call.waiter
            return call.answer()
        except asyncio.CancelledError:
            call.cancel()
            raise
        finally:
            del call  # an error's traceback keeps this frame, and the call keeps the error

    def open(
        self,
        method: str,
        metadata: Metadata,
        *,
        timeout: float | None = None,
        first: Sequence[Buffer] | None = None,
    ) -> StreamCall:
        """Open a call that streams; see `Transport.open`."""
        call = StreamCall(self, self._loop or self._bind())
        self._begin(call, method, first, metadata, timeout)
        return call

    async def close(self, grace: float) -> None:
        """Close the connections; see `Transport.close`."""
        self._closed = True
        connections = self._connections()
        if self._attempt is not None:
            self._attempt.cancel()
            await asyncio.wait([self._attempt])
        self._fail_waiting(lambda: ClosedError("the connection was closed during the call"))
        if connections:
            await asyncio.gather(*(connection.close(grace) for connection in connections))
        if self._deadlines is not None:
            self._deadlines.clear()
        if self._loop_end is not None:
            await self._loop_end.aclose()

    def discard(self) -> None:
        """Release everything without I/O; see `Transport.discard`."""
        self._closed = True
        inherited = os.getpid() != self._process
        connections = self._connections()
        self._draining, self._connection = set(), None
        if not inherited and self._loop is not None and not self._loop.is_closed():
            for connection in connections:
                connection.give_up("the connection was discarded")
            self._fail_waiting(lambda: ClosedError("the connection was discarded"))
            if self._attempt is not None:
                self._attempt.cancel()
            return
        for connection in connections:
            connection.forget()
        self._waiting.clear()

    def retire(self) -> None:
        """Take no more calls, and close when those that run have ended; calls that wait may go elsewhere at once."""
        self._closed = True
        if self._attempt is not None:
            self._attempt.cancel()
        for connection in self._connections():
            connection.drain()
        self._fail_waiting(
            lambda: status.call_error(
                "UNAVAILABLE", "this transport takes no more calls", target=self.target, unprocessed=True
            )
        )

    # --- what calls and connections say

    def ended(self, call: Call) -> None:
        """Note that a call is over."""
        if call.bucket is not None:
            Deadlines.remove(call)
        if self._waiting:
            self._waiting.pop(call, None)
            self._serve()
            self._drop_attempt()

    def changed(self, connection: Connection) -> None:
        """Note that a connection ended, drains, or allows another number of calls."""
        if connection.too_many_pings and self._keepalive.interval is not None:
            connection.too_many_pings = False
            self._keepalive = KeepAlive(2 * self._keepalive.interval, self._keepalive.timeout)
        if connection.closed:
            self._draining.discard(connection)
        if connection is self._connection and not connection.usable:
            if connection.unused:
                self._backoff.failed(connection.heard)
            self._drain_connection()
        if connection.closed and self.on_connection_end is not None:
            self.on_connection_end(connection.violation)
        self._compare_limit()
        self._serve()

    # --- placing calls

    def _begin(
        self, call: Call, method: str, parts: Sequence[Buffer] | None, metadata: Metadata, timeout: float | None
    ) -> None:
        """Start a call, or let it wait; `parts` are its only message, None if messages follow."""
        if self._closed:
            self._check_open()
        if timeout is not None:
            if timeout <= 0:
                call.expired()
                return
            if timeout < FAR:
                assert self._deadlines is not None
                call.deadline = self._deadlines.add(call, timeout)
            else:
                timeout = None
        connection = self._connection
        if connection is not None and not self._waiting and connection.has_room():
            self._place(call, connection, method, parts, metadata, timeout)
        else:
            self._waiting[call] = (method, parts, metadata)
            self._serve()

    def _serve(self) -> None:
        """Place the calls that wait, as far as there is room; not again within itself, where one fails at once."""
        if self._serving:
            return
        self._serving = True
        try:
            self._place_waiting()
        finally:
            self._serving = False

    def _place_waiting(self) -> None:
        while self._waiting and not self._closed:
            connection = self._connection
            if connection is None or not connection.usable:
                if self._attempt is None:
                    self._start_attempt(self._options.connect_timeout)
                return
            if not connection.has_room():
                return
            call = next(iter(self._waiting))
            method, parts, metadata = self._waiting.pop(call)
            timeout = None if call.deadline is None else call.deadline - call.loop.time()
            self._place(call, connection, method, parts, metadata, timeout)
            call.drained()

    def _place(
        self,
        call: Call,
        connection: Connection,
        method: str,
        parts: Sequence[Buffer] | None,
        metadata: Metadata,
        timeout: float | None,
    ) -> None:
        try:
            block, size = self._blocks.block(method, metadata, timeout)
            message = framed(parts) if parts is not None else None
        except HeadraceError as error:
            call.fail(error)
            return
        except MessageError as error:
            call.reject(error)
            return
        limit = connection.engine.peer.header_list_bytes
        if limit is not None and size > limit:
            reason = f"the metadata takes {size:,} bytes; the server takes {limit:,}"
            call.fail(status.call_error("RESOURCE_EXHAUSTED", reason, target=self.target, too_large=True))
            return
        connection.start(call, block, message)

    # --- connecting

    def _bind(self) -> asyncio.AbstractEventLoop:
        """Belong to the loop that runs."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._process = os.getpid()
            self._deadlines = Deadlines(self._loop, self._running)
        return self._loop

    def _start_attempt(self, timeout: float) -> asyncio.Task[DialFailed | HeadraceError | None]:
        self._attempt = self._bind().create_task(self._connect(timeout), name="headrace-h2-connect")
        return self._attempt

    async def _connect(self, timeout: float) -> DialFailed | HeadraceError | None:
        """Connect, and place the calls that wait, or fail them; one attempt for all of them."""
        loop = self._bind()
        self._phase = Phase()
        settings = Settings(self.target, self._keepalive)
        failure: DialFailed | HeadraceError | None = None
        try:
            if pause := self._backoff.pause(loop.time()):
                self._phase.doing = "waiting to connect again"
                await asyncio.sleep(pause)
            connection = await dial(
                self._address, self._options, lambda: Connection(loop, self, settings), timeout, self._phase
            )
        except (DialFailed, HeadraceError) as error:
            failure = error
        else:
            if connection.usable:
                self._drain_connection()
                self._connection = connection
                if self._loop_end is None:
                    self._loop_end = self._close_at_loop_end()
                    await anext(self._loop_end)
            else:
                self._draining.add(connection)
                failure = DialFailed(connection.goaway or "the server ended the connection as soon as it was made")
        finally:
            if self._attempt is asyncio.current_task():
                self._attempt = None
        if failure is not None:
            self._backoff.failed(loop.time())
            reason = failure
            self._fail_waiting(lambda: self._connect_failed(reason))
            return failure
        self._backoff.succeeded()
        self._compare_limit()
        self._serve()
        return None

    async def _close_at_loop_end(self) -> AsyncGenerator[None, None]:
        """Close the connections when the loop shuts down its asynchronous generators, as `asyncio.run` does at its end.

        After that it is too late: nothing can close a transport of asyncio whose loop is closed.
        """
        try:
            yield
        finally:
            if connections := self._connections():
                await asyncio.gather(*(connection.close(0.0) for connection in connections))

    def _drop_attempt(self) -> None:
        """Stop connecting where nobody waits for it any more."""
        if self._attempt is not None and not self._waiting and not self._connecting:
            self._attempt.cancel()
            self._attempt = None

    def _connections(self) -> list[Connection]:
        return [*self._draining, *([self._connection] if self._connection is not None else [])]

    def _running(self) -> Iterator[tuple[Call, float]]:
        """Give the calls that run or wait, with their deadlines."""
        for call in chain(*(connection.calls() for connection in self._connections()), self._waiting):
            if call.deadline is not None:
                yield call, call.deadline

    def _drain_connection(self) -> None:
        """Let the connection finish its calls, where it has one, and take no more."""
        connection, self._connection = self._connection, None
        if connection is not None and not connection.closed:
            self._draining.add(connection)

    def _compare_limit(self) -> None:
        if self._connection is not None and self._connection.max_streams != self._max_streams:
            self._max_streams = self._connection.max_streams
            if self.on_max_streams is not None:
                self.on_max_streams()

    def _fail_waiting(self, error: Callable[[], HeadraceError]) -> None:
        waiting, self._waiting = self._waiting, {}
        for call in waiting:
            call.fail(error())

    def _connect_failed(self, failure: DialFailed | HeadraceError) -> HeadraceError:
        if isinstance(failure, HeadraceError):
            return failure
        return status.call_error(
            "UNAVAILABLE", str(failure), target=self.target, connecting=True, permanent=failure.permanent
        )

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("the connection is closed")


def authority_of(target: Target) -> str:
    """Write the host of `:authority`, with the port where it is not the usual one."""
    if target.path:
        return "localhost"
    host = f"[{target.host}]" if ":" in target.host else target.host
    default = 443 if target.tls else 80
    return host if target.port == default else f"{host}:{target.port}"


__all__ = ["H2Transport"]
