"""StreamModelOutputs over a real connection: both ways at once, bounded, ordered, cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc.aio
import pytest

from headrace.server.duplex import MIN_READ
from headrace.server.model import Answer, Item, ModelError, text


async def sent(call: Any, *requests: Any) -> None:
    for request in requests:
        await call.write(request)


async def rest(call: Any) -> list[Any]:
    await call.done_writing()
    found = []
    while (response := await call.read()) is not grpc.aio.EOF:
        found.append(response)
    return found


async def test_the_first_answer_leaves_while_inputs_still_arrive(serve: Any) -> None:
    stub = await serve()
    call = stub.stream()
    began = time.monotonic()
    arrived = []

    async def read() -> None:
        for _ in range(4):
            await call.read()
            arrived.append(time.monotonic() - began)

    reader = asyncio.create_task(read())
    for number in range(4):
        await call.write(stub.request("x", ids=f"n{number}-"))
        await asyncio.sleep(0.3)
    await reader
    assert await rest(call) == []
    assert arrived[0] < 0.3
    assert all(at < 0.3 * (n + 1) for n, at in enumerate(arrived))


async def test_each_input_is_answered_by_id_and_in_order(serve: Any) -> None:
    stub = await serve()
    call = stub.stream()
    await sent(
        call, stub.request("a", ids="x", delay=0.05), stub.request("b", ids="y"), stub.request("c", "d", ids="z")
    )
    found = await rest(call)
    assert [[(o.input.id, o.data.text.raw) for o in r.outputs] for r in found] == [
        [("x0", "a")],
        [("y0", "b")],
        [("z0", "c"), ("z1", "d")],
    ]


class Racing:
    """Answers in whatever order it is done."""

    ordered = False
    concurrency = 2
    go = threading.Event()

    def predict(self, item: Item) -> str:
        if item.text == "slow":
            assert self.go.wait(10)
        return item.text or ""


async def test_a_model_may_give_up_order(serve: Any) -> None:
    Racing.go.clear()
    stub = await serve(Racing)
    call = stub.stream()
    await sent(call, stub.request("slow", model="racing", ids="s"), stub.request("fast", model="racing", ids="f"))
    assert (await call.read()).outputs[0].input.id == "f0"
    Racing.go.set()
    assert (await call.read()).outputs[0].input.id == "s0"
    assert await rest(call) == []


class Eight:
    """Answers only when eight run at once."""

    concurrency = 8

    def __init__(self) -> None:
        self.barrier = threading.Barrier(8, timeout=10)

    def predict(self, item: Item) -> str:
        self.barrier.wait()
        return "ok"


async def test_a_stream_runs_as_many_inputs_at_once_as_the_model_takes(serve: Any) -> None:
    stub = await serve(Eight)
    call = stub.stream()
    await sent(call, *(stub.request("x", model="eight", ids=f"{n}-") for n in range(16)))
    assert len([r for r in await rest(call) if r.status.code == 10000]) == 16


class Stuck:
    """Takes inputs and answers none until let go."""

    concurrency = 2
    go = threading.Event()

    def predict(self, item: Item) -> str:
        assert self.go.wait(30)
        return "ok"


async def test_no_more_is_read_than_can_be_worked_on(serve: Any) -> None:
    Stuck.go.clear()
    stub = await serve(Stuck)
    call = stub.stream()
    large = stub.request("x" * 1_000_000, model="stuck")
    written = 0

    async def write() -> None:
        nonlocal written
        while written < 200:
            await call.write(large)
            written += 1

    writer = asyncio.create_task(write())
    before = -1
    while written != before:  # until the client is held up
        before = written
        await asyncio.sleep(0.4)
    held_at = written
    Stuck.go.set()
    for _ in range(200):
        assert (await call.read()).status.code == 10000
    await writer
    assert await rest(call) == []
    assert MIN_READ <= held_at <= MIN_READ + 4


async def test_bad_inputs_never_end_a_stream(serve: Any) -> None:
    stub = await serve()
    call = stub.stream()
    await sent(
        call,
        stub.request("a", ids="a"),
        stub.request("", ids="b"),
        stub.request("c", model="nope", ids="c"),
        stub.request("d", ids="d", x=float("nan")),
        stub.request("e", model="", ids="e"),  # the first request's model is meant
    )
    found = await rest(call)
    assert [(r.outputs[0].input.id, r.outputs[0].status.code, r.status.code) for r in found] == [
        ("a0", 10000, 10000),
        ("b0", 30104, 30104),
        ("c0", 21200, 21200),
        ("d0", 11102, 11102),
        ("e0", 10000, 10000),
    ]


async def test_an_empty_stream_is_answered_with_nothing(serve: Any) -> None:
    stub = await serve()
    call = stub.stream()
    assert await rest(call) == []
    assert await call.code() == grpc.StatusCode.OK


class Running:
    """Its own stream, in a thread: an answer for each item, and a total at the end."""

    def stream(self, items: Iterator[Item]) -> Iterator[Answer | ModelError]:
        words = 0
        for item in items:
            if item.text == "bad":
                yield ModelError(30104, "bad one")
                continue
            words += len((item.text or "").split())
            yield text(f"{words}")
        yield Answer(text("total").data, input_id="")


class RunningAsync:
    """The same on the loop."""

    async def stream(self, items: AsyncIterator[Item]) -> AsyncIterator[Answer | ModelError]:
        words = 0
        async for item in items:
            if item.text == "bad":
                yield ModelError(30104, "bad one")
                continue
            words += len((item.text or "").split())
            yield text(f"{words}")
        yield Answer(text("total").data, input_id="")


@pytest.mark.parametrize(("cls", "name"), [(Running, "running"), (RunningAsync, "running-async")])
async def test_a_models_own_stream_gets_items_as_they_come(serve: Any, cls: type, name: str) -> None:
    stub = await serve(cls)
    call = stub.stream()
    await call.write(stub.request("one two", model=name, ids="a"))
    first = await call.read()  # before anything else is sent
    assert (first.outputs[0].input.id, first.outputs[0].data.text.raw) == ("a0", "2")
    await sent(call, stub.request("bad", ids="b"), stub.request("three", ids="c"))
    found = await rest(call)
    assert [(r.outputs[0].input.id, r.outputs[0].status.code, r.outputs[0].data.text.raw) for r in found] == [
        ("b0", 30104, ""),
        ("c0", 10000, "3"),
        ("", 10000, "total"),
    ]


class Breaking:
    """Gives up at a bad item, or at the end."""

    def stream(self, items: Iterator[Item]) -> Iterator[str]:
        for item in items:
            if item.text == "bad":
                raise ModelError(30104, "a bad one")
            yield item.text or ""
            if item.text == "last":
                raise ValueError("after the answer")


class BreakingAsync:
    """The same on the event loop."""

    async def stream(self, items: AsyncIterator[Item]) -> AsyncIterator[str]:
        async for item in items:
            for answer in Breaking().stream(iter([item])):
                yield answer


@pytest.mark.parametrize(("cls", "name"), [(Breaking, "breaking"), (BreakingAsync, "breaking-async")])
async def test_a_stream_that_raises_fails_the_input_that_it_had_taken(serve: Any, cls: type, name: str) -> None:
    stub = await serve(cls)
    for text_, last in (("bad", ("b0", 30104)), ("last", ("", 21313))):  # an input that was answered did not fail
        call = stub.stream()
        await sent(call, stub.request("a", model=name, ids="a"), stub.request(text_, model=name, ids="b"))
        found = [(r.outputs[0].input.id, r.outputs[0].status.code) for r in await rest(call)]
        assert found[0] == ("a0", 10000)
        assert found[-1] == last


class Unloadable:
    """Cannot be loaded."""

    loads = 0

    def load(self) -> None:
        type(self).loads += 1
        raise OSError("no such file")

    def stream(self, items: Iterator[Item]) -> Iterator[str]:
        yield from ()


async def test_a_streaming_model_that_cannot_be_loaded_refuses_each_input_by_id(serve: Any) -> None:
    Unloadable.loads = 0
    stub = await serve(Unloadable)
    call = stub.stream()
    await sent(call, *(stub.request("a", model="unloadable", ids=name) for name in "xy"))
    found = await rest(call)
    assert [(r.status.code, r.outputs[0].input.id) for r in found] == [(21350, "x0"), (21350, "y0")]
    assert Unloadable.loads == 1


class Summing:
    """Says at the end whether all inputs came; a caller that went away must not look like that."""

    ended = threading.Event()
    stopped = threading.Event()
    taken = threading.Event()

    def stream(self, items: Iterator[Item]) -> Iterator[str]:
        try:
            for _ in items:
                self.taken.set()
            if not self.stopped.is_set():
                self.ended.set()
            yield "all"
        finally:
            self.stopped.set()


class SummingAsync(Summing):
    """The same on the loop."""

    async def stream(self, items: AsyncIterator[Item]) -> AsyncIterator[str]:  # type: ignore[override]
        try:
            async for _ in items:
                self.taken.set()
            self.ended.set()
            yield "all"
        finally:
            self.stopped.set()


async def test_a_cancelled_stream_is_not_taken_for_a_complete_one(serve: Any) -> None:
    stub = await serve(SummingAsync)
    for _ in range(100):
        for event in (Summing.ended, Summing.stopped, Summing.taken):
            event.clear()
        call = stub.stream()
        await call.write(stub.request("a", model="summing-async"))
        await asyncio.to_thread(Summing.taken.wait, 10)
        call.cancel()
        assert await asyncio.to_thread(Summing.stopped.wait, 10)
        assert not Summing.ended.is_set()


class Watching:
    """Works on an item until its caller has gone."""

    entered = threading.Event()
    stopped = threading.Event()

    def predict(self, item: Item) -> str:
        self.entered.set()
        if item.cancelled.wait(10):
            self.stopped.set()
        return ""


async def test_a_caller_who_goes_away_stops_the_work_on_inputs(serve: Any) -> None:
    stub = await serve(Watching)
    took = []
    for _ in range(3):
        Watching.entered.clear()
        Watching.stopped.clear()
        call = stub.stream()
        await call.write(stub.request("a", model="watching"))
        await asyncio.to_thread(Watching.entered.wait, 10)
        call.cancel()
        began = time.monotonic()
        assert await asyncio.to_thread(Watching.stopped.wait, 10)
        took.append(time.monotonic() - began)
    assert min(took) < 0.2


def tasks() -> set[Any]:
    """All tasks but gRPC's own, which waits for the next call."""
    return {task for task in asyncio.all_tasks() if "_request_call" not in repr(task)}


async def test_a_thread_that_waits_for_items_is_let_go_when_its_caller_leaves(serve: Any) -> None:
    stub = await serve(Summing)  # one call at a time: the next one needs the thread
    for _ in range(3):
        Summing.taken.clear()
        call = stub.stream()
        await call.write(stub.request("a", model="summing"))
        assert await asyncio.to_thread(Summing.taken.wait, 5)
        call.cancel()


async def test_nothing_is_left_after_streams_were_cancelled(serve: Any) -> None:
    stub = await serve(RunningAsync, Running)
    before = tasks()
    for name in ("echo", "running", "running-async") * 5:
        call = stub.stream()
        await call.write(stub.request("a", model=name))
        await call.read()
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call.read()
    deadline = time.monotonic() + 5
    while (left := tasks() - before) and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    assert not left


async def test_many_inputs_keep_their_order_and_none_is_lost(serve: Any) -> None:
    stub = await serve()
    call = stub.stream()
    writer = asyncio.create_task(
        sent(call, *(stub.request(f"{n}", ids=f"{n}-", delay=0.001 * (n % 3)) for n in range(500)))
    )
    answers = [(await call.read()).outputs[0] for _ in range(500)]
    await writer
    assert [(o.input.id, o.data.text.raw) for o in answers] == [(f"{n}-0", f"{n}") for n in range(500)]
    assert await rest(call) == []
