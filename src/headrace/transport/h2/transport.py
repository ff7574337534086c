"""The lean transport: a slot for one HTTP/2 connection, which it makes and makes again; see `headrace.transport.base`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from headrace import status
from headrace.config import Target, Transmission
from headrace.errors import ClosedError, HeadraceError
from headrace.transport.h2.calls import StreamCall, UnaryCall
from headrace.transport.h2.connection import Connection, Options
from headrace.transport.h2.dial import dial
from headrace.transport.h2.messages import framed
from headrace.transport.h2.metadata import RequestBlocks
from headrace.types import Buffer, Metadata

_ACROSS_DRAINS = 20  # connections that a call that was never sent may try


class H2Transport:
    """One slot; `headrace.transport.base.Transport` tells what it promises."""

    survives_fork = True

    def __init__(self, target: Target, options: Transmission) -> None:
        self.on_max_streams: Callable[[], object] | None = None
        self._target = target
        self._options = options
        self._connection: Connection | None = None
        self._draining: set[Connection] = set()
        self._connecting: asyncio.Task[Connection] | None = None
        self._closed = False
        authority = "localhost" if target.path else _authority(target)
        self._blocks = RequestBlocks(options.tls.server_name or authority, tls=target.tls)

    @property
    def healthy(self) -> bool:
        """Whether the connection is ready."""
        connection = self._connection
        return connection is not None and connection.usable

    @property
    def max_streams(self) -> int | None:
        """Calls that the server allows at once."""
        return self._connection.engine.peer.max_streams if self._connection is not None else None

    async def connect(self, timeout: float) -> None:
        """Connect unless connected."""
        if self._closed:
            raise ClosedError("the connection is closed")
        if self.healthy:
            return
        loop = asyncio.get_running_loop()
        options = Options(self._options.message_bytes, self._options.keepalive)

        def make() -> Connection:
            return Connection(loop, str(self._target), options, self._changed)

        connection = await dial(self._target, self._options, make, timeout)
        if self._closed:
            connection.abort()
            raise ClosedError("the connection was closed while it was made")
        self._connection = connection
        self._changed()

    async def unary(self, method: str, parts: Sequence[Buffer], metadata: Metadata, timeout: float | None) -> bytes:
        """Make one unary call."""
        connection = self._connection
        if connection is None or not connection.usable or not connection.room:
            connection, timeout = await self._place(timeout)
        block, size = self._blocks.block(method, metadata, timeout)
        if timeout is not None and timeout <= 0:
            raise status.call_error("DEADLINE_EXCEEDED", "", target=str(self._target))
        self._check_size(connection, size)
        call = UnaryCall(connection, connection.loop.create_future())
        connection.start(call, block, timeout)
        assert call.stream is not None
        connection.send(call.stream, framed(parts), end=True)
        try:
            return await call.future
        except asyncio.CancelledError:
            call.fail(status.call_error("CANCELLED", "the call was cancelled locally", target=str(self._target)))
            raise

    def open(
        self,
        method: str,
        metadata: Metadata,
        *,
        timeout: float | None = None,
        first: Sequence[Buffer] | None = None,
    ) -> StreamCall:
        """Open a call that streams."""
        if self._closed:
            raise ClosedError("the connection is closed")
        raise NotImplementedError

    async def close(self, grace: float) -> None:
        """Close the connection."""
        self._closed = True
        connections = [*self._draining, *([self._connection] if self._connection else [])]
        self._connection = None
        if connections:
            await asyncio.gather(*(connection.close(grace) for connection in connections))

    def discard(self) -> None:
        """Let go of the socket without an event loop."""
        self._closed = True
        self._connection = None

    def _changed(self) -> None:
        """The connection ended, drains, or allows another number of calls."""
        connection = self._connection
        if connection is not None and not connection.usable:
            self._connection = None
            if not connection.closed:
                self._draining.add(connection)
        self._draining = {connection for connection in self._draining if not connection.closed}
        if self.on_max_streams is not None:
            self.on_max_streams()

    async def _place(self, timeout: float | None) -> tuple[Connection, float | None]:
        raise NotImplementedError

    def _check_size(self, connection: Connection, size: int) -> None:
        limit = connection.engine.peer.header_list_bytes
        if limit is not None and size > limit:
            raise status.call_error(
                "RESOURCE_EXHAUSTED",
                f"the metadata takes {size:,} bytes; the server takes {limit:,}",
                target=str(self._target),
                too_large=True,
            )


def _authority(target: Target) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    default = 443 if target.tls else 80
    return host if target.port == default else f"{host}:{target.port}"
