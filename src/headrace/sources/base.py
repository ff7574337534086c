"""The base of all sources of inputs: async iterators that can be closed, and restarted if they are finite."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from typing import Any, Self

from headrace.errors import ClosedError, ConcurrentUse, ConfigError, DeadlineExceeded, InputError, SourceError
from headrace.flow.pipe import EndOfPipe, Pipe
from headrace.inputs import Input, shortened
from headrace.sources import iterables
from headrace.sources.items import SourceInput, failed, ids, placed
from headrace.support.misuse import AsyncContext, AsyncIteration

CLOSE_SECONDS = 2.0  # how long closing waits for tasks that do not end by themselves


class InputSource(AsyncContext, AsyncIteration, AsyncIterator[SourceInput]):
    """An async iterator of inputs with id, position and timestamp; `async with` or `aclose()` closes it.

    Attributes:
        name: what it reads, for messages.
        finite: whether it ends by itself and can be started again with `restart()`.
    """

    name: str = ""
    finite: bool = True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SourceInput:
        raise NotImplementedError

    async def aclose(self) -> None:
        """Release what is open; idempotent. Reading a closed source ends immediately."""
        raise NotImplementedError

    async def restart(self) -> Self:
        """Begin again with the first input; ids and positions are the same as before.

        Raises:
            ConfigError: it is live, or it reads from an iterator that can be read once only.
        """
        raise NotImplementedError

    def limit_each(self, seconds: float | None) -> None:
        """Bound the time that making one input may take, if the source makes them; a call's timeout sets it."""


#: Makes a new iterable each time.
Begin = Callable[[], Iterable[Any] | AsyncIterable[Any]]
#: Makes an input from one item; it may do I/O.
Make = Callable[[Any], Awaitable[Input]]


class ItemSource(InputSource):
    """A source that makes an input from each item of an iterable, several concurrently and in order.

    Args:
        begin: gives the items; a plain iterator is pulled in a thread.
        make: makes an input from one; an exception becomes this input's own error.
        prefetch: how many inputs may be made ahead; 0: none, each is made when it is asked for.
        input_type: the type of failed inputs.
        again: whether `begin` may be called again.
    """

    def __init__(
        self, name: str, begin: Begin, make: Make, *, prefetch: int = 0, input_type: str = "", again: bool = True
    ) -> None:
        if isinstance(prefetch, bool) or not isinstance(prefetch, int) or prefetch < 0:
            raise ConfigError(f"prefetch must be a whole number of inputs, 0 or more, not {prefetch!r:.60}")
        self.name = name
        self.finite = again
        self._begin = begin
        self._make = make
        self._prefetch = prefetch
        self._input_type = input_type
        self._seconds: float | None = None  # that one input may take
        self._new_id = ids()
        self._clear()

    def _clear(self) -> None:
        self._items: iterables.Source[Any] | None = None
        self._pipe: Pipe[asyncio.Task[SourceInput]] | None = None
        self._filler: asyncio.Task[None] | None = None
        self._current: asyncio.Task[SourceInput] | None = None
        self._position = 0
        self._reading = self._closed = self._started = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {self._position} read{', closed' if self._closed else ''}>"

    async def __anext__(self) -> SourceInput:
        if self._reading:
            raise ConcurrentUse("another task is reading this source")
        if self._closed:
            raise StopAsyncIteration
        self._start()
        self._reading = True
        try:
            if self._current is None:
                self._current = await self._pipe.receive() if self._pipe is not None else self._task(self._pulled())
            await asyncio.wait([self._current])  # a reader that is cancelled here finds the same item next time
            current, self._current = self._current, None
            if current is None:  # closed meanwhile
                raise StopAsyncIteration
            return current.result()
        except (EndOfPipe, ClosedError):
            raise StopAsyncIteration from None
        finally:
            self._reading = False

    def _start(self) -> None:
        if self._started:
            return
        self._started = True
        self._items = iterables.source(self._begin())
        if self._prefetch:
            self._pipe = Pipe(self._prefetch)
            self._filler = asyncio.get_running_loop().create_task(self._fill(self._pipe), name="headrace-prefetch")

    @staticmethod
    def _task(work: Coroutine[Any, Any, SourceInput]) -> asyncio.Task[SourceInput]:
        return asyncio.get_running_loop().create_task(work, name="headrace-prefetch")

    async def _pull(self) -> tuple[Any, int]:
        assert self._items is not None
        try:
            raw = await iterables.pull(self._items)
        except SourceError as error:
            if error.position is None:
                error.position = self._position
            raise
        position, self._position = self._position, self._position + 1
        return raw, position

    async def _pulled(self) -> SourceInput:
        return await self._one(*await self._pull())

    async def _fill(self, pipe: Pipe[asyncio.Task[SourceInput]]) -> None:
        try:
            while True:
                await pipe.ready()
                raw, position = await self._pull()
                await pipe.send(self._task(self._one(raw, position)))
        except StopAsyncIteration:
            pipe.close_sender()
        except ClosedError:
            pass
        except Exception as error:
            pipe.fail(error)

    def limit_each(self, seconds: float | None) -> None:
        """Bound the time that making one input may take."""
        self._seconds = seconds

    async def _one(self, raw: Any, position: int) -> SourceInput:
        error: InputError | SourceError | DeadlineExceeded
        try:
            async with asyncio.timeout(self._seconds) as scope:
                return placed(await self._make(raw), position, self._origin(raw), self._new_id)
        except (InputError, SourceError) as own:
            error = own
            if isinstance(error, SourceError):
                error.position = position
        except Exception as other:  # a failure of one item ends only that item
            name = f"item {position} of {self.name}"
            if isinstance(other, TimeoutError) and scope.expired():
                error = DeadlineExceeded(f"{name}: reading it took longer than {self._seconds:g} s")
            else:
                text = str(other) if isinstance(other, ConfigError) else f"{type(other).__name__}: {other}"
                error = InputError(f"{name}: {shortened(text, 500)}", input_id=self._new_id(position))
        return failed(error, position, self._named(raw), self._new_id(position), self._input_type)

    def _origin(self, raw: Any) -> str:
        """Return where an item comes from."""
        return self.name

    def _named(self, raw: Any) -> str:
        """Return where a failed item comes from; it may be of any kind."""
        try:
            return self._origin(raw)
        except Exception:
            return self.name

    async def aclose(self) -> None:
        """Stop reading ahead and close what is read; idempotent."""
        if self._closed:
            return
        self._closed = True
        tasks: list[asyncio.Task[Any]] = [task for task in (self._filler, self._current) if task is not None]
        if self._pipe is not None:
            while (ahead := self._pipe.receive_nowait()) is not None:
                tasks.append(ahead)
            self._pipe.close_receiver()
        for task in tasks:
            task.cancel()
        self._current = None
        if tasks:
            await asyncio.wait(tasks)
        if self._items is not None:
            # The user's iterator may fail or hang while it closes: it is over in any case.
            with contextlib.suppress(Exception, TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._items.close()

    async def restart(self) -> Self:
        """Begin again with the first input; ids and positions are the same as before."""
        if not self.finite:
            raise ConfigError(f"{self.name} can be read once only")
        await self.aclose()
        self._clear()
        return self
