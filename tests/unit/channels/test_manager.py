"""Connections: which one a call goes over, waiting in line, connecting once, loops, and closing."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import events
from headrace.channels import manager as module
from headrace.channels.manager import NEW, ChannelManager, Connection, Load, assign
from headrace.config import Limits, Transmission
from headrace.errors import ClosedError, ConnectFailed
from headrace.target import Target
from headrace.transport.base import Buffer, Call, Metadata

pytestmark = pytest.mark.core

TARGET = Target.parse("http://localhost:1")


class Wire:
    """A transport that connects when a test lets it."""

    survives_fork = True
    max_streams: int | None = None

    def __init__(self, network: Network) -> None:
        self.network = network
        self.on_max_streams: Callable[[], object] | None = None
        self.up = False
        self.connects = 0
        self.closed = 0
        self.discarded = 0

    @property
    def healthy(self) -> bool:
        return self.up

    async def connect(self, timeout: float) -> None:
        self.connects += 1
        await self.network.open.wait()
        if self.network.failure is not None:
            raise self.network.failure
        self.up = True

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
        self.events: list[events.Event] = []

    def __call__(self, target: Target, options: Transmission) -> Wire:
        self.wires.append(Wire(self))
        return self.wires[-1]

    def manager(self, streams: int = 64, connections: int = 8) -> ChannelManager:
        limits = Limits(streams_per_connection=streams, connections=connections)
        return ChannelManager(TARGET, Transmission(), self, limits, events.Emitter(self.events.append))


@pytest.fixture
def network() -> Network:
    return Network()


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# -- the choice


LOADS = [Load(calls, most, quiet) for calls, most, quiet in itertools.product((0, 1, 2), (1, 2), (False, True))]


@pytest.mark.parametrize("number", [0, 1, 2, 3])
@pytest.mark.parametrize("most_connections", [1, 2, 3])
def test_every_choice_among_a_few_connections(number: int, most_connections: int) -> None:
    for loads in itertools.product(LOADS, repeat=number):
        chosen = assign(loads, most_connections)
        room = [load for load in loads if load.calls < load.most]
        lively = [load for load in room if not load.quiet]
        if lively:
            assert chosen is not None
            assert loads[chosen] in lively
            assert loads[chosen].calls == min(load.calls for load in lively)
        elif number < most_connections:
            assert chosen == NEW
        elif room:
            assert chosen is not None
            assert loads[chosen] in room
            assert loads[chosen].calls == min(load.calls for load in room)
        else:
            assert chosen is None


def test_of_equal_ones_the_first_is_taken() -> None:
    assert assign([Load(1, 9), Load(1, 9)], 8) == 0
    assert assign([Load(1, 9), Load(0, 9, quiet=True), Load(0, 9)], 3) == 2


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


async def test_a_refused_stream_lowers_what_a_connection_takes(network: Network) -> None:
    manager = network.manager(streams=64, connections=1)
    taken = [await manager.acquire() for _ in range(5)]
    taken[4].refused()
    assert taken[0].most == 4
    waiting = asyncio.create_task(manager.acquire())
    await turns()
    taken[4].release()
    await turns()
    assert not waiting.done()  # four are running, and four is the most now
    taken[3].release()
    assert await waiting is taken[0]
    for connection in taken[:3]:
        connection.release()
    for _ in range(3):
        taken[0].refused()
    assert taken[0].most == 1  # never none
    await manager.close(0)


async def test_a_quiet_connection_is_avoided(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("headrace.channels.manager.time", SimpleNamespace(monotonic=lambda: now[0]))
    manager = network.manager()
    first = await manager.acquire()
    now[0] += module.QUIET + 0.1
    second = await manager.acquire()
    assert second is not first
    first.answered()
    second.release()
    first.release()
    now[0] += 100
    assert await manager.acquire() is first  # idle is not quiet
    assert not first.load.quiet


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
            await turns(3)
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
                held[pick % len(held)].refused()
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


async def test_calls_that_come_at_once_make_one_attempt(network: Network) -> None:
    manager = network.manager()
    network.open.clear()
    connections = [await manager.acquire() for _ in range(10)]
    tasks = [asyncio.create_task(connection.connect()) for connection in connections]
    await turns()
    assert [wire.connects for wire in network.wires] == [1]
    network.open.set()
    await asyncio.gather(*tasks)
    assert [wire.connects for wire in network.wires] == [1]
    [connected] = network.events
    assert isinstance(connected, events.Connected)
    assert (connected.connection, connected.target) == (0, "http://localhost:1")
    await connections[0].connect()
    assert network.wires[0].connects == 1
    await manager.close(0)


async def test_a_failed_attempt_fails_all_that_shared_it_and_the_next_is_a_new_one(network: Network) -> None:
    manager = network.manager()
    network.failure = ConnectFailed("refused")
    connection = await manager.acquire()
    found = await asyncio.gather(*[connection.connect() for _ in range(3)], return_exceptions=True)
    assert found == [network.failure] * 3
    assert network.wires[0].connects == 1
    network.failure = None
    await connection.connect()
    assert network.wires[0].connects == 2
    await manager.close(0)


async def test_one_callers_cancellation_is_not_the_others(network: Network) -> None:
    manager = network.manager()
    network.open.clear()
    connection = await manager.acquire()
    first, second = [asyncio.create_task(connection.connect()) for _ in range(2)]
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
    connection = await manager.acquire()
    only = asyncio.create_task(connection.connect())
    await turns()
    only.cancel()
    await turns()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    network.open.set()
    await connection.connect()
    assert network.wires[0].connects == 2
    await manager.close(0)


async def test_a_lost_connection_is_told_and_made_again(network: Network) -> None:
    manager = network.manager()
    connection = await manager.acquire()
    await connection.connect()
    assert connection.ready
    network.wires[0].up = False
    await connection.connect()
    assert [type(event) for event in network.events] == [events.Connected, events.Disconnected, events.Connected]
    assert network.wires[0].connects == 2
    assert repr(connection) == "<Connection 0 ready: 1 calls>"
    await manager.close(0)


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
        manager.home()
    await manager.close(0)  # idempotent
    assert network.wires[0].closed == 1
    assert manager.closed
    assert "closed" in repr(manager)


async def test_closing_while_it_connects_is_no_cancellation(network: Network) -> None:
    manager = network.manager()
    network.open.clear()
    connection = await manager.acquire()
    connecting = asyncio.create_task(connection.connect())
    await turns()
    await manager.close(0)
    with pytest.raises(ClosedError):
        await connecting


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


async def test_a_second_loop_beside_the_first_has_its_own_connections(network: Network) -> None:
    manager = network.manager()
    mine = await manager.acquire()
    theirs: list[Connection] = []

    async def elsewhere() -> None:
        theirs.append(await manager.acquire())
        assert manager.home().connections == theirs

    await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
    assert theirs[0] is not mine
    assert manager.home().connections == [mine]
    await manager.close(0)


def test_threads_that_find_a_closed_loop_at_once_drop_its_connections_once(network: Network) -> None:
    manager = network.manager()
    asyncio.run(manager.acquire())
    (home,) = manager._homes.values()

    class Closed:
        def is_closed(self) -> bool:
            home.loop = loop
            manager._forget_stale()  # as the other thread
            return True

    loop, home.loop = home.loop, Closed()  # type: ignore[assignment]
    manager._forget_stale()
    assert not manager._homes
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
