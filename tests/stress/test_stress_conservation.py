"""Conservation: whatever happens to a stream, each input ends as one prediction, one error or one counted drop.

Random faults, decided by hypothesis and so repeatable: broken connections, GOAWAYs, failed and slow inputs, refused
connections, drop policies, small windows, batches, an early end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from headrace import HeadraceError, RetryPolicy, StreamBroken, Timeouts
from headrace.calls.options import Batch
from headrace.results import Prediction
from headrace.testing import ModelDouble
from tests.support.rig import WIRES, Rig, Wire, rigged

pytestmark = pytest.mark.core

EVENTS = ["break", "go_away", "kill", "fail_next"]
FAILURES = [11005, 10030, 30300, 10020]


@dataclass(frozen=True)
class Scene:
    """One random run."""

    inputs: int
    window: int | None
    prefetch: int
    ordered: bool
    echo: bool
    batch: Batch
    overflow: Any
    answering: Any
    faults: dict[int, str]  # nth input that the server receives -> what happens then
    failing: dict[int, tuple[int, int]]  # position -> code, and how often
    slow: set[int]  # positions whose answer takes some turns of the loop
    stop_after: int | None  # leave after so many predictions
    source_error_at: int | None


positions = st.integers(0, 39)
scenes = st.builds(
    Scene,
    inputs=st.integers(0, 40),
    window=st.sampled_from([1, 2, 3, 16, None]),
    prefetch=st.integers(1, 5),
    ordered=st.booleans(),
    echo=st.booleans(),
    batch=st.sampled_from([None, None, 2, 5]),
    overflow=st.sampled_from(["block", "block", "drop_oldest", "drop_newest", "latest"]),
    answering=st.sampled_from(["in_order", "as_ready"]),
    faults=st.dictionaries(st.integers(1, 45), st.sampled_from(EVENTS), max_size=5),
    failing=st.dictionaries(positions, st.tuples(st.sampled_from(FAILURES), st.integers(1, 3)), max_size=5),
    slow=st.sets(positions, max_size=5),
    stop_after=st.none() | st.none() | st.integers(0, 40),
    source_error_at=st.none() | st.none() | st.none() | positions,
)


class UsersError(Exception):
    """What the source raises."""


@dataclass
class Seen:
    """What came of a run."""

    predictions: list[Prediction] = field(default_factory=list)
    failure: BaseException | None = None


async def _restart(rig: Rig) -> None:
    assert rig.server is not None
    await rig.server.stop()
    await rig.server.start()


async def _run(scene: Scene, folder: Path, wire: Wire) -> tuple[Seen, Any, ModelDouble]:
    received = 0
    double: ModelDouble
    restarts: list[asyncio.Task[None]] = []

    async def model(item: Any) -> Any:
        nonlocal received
        received += 1
        fault = scene.faults.get(received)
        if wire != "memory":  # the other faults are of the server in memory
            if fault == "kill" and not restarts:
                restarts.append(asyncio.create_task(_restart(rig)))
        elif fault == "break":
            double.server.break_connections()
        elif fault == "go_away":
            double.server.go_away()
        elif fault == "kill":
            double.server.kill()
            asyncio.get_running_loop().call_later(0.003, double.server.restart)
        elif fault == "fail_next":
            double.server.fail_next("UNAVAILABLE")
        position = int(item.text)
        if position in scene.slow:
            for _ in range(10):
                await asyncio.sleep(0)
        code, times = scene.failing.get(position, (0, 0))
        return code if item.attempt <= times else item.text

    async def source() -> AsyncIterator[str]:
        for number in range(scene.inputs):
            if number == scene.source_error_at:
                raise UsersError
            yield str(number)

    # An answer without an id belongs to the input at the head: such a server has to answer in order.
    answering = scene.answering if scene.echo else "in_order"
    async with rigged(
        wire,
        folder,
        model,
        double={"echo_ids": scene.echo, "answering": answering},
        # More attempts than faults: several may come before the first answer does, and giving up is another test's.
        retry=RetryPolicy(attempts=20, ambiguous_attempts=20, initial=0.0005, cap=0.002, budget=None),
        timeouts=Timeouts(close=0.5),
    ) as rig:
        double = rig.double
        seen = Seen()
        stream = rig.model.stream_by_bytes(
            source(),
            "text",
            window=scene.window,
            prefetch=scene.prefetch,
            ordered=scene.ordered,
            batch=scene.batch,
            overflow=scene.overflow,
        )
        try:
            async with asyncio.timeout(5 if wire == "memory" else 30), stream:
                if scene.stop_after != 0:
                    async for prediction in stream:
                        seen.predictions.append(prediction)
                        if len(seen.predictions) == scene.stop_after:
                            break
        except (HeadraceError, UsersError) as error:
            seen.failure = error
        assert wire != "memory" or not [
            error for error in double.server.errors if not isinstance(error, asyncio.CancelledError)
        ]
        await asyncio.gather(*restarts)
        await double.server.until(lambda: all(call.finished for call in double.server.calls))
        assert rig.client.stats.running == 0
        return seen, stream.stats, double


def _check(scene: Scene, seen: Seen, stats: Any) -> None:
    predictions = seen.predictions
    positions = [p.position for p in predictions]
    assert stats.pulled == stats.received + stats.errors + stats.dropped
    assert stats.pulled <= scene.inputs
    assert stats.dropped == sum(stats.drops.values())
    assert stats.peak_in_flight <= (scene.window or scene.inputs)
    assert len(set(positions)) == len(positions), "an input came out twice"
    assert all(p.error is not None or p.text == str(p.position) for p in predictions), "an answer of another input"
    if scene.ordered:
        assert positions == sorted(positions)
    if scene.overflow == "block":
        assert set(stats.drops) <= {"closed"}
    if seen.failure is None and scene.stop_after is None:
        assert stats.pulled == scene.inputs
        assert len(predictions) == stats.received + stats.errors
        assert stats.in_flight == 0
        if scene.overflow == "block":
            assert sorted(positions) == list(range(scene.inputs))
    if isinstance(seen.failure, UsersError):
        assert scene.source_error_at is not None
    elif seen.failure is not None:
        assert isinstance(seen.failure, StreamBroken), seen.failure
        assert not scene.ordered, "an ordered stream can always be resumed"
        assert not scene.echo
    for prediction in predictions:
        if prediction.error is not None:
            assert prediction.position in scene.failing


QUICK = settings(
    max_examples=150,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # a stream that hangs would be made smaller for hours
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.parametrize("wire", WIRES)
@settings(QUICK, max_examples=75)
@given(scene=scenes)
def test_each_input_ends_once(wire: Wire, scene: Scene, tmp_path: Path) -> None:
    seen, stats, _ = asyncio.run(_run(scene, tmp_path, wire))
    _check(scene, seen, stats)


@pytest.mark.parametrize("batch", [7, "auto"])
@pytest.mark.parametrize("wire", WIRES)
@settings(QUICK, max_examples=40)
@given(scene=scenes)
def test_each_input_ends_once_when_packed(wire: Wire, batch: Batch, scene: Scene, tmp_path: Path) -> None:
    packed = replace(scene, batch=batch, prefetch=4 * scene.prefetch)
    seen, stats, _ = asyncio.run(_run(packed, tmp_path, wire))
    _check(packed, seen, stats)
