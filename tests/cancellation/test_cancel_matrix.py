"""The cancellation contract: every operation at every moment, on both transports."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from headrace import ClosedError, Limits, PartialFailure, StreamBroken, Timeouts
from headrace.calls.unary.coalesce import coalescer
from headrace.model import Model
from headrace.testing import ConnectionFaults, FaultProxy
from tests.support.rig import WIRES, Rig, Wire, rigged, timed

pytestmark = pytest.mark.core


async def predict(model: Model) -> None:
    await model.predict_by_bytes("text", "text")


async def predict_many(model: Model) -> None:
    await model.predict(["text"] * 300, "text")


async def generate(model: Model) -> None:
    async with model.generate_by_bytes("text", "text") as stream:
        async for _ in stream:
            pass


async def stream(model: Model) -> None:
    async with model.stream_by_bytes(_endless(), "text") as stream:
        async for _ in stream:
            pass


async def stream_of_a_generator(model: Model) -> None:
    async with model.stream_by_bytes((f"text {n}" for n in itertools.count()), "text", ordered=False) as stream:
        async for _ in stream:
            pass


async def free(model: Model) -> None:
    async with model.stream_by_bytes(_endless(), "text", matched=False) as stream:
        async for _ in stream:
            pass


async def mapping(model: Model) -> None:
    async with model.map(_endless(), concurrency=4, input_type="text") as stream:
        async for _ in stream:
            pass


async def packed_stream(model: Model) -> None:
    async with model.stream_by_bytes(_endless(), "text", batch="auto") as stream:
        async for _ in stream:
            pass


async def packed_mapping(model: Model) -> None:
    async with model.map(_endless(), concurrency=4, batch="auto", input_type="text") as stream:
        async for _ in stream:
            pass


async def coalesced(model: Model) -> None:
    together = coalescer(True, model.client.limits)
    assert together is not None
    model._calls.backend = dataclasses.replace(model._calls.backend, predict_one=together)
    await asyncio.gather(*(model.predict_by_bytes("text", "text") for _ in range(3)))


async def _endless() -> AsyncIterator[str]:
    number = 0
    while True:
        yield f"text {number}"
        number += 1
        await asyncio.sleep(0.0005)  # no flood where there is no window


OPERATIONS = [predict, predict_many, generate, stream, stream_of_a_generator, free, mapping]
OPERATIONS += [packed_stream, packed_mapping, coalesced]

#: Brings an operation to a moment, and stays there while the block runs.
Moment = Callable[
    [Rig, Callable[[], "asyncio.Task[None]"]], contextlib.AbstractAsyncContextManager["asyncio.Task[None]"]
]


@contextlib.asynccontextmanager
async def before_it_begins(rig: Rig, start: Callable[[], asyncio.Task[None]]) -> AsyncIterator[asyncio.Task[None]]:
    yield start()


@contextlib.asynccontextmanager
async def a_moment_later(rig: Rig, start: Callable[[], asyncio.Task[None]]) -> AsyncIterator[asyncio.Task[None]]:
    task = start()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    yield task


@contextlib.asynccontextmanager
async def connecting(rig: Rig, start: Callable[[], asyncio.Task[None]]) -> AsyncIterator[asyncio.Task[None]]:
    if rig.wire == "memory":
        with rig.double.server.silent():
            task = start()
            for _ in range(20):
                await asyncio.sleep(0)
            yield task
    else:
        proxy: FaultProxy = rig.proxy  # type: ignore[attr-defined]
        with proxy.applying(blackhole=True):
            task = start()
            await proxy.until(lambda stats: stats.connections >= 1)
            yield task


@contextlib.asynccontextmanager
async def queued(rig: Rig, start: Callable[[], asyncio.Task[None]]) -> AsyncIterator[asyncio.Task[None]]:
    rig.double.hold()
    other = asyncio.ensure_future(rig.model.predict_by_bytes("other", "text"))
    await rig.double.received(1)
    task = start()
    while not rig.client.stats.waiting:
        await asyncio.sleep(0)
    yield task
    rig.double.release()
    assert (await other).text.strip() == "other"


@contextlib.asynccontextmanager
async def sent(rig: Rig, start: Callable[[], asyncio.Task[None]]) -> AsyncIterator[asyncio.Task[None]]:
    with rig.double.holding():
        task = start()
        await rig.double.received(1)
        yield task


@contextlib.asynccontextmanager
async def in_the_middle(rig: Rig, start: Callable[[], asyncio.Task[None]]) -> AsyncIterator[asyncio.Task[None]]:
    task = start()
    await rig.until(lambda: sum(call.sent_messages for call in rig.calls) >= 3 or task.done())
    yield task


MOMENTS: list[Moment] = [before_it_begins, a_moment_later, connecting, queued, sent, in_the_middle]
ON_NO_WIRE = [before_it_begins, queued]  # the transport has not been asked for anything
CASES = [
    pytest.param(wire, operation, moment, id=f"{wire}-{operation.__name__}-{getattr(moment, '__name__', '')}")
    for wire in WIRES
    for operation in OPERATIONS
    for moment in MOMENTS
    if not (moment is in_the_middle and operation in (predict, coalesced))
    and not (moment in ON_NO_WIRE and wire != "memory")
]


async def _tokens(item: Any) -> Any:
    if item.shape != "generate":
        await asyncio.sleep(0.001)  # a model that takes its time
        return item.text
    return _slow_tokens(item.text)


async def _slow_tokens(text: str) -> AsyncIterator[str]:
    for _ in range(500):
        yield f"{text} "
        await asyncio.sleep(0.002)  # a model that takes its time


@contextlib.asynccontextmanager
async def prepared(wire: Wire, tmp_path: Path, moment: Any, **options: Any) -> AsyncIterator[Rig]:
    limits = Limits(connections=1, streams_per_connection=1) if moment is queued else Limits()
    async with rigged(wire, tmp_path, _tokens, limits=limits, **options) as rig:
        if wire != "memory" and moment is connecting:
            assert rig.server is not None
            async with (
                FaultProxy(rig.server.address, ConnectionFaults()) as proxy,
                rigged_by(rig, wire, proxy, options) as through,
            ):
                yield through
            return
        yield rig


@contextlib.asynccontextmanager
async def rigged_by(rig: Rig, wire: Any, proxy: FaultProxy, options: dict[str, Any]) -> AsyncIterator[Rig]:
    from headrace import Client
    from tests.support.rig import MODEL

    async with Client(base_url=proxy.address, transport=wire, **options) as client:
        other = Rig(rig.double, client, client.model(**MODEL), rig.wire, rig.server)
        other.proxy = proxy  # type: ignore[attr-defined]
        yield other


@pytest.mark.parametrize(("wire", "operation", "moment"), CASES)
async def test_a_cancelled_operation_leaves_nothing_behind(
    wire: Wire, operation: Callable[[Model], Awaitable[None]], moment: Moment, tmp_path: Path
) -> None:
    async with prepared(wire, tmp_path, moment) as rig:

        def start() -> asyncio.Task[None]:
            return asyncio.ensure_future(operation(rig.model))

        async with moment(rig, start) as task:
            before = asyncio.all_tasks()
            assert not task.done()
            task.cancel()
            with timed() as took, pytest.raises(asyncio.CancelledError):
                await task
            assert took.ours < 0.5
            left = {t for t in asyncio.all_tasks() & before if t.get_name().startswith("headrace") and not t.done()}
            if left:
                await asyncio.wait(left, timeout=0.5)
                assert not [t for t in left if not t.done()]
        running = [call for call in rig.calls if call.method.endswith("ModelOutputs")]
        await rig.until(lambda: all(call.finished for call in running), timeout=0.5)
        assert rig.client.stats.running == rig.client.stats.waiting == 0
        async with asyncio.timeout(5):
            assert (await rig.model.predict_by_bytes("after", "text")).text == "after"
        assert not rig.double.server.errors


@pytest.mark.parametrize(("wire", "operation", "moment"), [case for case in CASES if case.values[2] is not queued])
async def test_closing_the_client_ends_what_runs_with_a_typed_error(
    wire: Wire, operation: Callable[[Model], Awaitable[None]], moment: Any, tmp_path: Path
) -> None:
    async with prepared(wire, tmp_path, moment, timeouts=Timeouts(close=0.05)) as rig:

        def start() -> asyncio.Task[None]:
            return asyncio.ensure_future(operation(rig.model))

        async with moment(rig, start) as task:
            with timed() as took:
                await asyncio.gather(rig.client.close(), rig.client.close())
            assert took.ours < 1.0
            with timed() as took:
                async with asyncio.timeout(2):
                    failure = (await asyncio.gather(task, return_exceptions=True))[0]
            assert took.ours < 1.0
            if isinstance(failure, StreamBroken):
                assert operation is generate
                failure = failure.__cause__
            elif isinstance(failure, PartialFailure):
                assert operation is predict_many
                failure = next(iter(failure.errors.values()))
            # what needs no time any more is let to its end
            assert isinstance(failure, ClosedError) or (
                failure is None and operation in (predict, predict_many, coalesced)
            )
        await rig.client.close()
        with pytest.raises(ClosedError):
            await rig.model.predict_by_bytes("after", "text")
        await rig.until(lambda: all(call.finished for call in rig.calls), timeout=1)


@pytest.mark.parametrize("wire", WIRES)
async def test_a_cancelled_close_has_closed(wire: Wire, tmp_path: Path) -> None:
    async with rigged(wire, tmp_path, _tokens, timeouts=Timeouts(close=0.2)) as rig:
        with rig.double.holding():
            running = asyncio.ensure_future(rig.model.predict_by_bytes("text", "text"))
            await rig.double.received(1)
            closing = asyncio.ensure_future(rig.client.close())
            await asyncio.sleep(0)
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            with pytest.raises(ClosedError):
                await rig.model.predict_by_bytes("after", "text")
            with timed() as took:
                await rig.client.close()
            assert took.ours < 2
            with pytest.raises(ClosedError):
                await running


@pytest.mark.parametrize("shape", ["stream", "unordered", "packed", "free", "map", "packed map", "generate"])
@pytest.mark.parametrize("wire", WIRES)
async def test_a_cancelled_read_loses_no_prediction(wire: Wire, shape: str, tmp_path: Path) -> None:
    many = 60

    async def few(item: Any) -> Any:
        if item.shape == "generate":
            return _numbered(many)
        await asyncio.sleep(0.001)  # a model that takes its time
        return item.text

    async with rigged(wire, tmp_path, few) as rig:
        texts = [f"text {n}" for n in range(many)]
        stream: Any
        if shape == "generate":
            stream = rig.model.generate_by_bytes("go", "text")
        elif shape.endswith("map"):
            batch = 7 if shape.startswith("packed") else None
            stream = rig.model.map(texts, concurrency=4, batch=batch, input_type="text")
        else:
            stream = rig.model.stream_by_bytes(
                texts,
                "text",
                matched=shape != "free",
                ordered=shape != "unordered",
                window=4,
                batch=3 if shape == "packed" else None,
            )
        found: list[str] = []
        cancelled = 0
        async with stream:
            turn = 0
            while True:
                task = asyncio.ensure_future(anext(stream))
                for _ in range(turn % 7):
                    await asyncio.sleep(0)
                turn += 1
                if turn % 3:
                    task.cancel()
                else:
                    await asyncio.wait([task], timeout=0.002)
                    task.cancel()
                try:
                    found.append((await task).text)
                except asyncio.CancelledError:
                    cancelled += 1
                except StopAsyncIteration:
                    break
                assert turn < 20_000
        assert cancelled > many / 10
        assert (sorted(found, key=texts.index) if shape == "unordered" else found) == texts


async def _numbered(many: int) -> AsyncIterator[str]:
    for number in range(many):
        yield f"text {number}"
        await asyncio.sleep(0.001)  # a model that takes its time


@pytest.mark.parametrize("shape", ["stream", "free", "map", "generate"])
@pytest.mark.parametrize("wire", WIRES)
async def test_closing_a_stream_is_idempotent_and_wakes_its_reader(wire: Wire, shape: str, tmp_path: Path) -> None:
    async with rigged(wire, tmp_path, _tokens) as rig:
        rig.double.hold()
        streams: dict[str, Callable[[], Any]] = {
            "stream": lambda: rig.model.stream_by_bytes(_endless(), "text"),
            "free": lambda: rig.model.stream_by_bytes(_endless(), "text", matched=False),
            "map": lambda: rig.model.map(_endless(), input_type="text"),
            "generate": lambda: rig.model.generate_by_bytes("text", "text"),
        }
        stream = streams[shape]()
        reader = asyncio.ensure_future(anext(stream))
        await rig.double.received(1)
        with timed() as took:
            await asyncio.gather(stream.aclose(), stream.aclose())
            await stream.aclose()
        assert took.ours < 0.5
        with pytest.raises(ClosedError):
            await reader
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        with pytest.raises(ClosedError):
            async with stream:
                pass
        await rig.until(lambda: all(call.finished for call in rig.calls), timeout=1)


@pytest.mark.parametrize("shape", ["stream", "free", "map"])
async def test_a_source_that_never_ends_its_closing_does_not_hold_us_for_long(shape: str, tmp_path: Path) -> None:
    stuck = asyncio.Event()

    class Stubborn:
        def __aiter__(self) -> Stubborn:
            return self

        async def __anext__(self) -> str:
            return "text"

        async def aclose(self) -> None:
            await stuck.wait()

    async with rigged("memory", tmp_path, timeouts=Timeouts(close=0.1)) as rig:
        stream = (
            rig.model.map(Stubborn(), input_type="text")
            if shape == "map"
            else rig.model.stream_by_bytes(Stubborn(), "text", matched=shape == "stream")
        )
        with timed() as took:
            async with stream:
                await anext(stream)
        assert took.ours < 1.0
        stuck.set()
        for _ in range(10):
            await asyncio.sleep(0)
