"""What an operator reads: one line for each retry, wait and resume, and none where all goes well."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from headrace import RetryPolicy
from headrace.events import Hedged, Resumed, RetryScheduled, WarmUp
from headrace.model import Model
from headrace.testing import GrpcFail
from tests.support.rig import WIRES, Wire, rigged

pytestmark = pytest.mark.core

QUICK = RetryPolicy(initial=0.001, cap=0.002, warm_up_cap=0.002)
TEXTS = ["one", "two", "three"]


async def predict(model: Model) -> list[str]:
    return [(await model.predict_by_bytes(text, "text")).text for text in TEXTS]


async def a_list(model: Model) -> list[str]:
    return [prediction.text for prediction in await model.predict(TEXTS, "text")]


async def generate(model: Model) -> list[str]:
    return [await model.generate_by_bytes(text, "text").text() for text in TEXTS]


async def mapped(model: Model) -> list[str]:
    return [prediction.text async for prediction in model.map(TEXTS, concurrency=1, input_type="text")]


async def streamed(model: Model) -> list[str]:
    return [prediction.text async for prediction in model.stream_by_bytes(TEXTS, "text")]


SHAPES: dict[str, Callable[[Model], Awaitable[list[str]]]] = {
    "predict": predict, "a list": a_list, "generate": generate, "map": mapped, "stream": streamed
}  # fmt: skip
RETRY = r"attempt 1 failed, trying again in 0\.\d{{3}} s: .*{code}"
WAIT = r"the model is not ready, asking again in 0\.\d{{3}} s: .*\({code}\)"
RESUME = r"the stream is opened again \(resume 1, [123] inputs unanswered\): .*{code}"
#: What the server answers once instead of "two", what the line says, and what it says of it.
FAILURES: dict[str, tuple[Any, str, str]] = {
    "a passing failure": (10030, RETRY, "10030"),
    "a throttle": (11005, RETRY, "11005"),
    "a model that deploys": (21351, WAIT, "21351"),
    "a lost connection": (GrpcFail("UNAVAILABLE", "going away"), RETRY, "going away"),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("wire", WIRES)
async def test_each_retry_is_one_line(
    wire: Wire, shape: str, failure: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    answer, line, reason = FAILURES[failure]
    if shape == "stream" and isinstance(answer, GrpcFail):
        line = RESUME
    failed = False

    def once(item: Any) -> Any:
        nonlocal failed
        if item.text == "two" and not failed:
            failed = True
            return answer
        return item.text

    with caplog.at_level(logging.INFO, "headrace"):
        async with rigged(wire, tmp_path, once, retry=QUICK) as rig:
            assert await SHAPES[shape](rig.model) == TEXTS
            events = [e for e in rig.events if isinstance(e, RetryScheduled | WarmUp | Resumed | Hedged)]
    lines = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "headrace"]
    assert len(lines) == len(events) == 1
    assert lines[0][0] == "INFO"
    assert re.fullmatch(line.format(code=f".*{reason}.*"), lines[0][1], re.DOTALL), lines[0][1]


@pytest.mark.parametrize("wire", WIRES)
async def test_where_all_goes_well_nothing_is_said(
    wire: Wire, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "headrace"):
        async with rigged(wire, tmp_path) as rig:
            for call in SHAPES.values():
                assert await call(rig.model) == TEXTS
    assert not caplog.records
