"""The window: room in items and bytes, one always admitted, waiting and cancelling."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.config import Window
from headrace.flow.window import Gate

pytestmark = pytest.mark.core


async def parked(gate: Gate, size: int) -> asyncio.Task[None]:
    task = asyncio.create_task(gate.admit(size))
    for _ in range(3):
        await asyncio.sleep(0)
    return task


async def test_it_admits_up_to_its_items() -> None:
    gate = Gate(Window(2, 100))
    await gate.admit(1)
    await gate.admit(1)
    third = await parked(gate, 1)
    assert not third.done()
    assert gate.full
    gate.free(1)
    await third
    assert (gate.items, gate.peak) == (2, 2)
    assert not gate.full


async def test_it_admits_up_to_its_bytes_and_one_however_large() -> None:
    gate = Gate(Window(None, 100))
    assert gate.fits(1000)
    await gate.admit(1000)
    assert not gate.fits(0)
    gate.free(1000)
    for _ in range(50):
        await gate.admit(2)
    assert gate.items == gate.peak == 50
    assert not gate.fits(1)
    assert gate.fits(0)


@pytest.mark.parametrize("handed_over", [False, True])
async def test_a_cancelled_wait_took_no_room(handed_over: bool) -> None:
    gate = Gate(Window(1, 100))
    await gate.admit(1)
    waiting = await parked(gate, 1)
    if handed_over:
        gate.free(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert gate.items == (0 if handed_over else 1)
    assert not gate.full


async def test_a_larger_window_lets_more_in_at_once_and_none_means_any_number() -> None:
    gate = Gate(Window(1, 100))
    await gate.admit(1)
    waiting = await parked(gate, 1)
    gate.resize(2)
    await waiting
    waiting = await parked(gate, 1)
    gate.resize(None)
    await waiting
    assert gate.items == 3
    gate.resize(1)
    assert gate.items == 3
    assert not gate.fits(1)


async def test_closing_lets_everybody_through() -> None:
    gate = Gate(Window(1, 100))
    await gate.admit(1)
    waiting = await parked(gate, 1)
    gate.close()
    await asyncio.wait_for(waiting, 1)


@given(
    st.lists(st.integers(0, 60), max_size=60),
    st.one_of(st.none(), st.integers(1, 5)),
    st.integers(1, 100),
    st.randoms(use_true_random=False),
)
def test_in_flight_stays_within_the_window(
    sizes: list[int], items: int | None, size_bytes: int, choose: random.Random
) -> None:
    gate = Gate(Window(items, size_bytes))
    inside: list[int] = []
    for size in sizes:
        while not gate.fits(size):
            gate.free(inside.pop(choose.randrange(len(inside))))
        gate.take(size)
        inside.append(size)
        assert gate.items == len(inside)
        assert len(inside) == 1 or (len(inside) <= (items or 1000) and sum(inside) <= size_bytes)
    for size in inside:
        gate.free(size)
    assert gate.items == 0
    assert gate.fits(10**9)
