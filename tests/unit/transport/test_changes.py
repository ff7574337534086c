"""Waiting for a condition without polling."""

import asyncio

import pytest

from headrace.transport.changes import Changes


async def test_a_condition_that_is_true_already_is_not_waited_for() -> None:
    await Changes().until(lambda: True, timeout=0.0)


async def test_the_condition_is_asked_again_after_every_change() -> None:
    changes = Changes()
    seen: list[int] = []
    waiting = asyncio.create_task(changes.until(lambda: len(seen) == 2, timeout=5.0))
    for number in range(2):
        await asyncio.sleep(0)
        assert not waiting.done()
        seen.append(number)
        changes.notify()
    await waiting


async def test_all_waiters_are_woken() -> None:
    changes, state = Changes(), {"ready": False}
    waiting = [asyncio.create_task(changes.until(lambda: state["ready"], timeout=5.0)) for _ in range(3)]
    await asyncio.sleep(0)
    state["ready"] = True
    changes.notify()
    await asyncio.gather(*waiting)


async def test_a_condition_that_stays_false_is_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        await Changes().until(lambda: False, timeout=0.01)


async def test_a_cancelled_waiter_is_forgotten() -> None:
    changes = Changes()
    waiting = asyncio.create_task(changes.until(lambda: False))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    changes.notify()
    assert not changes._waiters
