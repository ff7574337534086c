"""Rates, limits of calls at once, and the retry budget, in virtual time."""

from __future__ import annotations

import asyncio
import gc
import heapq
import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.flow.rate import Budget, Concurrency, Rate, Waited

pytestmark = pytest.mark.core


class Clock:
    """Seconds that only a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Bucket:
    """A server that lets `limit` calls a second through, and so many at once after a pause."""

    limit: float
    burst: float
    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    _tokens: float = field(init=False)
    _when: float = 100.0

    def __post_init__(self) -> None:
        self._tokens = self.burst

    def admits(self, now: float) -> bool:
        self._tokens = min(self.burst, self._tokens + (now - self._when) * self.limit)
        self._when = now
        admitted = self._tokens >= 1.0
        self._tokens -= admitted
        (self.accepted if admitted else self.refused).append(now - 100.0)
        return admitted


def play(rate: Rate, clock: Clock, bucket: Bucket, *, workers: int, latency: float, seconds: float) -> None:
    """Let workers call as fast as the rate lets them; a refused one waits a moment and calls again."""
    chance, turn = random.Random(7), itertools.count()
    agenda: list[tuple[float, int, Callable[[], float | None]]] = []

    def worker() -> Callable[[], float | None]:
        ticket: int | None = None

        def step() -> float | None:
            nonlocal ticket
            if ticket is None:
                ticket = rate.take()
            wait = rate.wait(ticket)
            if wait > 0:
                return wait
            ticket = None
            if bucket.admits(clock.now):
                return latency * chance.uniform(0.8, 1.2)
            rate.throttled()
            return 0.01 + 0.2 * chance.random()

        return step

    for _ in range(workers):
        heapq.heappush(agenda, (100.0 + chance.random() / 1000, next(turn), worker()))
    while agenda[0][0] < 100.0 + seconds:
        clock.now, _, step = heapq.heappop(agenda)
        heapq.heappush(agenda, (clock.now + (step() or 0.0), next(turn), step))


@pytest.mark.parametrize(  # each two values meet at least once
    ("start", "limit", "share", "latency"),
    [
        (None, 15.0, 0.2, 0.02),
        (None, 40.0, 1.0, 0.5),
        (None, 120.0, 0.2, 0.5),
        (None, 120.0, 1.0, 0.02),
        (100.0, 15.0, 1.0, 0.5),
        (100.0, 40.0, 0.2, 0.02),
        (100.0, 120.0, 0.2, 0.5),
        (100.0, 120.0, 1.0, 0.02),
        (1000.0, 15.0, 0.2, 0.5),
        (1000.0, 15.0, 1.0, 0.02),
        (1000.0, 40.0, 1.0, 0.5),
        (1000.0, 120.0, 0.2, 0.02),
    ],
)
def test_it_finds_a_hidden_limit(start: float | None, limit: float, share: float, latency: float) -> None:
    clock = Clock()
    rate, bucket = Rate(start, clock), Bucket(limit, limit * share)
    play(rate, clock, bucket, workers=150, latency=latency, seconds=20)
    goal = min(limit, start or limit)
    through = sum(t >= 10 for t in bucket.accepted) / 10
    assert goal * 0.9 <= through <= goal * 1.1
    assert sum(t >= 10 for t in bucket.refused) <= 0.03 * 10 * goal + 5  # and it keeps probing gently


@pytest.mark.parametrize("workers", [1, 10, 100])
def test_a_server_that_allows_fifteen_a_second_never_throttles(workers: int) -> None:
    clock = Clock()
    rate, bucket = Rate(15.0, clock), Bucket(15.0, 2.0)
    play(rate, clock, bucket, workers=workers, latency=0.05, seconds=20)
    assert not bucket.refused
    starts = bucket.accepted
    assert len(starts) >= 20 * 15 - 2
    assert all(later - first > 0.999 for first, later in zip(starts, starts[15:], strict=False))


def test_an_idle_second_is_not_saved_up() -> None:
    clock = Clock()
    rate = Rate(10.0, clock)
    assert rate.wait(rate.take()) == 0
    clock.now += 60
    assert rate.wait(rate.take()) == 0
    assert rate.wait(rate.take()) == pytest.approx(0.1)


@pytest.mark.parametrize("jump", [-1e6, 0.0, 2.0, 3600.0, 1e6])
@pytest.mark.parametrize("per_second", [0.5, 10.0, 1000.0, None])
def test_after_a_standstill_calls_do_not_start_in_a_burst(per_second: float | None, jump: float) -> None:
    clock = Clock()
    rate = Rate(per_second, clock)
    rate.wait(rate.take())
    rate.throttled()
    before = rate.per_second
    assert before is not None
    tickets = [rate.take() for _ in range(10_000)]
    clock.now += jump
    due = [rate.wait(ticket) == 0 for ticket in tickets]
    assert sum(due) <= max(1.0, before * rate.LOOK_AGAIN) + 1
    assert due == sorted(due, reverse=True)
    assert before <= (rate.per_second or 0) <= 2 * before


def test_without_a_rate_nothing_waits_until_the_server_throttles() -> None:
    clock = Clock()
    rate = Rate(None, clock)
    for _ in range(1000):
        assert rate.wait(rate.take()) == 0
    assert rate.per_second is None
    rate.throttled()
    assert rate.per_second is not None
    assert rate.wait(rate.take()) == 0
    assert rate.wait(rate.take()) > 0


def test_throttles_of_one_episode_count_once() -> None:
    clock = Clock()
    rate = Rate(100.0, clock)
    for _ in range(50):
        rate.throttled()
    assert rate.per_second == 50.0
    clock.now += 0.6
    rate.throttled()
    assert rate.per_second == 25.0


def test_it_falls_as_far_as_the_server_refuses() -> None:
    clock = Clock()
    rate = Rate(1000.0, clock)
    rate.throttled()
    assert rate.per_second == 500.0
    for _ in range(80):
        ticket = rate.take()
        while wait := rate.wait(ticket):
            clock.now += wait
    for _ in range(18):
        rate.throttled()
    clock.now += 0.5
    rate.throttled()
    assert rate.per_second == pytest.approx(500.0 * (1 - 20 / 80))


def test_it_never_falls_below_one_a_second_and_returns_to_what_was_asked() -> None:
    clock = Clock()
    rate = Rate(4.0, clock)
    for _ in range(20):
        rate.throttled()
        clock.now += 0.6
    assert rate.per_second == 1.0
    clock.now += 60
    rate.wait(rate.take())
    assert rate.per_second == 1.0  # nobody asked for more meanwhile
    tickets = [rate.take() for _ in range(200)]
    for _ in range(200):
        clock.now += 0.1
        rate.wait(tickets[-1])
    assert rate.per_second == 4.0


def test_a_rate_below_one_a_second_is_kept() -> None:
    clock = Clock()
    rate = Rate(0.5, clock)
    rate.wait(rate.take())
    rate.throttled()
    assert rate.per_second == 0.5


def test_a_server_that_throttles_no_more_is_sent_any_number_again() -> None:
    clock = Clock()
    rate = Rate(None, clock)
    for _ in range(20):
        rate.wait(rate.take())
    rate.throttled()
    tickets = [rate.take() for _ in range(100_000)]
    for _ in range(400):
        clock.now += 0.1
        rate.wait(tickets[-1])
    assert rate.per_second is None
    assert rate.wait(tickets[-1]) == 0


def test_those_behind_a_ticket_that_is_given_back_move_up() -> None:
    clock = Clock()
    rate = Rate(10.0, clock)
    tickets = [rate.take() for _ in range(1000)]
    starts: dict[int, float] = {}
    for ticket in tickets[5:995]:
        rate.give_back(ticket)
    left = tickets[:5] + tickets[995:]
    while len(starts) < len(left):
        for ticket in left:
            if ticket not in starts and rate.wait(ticket) == 0:
                starts[ticket] = clock.now - 100.0
        clock.now += 0.01
    assert list(starts) == left
    times = list(starts.values())
    assert times[0] == 0
    assert all(0.089 <= later - earlier <= 0.121 for earlier, later in itertools.pairwise(times))


def test_giving_back_what_has_started_changes_nothing() -> None:
    clock = Clock()
    rate = Rate(10.0, clock)
    first = rate.take()
    assert rate.wait(first) == 0
    rate.give_back(first)
    assert rate.wait(rate.take()) == pytest.approx(0.1)
    unlimited = Rate(None, clock)
    unlimited.give_back(unlimited.take() + 1)
    assert unlimited.wait(unlimited.take()) == 0


@given(st.lists(st.tuples(st.sampled_from(["take", "give back", "wait"]), st.integers(0, 20)), max_size=80))
def test_no_second_has_more_starts_than_the_rate_and_nobody_waits_for_nothing(steps: list[tuple[str, int]]) -> None:
    clock = Clock()
    rate = Rate(5.0, clock)
    waiting: list[int] = []
    starts: list[tuple[float, float]] = []  # between these two looks each became due
    looked = clock.now

    def look() -> None:
        nonlocal looked
        for ticket in list(waiting):
            if rate.wait(ticket) == 0:
                waiting.remove(ticket)
                starts.append((looked, clock.now))
        looked = clock.now

    for what, pick in steps:
        if what == "take":
            waiting.append(rate.take())
        elif what == "give back" and waiting:
            rate.give_back(waiting.pop(pick % len(waiting)))
        else:
            clock.now += pick / 20
        look()
    left, since = len(waiting), clock.now
    while waiting:
        clock.now += 0.01
        look()
    assert clock.now - since <= left / 5.0 + 0.25
    for (first, _), (_, sixth) in zip(starts, starts[5:], strict=False):
        assert sixth - first >= 0.999


# -- calls at once


async def turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def place(limit: Concurrency, timeout: float | None = None) -> None:
    turn = limit.queue(timeout)
    try:
        await turn
    except BaseException:
        turn.leave()
        raise


async def test_no_more_calls_run_than_the_limit_and_the_first_to_come_is_first() -> None:
    limit, running = Concurrency(2), []

    async def call(number: int) -> None:
        await place(limit)
        running.append(number)

    tasks = [asyncio.create_task(call(number)) for number in range(5)]
    await turns()
    assert running == [0, 1]
    assert (limit.running, limit.waiting) == (2, 3)
    limit.release()
    await turns()
    assert running == [0, 1, 2]
    limit.release()
    limit.release()
    await asyncio.gather(*tasks)
    assert running == [0, 1, 2, 3, 4]
    assert limit.running == 2


@pytest.mark.parametrize("handed_over", [False, True])
async def test_a_cancelled_wait_takes_no_place(handed_over: bool) -> None:
    limit = Concurrency(1)
    await place(limit)
    first, second = [asyncio.create_task(place(limit)) for _ in range(2)]
    await turns()
    if handed_over:
        limit.release()
    first.cancel()
    await turns()
    if not handed_over:
        limit.release()
    await asyncio.wait_for(second, 1)
    assert (limit.running, limit.waiting) == (1, 0)


async def test_a_throttle_halves_what_runs_and_a_round_of_successes_adds_one() -> None:
    clock = Clock()
    limit = Concurrency(100, clock)
    for _ in range(20):
        await place(limit)
    limit.throttled()
    assert limit.limit == 10  # of the 20 that run, not of 100
    limit.throttled()
    assert limit.limit == 10  # the same episode
    clock.now += 0.2
    for _ in range(15):
        limit.release()
    limit.throttled()
    assert limit.limit == 2
    clock.now += 0.2
    limit.throttled()
    clock.now += 0.2
    limit.throttled()
    assert limit.limit == 1
    for most in range(2, 6):
        for _ in range(most):
            limit.succeeded()
        assert limit.limit == most


async def test_growth_lets_waiting_calls_in() -> None:
    clock = Clock()
    limit = Concurrency(8, clock)
    await place(limit)
    limit.throttled()
    assert limit.limit == 1
    waiting = asyncio.create_task(place(limit))
    await turns()
    assert not waiting.done()
    limit.succeeded()
    await asyncio.wait_for(waiting, 1)
    assert limit.running == 2


async def test_calls_that_wait_too_long_leave_the_queue_in_order_and_the_others_keep_their_places() -> None:
    limit, ended = Concurrency(1), []
    await place(limit)

    async def call(number: int, timeout: float | None) -> None:
        try:
            await place(limit, timeout)
            ended.append(number)
        except Waited:
            ended.append(-number)

    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(call(n, timeout)) for n, timeout in enumerate((60.0, 0.8, None, 0.4, 0.8), 1)]
    start = loop.time()
    await asyncio.wait(tasks, timeout=0.01)
    while len(ended) < 3:
        await asyncio.sleep(0.001)
    assert loop.time() - start >= 0.8
    assert ended == [-4, -2, -5]
    assert (limit.running, limit.waiting) == (1, 2)
    limit.release()
    limit.release()
    await asyncio.gather(*tasks)
    assert ended == [-4, -2, -5, 1, 3]
    assert (limit.running, limit.waiting) == (1, 0)


async def test_calls_that_wait_share_timers() -> None:
    limit = Concurrency(1)
    await place(limit)
    loop = asyncio.get_running_loop()
    before = len(loop._scheduled)  # type: ignore[attr-defined]
    tasks = [loop.create_task(place(limit, 60.0)) for _ in range(100)]
    await turns()
    assert limit.waiting == 100
    assert len(loop._scheduled) - before < 10  # type: ignore[attr-defined]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert (limit.running, limit.waiting) == (1, 0)


@pytest.mark.parametrize("first", ["cancel", "timeout", "turn"])
async def test_what_comes_together_with_a_cancel_takes_no_place_and_is_not_logged(first: str) -> None:
    logged: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: logged.append(context))
    limit = Concurrency(1)
    await place(limit)
    queued = [limit.queue(60.0)]

    async def call() -> None:
        turn = queued[0]
        try:
            await turn
        except BaseException:
            turn.leave()
            raise

    task = loop.create_task(call())
    await turns()
    if first == "turn":
        limit.release()
    elif first == "timeout":
        queued[0].expired()
    task.cancel()
    queued[0].expired()
    await asyncio.wait([task])
    assert task.cancelled()
    queued.clear()
    del task
    gc.collect()
    assert (limit.running, limit.waiting, logged) == (0 if first == "turn" else 1, 0, [])


def test_successes_never_raise_it_above_what_was_asked() -> None:
    limit = Concurrency(4)
    for _ in range(100):
        limit.succeeded()
    assert limit.limit == 4


@given(
    st.lists(st.tuples(st.sampled_from(["start", "cancel", "end", "ok", "throttle"]), st.integers(0, 50)), max_size=60)
)
def test_places_are_neither_lost_nor_doubled(steps: list[tuple[str, int]]) -> None:
    async def scenario() -> None:
        clock = Clock()
        limit, tasks, running = Concurrency(4, clock), [], 0
        for what, pick in steps:
            clock.now += 0.05
            if what == "start":
                tasks.append(asyncio.create_task(place(limit)))
            elif what == "cancel" and tasks:
                tasks[pick % len(tasks)].cancel()
            elif what == "ok":
                limit.succeeded()
            elif what == "throttle":
                limit.throttled()
            if what == "end" and running:
                limit.release()
                running -= 1
            else:
                await asyncio.sleep(0)
                running += sum(task.done() and not task.cancelled() for task in tasks)
                tasks = [task for task in tasks if not task.done()]
            assert 1 <= limit.limit <= 4
        await turns()
        running += sum(task.done() and not task.cancelled() for task in tasks)
        waiting = [task for task in tasks if not task.done()]
        assert limit.running == running
        assert not waiting or running >= limit.limit
        for _ in range(200):  # all end: everybody gets a turn
            if limit.running:
                limit.release()
            await asyncio.sleep(0)
        assert all(task.done() for task in waiting)

    asyncio.run(scenario())


# -- the retry budget


def test_a_thousand_failing_calls_make_at_most_a_fifth_more() -> None:
    clock = Clock()
    budget = Budget(50.0, 0.1, 0.5, clock)
    retries = 0
    for _ in range(1000):
        clock.now += 0.01
        budget.calls += 1
        for _ in range(4):
            if not budget.spend():
                break
            retries += 1
    assert 100 <= retries <= 200


def test_the_budget_refills_with_time_and_calls_up_to_its_size() -> None:
    clock = Clock()
    budget = Budget(2.0, 0.5, 1.0, clock)
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    budget.calls += 1
    assert not budget.spend()
    budget.calls += 1
    assert budget.spend()
    clock.now += 100
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    for _ in range(10):
        budget.calls += 1
    assert budget.tokens == 2.0


def test_no_budget_means_any_number_and_an_empty_one_none() -> None:
    assert all(Budget(None, 0.0, 0.0).spend() for _ in range(1000))
    assert not Budget(0.0, 0.0, 0.0).spend()
    assert (Budget(None, 0.0, 0.0).tokens, Budget(0.0, 0.0, 0.0).tokens) == (math.inf, 0.0)
