"""The bounded pipe: policies, bytes, age, both ends, and cancellation at every moment."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headrace.errors import ClosedError, ConfigError
from headrace.flow.pipe import OVERFLOWS, EndOfPipe, Overflow, Pipe

pytestmark = pytest.mark.core


class Clock:
    """Seconds that only a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def started(work: Awaitable[Any]) -> asyncio.Future[Any]:
    """Start something and let it run until it waits."""
    task = asyncio.ensure_future(work)
    await turns()
    return task


def drain(pipe: Pipe[Any]) -> list[Any]:
    found = []
    while (item := pipe.receive_nowait()) is not None:
        found.append(item)
    return found


@pytest.mark.parametrize("overflow", OVERFLOWS)
async def test_items_come_out_in_the_order_they_went_in(overflow: Overflow) -> None:
    pipe: Pipe[int] = Pipe(3, overflow=overflow)
    got = []
    for item in range(1, 4):
        await pipe.send(item)
        if overflow == "latest":
            got += drain(pipe)
    assert got + drain(pipe) == [1, 2, 3]
    assert pipe.stats.dropped == 0


async def test_block_makes_the_sender_wait_for_room() -> None:
    pipe: Pipe[int] = Pipe(2)
    await pipe.send(1)
    await pipe.send(2)
    assert not pipe.send_nowait(3)
    waiting = await started(pipe.send(3))
    assert not waiting.done()
    assert await pipe.receive() == 1
    await waiting
    assert drain(pipe) == [2, 3]


@pytest.mark.parametrize(
    ("overflow", "kept", "dropped"),
    [("drop_oldest", [3, 4], [1, 2]), ("drop_newest", [1, 2], [3, 4]), ("latest", [4], [1, 2, 3])],
)
async def test_a_full_pipe_drops_by_its_policy_and_says_so(
    overflow: Overflow, kept: list[int], dropped: list[int]
) -> None:
    drops: list[tuple[int, str]] = []
    pipe: Pipe[int] = Pipe(2, overflow=overflow, on_drop=lambda item, cause: drops.append((item, cause)))
    for item in range(1, 5):
        await pipe.ready()  # never waits with these
        await pipe.send(item)
    assert drops == [(item, overflow) for item in dropped]
    assert pipe.stats.dropped == len(dropped)
    assert drain(pipe) == kept
    stats = pipe.stats
    assert (stats.sent, stats.received) == (4, len(kept))
    assert stats.peak_items == len(kept)


async def test_bytes_bound_the_pipe_as_items_do() -> None:
    pipe: Pipe[bytes] = Pipe(100, size_bytes=10, size=len)
    await pipe.send(b"1234")
    await pipe.send(b"123456")
    assert pipe.stats.bytes == 10
    waiting = await started(pipe.send(b"x"))
    assert not waiting.done()
    assert pipe.queue[0] == b"1234"
    pipe.receive_nowait()
    await waiting
    assert pipe.stats.bytes == 7
    assert pipe.stats.peak_bytes == 10


async def test_one_item_is_admitted_however_large() -> None:
    pipe: Pipe[bytes] = Pipe(100, size_bytes=10, size=len)
    assert pipe.send_nowait(b"x" * 50)
    assert not pipe.send_nowait(b"")
    assert await pipe.receive() == b"x" * 50
    assert pipe.stats.bytes == 0


async def test_drop_oldest_makes_room_in_bytes() -> None:
    drops: list[bytes] = []
    pipe: Pipe[bytes] = Pipe(
        100, size_bytes=10, size=len, overflow="drop_oldest", on_drop=lambda item, _: drops.append(item)
    )
    for item in (b"aaaa", b"bbbb", b"cccccc"):
        await pipe.send(item)
    assert drops == [b"aaaa"]
    await pipe.send(b"d" * 30)
    assert drain(pipe) == [b"d" * 30]


async def test_what_is_too_old_is_dropped_instead_of_received() -> None:
    clock, drops = Clock(), []
    pipe: Pipe[int] = Pipe(2, max_age=1.0, clock=clock, on_drop=lambda item, cause: drops.append((item, cause)))
    await pipe.send(1)
    clock.now += 0.6
    await pipe.send(2)
    waiting = await started(pipe.send(3))
    clock.now += 0.5  # 1 is 1.1 s old, 2 is 0.5 s
    pipe.purge()
    assert list(pipe.queue) == [2]
    await waiting  # the drop has made room
    assert drops == [(1, "max_age")]
    assert await pipe.receive() == 2
    clock.now += 1.0
    assert await pipe.receive() == 3  # exactly max_age is not too old
    assert pipe.stats.dropped == 1


async def test_a_receiver_waits_past_items_that_are_too_old() -> None:
    clock = Clock()
    pipe: Pipe[int] = Pipe(2, max_age=1.0, clock=clock)
    await pipe.send(1)
    clock.now += 2
    receiver = await started(pipe.receive())
    assert not receiver.done()
    await pipe.send(2)
    assert await receiver == 2


async def test_the_end_comes_after_what_is_inside() -> None:
    pipe: Pipe[int] = Pipe(2)
    await pipe.send(1)
    pipe.close_sender()
    assert not pipe.ended
    with pytest.raises(ClosedError):
        await pipe.send(2)
    with pytest.raises(ClosedError):
        pipe.send_nowait(2)
    with pytest.raises(ClosedError):
        await pipe.ready()
    assert await pipe.receive() == 1
    assert pipe.ended
    with pytest.raises(EndOfPipe):
        await pipe.receive()


async def test_a_failure_comes_after_what_is_inside() -> None:
    pipe: Pipe[int] = Pipe(2)
    await pipe.send(1)
    pipe.fail(OSError("the camera is gone"))
    assert await pipe.receive() == 1
    for _ in range(2):
        with pytest.raises(OSError, match="camera"):
            await pipe.receive()


async def test_everybody_who_waits_hears_of_the_end() -> None:
    pipe: Pipe[int] = Pipe(1)
    receivers = [await started(pipe.receive()) for _ in range(3)]
    pipe.close_sender()
    assert [type(r) for r in await asyncio.gather(*receivers, return_exceptions=True)] == [EndOfPipe] * 3

    pipe = Pipe(1)
    await pipe.send(1)
    senders = [await started(pipe.send(2)), await started(pipe.ready()), await started(pipe.send(3))]
    pipe.close_sender()
    assert [type(r) for r in await asyncio.gather(*senders, return_exceptions=True)] == [ClosedError] * 3
    assert drain(pipe) == [1]


async def test_closing_the_receiver_drops_what_is_inside_and_frees_the_senders() -> None:
    drops: list[tuple[int, str]] = []
    pipe: Pipe[int] = Pipe(2, on_drop=lambda item, cause: drops.append((item, cause)))
    await pipe.send(1)
    await pipe.send(2)
    sender = await started(pipe.send(3))
    pipe.close_receiver()
    with pytest.raises(ClosedError):
        await sender
    with pytest.raises(ClosedError):
        await pipe.receive()
    assert drops == [(1, "closed"), (2, "closed")]
    assert pipe.stats.items == pipe.stats.bytes == 0
    assert pipe.closed


async def test_ready_hands_the_turn_on() -> None:
    pipe: Pipe[int] = Pipe(1)
    await pipe.send(1)
    watcher, sender = await started(pipe.ready()), await started(pipe.send(2))
    assert await pipe.receive() == 1
    await asyncio.wait_for(asyncio.gather(watcher, sender), 1)
    assert drain(pipe) == [2]


async def test_senders_and_receivers_take_turns_first_come_first_served() -> None:
    pipe: Pipe[int] = Pipe(1)
    receivers = [await started(pipe.receive()) for _ in range(3)]
    for item in range(3):
        await pipe.send(item)
        await turns()
    assert [await r for r in receivers] == [0, 1, 2]
    senders = [await started(pipe.send(item)) for item in range(4)]
    got = []
    for _ in range(4):
        got.append(await pipe.receive())
        await turns()
    await asyncio.gather(*senders)
    assert got == [0, 1, 2, 3]


def test_its_state_can_be_read() -> None:
    pipe: Pipe[bytes] = Pipe(3, size=len, overflow="drop_newest")
    for _ in range(4):
        pipe.send_nowait(b"12")
    assert repr(pipe) == "<Pipe open: 3 of 3 items, 6 bytes, 1 dropped>"
    pipe.close_sender()
    assert "ended" in repr(pipe)
    assert len(pipe) == 3
    pipe.close_receiver()
    assert "closed" in repr(pipe)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"items": 0}, "at least 1"), ({"overflow": "drop"}, "drop_oldest"), ({"max_age": 0.0}, "max_age")],
)
def test_wrong_settings_are_refused(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Pipe(**{"items": 1, **arguments})


# -- cancellation: {send, receive, ready} x {before it runs, parked, after the turn was handed over}


Operation = Callable[[Pipe[int]], Awaitable[Any]]
OPERATIONS: dict[str, Operation] = {
    "send": lambda pipe: pipe.send(7),
    "receive": lambda pipe: pipe.receive(),
    "ready": lambda pipe: pipe.ready(),
}


def blocked(name: str) -> Pipe[int]:
    """Make a pipe on which the operation has to wait."""
    pipe: Pipe[int] = Pipe(1)
    if name != "receive":
        pipe.send_nowait(1)
    return pipe


def let_through(pipe: Pipe[int], name: str) -> None:
    """Do what the operation waits for."""
    if name == "receive":
        pipe.send_nowait(1)
    else:
        assert pipe.receive_nowait() == 1


@pytest.mark.parametrize("moment", ["before", "parked", "handed over"])
@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_cancelled_operation_has_done_nothing(name: str, moment: str) -> None:
    pipe = blocked(name)
    task = asyncio.ensure_future(OPERATIONS[name](pipe))
    if moment != "before":
        await turns()
    if moment == "handed over":
        let_through(pipe, name)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not pipe._senders
    assert not pipe._receivers
    if moment != "handed over":
        let_through(pipe, name)
    assert drain(pipe) == ([1] if name == "receive" else [])


@pytest.mark.parametrize("moment", ["parked", "handed over"])
@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_cancelled_turn_goes_to_the_next_one(name: str, moment: str) -> None:
    pipe = blocked(name)
    first, second = [await started(OPERATIONS[name](pipe)) for _ in range(2)]
    if moment == "parked":
        first.cancel()
        await turns()
        let_through(pipe, name)
    else:
        let_through(pipe, name)
        first.cancel()
    await asyncio.wait_for(second, 1)
    assert first.cancelled()
    if name == "receive":
        assert second.result() == 1
    assert drain(pipe) == ([7] if name == "send" else [])


@example([("receive", 0)] * 3 + [("send", 0)] * 3, 1)
@example([("send", 0)] * 30 + [("receive", 0)] * 30, 1)
@given(
    st.lists(st.tuples(st.sampled_from(["send", "receive", "cancel", "turn"]), st.integers(0, 30)), max_size=60),
    st.integers(1, 3),
)
def test_nothing_is_lost_or_doubled_whoever_is_cancelled_when(steps: list[tuple[str, int]], items: int) -> None:
    async def play() -> None:
        pipe: Pipe[int] = Pipe(items)
        tasks: list[tuple[str, int, asyncio.Task[Any]]] = []
        count = 0
        for what, pick in steps:
            if what == "send":
                count += 1
                tasks.append(("send", count, asyncio.ensure_future(pipe.send(count))))
            elif what == "receive":
                tasks.append(("receive", 0, asyncio.ensure_future(pipe.receive())))
            elif what == "cancel" and tasks:
                tasks[pick % len(tasks)][2].cancel()
            else:
                await asyncio.sleep(0)

        def waiting(kind: str) -> list[asyncio.Task[Any]]:
            return [task for name, _, task in tasks if name == kind and not task.done()]

        def somebody_waits_without_need() -> bool:
            return bool((waiting("receive") and len(pipe)) or (waiting("send") and len(pipe) < items))

        for _ in range(1000):  # each hand-over takes its turns of the loop, one after the other
            if not somebody_waits_without_need():
                break
            await asyncio.sleep(0)
        assert not somebody_waits_without_need()
        sending, receiving = waiting("send"), waiting("receive")
        for task in (*sending, *receiving):
            task.cancel()
        await asyncio.wait([task for *_, task in tasks] or [asyncio.ensure_future(asyncio.sleep(0))])
        went_in = [number for kind, number, t in tasks if kind == "send" and not t.cancelled()]
        came_out = [t.result() for kind, _, t in tasks if kind == "receive" and not t.cancelled()]
        assert Counter(came_out + drain(pipe)) == Counter(went_in)

    asyncio.run(play())


class PipeMachine(RuleBasedStateMachine):
    """A pipe against a list that does the same in the simplest way."""

    def __init__(self) -> None:
        super().__init__()
        self.drops: Counter[str] = Counter()
        self.pipe: Pipe[tuple[int, int]] | None = None
        self.inside: list[tuple[int, int, float]] = []
        self.sent = self.received = 0
        self.clock = Clock()

    @precondition(lambda self: self.pipe is None)
    @rule(overflow=st.sampled_from(OVERFLOWS), items=st.integers(1, 4), limit=st.integers(1, 20), max_age=st.booleans())
    def make(self, overflow: Overflow, items: int, limit: int, max_age: bool) -> None:
        self.overflow, self.items, self.limit = overflow, 1 if overflow == "latest" else items, limit
        self.max_age = 1.0 if max_age else None
        self.pipe = Pipe(
            items,
            size_bytes=limit,
            size=lambda item: item[1],
            overflow=overflow,
            max_age=self.max_age,
            clock=self.clock,
            on_drop=lambda _, cause: self.drops.update([cause]),
        )

    def fits(self, size: int) -> bool:
        used = sum(s for _, s, _ in self.inside)
        return not self.inside or (len(self.inside) < self.items and used + size <= self.limit)

    @precondition(lambda self: self.pipe is not None)
    @rule(size=st.integers(0, 12))
    def send(self, size: int) -> None:
        assert self.pipe is not None
        self.sent += 1
        went = self.pipe.send_nowait((self.sent, size))
        if self.overflow == "block":
            assert went == self.fits(size)
            if not went:
                self.sent -= 1
                return
        elif self.overflow == "latest":
            self.inside.clear()
        elif self.overflow == "drop_newest" and not self.fits(size):
            return
        while not self.fits(size):
            self.inside.pop(0)
        self.inside.append((self.sent, size, self.clock.now))

    @precondition(lambda self: self.pipe is not None)
    @rule()
    def receive(self) -> None:
        assert self.pipe is not None
        while self.max_age and self.inside and self.clock.now - self.inside[0][2] > self.max_age:
            self.inside.pop(0)
        want = self.inside.pop(0)[:2] if self.inside else None
        assert self.pipe.receive_nowait() == want
        self.received += want is not None

    @rule(seconds=st.sampled_from([0.25, 0.5, 2.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def every_item_is_accounted_for(self) -> None:
        if self.pipe is None:
            return
        stats = self.pipe.stats
        assert stats.items == len(self.pipe) == len(self.inside)
        assert stats.bytes == sum(size for _, size, _ in self.inside)
        assert (stats.sent, stats.received, stats.dropped) == (self.sent, self.received, sum(self.drops.values()))
        assert stats.sent == stats.received + stats.dropped + stats.items
        assert stats.items <= self.items


TestPipeMachine = PipeMachine.TestCase
