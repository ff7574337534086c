"""Connections: which one a call goes over, the queue, connecting, limits, what users hear, loops, and closing."""

from __future__ import annotations

import asyncio
import gc
import itertools
import math
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import events
from headrace.channels import manager as channels
from headrace.channels.assign import DOUBT, NEW, QUIET, assign
from headrace.channels.connection import Connection
from headrace.channels.manager import ChannelManager
from headrace.config import Limits, Transmission
from headrace.emitter import Emitter
from headrace.errors import ClosedError, ConnectFailed, ConnectionLost, PredictionFailed
from headrace.target import Target
from headrace.transport.base import Buffer, Call, Metadata

pytestmark = pytest.mark.core

TARGET = Target.parse("http://localhost:1")
NOW = 1000.0


class Wire:
    """A transport that connects when a test lets it."""

    survives_fork = True

    def __init__(self, network: Network) -> None:
        self.network = network
        self.up = False
        self.connects = 0
        self.closed = 0
        self.discarded = 0
        self.max_streams: int | None = None
        self.on_max_streams: Callable[[], object] | None = None

    @property
    def healthy(self) -> bool:
        return self.up

    async def connect(self, timeout: float) -> None:
        self.connects += 1
        await self.network.open.wait()
        if self.network.failure is not None:
            raise self.network.failure
        self.up = not self.network.brief

    async def unary(self, method: str, parts: Sequence[Buffer], metadata: Metadata, timeout: float | None) -> bytes:
        raise NotImplementedError

    def open(
        self,
        method: str,
        metadata: Metadata,
        *,
        timeout: float | None = None,
        first: Sequence[Buffer] | None = None,
    ) -> Call:
        raise NotImplementedError

    async def close(self, grace: float) -> None:
        self.up = False
        self.closed += 1

    def discard(self) -> None:
        self.discarded += 1


class Network:
    """Makes the transports, and what they meet."""

    def __init__(self) -> None:
        self.wires: list[Wire] = []
        self.open = asyncio.Event()
        self.open.set()
        self.failure: Exception | None = None
        self.brief = False  # connections that are gone as soon as they are made
        self.events: list[events.Event] = []
        self.heard = self.events.append
        self.emit = Emitter(self.heard)

    def __call__(self, target: Target, options: Transmission) -> Wire:
        self.wires.append(Wire(self))
        return self.wires[-1]

    def manager(self, streams: int = 64, connections: int = 8) -> ChannelManager:
        limits = Limits(streams_per_connection=streams, connections=connections)
        return ChannelManager(TARGET, Transmission(), self, limits, self.emit)


@pytest.fixture
def network() -> Network:
    return Network()


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# -- the choice


@dataclass
class Known:
    """What the choice knows of a connection."""

    calls: int = 0
    limit: int = 2
    ready: bool = True
    last_answer: float = NOW
    connecting_since: float | None = None
    failed_at: float = -math.inf


STATES = [
    *(Known(calls, last_answer=heard) for calls in (0, 1, 2) for heard in (NOW, NOW - QUIET - 0.1)),
    Known(ready=False),
    Known(ready=False, connecting_since=NOW - 0.1),
    Known(ready=False, connecting_since=NOW - DOUBT - 0.1),
    Known(ready=False, failed_at=NOW - 0.1),
    Known(ready=False, failed_at=NOW - DOUBT - 0.1),
]


def rank(known: Known) -> int | None:
    """How good a connection is for a call, 0 the best; None: it has no room."""
    if known.calls >= known.limit:
        return None
    if known.ready:
        return 3 if known.calls and NOW - known.last_answer > QUIET else 0
    if known.connecting_since is not None:
        return 4 if NOW - known.connecting_since > DOUBT else 1
    return 4 if NOW - known.failed_at < DOUBT else 1


@pytest.mark.parametrize("number", [0, 1, 2, 3])
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_every_choice_among_a_few_connections(number: int, limit: int) -> None:
    for connections in itertools.product(STATES, repeat=number):
        chosen = assign(connections, limit, NOW)
        ranks = {rank(known) for known in connections} - {None}
        best = min((r for r in ranks if r is not None), default=5)
        doubt = 4 in ranks
        if best > 1 and not doubt and number < limit:
            assert chosen is NEW
        elif best == 5 or (best == 4 and any(known.ready for known in connections)):
            assert chosen is None  # it waits for a connection that works, not for one that could not be made
        else:
            assert isinstance(chosen, Known)
            assert rank(chosen) == best
            if chosen.ready:
                assert chosen.calls == min(known.calls for known in connections if rank(known) == best)


def test_of_equal_ones_the_first_is_taken() -> None:
    first, second = Known(1, 9), Known(1, 9)
    assert assign([first, second], 8, NOW) is first


# -- places


async def test_sixty_four_calls_a_connection_and_eight_connections(network: Network) -> None:
    manager = network.manager()
    taken = [await manager.acquire() for _ in range(8 * 64)]
    assert len(network.wires) == 8
    assert [connection.calls for connection in manager.connections] == [64] * 8
    waiting = asyncio.create_task(manager.acquire())
    await turns()
    assert not waiting.done()
    assert manager.waiting == 1
    assert repr(manager) == "<ChannelManager http://localhost:1 open: 8 connections, 512 calls, 1 waiting>"
    taken[100].release()
    assert await waiting is taken[100]
    await manager.close(0)


async def test_another_connection_is_opened_only_when_the_first_is_full(network: Network) -> None:
    manager = network.manager(streams=2)
    first, same, other = [await manager.acquire() for _ in range(3)]
    assert first is same
    assert other is not first
    first.release()
    first.release()
    assert await manager.acquire() is first  # the least loaded one
    assert len(network.wires) == 2
    await manager.close(0)


async def test_those_who_wait_are_served_first_come_first_served(network: Network) -> None:
    manager = network.manager(streams=1, connections=1)
    connection = await manager.acquire()
    order: list[int] = []

    async def call(number: int) -> None:
        await manager.acquire()
        order.append(number)

    tasks = [asyncio.create_task(call(number)) for number in range(5)]
    await turns()
    connection.release()
    late = asyncio.create_task(call(5))  # there is a queue: no overtaking
    for _ in range(5):
        await turns()
        connection.release()
    await asyncio.gather(*tasks, late)
    assert order == [0, 1, 2, 3, 4, 5]
    await manager.close(0)


async def test_a_call_that_comes_later_does_not_pass_one_that_has_its_place_and_has_not_run(network: Network) -> None:
    manager = network.manager(streams=2, connections=1)
    held = [await manager.acquire() for _ in range(2)]
    order: list[str] = []

    async def waits(name: str) -> None:
        await manager.acquire()
        order.append(name)

    waiting = asyncio.ensure_future(waits("waiting"))
    await turns()
    for connection in held:
        connection.release()  # the first wakes the call that waits; the second leaves a place
    later = asyncio.ensure_future(waits("later still"))
    await waits("later")
    held[0].release()
    await asyncio.wait_for(asyncio.gather(waiting, later), 5)
    assert order == ["waiting", "later", "later still"]
    await manager.close(0)


@pytest.mark.parametrize("handed_over", [False, True])
async def test_a_cancelled_wait_takes_no_place(network: Network, handed_over: bool) -> None:
    manager = network.manager(streams=1, connections=1)
    connection = await manager.acquire()
    first, second = [asyncio.create_task(manager.acquire()) for _ in range(2)]
    await turns()
    if handed_over:
        connection.release()
    first.cancel()
    await turns()
    if not handed_over:
        connection.release()
    assert await asyncio.wait_for(second, 1) is connection
    assert (connection.calls, manager.waiting) == (1, 0)
    await manager.close(0)


REFUSED = ConnectionLost("refused", unprocessed=True)


async def four_calls_one_refused(manager: ChannelManager) -> list[Connection]:
    taken = [await manager.acquire() for _ in range(5)]
    taken[4].failed(REFUSED)
    taken[4].release()
    return taken[:4]


async def test_a_refused_stream_lowers_what_a_connection_takes(network: Network) -> None:
    manager = network.manager(streams=64, connections=1)
    taken = await four_calls_one_refused(manager)
    assert taken[0].limit == 4
    waiting = asyncio.create_task(manager.acquire())
    await turns()
    assert not waiting.done()  # four are running, and it takes four now
    taken[3].release()
    assert await waiting is taken[0]
    for connection in taken[:3]:
        connection.release()
    for _ in range(3):
        taken[0].failed(REFUSED)
    assert taken[0].limit == 1  # never none
    await manager.close(0)


@pytest.mark.parametrize("end", [Connection.release, lambda c: c.leave(True)], ids=["streams", "calls"])
async def test_the_limit_recovers_with_the_calls_that_go_well(
    network: Network, end: Callable[[Connection], None]
) -> None:
    manager = network.manager(streams=8, connections=1)
    for connection in await four_calls_one_refused(manager):
        connection.release()
    for _ in range(4 + 5 + 6 + 7):
        end(await manager.acquire())
    assert manager.connections[0].limit == 8
    await manager.close(0)


async def test_a_server_that_goes_on_refusing_is_tried_ever_more_seldom(network: Network) -> None:
    manager = network.manager(streams=64, connections=1)
    refusals = 0
    held: list[Connection] = []
    for _ in range(2000):  # it allows four
        held.append(await manager.acquire())
        if len(held) == 5:
            refusals += 1
            held[-1].failed(REFUSED)
            held.pop().release()
        while len(held) >= min(5, held[0].limit):
            held.pop().release()
    assert 2 < refusals < 20
    await manager.close(0)


async def test_calls_that_failed_or_were_cancelled_raise_no_limit(network: Network) -> None:
    manager = network.manager(connections=1)
    connection = (await four_calls_one_refused(manager))[0]
    concurrency = manager.pool().concurrency
    concurrency.throttled()
    before = connection.limit, concurrency._exact_limit
    for _ in range(100):
        concurrency.enter()
        connection.enter(NOW)
        connection.leave(False)
    assert (connection.limit, concurrency._exact_limit) == before
    await manager.close(0)


async def test_a_connection_that_is_made_again_takes_what_a_new_one_takes(network: Network) -> None:
    manager = network.manager(connections=1)
    for connection in await four_calls_one_refused(manager):
        connection.release()
    network.wires[0].up = False
    assert (await manager.acquire()).limit == 64
    await manager.close(0)


async def test_a_refusal_while_the_connection_ends_says_nothing_of_the_next(network: Network) -> None:
    manager = network.manager(connections=1)
    taken = [await manager.acquire() for _ in range(2)]
    network.wires[0].up = False  # a GOAWAY
    taken[1].failed(REFUSED)
    assert taken[1].limit == 64
    await manager.close(0)


@pytest.mark.parametrize(
    "failure",
    [ConnectFailed("x", unprocessed=True), ConnectionLost("x"), PredictionFailed("x", code=10030), ValueError()],
)
async def test_other_failures_say_nothing_of_the_limit(network: Network, failure: Exception) -> None:
    manager = network.manager()
    connection = await manager.acquire()
    connection.failed(failure)
    assert connection.limit == 64
    await manager.close(0)


async def test_calls_that_wait_are_let_in_when_the_server_allows_more(network: Network) -> None:
    manager = network.manager(connections=1)
    first = await manager.acquire()
    [wire] = network.wires

    def allow(number: int) -> None:
        wire.max_streams = number
        assert wire.on_max_streams is not None
        wire.on_max_streams()

    allow(1)
    waiting = acquiring(manager, 3)
    await turns()
    assert manager.waiting == 3
    allow(3)
    await asyncio.gather(*waiting[:2])
    assert manager.waiting == 1
    allow(1000)
    assert await waiting[2] is first
    assert first.limit == 64  # ours is the smaller one
    await manager.close(0)


async def test_a_quiet_connection_is_avoided(network: Network) -> None:
    manager = network.manager()
    first = await manager.acquire()
    first.last_answer -= QUIET + 0.1
    second = await manager.acquire()
    assert second is not first
    assert await manager.acquire() is second
    first.release()
    first.last_answer -= 100
    assert await manager.acquire() is first  # idle is not quiet,
    assert await manager.acquire() is first  # nor is one that was idle until a moment ago
    await manager.close(0)


@given(
    st.lists(st.tuples(st.sampled_from(["acquire", "release", "cancel", "refuse"]), st.integers(0, 30)), max_size=60)
)
def test_places_are_neither_lost_nor_doubled(steps: list[tuple[str, int]]) -> None:
    async def scenario() -> None:
        network = Network()
        manager = network.manager(streams=2, connections=2)
        tasks: list[asyncio.Task[Connection]] = []
        held: list[Connection] = []

        async def settle() -> None:
            await turns(12)
            for task in [task for task in tasks if task.done()]:
                tasks.remove(task)
                if not task.cancelled():
                    held.append(task.result())

        for what, pick in steps:
            if what == "acquire":
                tasks.append(asyncio.create_task(manager.acquire()))
            elif what == "release" and held:
                held.pop(pick % len(held)).release()
            elif what == "cancel" and tasks:
                tasks[pick % len(tasks)].cancel()
            elif what == "refuse" and held:
                held[pick % len(held)].failed(REFUSED)
            if pick % 2:
                await settle()
        await settle()
        assert sum(connection.calls for connection in manager.connections) == len(held)
        assert manager.waiting == len(tasks)
        assert len(network.wires) <= 2
        while held:
            held.pop().release()
            await settle()
        assert not tasks
        assert [connection.calls for connection in manager.connections] == [0] * len(network.wires)
        await manager.close(0)

    asyncio.run(scenario())


# -- connecting


def acquiring(manager: ChannelManager, number: int = 1) -> list[asyncio.Task[Connection]]:
    return [asyncio.create_task(manager.acquire()) for _ in range(number)]


async def test_calls_that_come_at_once_make_one_attempt(network: Network) -> None:
    manager = network.manager()
    network.open.clear()
    tasks = acquiring(manager, 10)
    await turns()
    assert [wire.connects for wire in network.wires] == [1]
    network.open.set()
    await asyncio.gather(*tasks)
    assert [wire.connects for wire in network.wires] == [1]
    [connected] = network.events
    assert isinstance(connected, events.Connected)
    assert (connected.connection, connected.target) == (0, "http://localhost:1")
    await manager.acquire()
    assert network.wires[0].connects == 1
    await manager.close(0)


async def test_as_many_connections_are_made_at_once_as_the_calls_need(network: Network) -> None:
    manager = network.manager(streams=4, connections=3)
    network.open.clear()
    tasks = acquiring(manager, 9)
    await turns()
    assert len(network.wires) == 3
    network.open.set()
    connections = await asyncio.gather(*tasks)
    assert [connections.count(connection) for connection in manager.connections] == [4, 4, 1]
    await manager.close(0)


async def test_a_failed_attempt_fails_all_that_wait_and_the_next_call_makes_another(network: Network) -> None:
    manager = network.manager()
    network.failure = ConnectFailed("refused")
    outcomes = await asyncio.gather(*acquiring(manager, 3), return_exceptions=True)
    assert outcomes == [network.failure] * 3
    assert network.wires[0].connects == 1
    network.failure = None
    connection = await manager.acquire()
    assert [wire.connects for wire in network.wires] == [2]
    assert connection.calls == 1
    await manager.close(0)


async def test_a_connection_that_is_gone_before_a_call_could_use_it_is_a_failed_attempt(network: Network) -> None:
    manager = network.manager()
    network.brief = True
    for task in acquiring(manager, 3):
        with pytest.raises(ConnectFailed, match="as soon as it was made"):
            await task
    assert [wire.connects for wire in network.wires] == [1]
    network.brief = False
    (task,) = acquiring(manager)
    (await task).release()
    await manager.close(0)


async def test_calls_wait_for_no_connection_that_cannot_be_made_while_another_has_room(network: Network) -> None:
    manager = network.manager(streams=1, connections=2)
    first = await manager.acquire()
    network.failure = ConnectFailed("refused")
    waiting = acquiring(manager, 2)
    await until(lambda: len(network.wires) == 2 and network.wires[1].connects == 1)
    await turns()
    assert not any(task.done() for task in waiting)  # the failure is nobody's: the first connection works
    first.release()
    assert await waiting[0] is first
    first.release()
    assert await waiting[1] is first
    assert network.wires[1].connects == 1
    await manager.close(0)


async def test_one_that_failed_is_not_tried_again_and_again_while_another_attempt_runs(network: Network) -> None:
    manager = network.manager(streams=1, connections=2)
    slow = network.open
    slow.clear()
    waiting = acquiring(manager)
    await turns()
    network.open = asyncio.Event()
    network.open.set()
    network.failure = ConnectFailed("refused")
    waiting += acquiring(manager)
    await turns(50)
    assert [wire.connects for wire in network.wires] == [1, 1]
    network.failure = None
    slow.set()
    first = await waiting[0]
    first.release()
    assert await waiting[1] is first
    await manager.close(0)


async def test_a_call_takes_a_place_that_comes_free_while_another_connection_is_being_made(network: Network) -> None:
    manager = network.manager(streams=1, connections=2)
    first = await manager.acquire()
    network.open.clear()
    [waiting] = acquiring(manager)
    await turns()
    assert network.wires[1].connects == 1
    first.release()
    assert await waiting is first
    await manager.close(0)


async def test_a_connection_that_could_not_be_made_is_tried_again_while_calls_wait(network: Network) -> None:
    manager = network.manager(streams=1, connections=2)
    await manager.acquire()
    network.failure = ConnectFailed("refused")
    [waiting] = acquiring(manager)
    await turns()
    network.failure = None
    connection = await asyncio.wait_for(waiting, 10)
    assert connection.transport is network.wires[1]
    await manager.close(0)


async def test_one_callers_cancellation_is_not_the_others(network: Network) -> None:
    manager = network.manager()
    network.open.clear()
    first, second = acquiring(manager, 2)
    await turns()
    first.cancel()
    await turns()
    assert not second.done()
    network.open.set()
    await second
    assert network.wires[0].connects == 1
    await manager.close(0)


async def test_an_attempt_that_nobody_waits_for_ends(network: Network) -> None:
    manager = network.manager()
    network.open.clear()
    [only] = acquiring(manager)
    await turns()
    only.cancel()
    await turns()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    network.open.set()
    await manager.acquire()
    assert network.wires[0].connects == 2
    await manager.close(0)


async def test_a_wait_ends_after_its_timeout(network: Network) -> None:
    manager = network.manager(streams=1, connections=1)
    connection = await manager.acquire()
    with pytest.raises(TimeoutError):
        await manager.acquire(0.01)
    assert manager.waiting == 0
    connection.release()
    assert await manager.acquire(0.01) is connection
    await manager.close(0)


# -- what users hear


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_lost_connection_is_reported_though_nobody_calls(network: Network) -> None:
    manager = network.manager()
    connection = await manager.acquire()
    connection.release()
    assert connection.connected
    network.wires[0].up = False
    assert not connection.connected
    assert repr(connection) == "<Connection 0 not connected: 0 calls>"
    await until(lambda: len(network.events) == 2)
    await manager.acquire()
    assert [type(event) for event in network.events] == [events.Connected, events.Disconnected, events.Connected]
    assert network.wires[0].connects == 2
    assert repr(connection) == "<Connection 0 ready: 1 calls>"
    await manager.close(0)
    assert network.events[-1] == events.Disconnected("http://localhost:1", 0)


async def test_a_closed_connection_is_reported_once(network: Network) -> None:
    manager = network.manager(streams=1)
    for _ in range(2):
        await manager.acquire()
    await manager.close(0)
    closed = [event for event in network.events if isinstance(event, events.Disconnected)]
    assert [event.connection for event in closed] == [0, 1]


async def test_watching_keeps_neither_pool_nor_loop() -> None:
    network = Network()
    manager = network.manager()
    (await manager.acquire()).release()
    pool = weakref.ref(manager.pool())
    del manager
    network.wires.clear()
    await turns()
    gc.collect()
    assert pool() is None


def test_connections_of_all_loops_have_numbers_of_their_own() -> None:
    network = Network()
    manager = network.manager(streams=1)

    async def use() -> None:
        for _ in range(2):
            await manager.acquire()

    asyncio.run(use())
    asyncio.run(use())
    made = [event.connection for event in network.events if isinstance(event, events.Connected)]
    assert made == [0, 1, 2, 3]


async def test_whoever_listens_hears_of_connections_once(network: Network) -> None:
    manager = network.manager()
    others: list[events.Event] = []
    same, other, gone = Emitter(network.heard), Emitter(others.append), Emitter(others.append)
    for emit in (same, other, other, gone):
        manager.listen(emit)
    del gone
    await manager.acquire()
    await manager.close(0)
    assert [type(event) for event in network.events] == [events.Connected, events.Disconnected]
    assert others == network.events


# -- closing


async def test_a_closed_manager_refuses_and_says_why(network: Network) -> None:
    manager = network.manager(streams=1, connections=1)
    await manager.acquire()
    waiting = asyncio.create_task(manager.acquire())
    await turns()
    await manager.close(0)
    with pytest.raises(ClosedError, match="the client is closed"):
        await waiting
    with pytest.raises(ClosedError):
        await manager.acquire()
    with pytest.raises(ClosedError):
        manager.pool()
    await manager.close(0)  # idempotent
    assert network.wires[0].closed == 1
    assert manager.closed
    assert "closed" in repr(manager)


async def test_closing_while_it_connects_is_no_cancellation(network: Network) -> None:
    manager = network.manager()
    network.open.clear()
    [connecting] = acquiring(manager)
    await turns()
    await manager.close(0)
    with pytest.raises(ClosedError):
        await connecting


async def test_a_call_that_is_cancelled_while_the_client_closes_is_cancelled(network: Network) -> None:
    manager = network.manager(streams=1, connections=1)
    await manager.acquire()
    [waiting] = acquiring(manager)
    await turns()
    closing = asyncio.create_task(manager.close(0))
    await asyncio.sleep(0)  # the waiting call was refused, and has not run since
    waiting.cancel()
    await asyncio.wait([waiting, closing])
    assert waiting.cancelled()


async def test_closing_is_bounded_in_time(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = network.manager()
    await manager.acquire()

    async def never(grace: float) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(network.wires[0], "close", never)
    loop = asyncio.get_running_loop()
    start = loop.time()
    await manager.close(0.01)
    assert loop.time() - start < 1.5


async def test_releasing_after_closing_is_harmless(network: Network) -> None:
    manager = network.manager()
    connection = await manager.acquire()
    await manager.close(0)
    connection.release()
    assert connection.calls == 0


# -- loops


def test_each_loop_has_its_own_connections_and_those_of_closed_loops_are_dropped() -> None:
    async def use(manager: ChannelManager) -> tuple[Connection, int]:
        connection = await manager.acquire()
        connection.release()
        return connection, len(manager.connections)

    network = Network()
    manager = network.manager()
    first, count = asyncio.run(use(manager))
    assert count == 1
    second, count = asyncio.run(use(manager))
    assert second is not first
    assert count == 1
    assert [wire.discarded for wire in network.wires] == [1, 0]


async def test_a_child_that_goes_on_with_the_same_loop_uses_no_connection_of_its_parent(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = network.manager()
    parents = await manager.acquire()
    monkeypatch.setattr(channels, "_forks", channels._forks)  # put back after the test
    channels._forked()  # as in the child
    own = await manager.acquire()
    assert own is not parents
    assert manager.connections == [own]
    assert [wire.discarded for wire in network.wires] == [1, 0]
    await manager.close(0)


async def test_a_second_loop_beside_the_first_has_its_own_connections(network: Network) -> None:
    manager = network.manager()
    mine = await manager.acquire()
    theirs: list[Connection] = []

    async def elsewhere() -> None:
        theirs.append(await manager.acquire())
        assert manager.pool().connections == theirs

    await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
    assert theirs[0] is not mine
    assert manager.pool().connections == [mine]
    await manager.close(0)


def test_threads_that_find_a_closed_loop_at_once_drop_its_connections_once(network: Network) -> None:
    manager = network.manager()
    asyncio.run(manager.acquire())
    (pool,) = manager._pools.values()

    class Closed:
        def is_closed(self) -> bool:
            pool.loop = loop
            manager._forget_stale()  # as the other thread
            return True

    loop, pool.loop = pool.loop, Closed()  # type: ignore[assignment]
    manager._forget_stale()
    assert not manager._pools
    assert [wire.discarded for wire in network.wires] == [1]


async def test_closing_wakes_those_who_wait_in_another_loop(network: Network) -> None:
    manager = network.manager(streams=1, connections=1)
    parked, found = threading.Event(), []

    async def elsewhere() -> None:
        await manager.acquire()
        waiting = asyncio.create_task(manager.acquire())
        await turns()
        parked.set()
        found.append(await asyncio.wait_for(asyncio.gather(waiting, return_exceptions=True), 5))

    other = asyncio.get_running_loop().run_in_executor(None, lambda: asyncio.run(elsewhere()))
    await asyncio.to_thread(parked.wait, 5)
    await manager.close(0)
    await other
    assert [[type(error) for error in errors] for errors in found] == [[ClosedError]]
    assert network.wires[0].discarded == 1
