"""One step of an async iterator, with a word before it waits."""

from __future__ import annotations

import asyncio
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from typing import Any

import pytest

from headrace.sources.iterables import next_of

pytestmark = pytest.mark.core


async def step(iterator: AsyncIterator[Any], before_waiting: Callable[[], Any] = lambda: None) -> Any:
    return await next_of(iterator, before_waiting)


async def generator(gates: list[Awaitable[Any] | None]) -> AsyncIterator[int]:
    for number, gate in enumerate(gates):
        if gate is not None:
            await gate
        yield number


class Stepwise:
    """An iterator that makes the awaitable of a step with `step`."""

    def __init__(self, gates: list[Awaitable[Any] | None], step: Callable[[int, Any], Awaitable[int]]) -> None:
        self.gates = iter(enumerate(gates))
        self.step = step

    def __aiter__(self) -> Stepwise:
        return self

    def __anext__(self) -> Awaitable[int]:
        return self.step(*next(self.gates))


async def coroutine(number: int, gate: Any) -> int:
    if gate is not None:
        await gate
    return number


@types.coroutine
def generator_coroutine(number: int, gate: Any) -> Generator[Any, Any, int]:
    if gate is not None:
        yield from gate
    return number


class Plain:
    """An awaitable whose iterator is no generator: it can be sent nothing, and nothing can be thrown into it."""

    def __init__(self, number: int, gate: Any) -> None:
        self.number = number
        self.inner: Iterator[Any] = iter(gate.__await__()) if gate is not None else iter(())

    def __await__(self) -> Any:
        return self

    def __iter__(self) -> Plain:
        return self

    def __next__(self) -> Any:
        try:
            return next(self.inner)
        except StopIteration:
            raise StopIteration(self.number) from None


WAYS: dict[str, Callable[[list[Any]], AsyncIterator[int]]] = {
    "generator": generator,
    "coroutine": lambda gates: Stepwise(gates, coroutine),
    "types.coroutine": lambda gates: Stepwise(gates, generator_coroutine),
    "no generator": lambda gates: Stepwise(gates, Plain),
}


@pytest.mark.parametrize("way", WAYS)
async def test_it_calls_before_it_waits_and_only_then(way: str) -> None:
    gate = asyncio.get_running_loop().create_future()
    iterator = WAYS[way]([None, gate, None])
    calls: list[bool] = []

    def before_waiting() -> None:
        calls.append(gate.done())

    assert await step(iterator, before_waiting) == 0
    assert calls == []
    waiting = asyncio.create_task(step(iterator, before_waiting))
    await asyncio.sleep(0)
    assert calls == [False]
    assert not waiting.done()
    gate.set_result(None)
    assert await waiting == 1
    assert await step(iterator, before_waiting) == 2
    assert calls == [False]


@pytest.mark.parametrize("way", WAYS)
async def test_a_cancellation_while_it_waits_arrives_in_the_iterator(way: str) -> None:
    gate = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(step(WAYS[way]([gate])))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert gate.cancelled()


async def test_an_iterator_may_catch_what_is_thrown_and_go_on() -> None:
    async def patient() -> AsyncIterator[str]:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.get_running_loop().create_future()
        except TimeoutError:
            await asyncio.sleep(0)
            yield "late"

    calls: list[int] = []
    iterator = patient()
    assert await next_of(iterator, lambda: calls.append(1)) == "late"
    assert calls == [1]
    with pytest.raises(StopAsyncIteration):
        await next_of(iterator, lambda: calls.append(2))
    assert calls == [1]


async def test_a_future_may_be_awaited_by_others_too() -> None:
    shared = asyncio.get_running_loop().create_future()
    tasks = [asyncio.create_task(step(generator([shared]))) for _ in range(3)]
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(shared.set_result, None)
    await shared
    assert [await task for task in tasks] == [0, 0, 0]


async def test_a_failure_comes_out_as_itself_before_and_after_waiting() -> None:
    failure = ValueError("mine")

    async def failing(waits: bool) -> AsyncIterator[int]:
        if waits:
            await asyncio.sleep(0)
        raise failure
        yield 0

    for waits in (False, True):
        with pytest.raises(ValueError) as caught:
            await step(failing(waits))
        assert caught.value is failure
