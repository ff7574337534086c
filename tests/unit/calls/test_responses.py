"""What a response says: outputs, their failures, a failure of the whole, or nothing to look at."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.calls import responses
from headrace.errors import HeadraceError, InvalidRequest, PredictionFailed, ServerError, Throttled
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import service_pb2 as rpc
from headrace.v2 import status_pb2

pytestmark = pytest.mark.core


def status(code: int, **fields: object) -> status_pb2.Status:
    return status_pb2.Status(code=code, **fields)  # type: ignore[arg-type]


def output(code: int | None = 10000, input_id: str = "", text: str = "") -> pb.Output:
    made = pb.Output(input=pb.Input(id=input_id), data=pb.Data(text=pb.Text(raw=text)))
    if code is not None:
        made.status.code = code  # type: ignore[assignment]
    return made


def read(code: int, *outputs: pb.Output, **fields: object) -> responses.Envelope:
    return responses.read(rpc.MultiOutputResponse(status=status(code, **fields), outputs=outputs).SerializeToString())


@pytest.mark.parametrize("code", [10000, None])
def test_good_outputs_are_answers(code: int | None) -> None:
    found = read(10000, output(code, "a", "x"), output(code, "b", "y"), req_id="r1")
    assert [answer.data.text.raw for answer in found.answers if isinstance(answer, pb.Output)] == ["x", "y"]
    assert (found.failure, found.refusal, found.marker) == (None, None, False)
    assert (found.head.code, found.head.req_id) == (10000, "r1")


@pytest.mark.parametrize("code", [10000, 10010])
def test_a_failed_output_is_its_inputs_error_whatever_the_envelope_says(code: int) -> None:
    found = read(code, output(10000, "a"), output(30101, "b"), req_id="r1")
    good, bad = found.answers
    assert isinstance(good, pb.Output)
    assert isinstance(bad, InvalidRequest)
    assert (bad.code, bad.input_id, bad.request_id) == (30101, "b", "r1")
    assert found.refusal is None


def test_a_failed_envelope_without_outputs_is_a_failure_of_the_whole() -> None:
    found = read(11005, description="slow down", details="15 a second", req_id="r2", time_remaining=3)
    assert found.answers == ()
    assert isinstance(found.failure, Throttled)
    assert found.failure is found.refusal
    assert (found.failure.code, found.failure.retry_after, found.failure.request_id) == (11005, 3.0, "r2")
    assert "slow down: 15 a second" in str(found.failure)
    assert "CONN_THROTTLED" in str(found.failure)


def test_internal_details_are_reported_where_there_are_no_others() -> None:
    found = read(21313, internal_details="CUDA out of memory")
    assert found.failure is not None
    assert "CUDA out of memory" in str(found.failure)


def test_where_every_output_tells_its_failure_the_envelope_adds_nothing() -> None:
    found = read(10020, output(30101, "a"), output(30002, "b"))
    assert [answer.code for answer in found.answers if isinstance(answer, ServerError)] == [30101, 30002]
    assert found.failure is None
    assert found.refusal is found.answers[0]


def test_good_outputs_under_a_failed_envelope_are_not_trusted() -> None:
    found = read(10020, output(10000, "a"))
    assert found.answers == ()
    assert isinstance(found.failure, PredictionFailed)


@pytest.mark.parametrize("code", [25605, 25606, 10070])
def test_markers_are_neither_results_nor_failures(code: int) -> None:
    found = read(code)
    assert found.marker
    assert found.failure is None


def test_an_answer_without_a_status_is_a_failure() -> None:
    found = responses.read(b"")
    assert isinstance(found.failure, PredictionFailed)
    assert "no status" in str(found.failure)


def test_an_unknown_code_is_an_error_by_number() -> None:
    found = read(123456)
    assert isinstance(found.failure, PredictionFailed)
    assert (found.failure.code, found.failure.name) == (123456, "123456")


@given(st.integers(-(2**31), 2**31 - 1), st.lists(st.one_of(st.none(), st.integers(0, 99999)), max_size=3))
def test_every_combination_of_codes_is_read(code: int, outputs: list[int | None]) -> None:
    found = read(code, *[output(c) for c in outputs])
    assert found.failure is None or isinstance(found.failure, HeadraceError)
    assert len(found.answers) in (0, len(outputs))
    assert found.failure is None or not found.answers


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        responses.read(raw)
    except PredictionFailed:
        pass
