"""What the working parts of streams share: options, counts, a wake-up signal, and the feeder that pulls a source."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from headrace.calls.batching import Packing
from headrace.calls.prepare import OWN_ERRORS
from headrace.config import Window
from headrace.errors import ClosedError, HeadraceError
from headrace.flow.pipe import Overflow, Pipe
from headrace.inputs import Input
from headrace.sources.iterables import Source, pull_some
from headrace.transport.base import Metadata


@dataclass(frozen=True, slots=True)
class DuplexOptions:
    """How a matched duplex stream behaves; see `Model.stream`."""

    window: Window
    prefetch: int
    ordered: bool
    overflow: Overflow
    max_age: float | None
    resume: bool
    packing: Packing
    timeout: float  # seconds an input may take; inf: any
    warm_up: float | None  # None: the configured budget, on top of the timeout
    metadata: Metadata = ()


@dataclass(slots=True)
class Tally:
    """The running counts of a stream."""

    pulled: int = 0
    sent: int = 0
    received: int = 0
    errors: int = 0
    resumed: int = 0
    retries: int = 0
    drops: dict[str, int] = field(default_factory=dict)

    def drop(self, cause: str, number: int = 1) -> None:
        """Count dropped inputs."""
        if number:
            self.drops[cause] = self.drops.get(cause, 0) + number


@dataclass(slots=True)
class Pulled:
    """One item of the source: an input, or why there is none."""

    position: int
    item: Input
    size: int = 0  # bytes of its payloads
    error: HeadraceError | None = None


class Signal:
    """Wakes the one task that waits; a set signal is not lost."""

    __slots__ = ("_set", "_waiter")

    def __init__(self) -> None:
        self._set = False
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        self._set = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, seconds: float | None = None) -> None:
        """Wait until it is set, at most so many seconds."""
        if not self._set:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = None if seconds is None else loop.call_later(seconds, self.set)
            try:
                await self._waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()
        self._set = False


#: Turns an item of the source into a checked input with an id: at once, or with I/O first.
Convert = Callable[[object], Input | Awaitable[Input]]
#: Gives the request's template; it may do I/O once.
Template = Callable[[], Awaitable[bytes]]


class Feeder:
    """Pulls the user's source into a pipe when there is room, what is there at once; closes the source at its end.

    Args:
        most_bytes: no more is pulled at once than fits into these, as far as the items so far tell.
        wake: called when items are in the pipe, and at the end.
    """

    def __init__(
        self,
        source: Source[object],
        convert: Convert,
        pipe: Pipe[Pulled],
        tally: Tally,
        wake: Callable[[], None],
        most_bytes: int,
    ) -> None:
        self._source = source
        self._convert = convert
        self._pipe = pipe
        self._tally = tally
        self._wake = wake
        self._most_bytes = most_bytes
        self._largest = 0  # bytes of the items so far; 0: nothing is known yet
        self.in_hand = 0  # pulled, not yet in the pipe
        self._closed = False

    async def run(self) -> None:
        """Pull until the source ends or the pipe's receiver is closed.

        Raises:
            Exception: what the user's iterator raised, as it is.
        """
        pipe, tally, convert = self._pipe, self._tally, self._convert
        try:
            while True:
                await pipe.ready()
                try:
                    raws = await pull_some(self._source, self._most())
                except StopAsyncIteration:
                    break
                position = tally.pulled
                tally.pulled += len(raws)
                self.in_hand = len(raws)
                for raw in raws:
                    try:
                        made = convert(raw)
                        if not isinstance(made, Input):
                            if self.in_hand < len(raws):
                                self._wake()  # for those before it: this one may take a while
                            made = await made
                    except OWN_ERRORS as error:
                        bad = Input((), getattr(error, "input_id", None) or f"item-{position}")
                        pulled = Pulled(position, bad, error=error)
                    else:
                        size = made.size_bytes
                        if size >= self._largest:
                            self._largest = size or 1
                        pulled = Pulled(position, made, size)
                    if not pipe.send_nowait(pulled):
                        self._wake()
                        await pipe.send(pulled)
                    position += 1
                    self.in_hand -= 1
                self._wake()
                if not pipe.blocks:
                    await asyncio.sleep(0)  # a source that never waits would fill a pipe that never makes it wait
        except ClosedError:
            if not pipe.closed:
                raise  # the user's own: of another client, for instance
            return  # the stream was stopped; what is in hand is counted there
        finally:
            await self.close()
        pipe.close_sender()
        self._wake()

    async def close(self) -> None:
        """Close the source, once."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(Exception):  # the user's iterator failed while closing; the stream is over
            await self._source.close()
        left = self._source.held
        self._tally.pulled += left
        self._tally.drop("closed", left)

    def _most(self) -> int:
        """How many items may be pulled at once: a pipe that drops gets one, so that what it drops is old."""
        if not self._pipe.blocks or not self._largest:
            return 1
        return max(1, min(self._pipe.room, (self._most_bytes - self._pipe.bytes) // self._largest))
