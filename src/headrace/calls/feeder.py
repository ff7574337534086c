"""The feeder of a stream: pulls the user's source, makes inputs from its items, and closes it at the end.

An input that has to be read or looked up is prepared in its own task. The feeder waits for it briefly, so that
files are read one after another as long as that is quick; one that takes longer is set aside, and the feeder goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Protocol

from headrace.calls.stats import Tally
from headrace.config import MiB
from headrace.errors import HeadraceError, InputError
from headrace.inputs import Input
from headrace.inputs.prepared import Prepared, Unsendable
from headrace.sources.items import OWN_ERRORS
from headrace.sources.iterables import Source, next_of, refuse_false_cancel

#: Turns an item of the source into a checked input with an id: immediately, or with I/O first.
Convert = Callable[[object], Prepared | Coroutine[Any, Any, Prepared]]
#: Gives the request's template; it may do I/O once.
Template = Callable[[], Awaitable[bytes]]
#: Starts a task that belongs to the stream: its failure is the stream's.
Spawn = Callable[[Callable[[], Awaitable[None]], str], "asyncio.Task[None]"]

PATIENCE_SECONDS = 0.05  # that the feeder waits for an input to be prepared before it goes on with the next one
MAX_ASIDE = 24  # inputs set aside at once: fewer than `threads.SLOTS`, so that other calls can still read files
MAX_ASIDE_BYTES = 64 * MiB


class Intake(Protocol):
    """Where a feeder puts inputs; the feeder is the only one who does.

    Attributes:
        in_order: inputs have to be put in the order of the source.
        reads_ahead: inputs may be prepared while one before them still is.
    """

    @property
    def in_order(self) -> bool: ...

    @property
    def reads_ahead(self) -> bool: ...

    async def room(self) -> int:
        """Wait until items may be pulled; return how many."""

    def offer(self, items: Sequence[Prepared]) -> int:
        """Take inputs in, in order, until one has to wait for room; return how many."""

    async def put(self, item: Prepared) -> None:
        """Take an input in as soon as there is room."""

    def end(self) -> None:
        """Called when the source has ended."""


class Feeder:
    """Pulls the user's source when there is room, taking all items that are available; closes the source at the end."""

    def __init__(self, source: Source[object], convert: Convert, tally: Tally, intake: Intake, spawn: Spawn) -> None:
        self._source = source
        self._convert = convert
        self._tally = tally
        self._intake = intake
        self._spawn = spawn
        self._aside: set[asyncio.Task[None]] = set()  # each prepares an input and puts it in
        self._last: asyncio.Task[None] | None = None  # of these
        self._putting = asyncio.Lock()  # of those that wait for room, one at a time
        self.pulling: bool = False  # it may be cancelled; before and after that, it is not: it closes the source
        self.stopped = False
        self.largest: int = 0  # bytes of the largest input so far; 0: nothing is known yet

    async def run(self) -> None:
        """Pull until the source ends; must not start after it was stopped.

        Raises:
            BaseException: what the user's iterator raised, as it is.
        """
        self.pulling = True
        intake = self._intake
        room = 0
        try:
            while True:
                if self._aside:
                    await self._wait_for_aside(self._max_aside - 1)
                    room = 0  # they have taken some
                if room < 1:
                    room = await intake.room()
                largest = self.largest
                try:
                    count = await self._pull(room)
                except StopAsyncIteration:
                    await self._wait_for_aside(0)
                    if not self.stopped:
                        intake.end()
                    return
                except asyncio.CancelledError as error:
                    refuse_false_cancel(error)
                    raise
                if self.stopped:  # the items were counted then, or here if the iterator swallowed the cancellation
                    return
                room = room - count if self.largest == largest else 0  # it was counted with that size
        finally:
            self.pulling = False
            for task in self._aside:
                task.cancel()
            await self._wait_for_aside(0)

    async def _pull(self, room: int) -> int:
        """Pull the next item and those that are available, at most so many, and take them in; return how many."""
        iterator = self._source.iterator
        if iterator is not None and not self._aside:
            return await self._pull_steps(iterator, room)
        items = await self._source.some(room)
        position = self._tally.pulled
        if self._dropped(len(items)):
            return len(items)
        ready: list[Prepared] = []
        try:
            for item in items:
                prepared = self._prepared(position, item)
                if isinstance(prepared, Prepared):
                    ready.append(prepared)
                else:
                    await self._put_in(ready)  # this one may take a while
                    await self._prepare_apart(position, item, prepared)
                    if self.stopped:
                        break  # items already pulled were counted then
                position += 1
        except BaseException:
            self._offer(ready)  # they come before the stream's failure
            raise
        await self._put_in(ready)
        return len(items)

    async def _pull_steps(self, iterator: AsyncIterator[object], room: int) -> int:
        """As `_pull`, from an async iterator: what it gives without waiting is taken in together."""
        tally = self._tally
        ready: list[Prepared] = []

        def before_waiting() -> None:
            self._offer(ready)

        try:
            for count in range(1, room + 1):
                item = await next_of(iterator, before_waiting)
                position, largest = tally.pulled, self.largest
                tally.pulled = position + 1
                if self.stopped:
                    tally.drop("closed")
                    return count
                prepared = self._prepared(position, item)
                if not isinstance(prepared, Prepared):
                    await self._put_in(ready)  # this one may take a while
                    await self._prepare_apart(position, item, prepared)
                    return count
                ready.append(prepared)
                if self.largest != largest:
                    break  # there is less room than expected
        except BaseException:
            self._offer(ready)  # they come before the end, or the stream's failure
            raise
        await self._put_in(ready)
        return count

    def _dropped(self, number: int) -> bool:
        """Count items that were pulled; return whether they are dropped, as the stream was stopped meanwhile."""
        self._tally.pulled += number
        if self.stopped:
            self._tally.drop("closed", number)
        return self.stopped

    def _prepared(self, position: int, item: object) -> Prepared | Coroutine[Any, Any, Prepared]:
        """Prepare an item, now or later; one that cannot be sent is taken in with its error."""
        try:
            prepared = self._convert(item)
        except OWN_ERRORS as error:
            prepared = _unsendable(position, item, error)
        if isinstance(prepared, Prepared):
            prepared.position = position
            if (size := prepared.size_bytes) >= self.largest and prepared.error is None:
                self.largest = size or 1
        return prepared

    def _offer(self, items: list[Prepared]) -> None:
        """Take inputs in without waiting, and empty the list; those that have to wait are set aside."""
        if not items or self.stopped:
            return
        taken = 0 if self._aside and self._intake.in_order else self._intake.offer(items)
        for item in items[taken:]:
            self._set_aside(self._follow(item, self._last))
        items.clear()

    async def _put_in(self, items: list[Prepared]) -> None:
        """Take inputs in, waiting for room, and empty the list."""
        if self._aside and self._intake.in_order:
            self._offer(items)
        while items:
            taken = self._intake.offer(items)
            waiting = items[taken:]
            items.clear()
            if waiting:
                await self._put(waiting[0])
                items += waiting[1:]

    # --- what takes a while

    async def _prepare_apart(self, position: int, item: object, preparing: Coroutine[Any, Any, Prepared]) -> None:
        """Prepare an input in a task; return when it is put in, or takes so long that the next one may go on."""
        before = self._last if self._aside and self._intake.in_order else None
        task = self._set_aside(self._prepare(position, item, preparing, before))
        task.add_done_callback(lambda _: preparing.close())  # if it was cancelled before it began
        await asyncio.wait([task], timeout=PATIENCE_SECONDS if self._intake.reads_ahead else None)

    def _set_aside(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = self._last = self._spawn(lambda: work, "headrace-prepare")
        task.add_done_callback(lambda _: work.close())
        self._aside.add(task)
        return task

    async def _prepare(
        self, position: int, item: object, preparing: Coroutine[Any, Any, Prepared], before: asyncio.Task[None] | None
    ) -> None:
        try:
            ready = await preparing
        except OWN_ERRORS as error:
            ready = _unsendable(position, item, error)
        else:
            self.largest = max(self.largest, ready.size_bytes, 1)
        ready.position = position
        await self._follow(ready, before)

    async def _follow(self, item: Prepared, before: asyncio.Task[None] | None) -> None:
        """Put an input in, after its predecessor if that is still set aside."""
        if before is not None:
            await asyncio.wait([before])
        if not self.stopped and not self._intake.offer([item]):
            await self._put(item)
        self._aside.discard(asyncio.current_task())

    async def _put(self, item: Prepared) -> None:
        async with self._putting:
            await self._intake.put(item)

    @property
    def _max_aside(self) -> int:
        return max(1, min(MAX_ASIDE, MAX_ASIDE_BYTES // self.largest)) if self.largest else MAX_ASIDE

    async def _wait_for_aside(self, number: int) -> None:
        """Wait until at most so many inputs are set aside."""
        while len(self._aside) > number:
            await asyncio.wait(self._aside, return_when=asyncio.FIRST_COMPLETED)
            self._aside = {task for task in self._aside if not task.done()}

    async def close(self) -> None:
        """Close the source, once; what it has taken from the user's iterator and not given is counted as dropped."""
        try:
            await self._source.close()
        except BaseException:
            pass  # the user's iterator failed or hung while closing; the stream is over either way
        finally:
            waiting = self._source.held
            self._tally.pulled += waiting
            self._tally.drop("closed", waiting)


def _unsendable(position: int, item: object, error: HeadraceError) -> Prepared:
    source = item.source if isinstance(item, Input) else str(item) if isinstance(item, Path) else ""
    source = source or (error.source if isinstance(error, InputError) else "")
    id = getattr(error, "input_id", None) or f"item-{position}"
    return Unsendable(id, error, source, position)
