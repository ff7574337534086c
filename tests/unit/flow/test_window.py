"""The window: room in items and bytes, one always admitted, waiting and cancelling."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.config import Window
from headrace.flow.window import FlowWindow

pytestmark = pytest.mark.core


async def parked(window: FlowWindow, size: int) -> asyncio.Task[None]:
    task = asyncio.create_task(window.admit(size))
    for _ in range(3):
        await asyncio.sleep(0)
    return task


async def test_it_admits_up_to_its_items() -> None:
    window = FlowWindow(Window(2, 100))
    await window.admit(1)
    await window.admit(1)
    third = await parked(window, 1)
    assert not third.done()
    assert window.full
    window.free(1)
    await third
    assert (window.items, window.peak) == (2, 2)
    assert not window.full


async def test_it_admits_up_to_its_bytes_and_one_however_large() -> None:
    window = FlowWindow(Window(None, 100))
    assert window.fits(1000)
    await window.admit(1000)
    assert not window.fits(0)
    window.free(1000)
    for _ in range(50):
        await window.admit(2)
    assert window.items == window.peak == 50
    assert not window.fits(1)
    assert window.fits(0)


@pytest.mark.parametrize("handed_over", [False, True])
async def test_a_cancelled_wait_took_no_room(handed_over: bool) -> None:
    window = FlowWindow(Window(1, 100))
    await window.admit(1)
    waiting = await parked(window, 1)
    if handed_over:
        window.free(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert window.items == (0 if handed_over else 1)
    assert not window.full


async def test_a_larger_window_lets_more_in_at_once_and_none_means_any_number() -> None:
    window = FlowWindow(Window(1, 100))
    await window.admit(1)
    waiting = await parked(window, 1)
    window.resize(2)
    await waiting
    waiting = await parked(window, 1)
    window.resize(None)
    await waiting
    assert window.items == 3
    window.resize(1)
    assert window.items == 3
    assert not window.fits(1)


async def test_closing_lets_everybody_through() -> None:
    window = FlowWindow(Window(1, 100))
    await window.admit(1)
    waiting = await parked(window, 1)
    window.close()
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
    window = FlowWindow(Window(items, size_bytes))
    inside: list[int] = []
    for size in sizes:
        while not window.fits(size):
            window.free(inside.pop(choose.randrange(len(inside))))
        window.take(size)
        inside.append(size)
        assert window.items == len(inside)
        assert len(inside) == 1 or (len(inside) <= (items or 1000) and sum(inside) <= size_bytes)
    for size in inside:
        window.free(size)
    assert window.items == 0
    assert window.fits(10**9)
