"""The feeder of a stream: pulls the user's source, makes inputs of its items, and closes it in the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from headrace.calls.stats import Tally
from headrace.errors import HeadraceError
from headrace.inputs import Input
from headrace.sources.items import OWN_ERRORS, SourceInput
from headrace.sources.iterables import Source, pull_some

#: Turns an item of the source into a checked input with an id: at once, or with I/O first.
Convert = Callable[[object], Input | Awaitable[Input]]
#: Gives the request's template; it may do I/O once.
Template = Callable[[], Awaitable[bytes]]


@dataclass(slots=True)
class Pulled:
    """One item of the source: an input, or why there is none."""

    position: int
    item: Input
    size: int = 0  # bytes of its payloads
    error: HeadraceError | None = None


class Intake(Protocol):
    """Where a feeder puts inputs; the feeder is the only one who does."""

    async def room(self) -> int:
        """Wait until items may be pulled; tell how many."""

    def offer(self, pulled: Pulled) -> bool:
        """Take an input in, unless it has to wait for room."""

    async def put(self, pulled: Pulled) -> None:
        """Take an input in as soon as there is room."""

    def fed(self) -> None:
        """Hear that inputs were taken in, and that more may take a while."""

    def end(self) -> None:
        """Hear that the source has ended."""


class Feeder:
    """Pulls the user's source when there is room, what is there at once; closes the source in the end."""

    def __init__(self, source: Source[object], convert: Convert, tally: Tally, intake: Intake) -> None:
        self._source = source
        self._convert = convert
        self._tally = tally
        self._intake = intake
        self.pulling = False  # it may be cancelled; before and after that, it is not: it closes the source
        self.stopped = False
        self.largest = 0  # bytes of the largest input so far; 0: nothing is known yet

    async def run(self) -> None:
        """Pull until the source ends; not to be begun where it is stopped already.

        Raises:
            BaseException: what the user's iterator raised, as it is.
        """
        self.pulling = True
        try:
            while True:
                count = await self._intake.room()
                try:
                    items = await pull_some(self._source, count)
                except StopAsyncIteration:
                    self._intake.end()
                    return
                self._tally.pulled += len(items)
                if self.stopped:  # the iterator has not minded that the pulling was cancelled
                    self._tally.drop("closed", len(items))
                    return
                await self._take_in(items)
        finally:
            self.pulling = False

    async def _take_in(self, items: list[object]) -> None:
        intake, convert = self._intake, self._convert
        position = self._tally.pulled - len(items)
        first = position
        for item in items:
            try:
                made = convert(item)
                if not isinstance(made, Input):
                    if position > first:
                        intake.fed()  # for those before it: this one may take a while
                    made = await made
                    if self.stopped:
                        return  # what is in hand was counted then
            except OWN_ERRORS as error:
                source = item.source if isinstance(item, Input) else ""
                bad = SourceInput((), getattr(error, "input_id", None) or f"item-{position}", source=source)
                pulled = Pulled(position, bad, error=error)
            else:
                size = made.size_bytes
                if size >= self.largest:
                    self.largest = size or 1
                pulled = Pulled(position, made, size)
            if not intake.offer(pulled):
                intake.fed()
                await intake.put(pulled)
            position += 1
        intake.fed()

    async def close(self) -> None:
        """Close the source, once; what it has taken from the user's iterator and not given is counted as dropped."""
        try:
            await self._source.close()
        except BaseException:
            pass  # the user's iterator failed while closing, or was left to itself; the stream is over either way
        finally:
            held = self._source.held
            self._tally.pulled += held
            self._tally.drop("closed", held)
