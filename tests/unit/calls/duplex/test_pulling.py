"""What a stream pulls from a source that never waits, and while nothing can be sent."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import pytest

import headrace
from headrace import RetryPolicy, Timeouts
from headrace.calls.duplex.sender import MAX_UNSENT
from tests.support.grpc_version import skip_if_attempts_are_kept
from tests.support.rig import SOCKET_WIRES, WIRES, Wire, rigged

pytestmark = pytest.mark.core

TAKEN = 200
ENDLESS = 1_000_000
BAD = 1  # every input is bad

OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "any number": {"window": None},
    "large window": {"window": 5000},
    "packed": {"batch": 8},
    "packed, any number": {"batch": 8, "window": None},
    "packed by bytes": {"batch": "auto", "window": None},
    "dropping": {"overflow": "drop_oldest"},
    "unmatched": {"matched": False},
    "unmatched, any number": {"matched": False, "window": None},
}


class NeverWaiting:
    """An async iterator that always has the next item; every so many of them cannot be sent."""

    def __init__(self, bad: int) -> None:
        self.bad = bad
        self.pulled = 0

    def __aiter__(self) -> NeverWaiting:
        return self

    async def __anext__(self) -> str:
        if self.pulled == ENDLESS:
            raise StopAsyncIteration
        self.pulled += 1
        return "" if self.bad and not self.pulled % self.bad else "text"


@pytest.mark.parametrize("bad", [0, 2, BAD], ids=["good", "mixed", "bad"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("wire", WIRES)
async def test_a_source_that_never_waits_leaves_others_their_turns(
    wire: Wire, options: dict[str, Any], bad: int, tmp_path: Path
) -> None:
    source, taken, ahead, in_one_turn = NeverWaiting(bad), 0, 0, 0

    async def another() -> None:
        nonlocal in_one_turn
        while True:
            before = source.pulled
            await asyncio.sleep(0)
            in_one_turn = max(in_one_turn, source.pulled - before)

    async with rigged(wire, tmp_path) as rig:
        running = asyncio.create_task(another())
        async with rig.model.stream(source, "text", timeout=60, **options) as stream:
            async for _ in stream:
                taken += 1
                ahead = max(ahead, source.pulled - taken)
                if taken == TAKEN:
                    break
        running.cancel()
    assert in_one_turn <= 2 * MAX_UNSENT
    if bad == BAD or not {"window", "overflow", "matched"} & options.keys():
        assert ahead <= 2 * MAX_UNSENT


@pytest.mark.parametrize("wait", [True, False], ids=["waiting source", "source that never waits"])
@pytest.mark.parametrize(
    "options", [value for name, value in OPTIONS.items() if "unmatched" not in name and name != "dropping"]
)
@pytest.mark.parametrize("wire", SOCKET_WIRES)
async def test_inputs_time_out_one_after_another_while_there_is_no_connection(
    wire: Literal["grpc", "h2"], options: dict[str, Any], wait: bool
) -> None:
    skip_if_attempts_are_kept(wire)
    inputs = 3 * MAX_UNSENT

    async def source() -> AsyncIterator[str]:
        for number in range(inputs):
            if wait:
                await asyncio.sleep(0)
            yield f"text {number}"

    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = headrace.Client(
            base_url=f"http://127.0.0.1:{silent.getsockname()[1]}",
            transport=wire,
            timeouts=Timeouts(connect=60),
            retry=RetryPolicy(attempts=1000, initial=0.01, cap=0.01),
        )
        model = client.model("u/a/models/m")
        async with model.stream(source(), "text", timeout=0.02, **options) as stream:
            errors = [prediction.error async for prediction in stream]
        assert [type(error) for error in errors] == [headrace.errors.DeadlineExceeded] * inputs
        assert stream.stats.errors == stream.stats.pulled == inputs
        await client.close()


@pytest.mark.parametrize("call", ["stream", "map"])
@pytest.mark.parametrize("wire", WIRES)
async def test_a_source_may_close_its_own_stream(
    wire: Wire, call: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with rigged(wire, tmp_path, timeouts=Timeouts(close=60)) as rig:
        stream: headrace.PredictionStream

        async def source() -> AsyncIterator[str]:
            for number in range(5):
                yield f"text {number}"
            await stream.aclose()
            yield "dropped"

        stream = getattr(rig.model, call)(source(), input_type="text")
        async with asyncio.timeout(30):
            with pytest.raises(headrace.ClosedError):
                async for _ in stream:
                    pass
            while stream.stats.pulled < 6:
                await asyncio.sleep(0)
        assert stream.stats.pulled == stream.stats.received + stream.stats.errors + stream.stats.dropped
    assert "did not close" not in caplog.text


async def test_inputs_that_cannot_be_sent_are_bounded_though_any_number_may_be_in_flight(tmp_path: Path) -> None:
    async with rigged("memory", tmp_path) as rig:
        source = NeverWaiting(BAD)
        async with rig.model.stream(source, "text", window=None, window_bytes=100 * 1024) as stream:
            for _ in range(20 * MAX_UNSENT):
                await asyncio.sleep(0)
            assert source.pulled < 200
            assert (await anext(stream)).error is not None
