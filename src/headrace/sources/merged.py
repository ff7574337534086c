"""Several sources as one: items in the order in which they become available, each source in its turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import Any, Literal, Protocol, Self, cast, runtime_checkable

from headrace.errors import ConcurrentUse, ConfigError, HeadraceError, InputError, SourceError
from headrace.inputs import Input, shortened
from headrace.sources.base import InputSource
from headrace.sources.items import SourceInput, failed, ids, placed


@runtime_checkable
class Waiting(Protocol):
    """A source that knows when it has something, without taking it: what is not taken can still be replaced."""

    async def ready(self) -> None:
        """Wait until the next item is there, or the end."""


class Merged(InputSource):
    """The inputs of several sources, as they come; if several have one, each gets its turn.

    At most one input of a source is held; of live video none, so that the newest frame goes out. A source that fails
    ends alone: its SourceError is one failed input (`on_error="yield"`), or is raised immediately ("raise"). When all
    have failed, the last failure is raised.
    """

    def __init__(self, sources: tuple[AsyncIterable[Any], ...], on_error: Literal["yield", "raise"]) -> None:
        if not sources:
            raise ConfigError("merge needs at least one source")
        if on_error not in ("yield", "raise"):
            raise ConfigError(f'on_error must be "yield" or "raise", not {on_error!r}')
        self.sources = sources
        self.name: str = " + ".join(str(getattr(source, "name", "")) or type(source).__name__ for source in sources)
        self.finite: bool = all(getattr(source, "finite", False) for source in sources)
        self._on_error = on_error
        self._new_id = ids()
        self._clear()

    def _clear(self) -> None:
        self._iterators = [aiter(source) for source in self.sources]
        self._tasks: dict[int, asyncio.Task[Any]] = {}  # source -> waiting for it
        self._turns = list(range(len(self.sources)))  # the first one has waited longest
        self._failures = 0
        self._position = 0
        self._reading = self._closed = False

    def __repr__(self) -> str:
        return f"<Merged {self.name}: {self._position} read, {len(self._turns)} of {len(self.sources)} open>"

    async def __anext__(self) -> SourceInput:
        if self._reading:
            raise ConcurrentUse("another task is reading this source")
        self._reading = True
        try:
            while not self._closed and self._turns:
                number = await self._wait()
                if number is None:
                    break
                item = await self._take(number)
                if item is not None:
                    return item
            raise StopAsyncIteration
        finally:
            self._reading = False

    def limit_each(self, seconds: float | None) -> None:
        """Bound the time that making one input may take, in each source."""
        for source in self.sources:
            if isinstance(source, InputSource):
                source.limit_each(seconds)

    async def ready(self) -> None:
        """Wait until one source has an input, or all have ended."""
        if not self._closed and self._turns:
            await self._wait()

    async def _wait(self) -> int | None:
        """Wait for any source; return the one whose turn it is among those that are ready."""
        for number in self._turns:
            if number not in self._tasks:
                iterator = self._iterators[number]
                waits = iterator.ready() if isinstance(iterator, Waiting) else anext(iterator)
                self._tasks[number] = asyncio.ensure_future(cast("Any", waits))
        await asyncio.wait(self._tasks.values(), return_when=asyncio.FIRST_COMPLETED)
        return next((number for number in self._turns if (t := self._tasks.get(number)) and t.done()), None)

    async def _take(self, number: int) -> SourceInput | None:
        task = self._tasks.pop(number)
        iterator = self._iterators[number]
        try:
            raw = task.result()
            if isinstance(iterator, Waiting):
                raw = await anext(iterator)
        except StopAsyncIteration:
            self._turns.remove(number)
            return None
        except SourceError as error:
            self._turns.remove(number)
            self._failures += 1
            if self._on_error == "raise" or self._failures == len(self.sources):
                raise
            return self._failed(error, number)
        self._turns.remove(number)
        self._turns.append(number)
        position, self._position = self._position, self._position + 1
        if isinstance(raw, SourceInput):
            return raw
        try:
            return placed(Input.of(raw), position, self.name, self._new_id)
        except Exception as error:  # a bad item ends no source
            text = str(error) if isinstance(error, HeadraceError) else f"{type(error).__name__}: {error}"
            bad = InputError(f"item {position} of {self.name}: {shortened(text, 500)}")
            return failed(bad, position, self.name, self._new_id(position))

    def _failed(self, error: SourceError, number: int) -> SourceInput:
        position, self._position = self._position, self._position + 1
        return failed(error, position, str(getattr(self.sources[number], "name", "")), self._new_id(position))

    async def aclose(self) -> None:
        """Close all sources; idempotent."""
        if self._closed:
            return
        self._closed = True
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for iterator in self._iterators:
            aclose = getattr(iterator, "aclose", None)
            if aclose is not None:
                await aclose()

    async def restart(self) -> Self:
        """Begin again with the first input of each.

        Raises:
            ConfigError: one of them cannot be read again.
        """
        if not self.finite:
            raise ConfigError(f"{self.name} can be read once only")
        await self.aclose()
        for source in self.sources:
            await cast("InputSource", source).restart()
        self._clear()
        return self


def merge(*sources: AsyncIterable[Any], on_error: Literal["yield", "raise"] = "yield") -> Merged:
    """Merge several sources into one; inputs come as they are available, each source in its turn, with their positions.

    Args:
        sources: sources, or async iterators of what stands for an input.
        on_error: what to do when one fails: give its error as one failed input and go on, or raise it.
    """
    return Merged(sources, on_error)
