"""Unary calls: one deadline over queueing, attempts and waits; each timeout with its own words; nothing kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

import headrace
from headrace import Limits, RetryPolicy, Timeouts, errors, events
from headrace.testing import Fail, GrpcFail, ModelDouble, ReceivedInput, ServerCall

pytestmark = pytest.mark.core

Connect = Callable[..., headrace.Model]


def echo(item: ReceivedInput) -> str:
    return item.text


async def test_an_answer(connect: Connect) -> None:
    got: list[events.Event] = []
    double = ModelDouble(echo)
    model = connect(double, pat="secret", on_event=got.append)
    prediction = await model.predict_by_bytes("x", metadata=[("x-trace", "1")])
    assert (prediction.text, prediction.position, prediction.error) == ("x", 0, None)
    assert prediction.request_id == "request-1"
    assert prediction.input_id == double.inputs[0].id
    metadata = double.inputs[0].metadata
    assert metadata["authorization"] == "Key secret"
    assert metadata["x-clarifai-request-id-prefix"].startswith("headrace-python-")
    assert metadata["x-trace"] == "1"
    assert [type(event) for event in got] == [events.Connected]


async def test_the_total_timeout_names_what_it_was_doing(connect: Connect) -> None:
    double = ModelDouble(echo)
    double.hold()
    with pytest.raises(errors.DeadlineExceeded, match=r"longer than 0\.05 s \(waiting for the answer, attempt 1\)"):
        await connect(double).predict_by_bytes("x", timeout=0.05)
    await double.server.until(lambda: double.server.calls[0].cancelled)


async def test_the_total_timeout_covers_attempts_and_names_the_last_failure(connect: Connect) -> None:
    double = ModelDouble(lambda item: Fail(10030, "busy elsewhere"))
    model = connect(double, retry=RetryPolicy(attempts=100, initial=0.05, cap=0.05))
    loop = asyncio.get_running_loop()
    start = loop.time()
    with pytest.raises(errors.DeadlineExceeded, match="busy elsewhere") as caught:
        await model.predict_by_bytes("x", timeout=0.1)
    assert loop.time() - start < 1  # all attempts would take that long at least
    assert isinstance(caught.value.__cause__, errors.PredictionFailed)
    assert caught.value.attempt > 1


async def test_the_total_timeout_covers_connecting_and_waiting_for_a_turn(connect: Connect) -> None:
    double = ModelDouble(echo)
    with double.server.silent(), pytest.raises(errors.DeadlineExceeded, match="connecting"):
        await connect(double).predict_by_bytes("x", timeout=0.05)
    model = connect(double, limits=Limits(concurrency=1))
    double.hold()
    first = asyncio.create_task(model.predict_by_bytes("x"))
    await double.received(1)
    with pytest.raises(errors.DeadlineExceeded, match="its turn"):
        await model.predict_by_bytes("y", timeout=0.05)
    double.release()
    assert (await first).text == "x"


async def test_an_attempts_own_timeout_is_tried_again(connect: Connect) -> None:
    double = ModelDouble(echo)
    model = connect(double, timeouts=Timeouts(attempt=0.05))
    double.hold()
    task = asyncio.create_task(model.predict_by_bytes("x"))
    await double.received(2)
    double.release()
    assert (await task).text == "x"
    assert double.server.calls[0].cancelled


async def test_attempts_that_all_time_out_say_so(connect: Connect) -> None:
    double = ModelDouble(echo)
    double.hold()
    model = connect(double, timeouts=Timeouts(attempt=0.02), retry=RetryPolicy(attempts=2, initial=0.001, cap=0.001))
    with pytest.raises(errors.DeadlineExceeded, match=r"one attempt took longer than 0\.02 s"):
        await model.predict_by_bytes("x")
    assert double.attempts.total() == 2


async def test_waiting_for_a_model_has_a_budget_of_its_own(connect: Connect) -> None:
    double = ModelDouble(lambda item: Fail(21351) if item.attempt < 8 else "ready")
    got: list[events.Event] = []
    retry = RetryPolicy(warm_up_cap=0.2)  # 0.1 s at least each time: 0.7 s in all
    model = connect(double, timeouts=Timeouts(total=0.6), retry=retry, on_event=got.append)
    assert (await model.predict_by_bytes("x")).text == "ready"
    assert sum(isinstance(event, events.WarmUp) for event in got) == 7


async def test_an_explicit_timeout_caps_waiting_for_a_model_too(connect: Connect) -> None:
    double = ModelDouble(lambda item: Fail(21351, "deploying"))
    model = connect(double, retry=RetryPolicy(warm_up_cap=0.02))
    with pytest.raises(errors.DeadlineExceeded, match="deploying"):
        await model.predict_by_bytes("x", timeout=0.1)


async def test_a_model_that_never_gets_ready_is_that(connect: Connect) -> None:
    double = ModelDouble(lambda item: Fail(21351))
    with pytest.raises(errors.ModelNotReady):
        await connect(double, timeouts=Timeouts(warm_up=0.02)).predict_by_bytes("x")


async def test_a_throttle_is_waited_out_and_lowers_what_runs_at_once(connect: Connect) -> None:
    got: list[events.Event] = []
    double = ModelDouble(lambda item: 11005 if item.attempt == 1 else "ok")
    model = connect(double, on_event=got.append)
    assert (await model.predict_by_bytes("x")).text == "ok"
    assert any(isinstance(event, events.Throttled) and event.code == 11005 for event in got)
    assert model.client.stats.requests_per_second is not None


async def test_the_clients_rate_holds_calls_back(connect: Connect) -> None:
    got: list[events.Event] = []
    double = ModelDouble(echo)
    model = connect(double, limits=Limits(requests_per_second=50.0), on_event=got.append)
    loop = asyncio.get_running_loop()
    start = loop.time()
    await asyncio.gather(*[model.predict_by_bytes(str(n)) for n in range(6)])
    assert loop.time() - start >= 0.099
    assert sum(isinstance(event, events.Throttled) for event in got) == 5


@pytest.mark.parametrize("moment", ["its turn", "connecting", "the answer", "the wait"])
async def test_a_cancelled_call_gives_back_what_it_holds(connect: Connect, moment: str) -> None:
    failing = moment == "the wait"
    double = ModelDouble(lambda item: Fail(10030) if failing else item.text)
    retry = RetryPolicy(initial=600.0, cap=600.0) if failing else RetryPolicy()
    model = connect(double, limits=Limits(concurrency=1, streams_per_connection=1, connections=1), retry=retry)
    double.hold()
    blocker = asyncio.create_task(model.predict_by_bytes("blocker")) if moment == "its turn" else None
    if blocker is not None:
        await double.received(1)
    with double.server.silent() if moment == "connecting" else double.holding():
        task = asyncio.create_task(model.predict_by_bytes("x"))
        if moment == "the answer":
            await double.received(1)
        elif failing:
            await double.received(1)
            double.release()
            await double.server.until(lambda: double.answered == 1)
        for _ in range(20):
            await asyncio.sleep(0)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    if blocker is not None:
        await blocker
    double.release()
    double.function = echo
    assert (await asyncio.wait_for(model.predict_by_bytes("y"), 2)).text == "y"
    assert (model.client.stats.running, model.client.stats.waiting) == (0, 0)


async def test_what_the_server_never_saw_goes_again_outside_of_the_attempts(connect: Connect) -> None:
    double = ModelDouble(echo)
    model = connect(double, retry=RetryPolicy(attempts=2))
    double.server.fail_next("UNAVAILABLE", unprocessed=True, times=5)
    assert (await model.predict_by_bytes("x")).text == "x"


async def test_an_answer_that_is_none_is_not_asked_for_again(connect: Connect) -> None:
    double = ModelDouble(echo)

    async def garbage(call: ServerCall) -> None:
        await call.read()
        await call.write(b"\xff\xff")

    double.server.handlers["/clarifai.api.V2/PostModelOutputs"] = garbage
    with pytest.raises(errors.PredictionFailed, match="cannot be decoded"):
        await connect(double).predict_by_bytes("x")
    assert len(double.server.calls) == 1


async def test_counts(connect: Connect) -> None:
    double = ModelDouble(lambda item: GrpcFail("UNAVAILABLE", "Socket closed") if item.attempt < 3 else "ok")
    model = connect(double)
    await model.predict_by_bytes("x")
    double.function = lambda item: Fail(11001)
    with pytest.raises(errors.AuthError):
        await model.predict_by_bytes("x")
    stats = model.client.stats
    assert (stats.calls, stats.attempts, stats.retries, stats.failures) == (2, 4, 2, 1)


async def test_after_closing_the_client_there_is_no_call(connect: Connect) -> None:
    model = connect(ModelDouble(echo))
    await model.predict_by_bytes("x")
    await model.client.close()
    with pytest.raises(errors.ClosedError):
        await model.predict_by_bytes("x")


async def test_a_refused_stream_makes_its_connection_take_fewer(connect: Connect) -> None:
    double = ModelDouble(echo)
    model = connect(double)
    double.hold()
    tasks = [asyncio.create_task(model.predict_by_bytes(str(n))) for n in range(5)]
    await double.received(5)
    double.server.fail_next("UNAVAILABLE", unprocessed=True)
    sixth = asyncio.create_task(model.predict_by_bytes("5"))
    await double.received(6)  # it came through on its second try
    double.release()
    await asyncio.gather(*tasks, sixth)
    assert min(connection.limit for connection in model.client._calls.channels.connections) == 5


async def test_calls_that_gave_up_hold_nobody_up(connect: Connect) -> None:
    model = connect(ModelDouble(echo), limits=Limits(requests_per_second=20.0))
    calls = [model.predict_by_bytes(str(n), timeout=0.12) for n in range(200)]
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(error, errors.DeadlineExceeded) for error in found) >= 195
    loop = asyncio.get_running_loop()
    start = loop.time()
    await model.predict_by_bytes("x", timeout=5.0)
    assert loop.time() - start < 1.0
