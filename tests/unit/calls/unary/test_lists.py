"""Lists of inputs: split, sent, put together again; what failed in a way that passes goes again alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headrace
from headrace import Input, Limits, PartialFailure, Prediction, RetryPolicy, Timeouts, errors
from headrace.calls.unary.lists import MAX_IN_FLIGHT, join
from headrace.testing import Fail, MemoryServer, ModelDouble, ReceivedInput, prediction_handlers
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import service_pb2 as rpc
from headrace.v2 import status_pb2
from tests.support.rig import WIRES, Wire, rigged

pytestmark = pytest.mark.core

Connect = Callable[..., headrace.Model]
FAST = RetryPolicy(initial=0.001, cap=0.002)


def shout(item: ReceivedInput) -> str:
    return item.text.upper()


def batches(double: ModelDouble) -> list[int]:
    """How many inputs each request had."""
    return [len(rpc.PostModelOutputsRequest.FromString(call.received[0]).inputs) for call in double.server.calls]


async def test_a_list_is_split_and_put_together_in_order(connect: Connect) -> None:
    double = ModelDouble(shout)
    model = connect(double, limits=Limits(inputs_per_request=3))
    found = await model.predict([f"t{n}" for n in range(10)])
    assert [p.text for p in found] == [f"T{n}" for n in range(10)]
    assert len(found) == 10
    assert [p.position for p in found] == list(range(10))
    assert found[-1].text == "T9"
    assert sorted(batches(double), reverse=True) == [3, 3, 3, 1]
    assert len(rpc.MultiOutputResponse.FromString(found.raw).outputs) == 10


async def test_requests_stay_within_their_bytes(connect: Connect) -> None:
    double = ModelDouble(lambda item: "ok")
    model = connect(double, limits=Limits(request_bytes=2500))
    await model.predict([b"x" * 1000 for _ in range(7)], input_type="image")
    assert sorted(batches(double), reverse=True) == [2, 2, 2, 1]
    assert all(call.received_bytes <= 2500 for call in double.server.calls)


async def test_one_video_goes_in_a_request(connect: Connect) -> None:
    double = ModelDouble(lambda item: "ok")
    await connect(double).predict([b"v", b"w"], input_type="video")
    assert batches(double) == [1, 1]


async def test_requests_of_one_list_run_together_but_not_all_at_once(connect: Connect) -> None:
    double = ModelDouble(shout)
    model = connect(double, limits=Limits(inputs_per_request=1))
    double.hold()
    task = asyncio.create_task(model.predict([f"t{n}" for n in range(30)]))
    await double.received(1)
    double.release_next()
    await double.received(1 + MAX_IN_FLIGHT)
    assert len(double.held) == MAX_IN_FLIGHT  # and none more before one is answered
    double.release()
    assert len(await task) == 30


async def test_only_what_failed_in_a_way_that_passes_goes_again(connect: Connect) -> None:
    double = ModelDouble(lambda item: Fail(10030) if item.text == "b" and item.attempt < 3 else item.text.upper())
    found = await connect(double).predict([Input.from_text(t, id=t) for t in "abc"])
    assert [p.text for p in found] == ["A", "B", "C"]
    assert double.attempts == {"a": 1, "b": 3, "c": 1}


async def test_some_failures_are_a_partial_failure_by_position(connect: Connect) -> None:
    double = ModelDouble(lambda item: Fail(30101, "not a picture") if item.text in "bd" else item.text.upper())
    with pytest.raises(PartialFailure, match="2 of 5 inputs failed, the first at position 1") as caught:
        await connect(double).predict([Input.from_text(t, id=t) for t in "abcde"])
    assert {p: v.text for p, v in caught.value.predictions.items()} == {0: "A", 2: "C", 4: "E"}
    assert {p: (type(e), e.code) for p, e in caught.value.errors.items()} == {
        1: (errors.InvalidRequest, 30101),
        3: (errors.InvalidRequest, 30101),
    }
    assert double.attempts.total() == 5


async def test_when_all_fail_the_first_error_is_raised(connect: Connect) -> None:
    double = ModelDouble(lambda item: Fail({"a": 30101, "b": 40033}[item.text]))
    with pytest.raises(errors.InvalidRequest) as caught:
        await connect(double).predict([Input.from_text(t, id=t) for t in "ab"])
    assert caught.value.input_id == "a"


async def test_a_local_failure_is_partial_too_and_is_not_sent(connect: Connect) -> None:
    double = ModelDouble(lambda item: "ok")
    with pytest.raises(PartialFailure) as caught:
        await connect(double).predict([b"x", b"", b"y"], input_type="image")
    assert isinstance(caught.value.errors[1], errors.InputError)
    assert double.attempts.total() == 2
    with pytest.raises(errors.InputError, match="empty"):
        await connect(double).predict([b""], input_type="image")


async def test_what_the_first_request_is_refused_for_the_others_are_not_sent(connect: Connect) -> None:
    double = ModelDouble(lambda item: Fail(11001))
    model = connect(double, limits=Limits(inputs_per_request=2))
    with pytest.raises(errors.AuthError):
        await model.predict(["x"] * 20)
    assert len(double.server.calls) == 1


async def test_a_lost_request_fails_its_own_inputs_only(connect: Connect) -> None:
    double = ModelDouble(shout)
    model = connect(double, limits=Limits(inputs_per_request=2), retry=RetryPolicy(attempts=1))
    double.hold()
    task = asyncio.create_task(model.predict(["a", "b", "c", "d"]))
    await double.received(1)
    double.release()
    double.server.fail_next("UNAVAILABLE", "Socket closed")
    with pytest.raises(PartialFailure) as caught:
        await task
    assert set(caught.value.errors) == {2, 3}
    assert all(isinstance(error, errors.ConnectionLost) for error in caught.value.errors.values())


def scripted(respond: Callable[[rpc.PostModelOutputsRequest], rpc.MultiOutputResponse]) -> MemoryServer:
    return MemoryServer(prediction_handlers(respond))


OK = status_pb2.Status(code=10000)  # type: ignore[arg-type]


async def connect_to(server: MemoryServer, *inputs: Any) -> Prediction:
    async with headrace.Client(base_url="http://localhost:1", transport=server, retry=FAST) as client:
        return await client.model("u/a/models/m").predict(list(inputs))


async def test_answers_in_another_order_are_matched_by_id() -> None:
    def backwards(request: rpc.PostModelOutputsRequest) -> rpc.MultiOutputResponse:
        outputs = [pb.Output(input=item, data=item.data) for item in reversed(request.inputs)]
        return rpc.MultiOutputResponse(status=OK, outputs=outputs)

    found = await connect_to(scripted(backwards), "a", "b", "c")
    assert [p.text for p in found] == ["a", "b", "c"]


async def test_answers_without_ids_are_matched_by_order() -> None:
    def silent(request: rpc.PostModelOutputsRequest) -> rpc.MultiOutputResponse:
        return rpc.MultiOutputResponse(status=OK, outputs=[pb.Output(data=item.data) for item in request.inputs])

    found = await connect_to(scripted(silent), "a", "b", "c")
    assert [p.text for p in found] == ["a", "b", "c"]
    assert len({p.input_id for p in found}) == 3


@pytest.mark.parametrize("number", [0, 1, 3])
async def test_a_wrong_number_of_answers_is_an_error(number: int) -> None:
    server = scripted(lambda request: rpc.MultiOutputResponse(status=OK, outputs=[pb.Output()] * number))
    with pytest.raises(errors.PredictionFailed, match=f"{number} outputs to 2 inputs"):
        await connect_to(server, "a", "b")


async def test_one_input_may_have_several_outputs() -> None:
    outputs = [pb.Output(data=pb.Data(text=pb.Text(raw=t))) for t in "xy"]
    found = await connect_to(scripted(lambda request: rpc.MultiOutputResponse(status=OK, outputs=outputs)), "a")
    assert [o.data.text.raw for o in found.outputs] == ["x", "y"]


async def test_responses_with_the_same_bytes_are_all_kept() -> None:
    output = pb.Output(data=pb.Data(text=pb.Text(raw="same")))
    server = scripted(lambda request: rpc.MultiOutputResponse(status=OK, outputs=[output]))
    limits = Limits(inputs_per_request=1)
    async with headrace.Client(base_url="http://localhost:1", transport=server, limits=limits) as client:
        found = await client.model("u/a/models/m").predict(["a", "b", "c"])
    assert len(rpc.MultiOutputResponse.FromString(found.raw).outputs) == 3


async def test_a_cancelled_list_cancels_its_requests(connect: Connect) -> None:
    double = ModelDouble(shout)
    model = connect(double, limits=Limits(inputs_per_request=1))
    double.hold()
    task = asyncio.create_task(model.predict(["a"] * 20))
    await double.received(1)
    double.release_next()
    await double.received(1 + MAX_IN_FLIGHT)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await double.server.until(lambda: not double.server.running)
    assert model.client.stats.running == 0


async def test_no_inputs_are_a_wrong_argument(connect: Connect) -> None:
    with pytest.raises(errors.ConfigError, match="no inputs"):
        await connect(ModelDouble(shout)).predict([])


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(["good", "bad", "flaky"]), min_size=1, max_size=12),
    st.integers(1, 5),
    st.booleans(),
)
def test_every_input_of_a_list_ends_as_one_answer_or_one_error(kinds: list[str], size: int, echo: bool) -> None:
    def answer(item: ReceivedInput) -> str | Fail:
        kind = item.text.split()[1]
        if kind == "bad":
            return Fail(30101)
        return Fail(10030) if kind == "flaky" and item.attempt == 1 else item.text

    async def scenario() -> None:
        double = ModelDouble(answer, echo_ids=echo)
        limits = Limits(inputs_per_request=size)
        async with headrace.Client(
            base_url="http://localhost:1", transport=double, retry=FAST, limits=limits
        ) as client:
            texts = [f"{n} {kind}" for n, kind in enumerate(kinds)]
            bad = {n for n, kind in enumerate(kinds) if kind == "bad"}
            good = {n: text for n, text in enumerate(texts) if n not in bad}
            model = client.model("u/a/models/m")
            if not bad:
                assert [p.text for p in await model.predict(texts)] == texts
            elif not good:
                with pytest.raises(errors.InvalidRequest):
                    await model.predict(texts)
            else:
                with pytest.raises(PartialFailure) as caught:
                    await model.predict(texts)
                assert set(caught.value.errors) == bad
                assert {n: p.text for n, p in caught.value.predictions.items()} == good
        sent = {item.text: item.attempt for item in double.inputs}
        assert sent == {text: 2 if "flaky" in text else 1 for text in texts}

    asyncio.run(scenario())


def test_joining_one_changes_nothing() -> None:
    only = Prediction(b"", ())
    assert join([only]) is only


async def test_a_request_that_fails_as_a_whole_is_tried_as_often_as_any_call(connect: Connect) -> None:
    double = ModelDouble(lambda item: Fail(10030, envelope_only=True))
    with pytest.raises(errors.PredictionFailed):
        await connect(double).predict(["a", "b"])
    assert batches(double) == [2] * 5


async def test_the_parameters_count_in_the_bytes_of_a_request(connect: Connect) -> None:
    double = ModelDouble(lambda item: "ok")
    model = connect(double, limits=Limits(request_bytes=2500))
    await model.predict([b"x" * 1000] * 4, input_type="image", inference_params={"prompt": "y" * 600})
    assert batches(double) == [1] * 4


# -- attempts


def inputs() -> list[Input]:
    return [Input.from_text(text, id=text) for text in ("stuck", "flaky", "good")]


async def listed(model: headrace.Model) -> dict[str, Any]:
    with pytest.raises(PartialFailure) as caught:
        await model.predict(inputs())
    return {inputs()[n].id: p for n, p in {**caught.value.predictions, **caught.value.errors}.items()}


async def mapped(model: headrace.Model) -> dict[str, Any]:
    stream = model.map(inputs(), batch=3, batch_wait=5.0, on_error="yield")
    return {p.input_id: p.error or p async for p in stream}


async def streamed(model: headrace.Model) -> dict[str, Any]:
    return {p.input_id: p.error or p async for p in model.stream(inputs(), batch=3, batch_wait=5.0)}


async def coalesced(model: headrace.Model) -> dict[str, Any]:
    ended = await asyncio.gather(*map(model.predict, inputs()), return_exceptions=True)
    return {item.id: one for item, one in zip(inputs(), ended, strict=True)}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("way", [listed, mapped, streamed, coalesced])
@pytest.mark.parametrize(("stuck", "passing", "attempts"), [(10020, 10030, 3), (10020, 21351, 6), (10030, 21351, 8)])
async def test_each_input_has_its_own_attempts(
    way: Callable[[headrace.Model], Awaitable[dict[str, Any]]],
    stuck: int,
    passing: int,
    attempts: int,
    wire: Wire,
    tmp_path: Path,
) -> None:
    def answer(item: ReceivedInput) -> str | int:
        if item.text == "stuck":
            return stuck
        return passing if item.text == "flaky" and item.attempt <= attempts else item.text.upper()

    retry = RetryPolicy(attempts=5, initial=0.001, cap=0.002, warm_up_cap=0.002)
    async with rigged(wire, tmp_path, answer, coalesce=way is coalesced, retry=retry) as rig:
        ended = await way(rig.model)
        assert (ended["good"].text, ended["flaky"].text) == ("GOOD", "FLAKY")
        assert ended["stuck"].code == stuck
        assert rig.double.attempts["flaky"] == attempts + 1
        assert rig.double.attempts["good"] == 1


async def test_inputs_that_go_again_together_cost_the_budget_one_retry(connect: Connect) -> None:
    double = ModelDouble(lambda item: 10030 if item.attempt == 1 else shout(item))
    model = connect(double, retry=RetryPolicy(initial=0.001, cap=0.002, budget=2))
    assert len(await model.predict(["a"] * 20)) == 20


async def test_waiting_for_a_model_is_on_no_inputs_own_time(connect: Connect) -> None:
    double = ModelDouble(lambda item: 21351 if item.text == "b" and item.attempt <= 6 else shout(item))
    timeouts = Timeouts(total=0.4, warm_up=10)  # less than the six waits take
    model = connect(double, timeouts=timeouts, retry=RetryPolicy(warm_up_cap=0.2))
    assert [p.text for p in await model.predict(["a", "b"])] == ["A", "B"]


async def first_mapped(model: headrace.Model, items: list[Input]) -> Prediction:
    async with model.map(items, batch=2, batch_wait=5.0, ordered=False) as stream:
        return await anext(stream)


async def first_streamed(model: headrace.Model, items: list[Input]) -> Prediction:
    async with model.stream(items, batch=2, batch_wait=5.0, ordered=False) as stream:
        return await anext(stream)


async def first_coalesced(model: headrace.Model, items: list[Input]) -> Prediction:
    calls = [asyncio.ensure_future(model.predict(item)) for item in items]
    done, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    for call in waiting:
        call.cancel()
    await asyncio.wait(calls)
    return done.pop().result()


@pytest.mark.parametrize("way", [first_mapped, first_streamed, first_coalesced])
async def test_an_input_does_not_wait_for_a_neighbour_that_waits_longer(
    way: Callable[[headrace.Model, list[Input]], Awaitable[Prediction]], tmp_path: Path
) -> None:
    def answer(item: ReceivedInput) -> str | Fail:
        if item.text == "slow":
            return Fail(11005, time_remaining=60)
        return Fail(10030) if item.attempt == 1 else "done"

    items = [Input.from_text(text, id=text) for text in ("slow", "quick")]
    timeouts = Timeouts(total=300, input=300)
    async with rigged("memory", tmp_path, answer, coalesce=way is first_coalesced, timeouts=timeouts) as rig:
        async with asyncio.timeout(10):
            assert (await way(rig.model, items)).input_id == "quick"
        assert rig.double.attempts == {"slow": 1, "quick": 2}
