"""Anything that yields, as one kind of thing: an async iterator that can be closed.

A plain iterator may block, so it is pulled in a thread of its own: never on the event loop, and never in the loop's
shared pool, where one that hangs would hold up the program's end. Lists and tuples are in memory and cannot block.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from typing import Any, Generic, TypeAlias, TypeVar, cast

from headrace.errors import ConfigError, SourceError

T = TypeVar("T")


class Source(Generic[T]):
    """One way to pull and to close, whatever the user gave."""

    async def next(self) -> T:
        """Give the next item.

        Raises:
            StopAsyncIteration: there is none.
            Exception: whatever the user's iterator raised.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Close the user's iterator; idempotent."""


async def pull(source: Source[T]) -> T:
    """Give a source's next item, for a task of ours.

    Raises:
        StopAsyncIteration: there is none.
        SourceError: the user's iterator was cancelled from within; nobody has cancelled us.
        Exception: whatever the user's iterator raised.
    """
    try:
        return await source.next()
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise SourceError("the iterator of inputs ended with a CancelledError of its own") from error


class _Async(Source[T]):
    def __init__(self, iterable: AsyncIterable[T]) -> None:
        self._iterator = aiter(iterable)

    async def next(self) -> T:
        return await anext(self._iterator)

    async def close(self) -> None:
        aclose = getattr(self._iterator, "aclose", None)
        if aclose is not None:
            await aclose()


class _Memory(Source[T]):
    def __init__(self, items: Iterable[T]) -> None:
        self._iterator = iter(items)

    async def next(self) -> T:
        for item in self._iterator:
            return item
        raise StopAsyncIteration

    async def close(self) -> None:
        self._iterator = iter(())


#: What a thread is asked: where to deliver the next item or the failure; None: to close and end.
_Requests: TypeAlias = "queue.SimpleQueue[Callable[[object, BaseException | None], None] | None]"

_END = object()
CLOSE_SECONDS = 1.0  # closing waits at most so long for an iterator that is in the middle of something


class _Threaded(Source[T]):
    """Pulls a plain iterator in a daemon thread, one item a request, so that nothing is pulled ahead."""

    def __init__(self, iterable: Iterable[T]) -> None:
        self._iterable = iterable
        self._requests: _Requests = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed: asyncio.Future[None] | None = None

    async def next(self) -> T:
        loop = asyncio.get_running_loop()
        if self._closed is not None:
            raise StopAsyncIteration
        self._start()
        answer: asyncio.Future[object] = loop.create_future()

        def deliver(item: object, error: BaseException | None) -> None:
            try:
                loop.call_soon_threadsafe(_settle, answer, item, error)
            except RuntimeError:
                pass  # the loop has closed meanwhile; nobody waits

        self._requests.put(deliver)
        item = await answer
        if item is _END:
            raise StopAsyncIteration
        return cast("T", item)

    def _start(self) -> threading.Thread:
        if self._thread is None:
            arguments = (self._requests, self._iterable)
            self._thread = threading.Thread(target=_serve, args=arguments, name="headrace-source", daemon=True)
            self._thread.start()
        return self._thread

    async def close(self) -> None:
        if self._closed is not None:
            return
        loop = asyncio.get_running_loop()
        closed = self._closed = loop.create_future()
        if self._thread is None and not isinstance(self._iterable, Iterator):
            return  # nothing was begun
        thread = self._start()

        def gone() -> None:
            thread.join()
            try:
                loop.call_soon_threadsafe(_settle, closed, None, None)
            except RuntimeError:
                pass

        self._requests.put(None)
        # A thread stuck in the user's code can't be joined here; a second one waits, and neither holds the exit.
        threading.Thread(target=gone, name="headrace-source-close", daemon=True).start()
        await asyncio.wait([closed], timeout=CLOSE_SECONDS)

    def __del__(self) -> None:
        self._requests.put(None)  # a source that nobody closed lets its thread go all the same


def _serve(requests: _Requests, iterable: Iterable[Any]) -> None:
    """Pull from a plain iterator whenever asked to, then close it; the thread's work. It never holds the source."""
    iterator: Iterator[Any] | None = None
    while (deliver := requests.get()) is not None:
        try:
            if iterator is None:
                iterator = iter(iterable)
            deliver(next(iterator), None)
        except StopIteration:
            deliver(_END, None)
        except BaseException as error:
            deliver(None, error)
    own = iterator if iterator is not None else iterable
    close = getattr(own, "close", None)
    if callable(close) and isinstance(own, Iterator):
        try:
            close()
        except Exception:
            pass  # the user's generator failed while closing; the stream is over


def _settle(answer: asyncio.Future[Any], item: object, error: BaseException | None) -> None:
    if answer.done():
        return  # the puller was cancelled
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(item)


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
    if isinstance(items, list | tuple):
        return _Memory(items)
    if isinstance(items, Iterable):
        return _Threaded(items)
    raise ConfigError(f"cannot iterate over {type(items).__name__}: give an (async) iterator, a list or a single item")


__all__ = ["Source", "pull", "source"]
