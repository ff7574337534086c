"""Worker threads and the bridges between them and the loop."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from headrace.flow.thread_queue import ThreadQueue
from headrace.server.threads import ToThread, Workers


async def test_as_many_jobs_run_at_once_as_there_are_threads() -> None:
    workers = Workers("t", 4)
    for _ in range(20):  # also when the threads have been idle
        barrier = threading.Barrier(4, timeout=10)
        await asyncio.gather(*(workers.run(barrier.wait) for _ in range(4)))
    workers.close()


async def test_a_jobs_error_is_raised_where_it_is_waited_for() -> None:
    workers = Workers("t", 1)
    with pytest.raises(ZeroDivisionError):
        await workers.run(lambda: 1 / 0)
    assert await workers.run(lambda: "still works") == "still works"
    workers.close()


async def test_closed_workers_leave_no_thread() -> None:
    workers = Workers("leaving", 3)
    await asyncio.gather(*(workers.run(lambda: time.sleep(0.01)) for _ in range(3)))
    workers.close()
    for thread in threading.enumerate():
        if thread.name.startswith("leaving"):
            await asyncio.to_thread(thread.join, 5)
            assert not thread.is_alive()


async def test_a_thread_is_held_up_by_a_slow_loop() -> None:
    bridge = ThreadQueue[int](3)
    put: list[int] = []

    def work() -> None:
        for number in range(10):
            if not bridge.put(number):
                return
            put.append(number)
        bridge.end()

    workers = Workers("t", 1)
    done = asyncio.ensure_future(workers.run(work))
    await asyncio.sleep(0.1)
    assert len(put) == 3
    assert [number async for number in bridge] == list(range(10))
    await done
    workers.close()


async def test_a_closed_bridge_lets_its_thread_go() -> None:
    bridge = ThreadQueue[int](1)
    workers = Workers("t", 1)
    waiting = asyncio.ensure_future(workers.run(lambda: [bridge.put(1), bridge.put(2), bridge.put(3)]))
    await asyncio.sleep(0.05)
    bridge.close()
    assert await asyncio.wait_for(waiting, 5) == [True, False, False]
    workers.close()


async def test_the_loop_waits_for_a_slow_thread() -> None:
    bridge = ToThread[int](2)
    workers = Workers("t", 1)
    go = threading.Event()
    taken = asyncio.ensure_future(workers.run(lambda: go.wait(10) and list(bridge)))
    await bridge.put(0)
    await bridge.put(1)
    third = asyncio.ensure_future(bridge.put(2))
    await asyncio.sleep(0.05)
    assert not third.done()
    go.set()
    await third
    bridge.end()
    assert await taken == [0, 1, 2]
    workers.close()
