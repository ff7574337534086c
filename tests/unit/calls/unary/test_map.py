"""`map`: any number of inputs through concurrent unary calls, in order or not, with constant memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headrace
from headrace import Input, RetryPolicy, errors
from headrace.calls.options import Batch
from headrace.testing import Fail, MemoryServer, ModelDouble, ReceivedInput

pytestmark = pytest.mark.core

Connect = Callable[..., headrace.Model]


def echo(item: ReceivedInput) -> str:
    return item.text


class Feed:
    """An async source that counts what was pulled and notices its closing."""

    def __init__(self, count: int, error: Exception | None = None) -> None:
        self.pulled = 0
        self.closed = False
        self._count = count
        self._error = error

    async def __aiter__(self) -> AsyncIterator[str]:
        try:
            for number in range(self._count):
                self.pulled += 1
                await asyncio.sleep(0)  # another pull would find it in the middle of this one
                yield str(number)
            if self._error is not None:
                raise self._error
        finally:
            self.closed = True


async def texts(stream: headrace.PredictionStream) -> list[str]:
    return [p.text async for p in stream]


def numbers(count: int) -> list[str]:
    return [str(n) for n in range(count)]


@pytest.mark.parametrize("batch", [None, 3, "auto"])
@pytest.mark.parametrize("concurrency", [1, 4])
async def test_predictions_come_in_the_order_of_the_inputs(connect: Connect, concurrency: int, batch: Batch) -> None:
    model = connect(ModelDouble(echo))
    stream = model.map(Feed(20), concurrency=concurrency, batch=batch)
    found = [(p.position, p.text) async for p in stream]
    assert found == list(enumerate(numbers(20)))
    stats = stream.stats
    assert (stats.pulled, stats.sent, stats.received, stats.errors, stats.dropped) == (20, 20, 20, 0, 0)
    assert stats.in_flight == 0
    assert stats.peak_in_flight <= 2 * concurrency * (20 if batch == "auto" else batch or 1)


async def test_predictions_come_as_they_are_ready_when_not_ordered(connect: Connect) -> None:
    double = ModelDouble(echo)
    double.hold()
    async with connect(double).map([Input.from_text(t, id=t) for t in "abc"], concurrency=3, ordered=False) as stream:
        await double.received(3)
        double.release("c")
        assert (await anext(stream)).text == "c"
        double.release("a")
        assert (await anext(stream)).text == "a"
        double.release("b")
        assert (await anext(stream)).text == "b"
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_so_many_calls_run_at_once_and_no_more_is_pulled_than_the_bound(connect: Connect) -> None:
    double, feed = ModelDouble(echo), Feed(1000)
    double.hold()
    async with connect(double).map(feed, concurrency=4) as stream:
        reader = asyncio.create_task(anext(stream))
        await double.received(4)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(double.held) == 4
        assert feed.pulled <= 5
        double.release()
        await reader
        for _ in range(200):
            await asyncio.sleep(0)
        assert feed.pulled <= 1 + 2 * 4 + 1  # one was taken; the rest waits for the consumer
    assert feed.closed


async def test_a_slow_first_input_does_not_stop_the_others_at_once(connect: Connect) -> None:
    double = ModelDouble(echo)
    double.hold()
    async with connect(double).map([Input.from_text(t, id=t) for t in "abcdefgh"], concurrency=2) as stream:
        reader = asyncio.create_task(anext(stream))
        for t in "bcd":
            double.release(t)
        await double.received(4)
        double.release()
        assert (await reader).text == "a"
        assert await texts(stream) == list("bcdefgh")


@pytest.mark.parametrize("kind", [list, tuple, iter, lambda t: (x for x in t)])
async def test_any_iterable(connect: Connect, kind: Callable[[list[str]], Any]) -> None:
    assert await texts(connect(ModelDouble(echo)).map(kind(numbers(5)))) == numbers(5)


async def test_no_inputs_are_no_predictions(connect: Connect) -> None:
    double = ModelDouble(echo)
    assert await texts(connect(double).map([])) == []
    assert not double.server.calls


async def test_errors_are_yielded_in_their_places(connect: Connect) -> None:
    double = ModelDouble(lambda item: Fail(30101) if item.text in "13" else item.text)
    stream = connect(double).map(numbers(5), on_error="yield")
    found = [(p.position, p.error.code if p.error else p.text) async for p in stream]
    assert found == [(0, "0"), (1, 30101), (2, "2"), (3, 30101), (4, "4")]
    assert (stream.stats.received, stream.stats.errors) == (3, 2)


async def test_the_first_error_is_raised_by_default_and_reading_may_go_on(connect: Connect) -> None:
    double = ModelDouble(lambda item: Fail(30101) if item.text == "1" else item.text)
    async with connect(double).map(numbers(4)) as stream:
        assert (await anext(stream)).text == "0"
        with pytest.raises(errors.InvalidRequest):
            await anext(stream)
        assert await texts(stream) == ["2", "3"]


@pytest.mark.parametrize("batch", [None, 2])
async def test_a_local_failure_is_its_inputs_alone(connect: Connect, batch: int | None) -> None:
    double = ModelDouble(lambda item: "ok")
    inputs = [b"x", Input.from_bytes(b"", id="empty"), b"y"]
    stream = connect(double).map(inputs, input_type="image", on_error="yield", batch=batch)  # type: ignore[arg-type]
    found = [p async for p in stream]
    assert [p.error is None for p in found] == [True, False, True]
    assert isinstance(found[1].error, errors.InputError)
    assert found[1].input_id == "empty"
    assert double.attempts.total() == 2


async def test_what_refuses_all_ends_it_with_one_attempt_each(connect: Connect) -> None:
    double, feed = ModelDouble(lambda item: Fail(11001)), Feed(1000)
    with pytest.raises(errors.AuthError):
        await texts(connect(double).map(feed, concurrency=4, on_error="yield"))
    assert double.attempts.total() <= 5
    assert feed.closed
    assert feed.pulled <= 9


@pytest.mark.parametrize("error", [ValueError("mine"), errors.SourceError("gone"), KeyError("k")])
async def test_the_sources_failure_comes_out_as_itself(connect: Connect, error: Exception) -> None:
    got: list[str] = []
    with pytest.raises(type(error)) as caught:
        async for prediction in connect(ModelDouble(echo)).map(Feed(3, error)):
            got += [prediction.text]
    assert caught.value is error
    assert got == numbers(len(got))


@pytest.mark.parametrize("ordered", [True, False])
async def test_leaving_early_closes_the_source_and_balances_the_books(connect: Connect, ordered: bool) -> None:
    double, feed = ModelDouble(echo), Feed(1000)
    async with connect(double).map(feed, concurrency=3, ordered=ordered) as stream:
        async for _ in stream:
            break
    assert feed.closed
    stats = stream.stats
    assert stats.pulled == stats.received + stats.errors + stats.dropped
    assert stats.drops.keys() <= {"closed"}
    await double.server.until(lambda: not double.server.running)


async def test_large_batches_do_not_wait_for_their_own_bytes(connect: Connect) -> None:
    double = ModelDouble(lambda item: "ok", server=MemoryServer(keep=False))
    stream = connect(double).map([bytes(9 << 20)] * 9, input_type="image", batch=9, concurrency=1)
    async with asyncio.timeout(20):
        assert len([p async for p in stream]) == 9


async def test_a_batch_goes_in_one_request(connect: Connect) -> None:
    double = ModelDouble(echo)
    assert await texts(connect(double).map(numbers(10), batch=5, concurrency=2)) == numbers(10)
    assert len(double.server.calls) == 2


async def test_wrong_arguments_are_refused_before_anything_is_pulled(connect: Connect) -> None:
    model = connect(ModelDouble(echo))
    for wrong in ({"concurrency": 0}, {"batch": 0}, {"batch": 129}, {"on_error": "ignore"}, {"timeout": -1}):
        with pytest.raises(errors.ConfigError):
            model.map(Feed(1), **wrong)
    with pytest.raises(errors.ConfigError, match="iterate"):
        model.map(5)  # type: ignore[arg-type]


async def test_a_blocking_iterator_is_pulled_off_the_loop(connect: Connect) -> None:
    names = set()

    def lines() -> Iterator[str]:
        for number in range(3):
            names.add(threading.current_thread().name)
            yield str(number)

    assert await texts(connect(ModelDouble(echo)).map(lines())) == numbers(3)
    assert names == {"headrace-source"}


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(["good", "bad", "flaky"]), max_size=15),
    st.integers(1, 4),
    st.sampled_from([None, 1, 2, 4, 7, "auto"]),
    st.booleans(),
    st.one_of(st.none(), st.integers(0, 15)),
)
def test_every_input_is_accounted_for(
    kinds: list[str], concurrency: int, batch: Batch, ordered: bool, leave_after: int | None
) -> None:
    def answer(item: ReceivedInput) -> str | Fail:
        kind = item.text.split()[1]
        if kind == "bad":
            return Fail(30101)
        return Fail(10030) if kind == "flaky" and item.attempt == 1 else item.text

    async def scenario() -> None:
        inputs = [f"{n} {kind}" for n, kind in enumerate(kinds)]
        async with headrace.Client(
            base_url="http://localhost:1",
            transport=ModelDouble(answer),
            retry=RetryPolicy(initial=0.001, cap=0.001),
        ) as client:
            found = []
            async with client.model("u/a/models/m").map(
                inputs, concurrency=concurrency, batch=batch, ordered=ordered, on_error="yield"
            ) as stream:
                async for prediction in stream:
                    found.append(prediction)
                    if len(found) == leave_after:
                        break
            stats = stream.stats
        assert stats.pulled == stats.received + stats.errors + stats.dropped
        positions = [p.position for p in found]
        assert len(set(positions)) == len(positions)
        if ordered:
            assert positions == list(range(len(positions)))
        if leave_after is None or leave_after > len(kinds):
            assert sorted(positions) == list(range(len(kinds)))
            assert stats.dropped == 0
        for prediction in found:
            kind = kinds[prediction.position]
            assert (prediction.error is None) == (kind != "bad")
            if prediction.error is None:
                assert prediction.text == inputs[prediction.position]

    asyncio.run(scenario())


async def test_its_repr_speaks_of_a_map(connect: Connect) -> None:
    stream = connect(ModelDouble(lambda item: item.text)).map(["a"], input_type="text")
    assert repr(stream).startswith("<PredictionStream (map) new: 0 sent")


async def test_free_workers_are_given_their_inputs_in_one_step(connect: Connect) -> None:
    double, feed = ModelDouble(echo), Feed(100)
    double.hold()
    async with connect(double).map(feed, concurrency=10) as stream:
        await double.received(10)
        assert feed.pulled == 10
        double.release_next(3)
        await double.received(13)
        for _ in range(50):
            await asyncio.sleep(0)
        assert feed.pulled == stream.stats.sent == 13  # as many as were answered
        double.release()
        assert await texts(stream) == numbers(100)
