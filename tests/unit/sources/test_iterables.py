"""Anything that yields becomes a source: pulled one at a time, off the loop where it may block, and closed."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.errors import ConfigError, SourceError
from headrace.sources import iterables
from headrace.sources.iterables import Source, pull, source

pytestmark = pytest.mark.core


class Log:
    """What a user's iterator noticed."""

    def __init__(self) -> None:
        self.pulled = 0
        self.closed = 0
        self.threads: set[str] = set()

    def numbers(self, count: int = 3, error: BaseException | None = None) -> Iterator[int]:
        try:
            for number in range(count):
                self.pulled += 1
                self.threads.add(threading.current_thread().name)
                yield number
            if error is not None:
                raise error
        finally:
            self.closed += 1

    async def anumbers(self, count: int = 3, error: BaseException | None = None) -> AsyncIterator[int]:
        try:
            for number in range(count):
                self.pulled += 1
                yield number
            if error is not None:
                raise error
        finally:
            self.closed += 1


class Plain:
    """An async iterator without any `aclose`."""

    def __init__(self) -> None:
        self.left = [2, 1, 0]

    def __aiter__(self) -> Plain:
        return self

    async def __anext__(self) -> int:
        if not self.left:
            raise StopAsyncIteration
        return self.left.pop()


class Again:
    """An iterable that begins anew, and is no iterator."""

    def __iter__(self) -> Iterator[int]:
        return iter(range(3))


class ByIndex:
    """A data set as training libraries have it: a length and items by their index."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> int:
        return range(3)[index]


async def drain(items: Source[Any]) -> list[Any]:
    found = []
    while True:
        try:
            found.append(await items.next())
        except StopAsyncIteration:
            await items.close()
            return found


@pytest.mark.parametrize(
    "make",
    [
        lambda: [0, 1, 2],
        lambda: (0, 1, 2),
        lambda: range(3),
        lambda: iter([0, 1, 2]),
        lambda: {0: "a", 1: "b", 2: "c"},
        lambda: map(int, "012"),
        Again,
        Plain,
        ByIndex,
        lambda: Log().numbers(),
        lambda: Log().anumbers(),
    ],
)
async def test_anything_that_yields_is_a_source(make: Callable[[], Any]) -> None:
    assert await drain(source(make())) == [0, 1, 2]


@pytest.mark.parametrize("item", ["text", b"bytes", bytearray(b"x"), Path("p")])
async def test_a_single_item_is_one_item_although_it_can_be_iterated(item: Any) -> None:
    assert await drain(source(item, (str, bytes, bytearray, Path))) == [item]


async def test_a_source_is_taken_as_it_is() -> None:
    made = source([1])
    assert source(made) is made


@pytest.mark.parametrize("value", [None, 5, object()])
def test_what_cannot_be_iterated_is_refused_by_name(value: object) -> None:
    with pytest.raises(ConfigError, match=type(value).__name__):
        source(value)


async def test_nothing_is_pulled_before_it_is_asked_for() -> None:
    log = Log()
    items = source(log.numbers(10))
    assert log.pulled == 0
    for expected in range(3):
        assert await items.next() == expected
        assert log.pulled == expected + 1
    await items.close()
    assert log.closed == 1


async def test_an_iterator_that_blocks_does_not_block_the_loop() -> None:
    release = threading.Event()

    def blocking() -> Iterator[int]:
        release.wait(5)
        yield 1

    items = source(blocking())
    asking = asyncio.create_task(items.next())
    for _ in range(10):
        await asyncio.sleep(0)  # the loop turns
    assert not asking.done()
    release.set()
    assert await asking == 1
    await items.close()


async def test_an_iterator_is_pulled_and_closed_in_one_thread_of_its_own() -> None:
    log = Log()
    await drain(source(log.numbers(5)))
    assert log.threads == {"headrace-source"}
    assert log.closed == 1


class Empty(Exception):
    """An exception that is false, as one that holds a list of errors and has none."""

    def __len__(self) -> int:
        return 0


class Numbers(list[int]):
    """A list that makes its items when they are asked for, as lazy views of data do."""

    def __iter__(self) -> Iterator[int]:
        yield from (0, 1)
        raise ValueError("mine")


@pytest.mark.parametrize("kind", ["numbers", "anumbers"])
@pytest.mark.parametrize("error", [ValueError("mine"), OSError("mine"), TimeoutError(), KeyError("k"), Empty()])
async def test_the_users_exception_comes_out_as_itself(kind: str, error: Exception) -> None:
    items = source(getattr(Log(), kind)(1, error))
    assert await items.next() == 0
    with pytest.raises(type(error)) as caught:
        await items.next()
    assert caught.value is error
    assert caught.value.__cause__ is None
    with pytest.raises(StopAsyncIteration):
        await items.next()
    await items.close()


async def test_a_failing_iter_comes_out_too() -> None:
    class Broken:
        def __iter__(self) -> Iterator[int]:
            raise LookupError("no camera")

    items = source(Broken())
    with pytest.raises(LookupError, match="no camera"):
        await items.next()
    await items.close()


@pytest.mark.parametrize("kind", ["numbers", "anumbers"])
async def test_closing_early_closes_the_users_generator_once(kind: str) -> None:
    log = Log()
    items = source(getattr(log, kind)(100))
    assert await items.next() == 0
    await items.close()
    await items.close()
    assert log.closed == 1
    with pytest.raises(StopAsyncIteration):
        await items.next()
    assert log.pulled == 1


@pytest.mark.parametrize("make", [lambda log: log.numbers(), lambda log: log.anumbers(), lambda log: [1, 2]])
async def test_after_closing_nothing_is_pulled_even_if_nothing_was_before(make: Callable[[Log], Any]) -> None:
    log = Log()
    items = source(make(log))
    await items.close()
    with pytest.raises(StopAsyncIteration):
        await items.next()
    assert log.pulled == 0


async def test_closing_closes_an_iterator_that_was_never_asked() -> None:
    class Closable(Iterator[int]):
        closed = False

        def __next__(self) -> int:
            raise StopIteration

        def close(self) -> None:
            self.closed = True

    iterator = Closable()
    await source(iterator).close()
    assert iterator.closed


async def test_an_iterable_that_is_no_iterator_is_not_closed() -> None:
    class Collection:
        closed = False

        def __iter__(self) -> Iterator[int]:
            return iter([1])

        def close(self) -> None:
            self.closed = True

    collection = Collection()
    assert await drain(source(collection)) == [1]
    assert not collection.closed


async def test_a_generator_that_fails_while_closing_does_no_harm() -> None:
    def stubborn() -> Iterator[int]:
        try:
            yield 1
        finally:
            raise RuntimeError("on the way out")

    items = source(stubborn())
    await items.next()
    await items.close()


async def test_a_thread_stuck_in_the_users_code_holds_closing_up_only_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iterables, "ITERATOR_CLOSE_SECONDS", 0.02)
    begun, release, log = threading.Event(), threading.Event(), []

    def stuck() -> Iterator[int]:
        try:
            begun.set()
            release.wait(10)
            yield 1
        finally:
            log.append("closed")

    items = source(stuck())
    asking = asyncio.create_task(items.next())
    await asyncio.to_thread(begun.wait, 10)
    asking.cancel()
    await asyncio.wait_for(items.close(), 2)
    assert log == []
    release.set()  # later it comes back, and is closed after all
    await asyncio.to_thread(join_threads)
    assert log == ["closed"]


async def test_a_cancelled_pull_loses_no_item() -> None:
    release = threading.Event()

    def slow() -> Iterator[int]:
        release.wait(5)
        yield from range(3)

    items = source(slow())
    asking = asyncio.create_task(items.next())
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    release.set()
    assert await drain(items) == [0, 1, 2]


def join_threads() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("headrace-source"):
            thread.join(5)
            assert not thread.is_alive()


def test_a_loop_that_closes_under_a_pull_leaves_no_noise_and_no_thread(capfd: pytest.CaptureFixture[str]) -> None:
    begun, release, log = threading.Event(), threading.Event(), Log()

    def slow() -> Iterator[int]:
        begun.set()
        release.wait(5)
        yield from log.numbers()

    async def leave() -> None:
        items = source(slow())
        asking = asyncio.create_task(items.next())
        await asyncio.to_thread(begun.wait, 10)
        asking.cancel()

    asyncio.run(leave())
    gc.collect()
    release.set()
    join_threads()
    assert log.closed == 1
    assert capfd.readouterr().err == ""


async def test_a_forgotten_source_lets_its_thread_go() -> None:
    log = Log()
    items = source(log.numbers())
    assert await items.next() == 0
    del items
    gc.collect()
    await asyncio.to_thread(join_threads)
    assert log.closed == 1


# -- pulling for a task of ours


async def test_a_cancellation_from_within_the_iterator_is_not_ours() -> None:
    async def cancelled() -> AsyncIterator[int]:
        yield 1
        inner = asyncio.ensure_future(asyncio.sleep(10))
        inner.cancel()
        await inner

    items = source(cancelled())
    assert await pull(items) == 1
    with pytest.raises(SourceError, match="CancelledError") as caught:
        await pull(items)
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    await items.close()


async def test_our_cancellation_stays_one() -> None:
    async def forever() -> AsyncIterator[int]:
        await asyncio.sleep(10)
        yield 1

    items = source(forever())
    task = asyncio.create_task(pull(items))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await items.close()


async def test_what_is_ready_comes_at_once_and_no_more_than_was_asked_for() -> None:
    log, hold = Log(), threading.Event()

    def some() -> Iterator[int]:
        yield from log.numbers(5)
        hold.wait(10)
        yield 5
        yield 6

    items = source(some())
    found = await items.some(4)
    while len(found) < 4:
        found += await items.some(4 - len(found))
    assert found == [0, 1, 2, 3]
    assert log.pulled == 4
    assert await items.some(3) == [4]  # the next one takes its time; this one is not kept back for it
    hold.set()
    assert await drain(items) == [5, 6]
    assert items.held == 0


async def test_what_was_taken_from_an_iterator_and_given_to_nobody_is_known() -> None:
    log = Log()
    items = source(log.numbers(10))
    first = await items.some(5)
    while log.pulled < 5:
        await asyncio.to_thread(lambda: None)
    await items.close()
    assert len(first) + items.held == 5
    assert await source([1, 2, 3]).some(2) == [1, 2]


@pytest.mark.parametrize("iterable", [lambda: Log().numbers(2, ValueError("mine")), Numbers])
async def test_a_failure_comes_after_what_was_given_before_it(iterable: Callable[[], Any]) -> None:
    items = source(iterable())
    found: list[int] = []
    with pytest.raises(ValueError, match="mine"):
        while True:
            found += await items.some(10)
    assert found == [0, 1]
    await items.close()
