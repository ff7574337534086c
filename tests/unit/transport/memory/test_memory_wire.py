"""One direction of an in-memory call: order, window, and the four ways to end."""

import asyncio

import pytest

from headrace.errors import ConcurrentUse, ConnectionLost
from headrace.transport.memory.wire import PREFIX_BYTES, StreamHalf

pytestmark = pytest.mark.core


def half_of(window_bytes: int = 1000, *, started: bool = True) -> StreamHalf:
    return StreamHalf(window_bytes, started=started)


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_messages_come_out_in_order() -> None:
    half = half_of()
    for message in (b"a", b"", b"c"):
        assert await half.put(message)
    assert [await half.get() for _ in range(3)] == [b"a", b"", b"c"]


async def test_a_reader_waits_for_a_message() -> None:
    half = half_of()
    reading = asyncio.create_task(half.get())
    await turns()
    assert not reading.done()
    await half.put(b"late")
    assert await reading == b"late"


async def test_put_waits_while_the_window_is_full() -> None:
    half = half_of(2 * (PREFIX_BYTES + 10))
    await half.put(b"x" * 10)
    await half.put(b"x" * 10)
    third = asyncio.create_task(half.put(b"y"))
    await turns()
    assert not third.done()
    assert half.size == 2 * (PREFIX_BYTES + 10)
    await half.get()
    assert await third
    assert half.size == 2 * PREFIX_BYTES + 11


async def test_empty_messages_fill_the_window_too() -> None:
    half = half_of(10 * PREFIX_BYTES)
    for _ in range(10):
        await half.put(b"")
    eleventh = asyncio.create_task(half.put(b""))
    await turns()
    assert not eleventh.done()
    eleventh.cancel()


async def test_a_message_larger_than_the_window_passes_alone() -> None:
    half = half_of(100)
    assert await half.put(b"x" * 5000)
    following = asyncio.create_task(half.put(b"y"))
    await turns()
    assert not following.done()
    assert await half.get() == b"x" * 5000
    assert await following


async def test_a_lane_that_has_not_started_takes_nothing() -> None:
    half = half_of(started=False)
    writing = asyncio.create_task(half.put(b"a"))
    await turns()
    assert not writing.done()
    half.start()
    assert await writing


async def test_a_cancelled_put_has_sent_nothing() -> None:
    half = half_of(PREFIX_BYTES)
    await half.put(b"")
    waiting = asyncio.create_task(half.put(b"lost"))
    await turns()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await half.get()
    assert await half.put(b"kept")
    assert await half.get() == b"kept"


async def test_a_cancelled_get_loses_nothing() -> None:
    half = half_of()
    waiting = asyncio.create_task(half.get())
    await turns()
    waiting.cancel()
    await half.put(b"kept")  # in the same turn as the cancel
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await half.get() == b"kept"


async def test_what_was_written_before_an_orderly_end_is_read_first() -> None:
    half = half_of()
    await half.put(b"a")
    half.end()
    drained = [half.drained]
    assert await half.get() == b"a"
    assert [*drained, half.drained] == [False, True]
    assert await half.get() is None
    assert await half.get() is None


async def test_what_was_written_before_a_failure_is_read_first() -> None:
    half = half_of()
    await half.put(b"a")
    half.end(lambda: ValueError("failed"))
    assert await half.get() == b"a"
    with pytest.raises(ValueError, match="failed"):
        await half.get()


async def test_breaking_off_loses_what_is_unread() -> None:
    half = half_of()
    await half.put(b"a")
    half.break_off(lambda: ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        await half.get()
    assert half.size == 0


async def test_breaking_off_wakes_both_ends() -> None:
    empty, full = half_of(), half_of(1)
    await full.put(b"a")
    reading, writing = asyncio.create_task(empty.get()), asyncio.create_task(full.put(b"b"))
    await turns()
    empty.break_off(lambda: ValueError("broken"))
    full.break_off(lambda: ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        await reading
    assert await writing is False


async def test_the_first_end_counts() -> None:
    half = half_of()
    half.break_off(lambda: ValueError("first"))
    half.break_off(lambda: ValueError("second"))
    half.end()
    with pytest.raises(ValueError, match="first"):
        await half.get()
    finished = half_of()
    finished.end()
    finished.break_off(lambda: ValueError("too late"))
    assert await finished.get() is None


async def test_each_reader_gets_an_exception_of_its_own() -> None:
    half = half_of()
    half.end(lambda: ValueError("failed"))
    errors = []
    for _ in range(2):
        with pytest.raises(ValueError, match="failed") as caught:
            await half.get()
        errors.append(caught.value)
    assert errors[0] is not errors[1]


async def test_writing_to_a_closed_lane_tells_so() -> None:
    half = half_of()
    half.close()
    assert await half.put(b"a") is False


async def test_a_held_lane_gives_nothing_until_it_is_let_go() -> None:
    half = half_of()
    await half.put(b"a")
    half.hold(True)
    half.end()
    reading = asyncio.create_task(half.get())
    await turns()
    assert not reading.done()
    half.hold(False)
    assert await reading == b"a"
    assert await half.get() is None


async def test_misuse_has_a_sentence() -> None:
    half = half_of()
    first = asyncio.create_task(half.get())
    await turns()
    with pytest.raises(ConcurrentUse, match="another task is reading"):
        await half.get()
    half.end()
    assert await first is None
    with pytest.raises(RuntimeError, match="half_close"):
        await half.put(b"a")
    full = half_of(1)
    await full.put(b"a")
    waiting = asyncio.create_task(full.put(b"b"))
    await turns()
    with pytest.raises(ConcurrentUse, match="another task is writing"):
        await full.put(b"c")
    full.close()
    assert await waiting is False


async def test_what_a_reader_was_woken_for_arrives_though_the_call_is_broken_off() -> None:
    half = StreamHalf(100, started=True)
    reading = asyncio.create_task(half.get())
    await asyncio.sleep(0)
    assert await half.put(b"first")
    assert await half.put(b"second")
    half.break_off(lambda: ConnectionLost("broken"))
    assert await reading == b"first"
    with pytest.raises(ConnectionLost):
        await half.get()
    assert half.drained
