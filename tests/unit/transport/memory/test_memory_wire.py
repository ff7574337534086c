"""One direction of an in-memory call: order, window, and the four ways to end."""

import asyncio

import pytest

from headrace.errors import ConcurrentUse
from headrace.transport.memory.wire import PREFIX_BYTES, StreamHalf

pytestmark = pytest.mark.core


def lane_of(window_bytes: int = 1000, *, started: bool = True) -> StreamHalf:
    return StreamHalf(window_bytes, started=started)


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_messages_come_out_in_order() -> None:
    lane = lane_of()
    for message in (b"a", b"", b"c"):
        assert await lane.put(message)
    assert [await lane.get() for _ in range(3)] == [b"a", b"", b"c"]


async def test_a_reader_waits_for_a_message() -> None:
    lane = lane_of()
    reading = asyncio.create_task(lane.get())
    await turns()
    assert not reading.done()
    await lane.put(b"late")
    assert await reading == b"late"


async def test_put_waits_while_the_window_is_full() -> None:
    lane = lane_of(2 * (PREFIX_BYTES + 10))
    await lane.put(b"x" * 10)
    await lane.put(b"x" * 10)
    third = asyncio.create_task(lane.put(b"y"))
    await turns()
    assert not third.done()
    assert lane.size == 2 * (PREFIX_BYTES + 10)
    await lane.get()
    assert await third
    assert lane.size == 2 * PREFIX_BYTES + 11


async def test_empty_messages_fill_the_window_too() -> None:
    lane = lane_of(10 * PREFIX_BYTES)
    for _ in range(10):
        await lane.put(b"")
    eleventh = asyncio.create_task(lane.put(b""))
    await turns()
    assert not eleventh.done()
    eleventh.cancel()


async def test_a_message_larger_than_the_window_passes_alone() -> None:
    lane = lane_of(100)
    assert await lane.put(b"x" * 5000)
    following = asyncio.create_task(lane.put(b"y"))
    await turns()
    assert not following.done()
    assert await lane.get() == b"x" * 5000
    assert await following


async def test_a_lane_that_has_not_started_takes_nothing() -> None:
    lane = lane_of(started=False)
    writing = asyncio.create_task(lane.put(b"a"))
    await turns()
    assert not writing.done()
    lane.start()
    assert await writing


async def test_a_cancelled_put_has_sent_nothing() -> None:
    lane = lane_of(PREFIX_BYTES)
    await lane.put(b"")
    waiting = asyncio.create_task(lane.put(b"lost"))
    await turns()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await lane.get()
    assert await lane.put(b"kept")
    assert await lane.get() == b"kept"


async def test_a_cancelled_get_loses_nothing() -> None:
    lane = lane_of()
    waiting = asyncio.create_task(lane.get())
    await turns()
    waiting.cancel()
    await lane.put(b"kept")  # in the same turn as the cancel
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await lane.get() == b"kept"


async def test_what_was_written_before_an_orderly_end_is_read_first() -> None:
    lane = lane_of()
    await lane.put(b"a")
    lane.end()
    drained = [lane.drained]
    assert await lane.get() == b"a"
    assert [*drained, lane.drained] == [False, True]
    assert await lane.get() is None
    assert await lane.get() is None


async def test_what_was_written_before_a_failure_is_read_first() -> None:
    lane = lane_of()
    await lane.put(b"a")
    lane.end(lambda: ValueError("failed"))
    assert await lane.get() == b"a"
    with pytest.raises(ValueError, match="failed"):
        await lane.get()


async def test_breaking_off_loses_what_is_unread() -> None:
    lane = lane_of()
    await lane.put(b"a")
    lane.break_off(lambda: ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        await lane.get()
    assert lane.size == 0


async def test_breaking_off_wakes_both_ends() -> None:
    empty, full = lane_of(), lane_of(1)
    await full.put(b"a")
    reading, writing = asyncio.create_task(empty.get()), asyncio.create_task(full.put(b"b"))
    await turns()
    empty.break_off(lambda: ValueError("broken"))
    full.break_off(lambda: ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        await reading
    assert await writing is False


async def test_the_first_end_counts() -> None:
    lane = lane_of()
    lane.break_off(lambda: ValueError("first"))
    lane.break_off(lambda: ValueError("second"))
    lane.end()
    with pytest.raises(ValueError, match="first"):
        await lane.get()
    finished = lane_of()
    finished.end()
    finished.break_off(lambda: ValueError("too late"))
    assert await finished.get() is None


async def test_each_reader_gets_an_exception_of_its_own() -> None:
    lane = lane_of()
    lane.end(lambda: ValueError("failed"))
    errors = []
    for _ in range(2):
        with pytest.raises(ValueError, match="failed") as caught:
            await lane.get()
        errors.append(caught.value)
    assert errors[0] is not errors[1]


async def test_writing_to_a_closed_lane_tells_so() -> None:
    lane = lane_of()
    lane.close()
    assert await lane.put(b"a") is False


async def test_a_held_lane_gives_nothing_until_it_is_let_go() -> None:
    lane = lane_of()
    await lane.put(b"a")
    lane.hold(True)
    lane.end()
    reading = asyncio.create_task(lane.get())
    await turns()
    assert not reading.done()
    lane.hold(False)
    assert await reading == b"a"
    assert await lane.get() is None


async def test_misuse_has_a_sentence() -> None:
    lane = lane_of()
    first = asyncio.create_task(lane.get())
    await turns()
    with pytest.raises(ConcurrentUse, match="another task is reading"):
        await lane.get()
    lane.end()
    assert await first is None
    with pytest.raises(RuntimeError, match="half_close"):
        await lane.put(b"a")
    full = lane_of(1)
    await full.put(b"a")
    waiting = asyncio.create_task(full.put(b"b"))
    await turns()
    with pytest.raises(ConcurrentUse, match="another task is writing"):
        await full.put(b"c")
    full.close()
    assert await waiting is False
