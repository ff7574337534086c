"""One interface for everything that yields: an async iterator that can be closed.

A plain iterator may block, so it is pulled in its own thread: never on the event loop, and never in the loop's
shared pool, where one that hangs would hold up the program's end. Lists and tuples are in memory and cannot block.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import queue
import threading
import types
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Generator, Iterable, Iterator
from typing import Any, Generic, TypeVar

from headrace.errors import ConfigError, SourceError

T = TypeVar("T")


class Source(Generic[T]):
    """One way to pull and to close, whatever the user gave.

    Attributes:
        iterator: an async iterator that gives the same items as `next`, for `next_of`; None if there is none.
    """

    iterator: AsyncIterator[T] | None = None

    async def next(self) -> T:
        """Return the next item.

        Raises:
            StopAsyncIteration: there is none.
            Exception: whatever the user's iterator raised.
        """
        raise NotImplementedError

    async def some(self, limit: int) -> list[T]:
        """Return the next item and those after it that are already available, at most so many.

        Raises: as `next` does.
        """
        return [await self.next()]

    @property
    def held(self) -> int:
        """Items that were taken from the user's iterator and not delivered."""
        return 0

    async def close(self) -> None:
        """Close the user's iterator; idempotent."""


async def pull(source: Source[T]) -> T:
    """Return a source's next item, for an internal task.

    Raises:
        StopAsyncIteration: there is none.
        SourceError: the user's iterator raised CancelledError although nobody cancelled it.
        Exception: whatever the user's iterator raised.
    """
    return (await pull_some(source, 1))[0]


def _true_end(error: BaseException) -> BaseException:
    """Return a plain iterator's exception; a StopAsyncIteration is wrapped, as it would look like the end."""
    if not isinstance(error, StopAsyncIteration):
        return error
    raised = RuntimeError("the iterator of inputs raised StopAsyncIteration")
    raised.__cause__ = error
    return raised


async def pull_some(source: Source[T], limit: int) -> list[T]:
    """Return a source's next items, for an internal task: one, and those already available, at most so many.

    Raises: as `pull` does.
    """
    try:
        return await source.some(limit)
    except asyncio.CancelledError as error:
        refuse_false_cancel(error)
        raise


def refuse_false_cancel(error: asyncio.CancelledError) -> None:
    """Check that a CancelledError which came out of a source was meant for the task that pulls it.

    Raises:
        SourceError: nobody cancelled the task.
    """
    task = asyncio.current_task()
    if task is not None and not task.cancelling():
        raise SourceError("the iterator of inputs raised CancelledError although nobody cancelled it") from error


@types.coroutine
def next_of(iterator: AsyncIterator[T], before_waiting: Callable[[], None]) -> Generator[Any, Any, T]:
    """Return an async iterator's next item; if it is not there yet, call `before_waiting` first.

    So items that come without waiting can be gathered, and are not held back by one that does not.

    Raises: as `anext` does.
    """
    awaitable: Awaitable[T] = anext(iterator)
    if not hasattr(awaitable, "__await__"):  # the coroutines of `types.coroutine` have none
        awaitable = _awaiting(awaitable)
    step = awaitable.__await__()
    try:
        awaited = next(step)
    except StopIteration as end:
        item: T = end.value
        return item
    before_waiting()
    rest: T = yield from _Begun(step, awaited)
    return rest


async def _awaiting(awaitable: Awaitable[T]) -> T:
    return await awaitable


class _Begun(Generator[Any, Any, T]):
    """What remains of an await that has begun: the first thing that it waits for is still to be handed on."""

    __slots__ = ("_first", "_step")

    def __init__(self, step: Generator[Any, Any, T], first: object) -> None:
        self._step = step
        self._first: list[object] = [first]

    def send(self, value: Any) -> Any:
        if self._first:
            return self._first.pop()
        return next(self._step) if value is None else self._step.send(value)

    def throw(self, *error: Any) -> Any:
        if hasattr(self._step, "throw"):
            return self._step.throw(*error)
        return super().throw(*error)


class _Async(Source[T]):
    def __init__(self, iterable: AsyncIterable[T]) -> None:
        self.iterator: AsyncIterator[T] = aiter(iterable)

    async def next(self) -> T:
        return await anext(self.iterator)

    async def close(self) -> None:
        aclose = getattr(self.iterator, "aclose", None)
        if aclose is not None:
            await aclose()


class _Memory(Source[T]):
    def __init__(self, items: Iterable[T]) -> None:
        self._iterator = iter(items)

    async def next(self) -> T:
        return (await self.some(1))[0]

    async def some(self, limit: int) -> list[T]:
        items = list(itertools.islice(self._iterator, limit))
        if not items:
            raise StopAsyncIteration
        return items

    async def close(self) -> None:
        self._iterator = iter(())


class _End:
    """The place of the end among a thread's items: what the iterator raised; None: nothing."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException | None) -> None:
        self.error: BaseException | None = error


ITERATOR_CLOSE_SECONDS = 1.0  # closing waits at most so long for an iterator that is in the middle of something


class _Arrivals:
    """The items that a thread pulled, for one event loop.

    It has no lock, unlike a `ThreadQueue`, whose lock costs one to five microseconds an item: the thread
    only appends, the loop only takes from the front, and the demand bounds it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.items: deque[object] = deque()  # `_End` where the iterator has ended
        self.waiter: asyncio.Future[None] | None = None
        self.waking = False  # a wake-up is scheduled: one is enough for all items
        self.closed = False

    def put(self, item: object) -> None:
        """Add an item, or the end; in the thread."""
        self.items.append(item)
        if not self.waking:
            self.waking = True
            self.call_in_loop(self._wake)

    def call_in_loop(self, function: Callable[[], None]) -> None:
        """Call a function in the loop."""
        try:
            self.loop.call_soon_threadsafe(function)
        except RuntimeError:
            pass  # the loop has closed meanwhile; nobody waits

    def _wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def take(self, limit: int) -> list[Any]:
        """Take the oldest items, in the loop; the end comes alone."""
        self.waking = False  # before looking: what arrives after this wakes again
        items = self.items
        taken: list[Any] = []
        while items and len(taken) < limit:
            if taken and type(items[0]) is _End:
                break
            taken.append(items.popleft())
        return taken


class _Threaded(Source[T]):
    """Pulls a plain iterator in a daemon thread: as many items as were requested, and no more.

    An item of a slow iterator is available immediately; those of a quick one are taken together.
    """

    def __init__(self, iterable: Iterable[T]) -> None:
        self._iterable = iterable
        self._requests: queue.SimpleQueue[int | None] = queue.SimpleQueue()  # so many items more; None: the end
        self._asked = 0  # items requested and not delivered
        self._arrivals: _Arrivals | None = None
        self._thread: threading.Thread | None = None
        self._closed: asyncio.Future[None] | None = None

    @property
    def held(self) -> int:
        items = self._arrivals.items if self._arrivals is not None else ()
        return sum(type(item) is not _End for item in items)

    async def next(self) -> T:
        return (await self.some(1))[0]

    async def some(self, limit: int) -> list[T]:
        if self._closed is not None:
            raise StopAsyncIteration
        arrivals, _ = self._start()
        if self._asked < limit:
            self._requests.put(limit - self._asked)
            self._asked = limit
        while not (taken := arrivals.take(limit)):
            arrivals.waiter = arrivals.loop.create_future()
            try:
                await arrivals.waiter
            finally:
                arrivals.waiter = None
            if self._closed is not None:
                raise StopAsyncIteration
        if type(taken[0]) is _End:
            self._asked = 0  # the remaining requested items will not come
            raise StopAsyncIteration if (error := taken[0].error) is None else error
        self._asked -= len(taken)
        return taken

    def _start(self) -> tuple[_Arrivals, threading.Thread]:
        if self._arrivals is None or self._thread is None:
            self._arrivals = _Arrivals(asyncio.get_running_loop())
            context = contextvars.copy_context()  # the iterator sees its caller's context variables, as in a plain loop
            arguments = (_serve, self._requests, self._iterable, self._arrivals)
            self._thread = threading.Thread(target=context.run, args=arguments, name="headrace-source", daemon=True)
            self._thread.start()
        return self._arrivals, self._thread

    async def close(self) -> None:
        if self._closed is not None:
            return
        closed = self._closed = asyncio.get_running_loop().create_future()
        if self._thread is None and not isinstance(self._iterable, Iterator):
            return  # nothing was started
        arrivals, thread = self._start()
        arrivals.closed = True

        def settle() -> None:
            if not closed.done():
                closed.set_result(None)

        def join() -> None:
            thread.join()
            arrivals.call_in_loop(settle)

        self._requests.put(None)
        # A thread stuck in the user's code can't be joined here; a second one waits, and neither delays the exit.
        threading.Thread(target=join, name="headrace-source-close", daemon=True).start()
        await asyncio.wait([closed], timeout=ITERATOR_CLOSE_SECONDS)

    def __del__(self) -> None:
        if self._arrivals is not None:
            self._arrivals.closed = True
        self._requests.put(None)  # a source that was never closed still ends its thread


def _serve(requests: queue.SimpleQueue[int | None], iterable: Iterable[Any], arrivals: _Arrivals) -> None:
    """Pull from a plain iterator on demand, then close it; runs in the thread. It never refers to the source."""
    iterator: Iterator[Any] | None = None
    while (count := requests.get()) is not None:
        try:
            if iterator is None:
                iterator = iter(iterable)
            while count and not arrivals.closed:
                arrivals.put(next(iterator))
                count -= 1
        except StopIteration:
            arrivals.put(_End(None))
        except BaseException as error:
            arrivals.put(_End(_true_end(error)))
    own = iterator if iterator is not None else iterable
    close = getattr(own, "close", None)
    if callable(close) and isinstance(own, Iterator):
        try:
            close()
        except BaseException:
            pass  # the user's generator failed while closing; the stream is over


_IN_MEMORY = (list.__iter__, tuple.__iter__)


def _is_sequence(items: object) -> bool:
    """Return whether something is iterated by its indexes, as data sets of training libraries are."""
    return hasattr(type(items), "__getitem__") and hasattr(type(items), "__len__")


def source(items: Any, single: tuple[type, ...] = ()) -> Source[Any]:
    """Make a source of an async iterable, a list, any plain iterable, or one single item.

    Args:
        items: where the items come from.
        single: types that are one item although they can be iterated, such as str and bytes.

    Raises:
        ConfigError: it cannot be iterated.
    """
    if isinstance(items, Source):
        return items
    if single and isinstance(items, single):
        return _Memory([items])
    if isinstance(items, AsyncIterable):
        return _Async(items)
    if (
        isinstance(items, list | tuple) and type(items).__iter__ in _IN_MEMORY
    ):  # not that of a subclass with an iteration of its own
        return _Memory(items)
    if isinstance(items, Iterable) or _is_sequence(items):
        return _Threaded(items)
    raise ConfigError(f"cannot iterate over {type(items).__name__}: give an (async) iterator, a list or a single item")


__all__ = ["Source", "next_of", "pull", "pull_some", "refuse_false_cancel", "source"]
