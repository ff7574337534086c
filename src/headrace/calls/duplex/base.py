"""The base of both duplex streams: a pipe of inputs, a driver that reads calls, a pump that writes them.

The feeder fills the pipe, the pump writes from the pipe to the call, and the driver opens the call and reads it. None
of them touches the user's stream object, so a forgotten stream is noticed.
"""

from __future__ import annotations

import asyncio
import math
import operator
from abc import abstractmethod
from collections.abc import Sequence

from headrace import codec, events
from headrace.calls.base import LAST_MOMENT, StreamWork
from headrace.calls.duplex.settings import DuplexOptions
from headrace.calls.feeder import Convert, Template
from headrace.calls.session import Session
from headrace.channels.connection import Connection
from headrace.errors import TransportError
from headrace.flow.pipe import Pipe
from headrace.inputs.prepared import Prepared
from headrace.sources.iterables import Source
from headrace.transport.base import Call


class DuplexWork(StreamWork):
    """The working parts that matched and unmatched streams share."""

    def __init__(
        self, session: Session, source: Source[object], convert: Convert, template: Template, options: DuplexOptions
    ) -> None:
        super().__init__(session, source, convert)
        self.options = options
        self.pipe: Pipe[Prepared] = Pipe(
            options.prefetch,
            size_bytes=options.window.bytes,
            size=operator.attrgetter("size_bytes"),
            overflow=options.overflow,
            max_age=options.max_age,
            on_drop=self._dropped,
        )
        self._template = template
        self._head: bytes | None = None
        self._call: Call | None = None
        self._driving: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start pulling and sending."""
        self._session.counts.calls += 1
        super().start()
        self._driving = self._add_task(self._drive, "headrace-driver")

    @property
    def in_order(self) -> bool:
        """Whether answers come in the order in which the inputs enter."""
        return self.options.ordered

    @property
    def reads_ahead(self) -> bool:
        """False if the pipe drops: inputs prepared ahead would be older when they are sent."""
        return self.pipe.blocks

    async def room(self) -> int:
        """Wait until the pipe has room; a pipe that drops gets one item at a time, so that what it drops is old."""
        pipe, largest = self.pipe, self._feeder.largest
        if not pipe.blocks:
            await asyncio.sleep(0)  # yield to the loop: neither this source nor this pipe ever waits
        await pipe.ready()
        if not pipe.blocks or not largest:
            return 1
        return max(1, min(pipe.room, (self.options.window.bytes - pipe.bytes) // largest))

    def offer(self, items: Sequence[Prepared]) -> int:
        """Put inputs into the pipe, in order, until one has to wait for room; return how many."""
        taken = self.pipe.send_some(items)
        self._fed()
        return taken

    async def put(self, item: Prepared) -> None:
        """Put an input into the pipe as soon as there is room."""
        await self.pipe.send(item)
        self._fed()

    def end(self) -> None:
        """Close the sending end of the pipe."""
        self.pipe.close_sender()
        self._fed()
        if self.pipe.ended:
            self.ready.set()  # the consumer may have nothing more to wait for

    def _fed(self) -> None:
        """Called when inputs were put into the pipe, and when no more will be."""

    def _halted(self) -> None:
        self.pipe.close_receiver()
        if self._call is not None:
            self._call.cancel()  # the driver ends when its read does
        elif self._driving is not None and self._driving is not asyncio.current_task():
            self._driving.cancel()

    def _dropped(self, item: Prepared, cause: str) -> None:
        self.tally.drop(cause)
        self._session.emit(events.Dropped(item.id, item.position, cause))

    async def _one_call(self) -> None:
        """Open a call, write and read it to its end."""
        session, timeout = self._session, self.options.timeout
        if self._head is None:
            self._head = await self._template()
        connection = await session.acquire(None if timeout == math.inf else timeout)
        call: Call | None = None
        pump: asyncio.Task[None] | None = None
        try:
            self._connected(connection)
            session.counts.attempts += 1
            call = self._call = connection.transport.open(codec.STREAM, (*session.metadata, *self.options.metadata))
            pump = asyncio.get_running_loop().create_task(self._pump(call, self._head), name="headrace-pump")
            pump.add_done_callback(self._pumped)
            await self._read(call, connection)
        except TransportError as error:
            connection.failed(error)
            raise
        finally:
            self._call = None
            if call is not None:
                call.cancel()
            connection.release()
            if pump is not None:
                pump.cancel()
                await asyncio.wait([pump])

    def _pumped(self, pump: asyncio.Task[None]) -> None:
        if not pump.cancelled() and (error := pump.exception()) is not None:
            self.fail(error)

    def _connected(self, connection: Connection) -> None:
        """Called when there is a connection for the call."""

    @abstractmethod
    async def _drive(self) -> None:
        """Open a call, and open it again, until all is answered."""

    @abstractmethod
    async def _read(self, call: Call, connection: Connection) -> None:
        """Read a call to its end."""

    @abstractmethod
    async def _pump(self, call: Call, head: bytes) -> None:
        """Write a call's inputs; end when the call does (its reader raises the failure)."""


__all__ = ["LAST_MOMENT", "DuplexWork"]
