"""The bytes of all requests: what arrives counts as large as it may be, and the others wait in their order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from headrace.server import budget
from headrace.server.budget import Arrival, Budget


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def arrive(shared: Budget) -> Arrival:
    arrival = await shared.arrive()
    assert arrival is not None
    return arrival


async def test_as_many_arrive_as_there_would_be_room_for_if_all_were_large() -> None:
    shared, order = Budget(100, 30), list[int]()

    async def call(number: int) -> Arrival:
        arrival = await arrive(shared)
        order.append(number)
        return arrival

    calls = [asyncio.create_task(call(number)) for number in range(6)]
    await turns()
    assert order == [0, 1, 2]
    shared.arrived(calls[0].result(), 1)  # a small one makes room for nearly a large one
    await turns()
    assert order == [0, 1, 2, 3]
    shared.arrived(calls[1].result(), 30)
    await turns()
    assert order == [0, 1, 2, 3]
    shared.release(30)
    await turns()
    assert order == [0, 1, 2, 3, 4]
    shared.arrived(calls[2].result(), 0)  # its caller has gone
    await turns()
    assert order == [0, 1, 2, 3, 4, 5]


async def test_one_request_is_let_in_whatever_its_size() -> None:
    shared = Budget(1, 30)
    first, second = await arrive(shared), asyncio.create_task(arrive(shared))
    shared.arrived(first, 30)
    await turns()
    assert not second.done()
    shared.release(30)
    await asyncio.wait_for(second, 5)


@pytest.mark.parametrize("when", ["waiting", "just let in"])
async def test_a_call_that_is_cancelled_leaves_nothing_behind(when: str) -> None:
    shared = Budget(1, 30)
    first = await arrive(shared)
    second, third = asyncio.create_task(arrive(shared)), asyncio.create_task(arrive(shared))
    await turns()
    if when == "just let in":
        shared.arrived(first, 0)
    second.cancel()
    await turns()
    assert second.cancelled()
    shared.arrived(first, 0)
    await asyncio.wait_for(third, 5)


async def test_calls_that_wait_too_long_get_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "WAIT_SECONDS", 0.05)
    shared = Budget(1, 30)
    first = await arrive(shared)
    assert await asyncio.gather(*(shared.arrive() for _ in range(3))) == [None] * 3
    shared.arrived(first, 0)
    assert await shared.arrive() is not None


async def test_one_that_never_arrives_is_ended_where_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "ARRIVAL_SECONDS", 0.0)
    shared = Budget(1, 30)

    async def stalled() -> None:
        arrival = await arrive(shared)
        try:
            await asyncio.Event().wait()
        finally:
            shared.arrived(arrival, 0)

    stuck = asyncio.create_task(stalled())
    await turns()
    await asyncio.wait_for(arrive(shared), 5)
    assert stuck.cancelled()


async def test_streams_are_read_while_there_is_room() -> None:
    shared = Budget(100, 30)
    shared.take(100)
    waiting: list[asyncio.Future[None]] = [asyncio.ensure_future(as_future(shared.read())) for _ in range(3)]
    await turns()
    assert not any(stream.done() for stream in waiting)
    waiting[0].cancel()
    shared.release(1)
    await asyncio.wait_for(asyncio.gather(*waiting[1:]), 5)


async def as_future(awaitable: Awaitable[None]) -> None:
    await awaitable
