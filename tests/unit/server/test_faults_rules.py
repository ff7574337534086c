"""Which calls and inputs a rule strikes, on a clock that stands still until told."""

from __future__ import annotations

import pytest

from headrace.server.fault_file import Rule, Script, Throttle, WarmUp
from headrace.server.faults import Abort, Fault, Faults, Stalled

PREDICT, GENERATE, STREAM = "PostModelOutputs", "GenerateModelOutputs", "StreamModelOutputs"


class Clock:
    """Seconds as set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def faults(*rules: Rule, clock: Clock | None = None, **settings: object) -> Faults:
    return Faults(Script(rules=rules, **settings), clock or Clock())  # type: ignore[arg-type]


async def codes(made: Faults, calls: int, method: str = PREDICT, model: str = "m") -> list[int]:
    """The codes with which so many calls are refused; 0: let in."""
    found = []
    for _ in range(calls):
        fault = await made.call(method).begin(model)
        found.append(0 if fault is None else fault.code)
    return found


async def test_a_rule_strikes_the_calls_it_names() -> None:
    assert await codes(faults(Rule(calls=(2, 4), code=9)), 5) == [0, 9, 0, 9, 0]
    assert await codes(faults(Rule(every=2, code=9)), 5) == [0, 9, 0, 9, 0]
    assert await codes(faults(Rule(times=2, code=9)), 4) == [9, 9, 0, 0]
    assert await codes(faults(Rule(calls=(1,), code=7), Rule(code=9)), 3) == [7, 9, 9]


async def test_calls_are_counted_among_those_that_match() -> None:
    made = faults(Rule(method="generate", model="m", calls=(2,), code=9))
    assert await codes(made, 2, PREDICT) == [0, 0]
    assert await codes(made, 2, GENERATE, "other") == [0, 0]
    assert await codes(made, 2, GENERATE) == [0, 9]


async def test_without_a_method_the_prediction_methods_are_meant() -> None:
    assert await codes(faults(Rule(code=9)), 1, "GetModel") == [0]
    assert await codes(faults(Rule(method="GetModel", code=9)), 1, "GetModel") == [9]


async def test_a_rule_for_some_seconds_ends() -> None:
    clock = Clock()
    made = faults(Rule(for_seconds=2, code=9), clock=clock)
    clock.now += 50
    assert await codes(made, 1) == [9]
    clock.now += 1.9
    assert await codes(made, 1) == [9]
    clock.now += 0.2
    assert await codes(made, 1) == [0]


async def test_warming_up_counts_down_from_the_first_call() -> None:
    clock = Clock()
    made = faults(clock=clock, warm_up=WarmUp(seconds=3, model="m"))
    clock.now += 50
    fault = await made.call(PREDICT).begin("m")
    assert fault is not None
    assert (fault.code, fault.time_remaining) == (21351, 3)
    clock.now += 1.5
    fault = await made.call(STREAM).begin("m")
    assert fault is not None
    assert fault.time_remaining == 2
    assert await codes(made, 1, model="other") == [0]
    clock.now += 1.5
    assert await codes(made, 1) == [0]


async def test_throttling_lets_a_burst_and_then_the_rate_in() -> None:
    clock = Clock()
    made = faults(clock=clock, throttle=Throttle(requests_per_second=2, burst=3))
    assert await codes(made, 5) == [0, 0, 0, 11005, 11005]
    clock.now += 0.5
    assert await codes(made, 2) == [0, 11005]
    clock.now += 100
    assert await codes(made, 4, "GetModel") == [0, 0, 0, 11005]


async def test_inputs_are_counted_over_a_whole_call() -> None:
    rule = Rule(inputs=(2, 3), code=9)
    made = faults(rule)
    for _ in range(2):  # each call anew
        call = made.call(STREAM)
        assert await call.begin("m") is None
        assert call.inputs(1) == [None]
        assert call.inputs(3) == [rule, rule, None]
        assert call.inputs(1) == [None]


async def test_an_input_may_abort_its_call_or_never_be_answered() -> None:
    call = faults(Rule(inputs=(1,), grpc="UNAVAILABLE")).call(STREAM)
    await call.begin("m")
    with pytest.raises(Abort):
        call.inputs(1)
    call = faults(Rule(inputs=(2,), stall="answer")).call(STREAM)
    await call.begin("m")
    assert call.inputs(1) == [None]
    with pytest.raises(Stalled):
        call.inputs(1)
    assert call.inputs(1) == [None]


async def test_a_rule_may_wait_for_answers() -> None:
    call = faults(Rule(method="generate", after_answers=2, code=9)).call(GENERATE)
    assert await call.begin("m") is None
    assert await call.before_answer() is None
    assert await call.before_answer() is None
    fault = await call.before_answer()
    assert isinstance(fault, Fault)
    assert fault.code == 9
