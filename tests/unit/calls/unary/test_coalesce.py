"""Concurrent single calls go out together, and none notices: its answer, error, timeout and cancel are its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headrace
from headrace import Coalesce, Input, Prediction, RetryPolicy, Timeouts, errors, events
from headrace.testing import Fail, GrpcFail, ModelDouble, ReceivedInput
from headrace.v2 import service_pb2 as rpc
from tests.support.rig import WIRES, Wire, rigged

pytestmark = pytest.mark.core

Connect = Callable[..., headrace.Model]


def echo(item: ReceivedInput) -> str:
    return item.text.upper()


def requests(double: ModelDouble) -> list[list[str]]:
    """The texts of each request that the server got."""
    found = [rpc.PostModelOutputsRequest.FromString(call.received[0]) for call in double.server.calls if call.received]
    return [[item.data.text.raw for item in request.inputs] for request in found]


def asked(model: headrace.Model, *texts: str, **options: Any) -> list[asyncio.Task[Prediction]]:
    """Start a call for each text, all in one turn of the loop."""
    return [asyncio.ensure_future(model.predict(Input.from_text(text, id=text), **options)) for text in texts]


async def one_by_one(model: headrace.Model, double: ModelDouble, *texts: str) -> list[asyncio.Task[Prediction]]:
    """Start calls, each after the one before is under way."""
    tasks = []
    for text in texts:
        tasks += asked(model, text)
        await double.received(double.attempts.total() + 1)
    return tasks


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("wire", WIRES)
async def test_concurrent_calls_share_a_request_and_each_gets_its_own_answer(wire: Wire, tmp_path: Path) -> None:
    async with rigged(wire, tmp_path, echo, coalesce=True) as rig:
        found = await asyncio.gather(*asked(rig.model, *"abcdefgh"))
        assert requests(rig.double) == [list("abcdefgh")]
        assert [p.text for p in found] == list("ABCDEFGH")
        assert [(p.input_id, p.position, len(p)) for p in found] == [(id_, 0, 1) for id_ in "abcdefgh"]
        assert len({p.request_id for p in found}) == 1
        stats = rig.client.stats
        assert (stats.calls, stats.attempts, stats.failures) == (8, 1, 0)


async def test_without_it_each_call_is_a_request(connect: Connect) -> None:
    double = ModelDouble(echo)
    await asyncio.gather(*asked(connect(double), *"abc"))
    assert requests(double) == [["a"], ["b"], ["c"]]


async def test_calls_one_after_another_wait_for_nobody(connect: Connect) -> None:
    double = ModelDouble(echo)
    model = connect(double, coalesce=Coalesce(inputs=2))
    for text in "abc":
        assert (await model.predict_by_bytes(text)).text == text.upper()
    assert requests(double) == [["a"], ["b"], ["c"]]


async def test_what_gathers_while_enough_is_under_way_goes_out_together(connect: Connect) -> None:
    double = ModelDouble(echo)
    model = connect(double, coalesce=Coalesce(requests=2))
    double.hold()
    first = await one_by_one(model, double, "a", "b")
    rest = asked(model, *"cd")
    await turns()
    rest += asked(model, *"ef")
    await turns()
    assert requests(double) == [["a"], ["b"]]
    double.release("a")
    await double.received(6)
    assert requests(double) == [["a"], ["b"], list("cdef")]
    double.release()
    assert [p.text for p in await asyncio.gather(*first, *rest)] == list("ABCDEF")


async def test_a_request_that_is_full_goes_though_others_are_under_way(connect: Connect) -> None:
    double = ModelDouble(echo)
    model = connect(double, coalesce=Coalesce(inputs=3, requests=1))
    double.hold()
    first = await one_by_one(model, double, "a")
    rest = asked(model, *"bcdefgh")
    await double.received(7)
    await turns()
    assert requests(double) == [["a"], list("bcd"), list("efg")]
    double.release()
    assert [p.text for p in await asyncio.gather(*first, *rest)] == list("ABCDEFGH")
    assert requests(double)[3:] == [["h"]]


async def test_bytes_fill_a_request_too_and_what_is_large_goes_by_itself(connect: Connect) -> None:
    double = ModelDouble(lambda item: str(len(item.text)))
    model = connect(double, coalesce=Coalesce(bytes=1000))
    sizes = [300, 300, 300, 2000, 300]
    found = await asyncio.gather(*(model.predict_by_bytes("x" * size, "text") for size in sizes))
    assert [p.text for p in found] == [str(size) for size in sizes]
    assert sorted(len(request) for request in requests(double)) == [1, 2, 2]
    assert all(call.received_bytes <= 1000 for call in double.server.calls if call.received_bytes < 2000)


async def test_waiting_a_moment_for_company_can_be_asked_for(connect: Connect) -> None:
    double = ModelDouble(echo)
    model = connect(double, coalesce=Coalesce(inputs=3, wait=30.0))
    tasks = asked(model, "a")
    await turns()
    assert not requests(double)
    tasks += asked(model, *"bc")  # now it is full
    assert [p.text for p in await asyncio.gather(*tasks)] == list("ABC")
    short = connect(double, coalesce=Coalesce(wait=0.001))
    assert (await short.predict_by_bytes("d")).text == "D"


@pytest.mark.parametrize(
    "other",
    [
        {"inference_params": {"temperature": 1}},
        {"output_config": {"max_concepts": 3}},
        {"metadata": [("x-trace", "1")]},
        {"deployment_id": "d", "deployment_user_id": "u"},
    ],
)
async def test_calls_that_differ_in_more_than_the_input_stay_apart(connect: Connect, other: dict[str, Any]) -> None:
    double = ModelDouble(echo)
    model = connect(double, coalesce=True)
    await asyncio.gather(*asked(model, *"ab"), *asked(model, *"cd", **other))
    assert requests(double) == [["a", "b"], ["c", "d"]]
    await asyncio.gather(*asked(model, *"ef"), *asked(model.client.model("u/a/models/other"), *"gh"))
    assert requests(double)[2:] == [["e", "f"], ["g", "h"]]


async def test_the_same_id_twice_goes_in_two_requests(connect: Connect) -> None:
    double = ModelDouble(echo)
    model = connect(double, coalesce=True)
    found = await asyncio.gather(*(model.predict(Input.from_text(text, id="same")) for text in "ab"))
    assert [p.text for p in found] == ["A", "B"]
    assert requests(double) == [["a"], ["b"]]


# -- failures


async def test_a_failed_input_fails_its_own_call_alone(connect: Connect) -> None:
    double = ModelDouble(lambda item: 30101 if item.text in "bd" else echo(item))
    model = connect(double, coalesce=True)
    found = await asyncio.gather(*asked(model, *"abcde"), return_exceptions=True)
    assert [p.text if isinstance(p, Prediction) else type(p) for p in found] == [
        "A", errors.InvalidRequest, "C", errors.InvalidRequest, "E",
    ]  # fmt: skip
    assert [p.input_id for p in found if isinstance(p, errors.ServerError)] == ["b", "d"]
    assert len(requests(double)) == 1
    assert model.client.stats.failures == 2


@pytest.mark.parametrize("code", [30101, 11102, 40033, 10020, 99999])
async def test_a_bad_input_that_spoils_its_request_fails_none_of_the_others(connect: Connect, code: int) -> None:
    double = ModelDouble(lambda item: Fail(code, envelope_only=True) if item.text == "c" else echo(item))
    model = connect(double, coalesce=True, retry=RetryPolicy(attempts=1))
    found = await asyncio.gather(*asked(model, *"abcdefg"), return_exceptions=True)
    assert [p.text if isinstance(p, Prediction) else p.code for p in found] == [*"AB", code, *"DEFG"]  # type: ignore[attr-defined]
    assert requests(double)[0] == list("abcdefg")
    assert double.attempts["a"] <= 4  # halves, and halves of these: not one by one


@pytest.mark.parametrize("code", [11001, 11000, 21200])
async def test_what_refuses_all_goes_to_all_after_one_request(connect: Connect, code: int) -> None:
    double = ModelDouble(lambda item: Fail(code, envelope_only=True))
    model = connect(double, coalesce=True)
    found = await asyncio.gather(*asked(model, *"abc"), return_exceptions=True)
    assert [getattr(error, "code", None) for error in found] == [code] * 3
    assert len({id(error) for error in found}) == 3
    assert [getattr(error, "input_id", None) for error in found] == list("abc")
    assert len(requests(double)) == 1
    assert model.client.stats.failures == 3


async def test_what_failed_in_a_way_that_passes_is_tried_again_and_keeps_nobody_waiting(connect: Connect) -> None:
    double = ModelDouble(lambda item: 10030 if item.text == "b" and item.attempt < 3 else echo(item))
    got: list[events.Event] = []
    model = connect(double, coalesce=True, retry=RetryPolicy(initial=30.0, cap=30.0), on_event=got.append)
    tasks = asked(model, *"abc")
    assert [(await tasks[n]).text for n in (0, 2)] == ["A", "C"]  # b's turn may come in half a minute
    assert any(isinstance(event, events.RetryScheduled) for event in got)
    assert not tasks[1].done()
    tasks[1].cancel()
    await asyncio.wait(tasks)
    quick = connect(double, coalesce=True)
    assert [p.text for p in await asyncio.gather(*asked(quick, *"abc"))] == list("ABC")
    assert double.attempts["b"] == 3
    assert quick.client.stats.retries == 1


@pytest.mark.parametrize("wire", WIRES)
async def test_a_server_that_goes_down_under_a_request_gets_it_again(wire: Wire, tmp_path: Path) -> None:
    def flaky(item: ReceivedInput) -> str | GrpcFail:
        return GrpcFail("UNAVAILABLE", "Socket closed") if item.attempt == 1 else echo(item)

    async with rigged(wire, tmp_path, flaky, coalesce=True, retry=RetryPolicy(initial=0.01)) as rig:
        found = await asyncio.gather(*asked(rig.model, *"abcd"))
        assert [p.text for p in found] == list("ABCD")
        assert rig.client.stats.attempts == 2


async def test_a_wrong_number_of_answers_is_settled_one_by_one(connect: Connect) -> None:
    double = ModelDouble(echo)
    respond = double._respond

    async def only_the_first(call: Any, message: bytes, shape: Any) -> Any:
        response = await respond(call, message, shape)
        del response.outputs[1:]  # type: ignore[union-attr]
        return response

    double._respond = only_the_first  # type: ignore[method-assign]
    found = await asyncio.gather(*asked(connect(double, coalesce=True), *"abc"))
    assert [p.text for p in found] == list("ABC")


# -- time


@pytest.mark.parametrize("wire", WIRES)
async def test_a_short_timeout_is_its_own_calls_alone(wire: Wire, tmp_path: Path) -> None:
    async with rigged(wire, tmp_path, echo, coalesce=True) as rig:
        rig.double.hold()
        (hasty,) = asked(rig.model, "a", timeout=0.05)
        others = asked(rig.model, "b")
        with pytest.raises(errors.DeadlineExceeded, match=r"input a took longer than 0\.05 s \(waiting for the answer"):
            await hasty
        await rig.until(lambda: requests(rig.double))
        assert requests(rig.double) == [["a", "b"]]
        rig.double.release()
        assert (await others[0]).text == "B"
        assert rig.client.stats.failures == 1


async def test_a_timeout_also_ends_the_wait_for_a_turn(connect: Connect) -> None:
    double = ModelDouble(echo)
    model = connect(double, coalesce=Coalesce(requests=1))
    double.hold()
    first = await one_by_one(model, double, "a")
    (late,) = asked(model, "b", timeout=0.05)
    (other,) = asked(model, "c")
    with pytest.raises(errors.DeadlineExceeded, match=r"waiting for its turn"):
        await late
    double.release()
    await asyncio.gather(*first, other)
    assert requests(double) == [["a"], ["c"]]  # nothing is sent for whom nobody waits


async def test_when_all_have_timed_out_the_request_is_cancelled(connect: Connect) -> None:
    double = ModelDouble(echo)
    double.hold()
    found = await asyncio.gather(*asked(connect(double, coalesce=True), *"ab", timeout=0.05), return_exceptions=True)
    assert [type(error) for error in found] == [errors.DeadlineExceeded] * 2
    await double.server.until(lambda: double.server.calls[0].cancelled)


async def test_waiting_for_a_deploying_model_is_on_no_calls_own_time(connect: Connect) -> None:
    double = ModelDouble(lambda item: 21351 if item.attempt <= 6 else echo(item))
    timeouts = Timeouts(total=0.4, warm_up=10)  # less than the six waits take, each at least half of its cap
    model = connect(double, coalesce=True, timeouts=timeouts, retry=RetryPolicy(warm_up_cap=0.2))
    assert [p.text for p in await asyncio.gather(*asked(model, *"ab"))] == ["A", "B"]
    double = ModelDouble(lambda item: 21351)
    model = connect(double, coalesce=True, retry=RetryPolicy(warm_up_cap=0.05))
    found = await asyncio.gather(*asked(model, *"ab", timeout=0.15), return_exceptions=True)
    assert [type(error) for error in found] == [errors.DeadlineExceeded] * 2


# -- cancelling


async def test_a_cancelled_call_that_was_not_sent_is_left_out(connect: Connect) -> None:
    double = ModelDouble(echo)
    model = connect(double, coalesce=Coalesce(requests=1))
    double.hold()
    first = await one_by_one(model, double, "a")
    rest = asked(model, *"bcd")
    await turns()
    rest[1].cancel()
    await asyncio.wait([rest[1]])
    assert rest[1].cancelled()
    double.release()
    assert [p.text for p in await asyncio.gather(*first, rest[0], rest[2])] == ["A", "B", "D"]
    assert requests(double) == [["a"], ["b", "d"]]


@pytest.mark.parametrize("wire", WIRES)
async def test_a_cancelled_call_that_was_sent_takes_nothing_from_the_others(wire: Wire, tmp_path: Path) -> None:
    async with rigged(wire, tmp_path, echo, coalesce=True) as rig:
        rig.double.hold()
        tasks = asked(rig.model, *"abc")
        await rig.double.received(3)
        tasks[1].cancel()
        await asyncio.wait([tasks[1]])
        rig.double.release()
        assert [p.text for p in await asyncio.gather(tasks[0], tasks[2])] == ["A", "C"]
        assert not rig.calls[0].cancelled


@pytest.mark.parametrize("wire", WIRES)
async def test_when_all_its_calls_are_cancelled_the_server_sees_it(wire: Wire, tmp_path: Path) -> None:
    async with rigged(wire, tmp_path, echo, coalesce=True) as rig:
        rig.double.hold()
        tasks = asked(rig.model, *"abc")
        await rig.double.received(3)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await rig.until(lambda: rig.calls[0].cancelled)
        assert all(task.cancelled() for task in tasks)
        rig.double.release()
        assert (await rig.model.predict_by_bytes("d")).text == "D"


async def test_a_cancelled_call_is_not_tried_again(connect: Connect) -> None:
    double = ModelDouble(lambda item: 10030 if item.text in "bc" and item.attempt == 1 else echo(item))
    model = connect(double, coalesce=True, retry=RetryPolicy(initial=0.2, cap=0.2))
    tasks = asked(model, *"abc")
    await tasks[0]
    tasks[1].cancel()
    assert (await tasks[2]).text == "C"
    assert requests(double) == [["a", "b", "c"], ["c"]]


# -- the client


async def test_closing_ends_all_calls(connect: Connect) -> None:
    double = ModelDouble(echo)
    model = connect(double, coalesce=Coalesce(requests=1), timeouts=Timeouts(close=0.05))
    double.hold()
    tasks = await one_by_one(model, double, "a")
    tasks += asked(model, *"bc")
    await turns()
    await model.client.close()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(error, errors.HeadraceError | asyncio.CancelledError) for error in found), found
    assert isinstance(found[1], errors.ClosedError)
    with pytest.raises(errors.ClosedError):
        await model.predict_by_bytes("d")


async def test_other_options_are_another_queue_of_the_same_client(connect: Connect) -> None:
    double = ModelDouble(echo)
    model = connect(double, coalesce=True)
    patient = model.client.with_options(timeout=50.0).model("u/a/models/m")
    await asyncio.gather(*asked(model, *"ab"), *asked(patient, *"cd"))
    assert requests(double) == [["a", "b"], ["c", "d"]]
    assert patient.client.stats.calls == model.client.stats.calls == 4


async def test_nothing_is_kept_of_calls_that_are_over(connect: Connect) -> None:
    model = connect(ModelDouble(echo), coalesce=True)
    for number in range(5):
        await asyncio.gather(*asked(model, *"ab", inference_params={"seed": number}))
    await turns()
    assert repr(model.client._coalescer) == "<Coalescer 0 queues>"


def test_wrong_settings_are_refused() -> None:
    for wrong in (3, "yes", None):
        with pytest.raises(errors.ConfigError, match="coalesce"):
            headrace.Client(base_url="http://localhost:1", coalesce=wrong)  # type: ignore[arg-type]
    for settings_ in ({"inputs": 0}, {"bytes": 0}, {"wait": -1}, {"requests": 0}, {"wait": float("inf")}):
        with pytest.raises(errors.ConfigError):
            Coalesce(**settings_)


# -- whatever happens


LIVES = st.lists(
    st.tuples(
        st.sampled_from(["good", "good", "bad", "flaky", "spoils", "stuck"]),
        st.sampled_from(["stays", "stays", "cancelled", "hasty"]),
        st.integers(0, 3),
    ),
    max_size=20,
)


@pytest.mark.parametrize("wire", WIRES)
def test_every_call_ends_as_its_own(wire: Wire, tmp_path: Path) -> None:
    @settings(max_examples=80 if wire == "memory" else 25)
    @given(LIVES, st.integers(1, 5), st.integers(1, 2), st.booleans(), st.sampled_from([None, "UNAVAILABLE"]))
    def live(
        calls: list[tuple[str, str, int]], inputs: int, in_flight: int, echo_ids: bool, failing: str | None
    ) -> None:
        asyncio.run(scenario(calls, Coalesce(inputs=inputs, requests=in_flight), echo_ids, failing))

    async def scenario(
        calls: list[tuple[str, str, int]], coalesce: Coalesce, echo_ids: bool, failing: str | None
    ) -> None:
        async with rigged(
            wire,
            tmp_path,
            own_answer,
            double={"echo_ids": echo_ids},
            retry=RetryPolicy(attempts=6, ambiguous_attempts=2, initial=0.001, cap=0.001, budget=None),
            coalesce=coalesce,
        ) as rig:
            if failing is not None and wire == "memory":
                rig.double.server.fail_next(failing)
            tasks = []
            for number, (kind, fate, pause) in enumerate(calls):
                timeout = 1e-6 if fate == "hasty" else 20.0
                tasks += [asyncio.create_task(rig.model.predict_by_bytes(f"{number} {kind}", "text", timeout=timeout))]
                await turns(pause)
                if fate == "cancelled":
                    tasks[-1].cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            for number, (prediction, (kind, fate, _)) in enumerate(zip(ended, calls, strict=True)):
                if isinstance(prediction, asyncio.CancelledError):
                    assert fate == "cancelled"
                elif isinstance(prediction, errors.DeadlineExceeded):
                    assert fate == "hasty"
                elif isinstance(prediction, errors.PredictionFailed):
                    assert kind == "stuck"
                elif isinstance(prediction, BaseException):
                    assert isinstance(prediction, errors.InvalidRequest)
                    assert kind in ("bad", "spoils")
                else:
                    assert prediction.text == f"{number} {kind}"
                    assert kind in ("good", "flaky")
            async with asyncio.timeout(10):  # a request that nobody waits for takes some turns to end
                while repr(rig.client._coalescer) != "<Coalescer 0 queues>":
                    await asyncio.sleep(0.001)
            assert rig.client.stats.running == 0
            assert all(len(request) <= coalesce.inputs for request in requests(rig.double))
        assert not rig.double.server.errors

    live()


async def own_answer(item: ReceivedInput) -> str | Fail:
    kind = item.text.split()[1]
    for _ in range(3):
        await asyncio.sleep(0)
    if kind == "bad":
        return Fail(30101)
    if kind == "stuck":
        return Fail(10020)
    if kind == "spoils":
        return Fail(11102, envelope_only=True)
    return Fail(10030) if kind == "flaky" and item.attempt <= 3 else item.text


# -- two things in the same turn of the loop


@pytest.mark.parametrize("wire", WIRES)
async def test_a_cancel_in_any_turn_takes_nothing_from_the_others(wire: Wire, tmp_path: Path) -> None:
    async with rigged(wire, tmp_path, echo, coalesce=True) as rig:
        for turn in range(60 if wire == "memory" else 20):
            tasks = asked(rig.model, *"abc")
            await turns(turn)
            tasks[1].cancel()
            first, last = await asyncio.gather(tasks[0], tasks[2])
            assert (first.text, last.text) == ("A", "C"), turn
            await asyncio.wait(tasks)
            assert tasks[1].cancelled() or tasks[1].result().text == "B"
        assert rig.client.stats.failures == 0


async def test_a_cancel_in_the_turn_of_a_timeout_leaves_the_timer_alive(connect: Connect) -> None:
    double = ModelDouble(echo)
    model = connect(double, coalesce=True)
    double.hold()
    (cancelled,) = asked(model, "a", timeout=0.05)
    (hasty,) = asked(model, "b", timeout=0.1)
    (patient,) = asked(model, "c")
    await double.received(3)
    (queue,) = model.client._coalescer._queues.values()  # type: ignore[union-attr]
    queue._timer_at, deadline = 0.0, queue._timer.when()  # type: ignore[union-attr]
    asyncio.get_running_loop().call_at(deadline, cancelled.cancel)  # just before the timer, in the same turn
    asyncio.get_running_loop().call_at(deadline, queue._expire)
    with pytest.raises(errors.DeadlineExceeded):
        await asyncio.wait_for(hasty, 5.0)
    assert cancelled.cancelled()
    double.release()
    assert (await patient).text == "C"


async def test_an_answer_that_has_arrived_comes_before_a_timeout_that_the_loop_slept_over(connect: Connect) -> None:
    double = ModelDouble(echo)
    model = connect(double, coalesce=True)
    double.hold()
    tasks = asked(model, *"ab", timeout=0.2)
    await double.received(2)
    double.release()
    time.sleep(0.4)
    assert [p.text for p in await asyncio.gather(*tasks)] == ["A", "B"]


# -- closing


@pytest.mark.parametrize("wire", WIRES)
async def test_closing_is_time_boxed_whatever_a_call_waits_for(wire: Wire, tmp_path: Path) -> None:
    def answer(item: ReceivedInput) -> str | int:
        return 10030 if item.text == "again" else echo(item)

    async with rigged(
        wire,
        tmp_path,
        answer,
        coalesce=Coalesce(requests=1, wait=0.001),
        retry=RetryPolicy(initial=60.0, cap=60.0),
        timeouts=Timeouts(close=0.2),
    ) as rig:
        tasks = asked(rig.model, "again", "good", timeout=100.0)
        assert (await tasks[1]).text == "GOOD"
        tasks += asked(rig.model, "gathers", timeout=100.0)
        await turns()
        began = time.perf_counter()
        await rig.client.close()
        assert time.perf_counter() - began < 1.0
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(error) for error in ended] == [errors.ClosedError, Prediction, errors.ClosedError]


async def test_closing_does_not_wait_for_company_that_will_not_come(connect: Connect) -> None:
    model = connect(ModelDouble(echo), coalesce=Coalesce(wait=60.0))
    tasks = asked(model, "a")
    await turns()
    await asyncio.wait_for(model.client.close(), 5.0)
    with pytest.raises(errors.ClosedError):
        await tasks[0]


async def test_metadata_may_be_lists(connect: Connect) -> None:
    double = ModelDouble(echo)
    tasks = asked(connect(double, coalesce=True), *"ab", metadata=[["x-a", "b"]])
    assert [p.text for p in await asyncio.gather(*tasks)] == ["A", "B"]
    assert double.inputs[0].metadata["x-a"] == "b"
