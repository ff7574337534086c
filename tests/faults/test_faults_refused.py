"""What no retry can mend costs one attempt and well under a second, in every shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headrace import AuthError, HeadraceError, InvalidRequest, NotFound, PermissionDenied, QuotaExceeded, StreamBroken
from headrace.errors import ModelNotReady
from headrace.model import Model
from headrace.testing import Fail, GrpcFail
from tests.support.rig import WIRES, Rig, Wire, rigged, timed

pytestmark = pytest.mark.core


async def predict(model: Model) -> None:
    await model.predict_by_bytes("text", "text")


async def predict_many(model: Model) -> None:
    await model.predict(["text"] * 3, "text")


async def predict_many_requests(model: Model) -> None:
    await model.predict(["text"] * 300, "text")


async def generate(model: Model) -> None:
    async for _ in model.generate_by_bytes("text", "text"):
        pass


async def stream(model: Model) -> None:
    async for _ in model.stream_by_bytes(["text"] * 50, "text"):
        pass


async def stream_unordered(model: Model) -> None:
    async for _ in model.stream_by_bytes(["text"] * 50, "text", ordered=False, on_error="raise"):
        pass


async def stream_free(model: Model) -> None:
    async for _ in model.stream_by_bytes(["text"] * 50, "text", matched=False):
        pass


async def map_one_at_a_time(model: Model) -> None:
    async for _ in model.map(["text"] * 50, concurrency=1, input_type="text"):
        pass


async def map_batches(model: Model) -> None:
    async for _ in model.map(["text"] * 50, concurrency=1, batch=8, input_type="text", on_error="yield"):
        pass


SHAPES = [
    predict,
    predict_many,
    predict_many_requests,
    generate,
    stream,
    stream_unordered,
    stream_free,
    map_one_at_a_time,
    map_batches,
]
REFUSALS: list[tuple[Any, type[HeadraceError]]] = [
    (11008, AuthError),
    (Fail(11008, envelope_only=True), AuthError),
    (GrpcFail("UNAUTHENTICATED", "no such key"), AuthError),
    (GrpcFail("PERMISSION_DENIED", "not yours"), PermissionDenied),
    (11004, QuotaExceeded),
    (21200, NotFound),
    (21353, ModelNotReady),
]


def _attempts(rig: Rig) -> int:
    return len(rig.calls)


def name_of(value: object) -> str:
    return str(getattr(value, "__name__", value))[:40]


@pytest.mark.parametrize("shape", SHAPES, ids=name_of)
@pytest.mark.parametrize(
    ("wire", "answer", "error"),
    [
        *[("memory", answer, error) for answer, error in REFUSALS],
        *[("grpc", answer, error) for answer, error in REFUSALS[:3]],  # by each way that a server can refuse
    ],
    ids=name_of,
)
async def test_a_refusal_costs_one_attempt(
    wire: Wire, answer: Any, error: type[HeadraceError], shape: Any, tmp_path: Path
) -> None:
    async with rigged(wire, tmp_path, lambda _: answer) as rig:
        with timed() as took, pytest.raises(HeadraceError) as caught:
            await shape(rig.model)
        assert took.ours < 1.0
        assert _attempts(rig) == 1
        failure: Any = caught.value
        if isinstance(failure, StreamBroken):  # of a free stream, which may have had answers
            assert shape is stream_free
            assert failure.code == getattr(failure.__cause__, "code", None)
            failure = failure.__cause__
        assert type(failure) is error
        assert rig.client.stats.retries == 0
        assert rig.client.stats.running == 0


@pytest.mark.parametrize("wire", WIRES)
async def test_many_maps_at_once_are_refused_no_more_often_than_they_run_at_once(wire: Wire, tmp_path: Path) -> None:
    async with rigged(wire, tmp_path, lambda _: 11008) as rig:
        with timed() as took, pytest.raises(AuthError):
            async with rig.model.map(["text"] * 1000, concurrency=32, input_type="text") as mapped:
                async for _ in mapped:
                    pass
        assert took.ours < 1.0
        assert len(rig.calls) <= 32


@pytest.mark.parametrize("code", [11102, 10040, 30300])
@pytest.mark.parametrize("wire", WIRES)
async def test_an_invalid_input_is_not_tried_again_and_does_not_end_a_stream(
    wire: Wire, code: int, tmp_path: Path
) -> None:
    async with rigged(wire, tmp_path, lambda item: code if item.text == "bad" else item.text) as rig:
        with pytest.raises(InvalidRequest):
            await rig.model.predict_by_bytes("bad", "text")
        assert len(rig.calls) == 1
        async with rig.model.stream_by_bytes(["good", "bad", "good"], "text") as stream:
            errors = [prediction.error for prediction in [p async for p in stream]]
        assert [type(e) for e in errors] == [type(None), InvalidRequest, type(None)]
        assert errors[1] is not None
        assert errors[1].code == code
        assert max(rig.double.attempts.values()) == 1


@pytest.mark.parametrize("code", [30103, 31103])
@pytest.mark.parametrize("shape", ["stream", "map", "predict"])
async def test_an_input_that_one_may_not_read_is_that_inputs_failure(code: int, shape: str, tmp_path: Path) -> None:
    async with rigged("memory", tmp_path, lambda item: code if item.text == "bad" else item.text) as rig:
        inputs = ["good", "bad", "good"]
        if shape == "predict":
            from headrace import PartialFailure

            with pytest.raises(PartialFailure) as caught:
                await rig.model.predict(inputs, "text")
            assert {p: e.code for p, e in caught.value.errors.items()} == {1: code}
            return
        stream = (
            rig.model.stream_by_bytes(inputs, "text")
            if shape == "stream"
            else rig.model.map(inputs, input_type="text", on_error="yield")
        )
        async with stream:
            found = [p.error.code if p.error else None async for p in stream]
        assert found == [None, code, None]
