"""Matched duplex streams through a model double: order, policies, timeouts, and books that balance."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headrace
from headrace import Input, Limits, Prediction, RetryPolicy, Timeouts, errors, events
from headrace.calls.options import Batch
from headrace.testing import Fail, ModelDouble, ReceivedInput

pytestmark = pytest.mark.core

Connect = Callable[..., headrace.Model]


def echo(item: ReceivedInput) -> str:
    return item.text


def inputs(names: str) -> list[Input]:
    return [Input.from_text(name, id=name) for name in names]


class Live:
    """A source that a test feeds."""

    def __init__(self) -> None:
        self.pulled = 0
        self.closed = False
        self.queue: asyncio.Queue[str | Exception | None] = asyncio.Queue()

    def give(self, *items: str | Exception | None) -> None:
        for item in items:
            self.queue.put_nowait(item)

    async def __aiter__(self) -> AsyncIterator[Input]:
        try:
            while (item := await self.queue.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                self.pulled += 1
                yield Input.from_text(item, id=item)
        finally:
            self.closed = True


async def texts(stream: headrace.PredictionStream) -> list[str]:
    return [p.text async for p in stream]


async def turns(count: int = 50) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("echo_ids", [True, False])
@pytest.mark.parametrize("batch", [None, 3, "auto"])
async def test_one_prediction_an_input_in_order(connect: Connect, echo_ids: bool, batch: Batch) -> None:
    stream = connect(ModelDouble(echo, echo_ids=echo_ids)).stream(inputs("abcdefghij"), batch=batch)
    found = [(p.position, p.input_id, p.text) async for p in stream]
    assert found == [(n, t, t) for n, t in enumerate("abcdefghij")]
    stats = stream.stats
    assert (stats.pulled, stats.sent, stats.received, stats.errors, stats.dropped) == (10, 10, 10, 0, 0)
    assert (stats.in_flight, stats.resumed, stats.retries, stats.lag) == (0, 0, 0, 0.0)


async def test_the_first_answer_comes_while_inputs_still_arrive(connect: Connect) -> None:
    live = Live()
    async with connect(ModelDouble(echo)).stream(live) as stream:
        for name in "abc":
            live.give(name)
            assert (await anext(stream)).text == name
        live.give(None)
        assert await texts(stream) == []
    assert live.closed


@pytest.mark.parametrize("ordered", [True, False])
async def test_answers_that_overtake_wait_only_when_ordered(connect: Connect, ordered: bool) -> None:
    double = ModelDouble(echo, answering="as_ready")
    double.hold()
    async with connect(double).stream(inputs("abc"), ordered=ordered) as stream:
        await double.received(3)
        for name in "cb":
            double.release(name)
        await double.server.until(lambda: double.answered == 2)
        if not ordered:
            assert {(await anext(stream)).text for _ in range(2)} == {"b", "c"}
        double.release()
        assert await texts(stream) == (["a", "b", "c"] if ordered else ["a"])


async def test_no_more_is_sent_than_the_window_holds_until_answers_are_taken(connect: Connect) -> None:
    double = ModelDouble(echo)
    async with connect(double).stream([str(n) for n in range(100)], window=4, prefetch=2) as stream:
        await double.received(4)
        await turns()
        assert double.attempts.total() == 4  # all are answered, none is taken
        assert stream.stats.pulled <= 4 + 2 + 1
        await anext(stream)
        await double.received(5)
        await turns()
        assert double.attempts.total() == 5
        assert stream.stats.in_flight == 4
    assert stream.stats.peak_in_flight == 4


async def test_the_window_in_bytes_holds_too(connect: Connect) -> None:
    double = ModelDouble(lambda item: "ok")
    async with connect(double).stream([b"x" * 400] * 20, "image", window=None, window_bytes=1000) as stream:
        await double.received(2)
        await turns()
        assert double.attempts.total() == 2
        assert len(await texts(stream)) == 20
    async with connect(double).stream([b"x" * 4000] * 3, "image", window_bytes=1000) as stream:
        assert len(await texts(stream)) == 3  # one is always admitted


async def test_errors_are_yielded_in_their_places_and_end_nothing(connect: Connect) -> None:
    double = ModelDouble(lambda item: Fail(30101) if item.text in "bd" else item.text)
    stream = connect(double).stream(inputs("abcde"))
    found = [(p.input_id, p.error.code if p.error else p.text) async for p in stream]
    assert found == [("a", "a"), ("b", 30101), ("c", "c"), ("d", 30101), ("e", "e")]
    assert (stream.stats.received, stream.stats.errors) == (3, 2)


async def test_errors_are_raised_where_that_is_asked_and_reading_goes_on(connect: Connect) -> None:
    double = ModelDouble(lambda item: Fail(30101) if item.text == "b" else item.text)
    async with connect(double).stream(inputs("abc"), on_error="raise") as stream:
        assert (await anext(stream)).text == "a"
        with pytest.raises(errors.InvalidRequest):
            await anext(stream)
        assert (await anext(stream)).text == "c"


async def test_an_input_that_asks_for_it_is_sent_again_alone(connect: Connect) -> None:
    double = ModelDouble(lambda item: Fail(10030) if item.text == "b" and item.attempt < 3 else item.text)
    stream = connect(double).stream(inputs("abc"))
    assert await texts(stream) == ["a", "b", "c"]
    assert double.attempts == {"a": 1, "b": 3, "c": 1}
    assert stream.stats.retries == 2


async def test_a_local_failure_is_its_inputs_alone(connect: Connect) -> None:
    double = ModelDouble(lambda item: "ok")
    sent = [Input.from_bytes(b"x", "image"), Input.from_bytes(b"", "image", id="e"), Input.from_bytes(b"y", "image")]
    found = [p async for p in connect(double).stream(sent)]
    assert [type(p.error) for p in found] == [type(None), errors.InputError, type(None)]
    assert found[1].input_id == "e"
    assert double.attempts.total() == 2


@pytest.mark.parametrize("echo_ids", [True, False])
@pytest.mark.parametrize("batch", [None, 3])
async def test_ids_that_occur_twice_are_answered_each_under_its_own(
    connect: Connect, echo_ids: bool, batch: Batch
) -> None:
    double = ModelDouble(lambda item: Fail(30101, item.id) if item.text == "bad" else item.text, echo_ids=echo_ids)
    rows = [("a", "1"), ("a", "2"), ("b", "3"), ("a", "bad"), ("a", "5")]
    double.hold()
    sent = [Input.from_text(text, id=name) for name, text in rows]
    async with connect(double).stream(sent, batch=batch, window=5) as stream:
        await double.received(5)
        double.release()
        found = [p async for p in stream]
    assert [p.input_id for p in found] == [name for name, _ in rows]
    assert [p.text for p in found if p.error is None] == ["1", "2", "3", "5"]
    assert len({item.id for item in double.inputs}) == 5
    error = found[3].error
    assert isinstance(error, errors.InvalidRequest)
    assert error.input_id == "a"
    assert "again-" not in str(error)


@pytest.mark.parametrize("error", [ValueError("mine"), KeyError("k"), errors.SourceError("gone")])
async def test_the_sources_failure_comes_out_as_itself(connect: Connect, error: Exception) -> None:
    live = Live()
    live.give("a", error)
    with pytest.raises(type(error)) as caught:
        await texts(connect(ModelDouble(echo)).stream(live))
    assert caught.value is error


async def test_what_refuses_all_ends_it(connect: Connect) -> None:
    double = ModelDouble(lambda item: Fail(11001))
    live = Live()
    live.give(*"abcdef")
    with pytest.raises(errors.AuthError):
        await texts(connect(double).stream(live))
    assert live.closed
    assert len(double.server.calls) == 1


# -- what a full pipe does


@pytest.mark.parametrize(
    ("overflow", "answered"),
    [("drop_oldest", "afg"), ("drop_newest", "abc"), ("latest", "ag")],
)
async def test_a_full_pipe_drops_by_its_policy_and_counts(
    connect: Connect, overflow: Literal["drop_oldest", "drop_newest", "latest"], answered: str
) -> None:
    got: list[events.Event] = []
    double, live = ModelDouble(echo), Live()
    double.hold()
    model = connect(double, on_event=got.append)
    async with model.stream(live, window=1, prefetch=2, overflow=overflow) as stream:
        live.give("a")
        await double.received(1)
        live.give(*"bcdefg", None)
        await turns()
        double.release()
        assert "".join(await texts(stream)) == answered
    stats = stream.stats
    assert stats.drops == {overflow: 7 - len(answered)}
    assert stats.pulled == stats.received + stats.dropped
    dropped = [event.input_id for event in got if isinstance(event, events.Dropped)]
    assert sorted([*dropped, *answered]) == list("abcdefg")


async def test_what_waits_too_long_is_dropped(connect: Connect) -> None:
    double, live = ModelDouble(echo), Live()
    double.hold()
    async with connect(double).stream(live, window=1, prefetch=4, max_age=0.02) as stream:
        live.give(*"abc", None)
        await double.received(1)
        await asyncio.sleep(0.05)
        double.release()
        assert await texts(stream) == ["a"]
    assert stream.stats.drops == {"max_age": 2}


# -- time


@pytest.mark.parametrize("echo_ids", [True, False])
async def test_an_input_that_gets_no_answer_fails_alone(connect: Connect, echo_ids: bool) -> None:
    double = ModelDouble(echo, echo_ids=echo_ids, answering="as_ready" if echo_ids else "in_order")
    double.hold()
    async with connect(double).stream(inputs("abc"), timeout=0.1, window=8) as stream:
        await double.received(3)
        for name in "bc" if echo_ids else "":
            double.release(name)
        found = [await anext(stream)]
        assert isinstance(found[0].error, errors.DeadlineExceeded)
        assert "input a: no answer within 0.1 s" in str(found[0].error)
        double.release()  # the late one is discarded
        found += [p async for p in stream]
    assert [p.input_id for p in found] == ["a", "b", "c"]
    if echo_ids:
        assert [p.text for p in found[1:]] == ["b", "c"]
    stats = stream.stats
    assert stats.pulled == stats.received + stats.errors == 3


async def test_leaving_early_closes_the_source_and_balances_the_books(connect: Connect) -> None:
    double, live = ModelDouble(echo), Live()
    live.give(*"abcdef")
    async with connect(double).stream(live, window=2, prefetch=2) as stream:
        await anext(stream)
    assert live.closed
    stats = stream.stats
    assert stats.pulled == stats.received + stats.errors + stats.dropped
    await double.server.until(lambda: not double.server.running)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    with pytest.raises(errors.ClosedError):
        await stream.__aenter__()


async def test_a_stream_of_nothing_makes_no_call(connect: Connect) -> None:
    double = ModelDouble(echo)
    assert await texts(connect(double).stream([])) == []
    assert not double.server.calls


async def test_a_single_input_is_a_stream_of_one(connect: Connect) -> None:
    model = connect(ModelDouble(echo))
    assert await texts(model.stream_by_bytes("only")) == ["only"]
    assert await texts(model.stream(Input.from_text("only"))) == ["only"]


# -- what the user holds


async def test_it_says_what_it_is_doing(connect: Connect) -> None:
    double = ModelDouble(echo)
    stream = connect(double).stream(inputs("ab"))
    assert repr(stream) == "<PredictionStream (stream) new: 0 sent, 0 received, 0 errors, 0 dropped, 0 in flight>"
    double.hold()
    async with stream:
        await double.received(2)
        assert repr(stream) == "<PredictionStream (stream) open: 2 sent, 0 received, 0 errors, 0 dropped, 2 in flight>"
        assert stream.stats.lag > 0
    assert repr(stream).startswith("<PredictionStream (stream) closed: 2 sent")


async def test_a_second_reader_is_refused(connect: Connect) -> None:
    live = Live()
    async with connect(ModelDouble(echo)).stream(live) as stream:
        reading = asyncio.create_task(anext(stream))
        await turns(3)
        with pytest.raises(errors.ConcurrentUse):
            await anext(stream)
        live.give("a")
        assert (await reading).text == "a"


@pytest.mark.parametrize("after", range(12))
async def test_a_cancelled_read_loses_no_prediction(connect: Connect, after: int) -> None:
    live = Live()
    found: list[str] = []
    async with connect(ModelDouble(echo)).stream(live) as stream:
        for name in "abc":
            reading = asyncio.create_task(anext(stream))
            await turns(3)
            live.give(name)
            await turns(after)  # before it comes, with it, or after
            reading.cancel()
            await asyncio.wait([reading])
            found += [] if reading.cancelled() else [reading.result().text]
        live.give(None)
        assert found + await texts(stream) == ["a", "b", "c"]


async def test_a_forgotten_stream_warns_and_ends(connect: Connect) -> None:
    double, live = ModelDouble(echo), Live()
    live.give("a")
    streams = [connect(double).stream(live)]
    await anext(streams[0])
    with pytest.warns(ResourceWarning, match=r"unclosed <PredictionStream \(stream\) open: 1 sent"):
        streams.clear()
    await double.server.until(lambda: double.server.calls[0].cancelled)
    await turns()
    gc.collect()
    assert live.closed


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": 0},
        {"window_bytes": 0},
        {"prefetch": 0},
        {"overflow": "drop"},
        {"max_age": 0},
        {"on_error": "ignore"},
        {"batch": 0},
        {"batch": 1000},
        {"timeout": 0},
        {"windows": 5},
    ],
)
async def test_wrong_arguments_are_refused_before_anything_is_pulled(connect: Connect, wrong: dict[str, Any]) -> None:
    live = Live()
    with pytest.raises(errors.ConfigError):
        connect(ModelDouble(echo)).stream(live, **wrong)
    assert live.pulled == 0


# -- the books, whatever happens


@settings(max_examples=80)
@given(
    st.lists(st.sampled_from(["good", "bad", "flaky", "empty"]), max_size=20),
    st.fixed_dictionaries(
        {
            "window": st.one_of(st.none(), st.integers(1, 5)),
            "prefetch": st.integers(1, 3),
            "ordered": st.booleans(),
            "overflow": st.sampled_from(["block", "drop_oldest", "drop_newest", "latest"]),
            "batch": st.sampled_from([None, 1, 2, 3, 7, "auto"]),
        }
    ),
    st.booleans(),
    st.sampled_from(["in_order", "as_ready"]),
    st.one_of(st.none(), st.integers(1, 30)),
    st.one_of(st.none(), st.integers(0, 20)),
)
def test_every_input_ends_as_one_prediction_one_error_or_one_drop(
    kinds: list[str],
    options: dict[str, Any],
    echo_ids: bool,
    answering: Literal["in_order", "as_ready"],
    breaks_after: int | None,
    leave_after: int | None,
) -> None:
    def answer(item: ReceivedInput) -> str | Fail:
        kind = item.text.split()[1]
        if kind == "bad":
            return Fail(30101)
        return Fail(10030) if kind == "flaky" and item.attempt == 1 else item.text

    if not echo_ids:
        answering, options["ordered"] = "in_order", True  # else nothing could be matched, or resumed

    async def scenario() -> None:
        double = ModelDouble(answer, echo_ids=echo_ids, answering=answering)
        if breaks_after is not None:
            double.server.break_after(breaks_after)
        made = [
            Input.from_bytes(b"", "text") if kind == "empty" else Input.from_text(f"{n} {kind}")
            for n, kind in enumerate(kinds)
        ]
        found: list[Prediction] = []
        async with headrace.Client(
            base_url="http://localhost:1",
            transport=double,
            retry=RetryPolicy(initial=0.001, cap=0.001),
            timeouts=Timeouts(input=10.0),
            limits=Limits(),
        ) as client:
            async with client.model("u/a/models/m").stream(made, **options) as stream:
                async for prediction in stream:
                    found.append(prediction)
                    if len(found) == leave_after:
                        break
            stats = stream.stats
        assert stats.pulled == stats.received + stats.errors + stats.dropped
        positions = [p.position for p in found]
        assert len(set(positions)) == len(positions)
        if options["ordered"]:
            assert positions == sorted(positions)
        if len(found) != leave_after:
            assert stats.pulled == len(kinds) == len(found) + stats.dropped
            assert not stats.dropped or options["overflow"] != "block"
            assert stats.in_flight == 0
        for prediction in found:
            kind = kinds[prediction.position]
            assert (prediction.error is None) == (kind in ("good", "flaky"))
            if prediction.error is None:
                assert prediction.text == f"{prediction.position} {kind}"

    asyncio.run(scenario())
