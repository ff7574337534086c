"""Packing: a lone input goes at once, what gathers under load goes together, and each still gets its own answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import headrace
from headrace import Input, Limits, StreamBroken, Timeouts, codec, errors
from headrace.calls.batching import MAX_IN_FLIGHT, BatchLimits, BatchSpace
from headrace.inputs.prepared import Prepared, PreparedText, Unsendable
from headrace.testing import Fail, MemoryServer, ModelDouble, ReceivedInput, ServerCall
from headrace.testing.answers import to_response
from headrace.testing.handlers import STREAM
from headrace.v2 import service_pb2 as rpc
from tests.support.rig import WIRES, Wire, rigged

pytestmark = pytest.mark.core

Connect = Callable[..., headrace.Model]


def echo(item: ReceivedInput) -> str:
    return item.text


class Live:
    """A source that a test feeds."""

    def __init__(self, *items: str | bytes) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        self.give(*items)

    def give(self, *items: str | bytes) -> None:
        for item in items:
            self.queue.put_nowait(item)

    def end(self) -> None:
        self.queue.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[Any]:
        while (item := await self.queue.get()) is not None:
            yield item


def requests(double: ModelDouble) -> list[list[str]]:
    """The texts of each request that the server got."""
    messages = [message for call in double.server.calls for message in call.received]
    return [[item.data.text.raw for item in rpc.PostModelOutputsRequest.FromString(m).inputs] for m in messages]


async def turns(count: int = 50) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def fill(double: ModelDouble, live: Live, count: int = MAX_IN_FLIGHT) -> None:
    """Bring so many requests of one input under way, which are not answered."""
    double.hold()
    for number in range(count):
        live.give(f"first {number}")
        await double.received(number + 1)


async def texts(stream: headrace.PredictionStream) -> list[str]:
    return [p.text async for p in stream]


# -- streams


@pytest.mark.parametrize("batch", [5, "auto"])
@pytest.mark.parametrize("wire", WIRES)
async def test_a_lone_input_of_a_stream_waits_for_nobody(wire: Wire, batch: Any, tmp_path: Path) -> None:
    async with rigged(wire, tmp_path) as rig:
        live = Live()
        async with rig.model.stream_by_bytes(live, "text", batch=batch) as stream:
            for text in "abc":
                live.give(text)
                assert (await anext(stream)).text == text
            live.end()
        assert requests(rig.double) == [["a"], ["b"], ["c"]]


@pytest.mark.parametrize("batch", [9, "auto"])
async def test_what_gathers_on_a_stream_goes_out_when_a_request_is_answered(connect: Connect, batch: Any) -> None:
    double, live = ModelDouble(echo), Live()
    async with connect(double).stream_by_bytes(live, "text", batch=batch) as stream:
        await fill(double, live)
        for text in "abc":
            live.give(text)
            await turns()
        assert [len(request) for request in requests(double)] == [1] * MAX_IN_FLIGHT
        double.release_next()
        await double.received(MAX_IN_FLIGHT + 3)
        assert requests(double)[MAX_IN_FLIGHT:] == [["a", "b", "c"]]
        double.release()
        live.end()
        assert len(await texts(stream)) == MAX_IN_FLIGHT + 3


async def test_what_fills_a_request_goes_out_though_enough_are_under_way(connect: Connect) -> None:
    double, live = ModelDouble(echo), Live()
    async with connect(double).stream_by_bytes(live, "text", batch=3) as stream:
        await fill(double, live)
        live.give(*"abcd")
        await double.received(MAX_IN_FLIGHT + 3)
        await turns()
        assert requests(double)[MAX_IN_FLIGHT:] == [["a", "b", "c"]]
        live.end()  # nothing more can gather
        await double.received(MAX_IN_FLIGHT + 4)
        double.release()
        assert len(await texts(stream)) == MAX_IN_FLIGHT + 4


async def test_a_list_is_packed_up_to_the_limit(connect: Connect) -> None:
    double = ModelDouble(echo)
    stream = connect(double).stream_by_bytes([str(n) for n in range(300)], "text", batch="auto")
    assert await texts(stream) == [str(n) for n in range(300)]
    assert [len(request) for request in requests(double)] == [128, 128, 44]
    small = connect(ModelDouble(echo), limits=Limits(inputs_per_request=10))
    assert (await texts(small.stream_by_bytes(["x"] * 100, "text", batch="auto"))) == ["x"] * 100


async def test_a_window_that_is_given_bounds_what_is_packed(connect: Connect) -> None:
    double = ModelDouble(echo)
    stream = connect(double).stream_by_bytes([str(n) for n in range(20)], "text", batch="auto", window=4)
    assert await texts(stream) == [str(n) for n in range(20)]
    assert max(len(request) for request in requests(double)) == 4
    assert stream.stats.peak_in_flight == 4


@pytest.mark.parametrize("way", ["stream", "map"])
async def test_requests_stay_within_their_bytes(connect: Connect, way: str) -> None:
    double = ModelDouble(lambda item: "ok")
    model = connect(double, limits=Limits(request_bytes=2500))
    inputs = [b"x" * 1000] * 7
    params = {"prompt": "y" * 300}
    stream = (
        model.stream_by_bytes(inputs, "image", batch="auto", inference_params=params)
        if way == "stream"
        else model.map(inputs, input_type="image", batch="auto", inference_params=params)
    )
    assert len(await texts(stream)) == 7
    messages = [message for call in double.server.calls for message in call.received]
    assert all(len(message) <= 2500 for message in messages)
    # Of a source whose sizes nobody knows yet, the first is pulled by itself.
    assert sorted(len(rpc.PostModelOutputsRequest.FromString(m).inputs) for m in messages)[-3:] == [2, 2, 2]


@pytest.mark.parametrize("way", ["stream", "map"])
async def test_one_video_goes_in_a_request(connect: Connect, way: str) -> None:
    double = ModelDouble(lambda item: "ok")
    model = connect(double)
    stream = (
        model.stream_by_bytes([b"v"] * 3, "video", batch="auto")
        if way == "stream"
        else model.map([b"v"] * 3, input_type="video", batch="auto")
    )
    assert len(await texts(stream)) == 3
    assert [len(request) for request in requests(double)] == [1, 1, 1]


async def test_an_input_may_wait_for_company_where_that_is_asked_for(connect: Connect) -> None:
    double, live = ModelDouble(echo), Live("a", "b")
    async with connect(double).stream_by_bytes(live, "text", batch=3, batch_wait=30) as stream:
        await turns()
        assert not requests(double)
        live.give("c", "d")
        assert [(await anext(stream)).text for _ in range(3)] == ["a", "b", "c"]
        live.end()  # nobody will come any more
        assert await texts(stream) == ["d"]
    async with connect(double).stream_by_bytes(live, "text", batch=3, batch_wait=0.01) as stream:
        live.give("e")
        assert (await anext(stream)).text == "e"


async def test_a_consumer_that_takes_one_at_a_time_does_not_make_requests_of_one(connect: Connect) -> None:
    double = ModelDouble(echo)
    async with connect(double).stream_by_bytes(["x"] * 200, "text", batch=8, window=16) as stream:
        async for _ in stream:
            await turns(5)
    assert len(requests(double)) <= 200 / 4
    assert stream.stats.received == 200


# -- answers


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("wire", WIRES)
async def test_a_packed_request_may_be_answered_in_pieces_by_id(
    wire: Wire, ordered: bool, size: int, tmp_path: Path
) -> None:
    async def piecemeal(call: ServerCall) -> None:
        while (message := await call.read()) is not None:
            items = rpc.PostModelOutputsRequest.FromString(message).inputs
            for start in range(0, len(items), size):
                some = items[start : start + size]
                answer = to_response([item.data.text.raw for item in some], [item.id for item in some], "r")
                await call.write(answer.SerializeToString())

    async with rigged(wire, tmp_path) as rig:
        rig.double.server.handlers[STREAM] = piecemeal
        inputs = [str(n) for n in range(20)]
        stream = rig.model.stream_by_bytes(inputs, "text", batch=6, ordered=ordered)
        assert await texts(stream) == inputs
        assert stream.stats.in_flight == 0


async def test_answers_in_pieces_that_do_not_say_for_which_input_are_never_guessed(connect: Connect) -> None:
    async def only_the_first(call: ServerCall) -> None:
        while (message := await call.read()) is not None:
            first = rpc.PostModelOutputsRequest.FromString(message).inputs[0]
            await call.write(to_response([first.data.text.raw], [None], "r").SerializeToString())

    double = ModelDouble(echo)
    double.server.handlers[STREAM] = only_the_first
    with pytest.raises(StreamBroken, match="1 answers came for a request with 3 inputs"):
        await texts(connect(double).stream_by_bytes(["a", "b", "c"], "text", batch=3))


@pytest.mark.parametrize("code", [30101, 11102, 40033, 99999])
@pytest.mark.parametrize(("way", "batch"), [("stream", 7), ("stream", "auto"), ("map", 7), ("map", "auto")])
async def test_a_bad_input_that_spoils_its_request_fails_alone(
    connect: Connect, way: str, batch: Any, code: int
) -> None:
    double = ModelDouble(lambda item: Fail(code, envelope_only=True) if item.text == "c" else item.text, echo_ids=False)
    model = connect(double)
    stream = (
        model.stream_by_bytes([*"abcdefg"], "text", batch=batch)
        if way == "stream"
        else model.map([*"abcdefg"], batch=batch, on_error="yield")
    )
    found = [p.text if p.error is None else p.error.code async for p in stream]
    assert found == [*"ab", code, *"defg"]
    assert (stream.stats.received, stream.stats.errors) == (6, 1)
    assert len(requests(double)[0]) > 1


async def test_inputs_of_one_failure_have_errors_of_their_own(connect: Connect) -> None:
    double = ModelDouble(lambda item: Fail(10030, envelope_only=True))
    model = connect(double, retry=headrace.RetryPolicy(attempts=1))
    found = [p.error async for p in model.stream_by_bytes(["a", "b"], "text", batch=2)]
    assert [type(error) for error in found] == [errors.PredictionFailed] * 2
    assert len({getattr(error, "input_id", None) for error in found}) == 2


# -- servers in trouble


async def test_inputs_that_gather_behind_a_silent_server_get_a_typed_error(connect: Connect) -> None:
    double, live = ModelDouble(echo, answering="at_end"), Live()
    model = connect(double, timeouts=Timeouts(first_answer=0.1))
    async with model.stream_by_bytes(live, "text", batch="auto", window=None) as stream:
        for number in range(MAX_IN_FLIGHT):
            live.give(str(number))
            await double.received(number + 1)
        live.give("more")
        with pytest.raises(StreamBroken, match="only after the last input"):
            await anext(stream)


@pytest.mark.parametrize("echo_ids", [True, False])
async def test_requests_that_have_timed_out_hold_nothing_up(connect: Connect, echo_ids: bool) -> None:
    double, live = ModelDouble(echo, echo_ids=echo_ids), Live("known")
    async with connect(double).stream_by_bytes(live, "text", batch=9, timeout=0.1) as stream:
        assert (await anext(stream)).text == "known"
        double.hold()
        for number in range(MAX_IN_FLIGHT):
            live.give(str(number))
            await double.received(number + 2)
        live.give("a", "b")
        found = [await anext(stream) for _ in range(MAX_IN_FLIGHT)]
        assert all(isinstance(p.error, errors.DeadlineExceeded) for p in found)
        await double.received(1 + MAX_IN_FLIGHT + 2)
        assert requests(double)[-1] == ["a", "b"]


@pytest.mark.parametrize("echo_ids", [True, False])
@pytest.mark.parametrize("way", ["stream", "map"])
async def test_the_response_of_an_input_that_shared_a_request_is_its_own(
    connect: Connect, way: str, echo_ids: bool
) -> None:
    double = ModelDouble(echo, echo_ids=echo_ids)
    model = connect(double)
    inputs = list("abcdef")
    stream = model.stream(inputs, "text", batch=3) if way == "stream" else model.map(inputs, batch=3, input_type="text")
    async with stream:
        found = [prediction async for prediction in stream]
    assert max(map(len, requests(double))) > 1
    assert [p.text for p in found] == inputs
    for prediction in found:
        outputs = rpc.MultiOutputResponse.FromString(prediction.raw).outputs
        assert [output.data.text.raw for output in outputs] == [prediction.text]


# -- map


@pytest.mark.parametrize("batch", [5, "auto"])
@pytest.mark.parametrize("wire", WIRES)
async def test_a_lone_input_of_a_map_waits_for_nobody(wire: Wire, batch: Any, tmp_path: Path) -> None:
    async with rigged(wire, tmp_path) as rig:
        live = Live()
        async with rig.model.map(live, batch=batch, input_type="text") as stream:
            for text in "abc":
                live.give(text)
                assert (await anext(stream)).text == text
            live.end()
            assert await texts(stream) == []
        assert requests(rig.double) == [["a"], ["b"], ["c"]]


async def test_a_plain_iterator_that_blocks_keeps_nothing_back(connect: Connect) -> None:
    go_on = threading.Event()

    def lines() -> Iterator[str]:
        yield from "ab"
        go_on.wait(10)
        yield "c"

    async with connect(ModelDouble(echo)).map(lines(), batch=5) as stream:
        assert [(await anext(stream)).text for _ in range(2)] == ["a", "b"]
        go_on.set()
        assert await texts(stream) == ["c"]


async def test_what_gathers_while_all_calls_are_under_way_goes_in_the_next_one(connect: Connect) -> None:
    double, live = ModelDouble(echo), Live()
    async with connect(double).map(live, batch="auto", concurrency=2) as stream:
        reader = asyncio.create_task(anext(stream))
        await fill(double, live, 2)
        live.give(*"abc")
        await turns()
        assert [len(request) for request in requests(double)] == [1, 1]
        double.release_next()
        await double.received(5)
        assert requests(double)[2:] == [["a", "b", "c"]]
        double.release()
        live.end()
        assert [(await reader).text, *await texts(stream)] == ["first 0", "first 1", *"abc"]


async def test_a_call_of_a_map_may_wait_for_company_where_that_is_asked_for(connect: Connect) -> None:
    double, live = ModelDouble(echo), Live("a", "b")
    async with connect(double).map(live, batch=3, batch_wait=30) as stream:
        reader = asyncio.create_task(anext(stream))
        await turns()
        assert not requests(double)
        live.give("c", "d")
        assert (await reader).text == "a"
        live.end()
        assert await texts(stream) == ["b", "c", "d"]
    assert requests(double) == [["a", "b", "c"], ["d"]]
    async with connect(double).map(Live("e"), batch=3, batch_wait=0.01) as stream:
        assert (await anext(stream)).text == "e"


async def test_good_answers_of_a_map_do_not_wait_for_what_is_tried_again(connect: Connect) -> None:
    double = ModelDouble(lambda item: 10030 if item.text == "a" and item.attempt == 1 else item.text)
    model = connect(double, retry=headrace.RetryPolicy(initial=30.0, cap=30.0))
    async with model.map([*"abc"], batch=3, ordered=False) as stream:
        assert {(await anext(stream)).text for _ in range(2)} == {"b", "c"}


@pytest.mark.parametrize("way", ["stream", "map"])
async def test_large_inputs_are_pulled_as_the_bytes_in_flight_allow(connect: Connect, way: str) -> None:
    pulled = 0

    def pictures() -> Iterator[bytes]:
        nonlocal pulled
        for _ in range(60):
            pulled += 1
            yield bytes(8 << 20)

    double = ModelDouble(lambda item: "ok", server=MemoryServer(keep=False))
    model = connect(double)
    stream = (
        model.stream_by_bytes(pictures(), "image", batch="auto", window_bytes=64 << 20)
        if way == "stream"
        else model.map(pictures(), input_type="image", batch="auto")
    )
    async with stream:
        await double.received(8)
        await asyncio.sleep(0.05)  # nothing is to happen: there is no event to wait for
        # 64 MiB in flight, a stream's pipe holds as much again; and one that is pulled before its size is known
        assert pulled <= (17 if way == "stream" else 9)


# -- what fits


def test_a_request_has_room_for_what_it_may_hold() -> None:
    text, video = Prepared(Input.from_text("x" * 100), "a"), Prepared(Input.from_bytes(b"v" * 100, "video"), "b")
    room = BatchSpace(BatchLimits(3, 500, 1), 50)
    assert [room.take(item) for item in (text, video, video, text, text)] == [True, True, False, True, False]
    assert BatchSpace(BatchLimits(3, 10), 5).take(text)  # the first always goes
    assert BatchSpace(BatchLimits(3, 500, 1), 50).fill([text, video, video, text]) == 2
    unsendable = Unsendable("c", errors.InputError("bad"), "")
    assert BatchSpace(BatchLimits(1, 500), 50).fill([unsendable, text, unsendable, text]) == 3
    assert BatchLimits().window == 16
    assert (BatchLimits(128).window, BatchLimits(128).prefetch) == (512, 128)


@pytest.mark.parametrize("text", ["", "x", "y" * 127, "z" * 128, "ü" * 20000])
@pytest.mark.parametrize("id_", ["a", "é" * 256])
def test_the_room_that_an_input_takes_is_never_less_than_its_bytes(text: str, id_: str) -> None:
    several = Prepared(Input.multimodal(text=text, image_url="http://example.com/a.png"), id_)
    for item in (several, PreparedText(text, id_)) if text.isascii() else (several,):
        assert item.share()[0] >= codec.size_of(item.encode())


@pytest.mark.parametrize("way", ["stream", "map"])
async def test_what_was_pulled_ahead_and_never_sent_is_counted(connect: Connect, way: str) -> None:
    pulled = 0

    def lines() -> Iterator[str]:
        nonlocal pulled
        while True:
            pulled += 1
            yield "x"

    double = ModelDouble(echo)
    double.hold()
    model = connect(double)
    stream = (
        model.stream_by_bytes(lines(), "text", batch=50)
        if way == "stream"
        else model.map(lines(), batch=50, concurrency=2)
    )
    async with stream:
        await double.received(2)
    stats = stream.stats
    assert stats.pulled == pulled
    assert stats.dropped == stats.drops["closed"] == pulled
