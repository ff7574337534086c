"""What the working parts of streams share: options, counts, a wake-up signal, and the feeder that pulls a source."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from headrace.config import Window
from headrace.errors import ClosedError, HeadraceError, InputError, SourceError
from headrace.flow.pipe import Overflow, Pipe
from headrace.inputs import Input
from headrace.sources.iterables import Source, pull
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
    batch: int
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


@dataclass(frozen=True, slots=True)
class Pulled:
    """One item of the source: an input, or why there is none."""

    position: int
    item: Input
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

    async def wait(self) -> None:
        if not self._set:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._set = False


#: Turns an item of the source into a checked input with an id. It may do I/O.
Convert = Callable[[object], Awaitable[Input]]
#: Gives the request's template; it may do I/O once.
Template = Callable[[], Awaitable[bytes]]


class Feeder:
    """Pulls the user's source into a pipe, one item at a time, when there is room; closes the source at its end.

    Args:
        wake: called after each item, and at the end.
    """

    def __init__(
        self,
        source: Source[object],
        convert: Convert,
        pipe: Pipe[Pulled],
        tally: Tally,
        wake: Callable[[], None],
    ) -> None:
        self._source = source
        self._convert = convert
        self._pipe = pipe
        self._tally = tally
        self._wake = wake
        self.in_hand = 0  # pulled, not yet in the pipe
        self._closed = False

    async def run(self) -> None:
        """Pull until the source ends or the pipe's receiver is closed.

        Raises:
            Exception: what the user's iterator raised, as it is.
        """
        pipe = self._pipe
        try:
            while True:
                await pipe.ready()
                try:
                    raw = await pull(self._source)
                except StopAsyncIteration:
                    break
                position = self._tally.pulled
                self._tally.pulled += 1
                self.in_hand = 1
                await pipe.send(await self._pull(raw, position))
                self.in_hand = 0
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

    async def _pull(self, raw: object, position: int) -> Pulled:
        try:
            return Pulled(position, await self._convert(raw))
        except (InputError, SourceError) as error:
            return Pulled(position, Input((), getattr(error, "input_id", None) or f"item-{position}"), error)
