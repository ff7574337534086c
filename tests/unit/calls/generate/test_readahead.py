"""Reading ahead without a task: order, bounds, failures, and a consumer that is cancelled in every state."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable

import pytest

from headrace.calls.generate.readahead import ReadAhead
from headrace.errors import ClosedError
from headrace.results import Prediction

pytestmark = pytest.mark.core


class Wire:
    """A call whose messages a test lets in one at a time."""

    def __init__(self, ahead: ReadAhead) -> None:
        self.ahead = ahead
        self.reads = 0
        self.pending: asyncio.Future[bytes | None] | None = None

    async def read(self) -> bytes | None:
        assert self.pending is None, "two reads at once"
        self.reads += 1
        self.pending = asyncio.get_running_loop().create_future()
        try:
            return await self.pending
        finally:
            self.pending = None

    async def pump(self) -> Exception | None:
        while (raw := await self.read()) is not None:
            if put(self.ahead, raw):
                await self.ahead.room()
            if self.ahead.closed:
                break
        return None

    def let(self, raw: bytes | None) -> None:
        assert self.pending is not None
        self.pending.set_result(raw)


async def settle() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


def put(ahead: ReadAhead, raw: bytes) -> bool:
    return ahead.put(Prediction(raw, ()), len(raw))


class Buffer(ReadAhead):
    """Answers of which a test takes one at a time, as a stream does."""

    def __init__(self, items: int, size_bytes: int) -> None:
        super().__init__(items, size_bytes)
        self.taken: deque[Prediction] = deque()


async def one(ahead: Buffer) -> bytes:
    while not (ahead.taken or ahead.ready or ahead.over or ahead.closed):
        await ahead.waiter
    if not ahead.taken:
        ahead.taken = ahead.take()
    return ahead.taken.popleft().raw


@pytest.fixture
async def ahead() -> Buffer:
    return Buffer(4, 1000)


@pytest.fixture
async def wire(ahead: Buffer) -> AsyncIterator[Wire]:
    wire = Wire(ahead)
    ahead.run(wire.pump())
    yield wire
    if wire.pending is not None:
        wire.let(None)
        await settle()


async def test_a_waiting_consumer_goes_on_in_the_turn_in_which_the_message_comes(ahead: Buffer, wire: Wire) -> None:
    taking = asyncio.create_task(one(ahead))
    await settle()
    wire.let(b"1")
    await asyncio.sleep(0)  # one turn, in which the future calls back
    assert taking.done()
    assert taking.result() == b"1"
    assert wire.reads == 2  # the next is under way


async def test_a_task_that_starts_it_lets_one_go_on_that_waits_already(ahead: Buffer) -> None:
    async def pump() -> None:
        put(ahead, b"1")
        await asyncio.Event().wait()

    taking = asyncio.create_task(one(ahead))
    await settle()
    ahead.run(pump())
    assert await asyncio.wait_for(taking, 5) == b"1"


async def test_it_goes_on_as_its_own_task_and_in_its_own_context(ahead: Buffer, wire: Wire) -> None:
    whose = contextvars.ContextVar("whose", default="reader")
    seen = []

    async def take() -> None:
        whose.set("consumer")
        await one(ahead)
        seen.append((asyncio.current_task(), whose.get()))

    taking = asyncio.create_task(take())
    await settle()
    wire.let(b"1")
    await taking
    assert seen == [(taking, "consumer")]
    assert whose.get() == "reader"


async def test_messages_come_in_order_whether_waited_for_or_not(ahead: Buffer, wire: Wire) -> None:
    taken = []

    async def take() -> None:
        while True:
            taken.append(await one(ahead))
            if len(taken) % 3 == 0:
                await asyncio.sleep(0)

    taking = asyncio.create_task(take())
    for n in range(50):
        if wire.pending is None:
            await settle()
        wire.let(b"%d" % n)
        for _ in range(n % 4):
            await asyncio.sleep(0)
        await asyncio.sleep(0)
    wire.let(None)
    with pytest.raises(StopAsyncIteration):
        await taking
    assert taken == [b"%d" % n for n in range(50)]


# -- cancelling


@pytest.mark.parametrize("again", [1, 2, 50])
async def test_a_cancelled_consumer_leaves_the_read_under_way(ahead: Buffer, wire: Wire, again: int) -> None:
    for _ in range(again):
        taking = asyncio.create_task(one(ahead))
        await asyncio.sleep(0)
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
    assert wire.reads == 1
    wire.let(b"1")
    assert await one(ahead) == b"1"


@pytest.mark.parametrize("first", ["cancel", "message"])
@pytest.mark.parametrize("between", [0, 1, 2])
async def test_a_message_that_comes_with_the_cancellation_is_not_lost(
    ahead: Buffer, wire: Wire, first: str, between: int
) -> None:
    taking = asyncio.create_task(one(ahead))
    await settle()
    steps: list[Callable[[], object]] = [taking.cancel, lambda: wire.let(b"1")]
    if first == "message":
        steps.reverse()
    steps[0]()
    for _ in range(between):
        await asyncio.sleep(0)
    steps[1]()
    found = (await asyncio.gather(taking, return_exceptions=True))[0]
    if isinstance(found, asyncio.CancelledError):
        found = await asyncio.wait_for(one(ahead), 5)
    assert found == b"1"


async def test_a_cancellation_that_was_asked_for_before_the_wait_is_kept(ahead: Buffer, wire: Wire) -> None:
    async def take() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel("why")
        await one(ahead)

    with pytest.raises(asyncio.CancelledError, match="why"):
        await asyncio.create_task(take())
    wire.let(b"1")
    assert await one(ahead) == b"1"


async def test_a_timeout_around_the_wait_is_a_timeout(ahead: Buffer, wire: Wire) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await one(ahead)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(one(ahead), 0.001)
    wire.let(b"1")
    assert await asyncio.wait_for(one(ahead), 5) == b"1"


async def test_cancelling_twice_cancels_once(ahead: Buffer, wire: Wire) -> None:
    async def take() -> bytes:
        try:
            await one(ahead)
        except asyncio.CancelledError:
            return await one(ahead)
        raise AssertionError

    taking = asyncio.create_task(take())
    await settle()
    taking.cancel()
    taking.cancel()
    await settle()
    wire.let(b"1")
    assert await asyncio.wait_for(taking, 5) == b"1"


async def test_a_cancellation_of_one_that_is_about_to_go_on_is_kept(ahead: Buffer) -> None:
    taking = asyncio.create_task(one(ahead))
    await settle()
    put(ahead, b"1")
    ahead.end(None)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert await one(ahead) == b"1"


# -- bounds


@pytest.mark.parametrize(("size", "most"), [(1, 4), (400, 3), (5000, 1)])
async def test_it_reads_ahead_up_to_its_bounds_and_on_when_they_are_taken(
    ahead: Buffer, wire: Wire, size: int, most: int
) -> None:
    for round_ in (1, 2):
        for _ in range(most):
            assert wire.pending is not None
            wire.let(b"x" * size)
            await settle()
        assert wire.reads == round_ * most  # none under way
        assert len(ahead.take()) == most
        await settle()


async def test_a_reader_that_never_waits_is_stopped_as_well(ahead: Buffer) -> None:
    numbers = itertools.count()

    async def pump() -> None:
        while not ahead.closed:
            if put(ahead, b"%d" % next(numbers)):
                await ahead.room()

    ahead.run(pump())
    assert len(ahead.ready) == 4
    assert [await one(ahead) for _ in range(20)] == [b"%d" % n for n in range(20)]
    ahead.close()
    await asyncio.wait_for(ahead.ended(), 5)


async def test_a_read_may_wait_for_several_things(ahead: Buffer) -> None:
    async def pump() -> None:
        for n in range(3):
            await asyncio.sleep(0)
            await asyncio.sleep(0.001)
            await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))
            put(ahead, b"%d" % n)

    ahead.run(pump())
    assert [await asyncio.wait_for(one(ahead), 5) for _ in range(3)] == [b"0", b"1", b"2"]
    with pytest.raises(StopAsyncIteration):
        ahead.take()


# -- the end


@pytest.mark.parametrize("how", ["returned", "raised"])
@pytest.mark.parametrize("waits", [True, False])
async def test_a_failure_comes_after_the_messages(ahead: Buffer, how: str, waits: bool) -> None:
    gate = asyncio.get_running_loop().create_future()

    async def pump() -> Exception | None:
        put(ahead, b"1")
        await gate
        put(ahead, b"2")
        if how == "raised":
            raise ZeroDivisionError
        return ZeroDivisionError()

    async def take() -> list[bytes]:
        taken: list[bytes] = []
        with pytest.raises(ZeroDivisionError):
            while True:
                taken.append(await one(ahead))
        return taken

    ahead.run(pump())
    taking = asyncio.create_task(take())
    if waits:
        await settle()
    gate.set_result(None)
    assert await asyncio.wait_for(taking, 5) == [b"1", b"2"]
    assert ahead.over
    with pytest.raises(ZeroDivisionError):  # and so again
        ahead.take()


async def test_the_future_s_failure_is_the_reader_s_not_the_consumer_s(ahead: Buffer, wire: Wire) -> None:
    taking = asyncio.create_task(one(ahead))
    await settle()
    assert wire.pending is not None
    wire.pending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking  # as it was given: to say what it means is the reader's affair
    assert isinstance(ahead.failure, asyncio.CancelledError)


async def test_closing_lets_the_consumer_go_and_drops_what_comes(ahead: Buffer, wire: Wire) -> None:
    taking = asyncio.create_task(one(ahead))
    await settle()
    ahead.close()
    with pytest.raises(ClosedError):
        await asyncio.wait_for(taking, 5)
    ends = [asyncio.create_task(ahead.ended()) for _ in range(3)]
    await settle()
    ends[0].cancel()
    assert not ends[1].done()
    wire.let(b"late")
    await asyncio.wait_for(asyncio.gather(*ends[1:]), 5)
    assert wire.reads == 1  # none after it
    with pytest.raises(ClosedError):
        ahead.take()


async def test_closing_a_full_one_ends_its_reader(ahead: Buffer, wire: Wire) -> None:
    for _ in range(4):
        wire.let(b"1")
        await settle()
    assert wire.pending is None
    ahead.close()
    await asyncio.wait_for(ahead.ended(), 5)
    assert wire.reads == 4


async def test_an_end_of_the_program_is_not_kept(ahead: Buffer) -> None:
    async def pump() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ahead.run(pump())
    assert ahead.over
