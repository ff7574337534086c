"""What codes mean: every known code, unknown ones, gRPC statuses, and the errors that they become."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import errors, status
from headrace.status import ERRORS, FATAL, KINDS, Kind, call_error, kind, kind_of, retry_hint, server_error
from headrace.v2 import status_pb2

pytestmark = pytest.mark.core

GRPC_NAMES = [
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
]


def test_every_code_of_the_protocol_becomes_an_error(subtests: pytest.Subtests) -> None:
    for code in sorted(set(status_pb2.StatusCode.values())):
        if kind(code) is Kind.OK:
            continue
        with subtests.test(code=code):
            error = server_error(code, description="a sentence")
            assert error.code == code
            assert str(code) in str(error)
            assert "a sentence" in str(error)
            assert type(error) is not errors.ServerError


@given(st.integers(-(2**31), 2**31 - 1))
def test_a_number_that_no_code_has_is_an_error_by_number(code: int) -> None:
    if code in KINDS:
        return
    error = server_error(code)
    assert type(error) is errors.PredictionFailed
    assert kind_of(error) is Kind.UNKNOWN
    assert str(code) in str(error)


def test_the_table_holds_only_codes_of_the_protocol() -> None:
    assert set(KINDS) <= set(status_pb2.StatusCode.values())
    assert sum(len(codes.split()) for codes in status._CODES.values()) == len(KINDS)  # none is in two classes


def test_every_class_of_answers_has_an_error() -> None:
    local = {Kind.OK, Kind.CONNECT, Kind.CONNECTION, Kind.UNPROCESSED, Kind.TIMEOUT}
    assert set(ERRORS) == set(Kind) - local


#: What users catch, and codes of the protocol that say it.
CLASSES: list[tuple[Kind, type[errors.ServerError], list[int]]] = [
    (Kind.WARMING, errors.ModelNotReady, [21351, 21352, 21354, 21355]),
    (Kind.NOT_SERVING, errors.ModelNotReady, [21350, 21353, 25900, 25903]),
    (Kind.THROTTLE, errors.Throttled, [11005]),
    (Kind.QUOTA, errors.QuotaExceeded, [11000, 11003, 11004, 11006, 60006, 69000, 69001]),
    (Kind.AUTH, errors.AuthError, [11001, 11002, 11008, 11009, 11200, 65000]),
    (Kind.PERMISSION, errors.PermissionDenied, [11007, 11104, 21201, 25601, 46006]),
    (
        Kind.TRANSIENT,
        errors.PredictionFailed,
        [10030, 25604, 40011, 40016, 40030, 40031, 40032, 40034, 45004, 39996, 39997, 43040, 98004],
    ),
    (Kind.AMBIGUOUS, errors.PredictionFailed, [10020, 99009, 21313]),
    (Kind.TOO_LARGE, errors.PayloadTooLarge, [40033, 30105, 31105, 47103]),
    (
        Kind.INPUT,
        errors.InvalidRequest,
        [30002, 30101, 30104, 30106, 30300, 31101, 46003, 47101, 47106, 25608],
    ),
    (Kind.CANCELLED, errors.ServerCancelled, [25607, 40035, 40037, 98008]),
    (Kind.NOT_FOUND, errors.NotFound, [21200, 25600]),
    (
        Kind.INVALID,
        errors.InvalidRequest,
        [10040, 10050, 11100, 11102, 21202, 21203, 25602, 40001, 40036],
    ),
    (Kind.MARKER, errors.PredictionFailed, [25605, 25606, 10070]),
]


@pytest.mark.parametrize(("kind_", "error", "codes"), CLASSES)
def test_classes_as_the_protocol_means_them(kind_: Kind, error: type[errors.ServerError], codes: list[int]) -> None:
    failures = [server_error(code) for code in codes]
    assert {failure.code: (kind_of(failure), type(failure)) for failure in failures} == dict.fromkeys(
        codes, (kind_, error)
    )


def test_the_error_says_what_whose_and_what_to_do() -> None:
    error = server_error(
        11001, name="CONN_TOKEN_INVALID", description="bad token", details="expired", request_id="r9", input_id="a"
    )
    assert str(error) == (
        "input a: bad token: expired (CONN_TOKEN_INVALID 11001); check the credential (pat=, CLARIFAI_PAT) [request r9]"
    )
    assert (error.name, error.details, error.request_id, error.input_id) == (
        "CONN_TOKEN_INVALID",
        "expired",
        "r9",
        "a",
    )
    assert "no description" in str(server_error(21200))


UNAVAILABLE = "UNAVAILABLE"
#: status, facts, class, kind
CALLS: list[tuple[str, dict[str, Any], type[errors.HeadraceError], Kind | None]] = [
    ("UNAUTHENTICATED", {}, errors.AuthError, Kind.AUTH),
    ("PERMISSION_DENIED", {}, errors.PermissionDenied, Kind.PERMISSION),
    ("NOT_FOUND", {}, errors.NotFound, Kind.NOT_FOUND),
    ("UNIMPLEMENTED", {}, errors.InvalidRequest, Kind.INVALID),
    ("INVALID_ARGUMENT", {}, errors.InvalidRequest, Kind.INVALID),
    ("RESOURCE_EXHAUSTED", {}, errors.Throttled, Kind.THROTTLE),
    ("RESOURCE_EXHAUSTED", {"too_large": True}, errors.PayloadTooLarge, Kind.TOO_LARGE),
    ("CANCELLED", {}, errors.ServerCancelled, Kind.CANCELLED),
    ("UNKNOWN", {}, errors.PredictionFailed, Kind.AMBIGUOUS),
    ("INTERNAL", {}, errors.PredictionFailed, Kind.AMBIGUOUS),
    ("ABORTED", {}, errors.PredictionFailed, Kind.TRANSIENT),
    (UNAVAILABLE, {}, errors.ConnectionLost, Kind.CONNECTION),
    ("DATA_LOSS", {}, errors.ConnectionLost, Kind.CONNECTION),
    (UNAVAILABLE, {"connecting": True}, errors.ConnectFailed, Kind.CONNECT),
    (UNAVAILABLE, {"connecting": True, "permanent": True}, errors.ConnectFailed, Kind.INVALID),
    (UNAVAILABLE, {"unprocessed": True}, errors.ConnectionLost, Kind.UNPROCESSED),
    ("INTERNAL", {"broken": True}, errors.ConnectionLost, Kind.CONNECTION),
    ("UNKNOWN", {"broken": True}, errors.ConnectionLost, Kind.CONNECTION),
    ("DEADLINE_EXCEEDED", {}, errors.DeadlineExceeded, Kind.TIMEOUT),
    ("SOMETHING_NEW", {}, errors.PredictionFailed, Kind.UNKNOWN),
    ("UNKNOWN", {"http_status": 200}, errors.ConnectFailed, Kind.INVALID),
    ("UNKNOWN", {"http_status": 302}, errors.ConnectFailed, Kind.INVALID),
    ("INTERNAL", {"http_status": 400}, errors.ConnectFailed, Kind.INVALID),
    ("UNAUTHENTICATED", {"http_status": 401}, errors.AuthError, Kind.AUTH),
    ("PERMISSION_DENIED", {"http_status": 403}, errors.PermissionDenied, Kind.PERMISSION),
    ("UNIMPLEMENTED", {"http_status": 404}, errors.ConnectFailed, Kind.INVALID),
    ("UNKNOWN", {"http_status": 408}, errors.ConnectionLost, Kind.AMBIGUOUS),
    ("UNKNOWN", {"http_status": 413}, errors.PayloadTooLarge, Kind.TOO_LARGE),
    (UNAVAILABLE, {"http_status": 429}, errors.Throttled, Kind.THROTTLE),
    ("UNKNOWN", {"http_status": 431}, errors.PayloadTooLarge, Kind.TOO_LARGE),
    ("UNKNOWN", {"http_status": 500}, errors.ConnectionLost, Kind.AMBIGUOUS),
    (UNAVAILABLE, {"http_status": 502}, errors.ConnectionLost, Kind.CONNECTION),
    (UNAVAILABLE, {"http_status": 503}, errors.ConnectionLost, Kind.THROTTLE),
    (UNAVAILABLE, {"http_status": 504}, errors.ConnectionLost, Kind.AMBIGUOUS),
]


@pytest.mark.parametrize(("name", "facts", "cls", "kind_"), CALLS)
def test_a_failed_call_is_an_error_by_its_facts(
    name: str, facts: dict[str, Any], cls: type[errors.HeadraceError], kind_: Kind
) -> None:
    error = call_error(name, "why it failed", target="h:1", retry_after=2.0, **facts)
    assert type(error) is cls
    assert "h:1" in str(error)
    assert error.code is None
    assert kind_of(error) is kind_
    if not isinstance(error, errors.DeadlineExceeded):
        assert error.retry_after == 2.0
        assert "why it failed" in str(error)


@pytest.mark.parametrize("details", ["", "x" * 1000, "goaway", "failed to connect: RST_STREAM with error code 7"])
def test_the_text_of_a_failed_call_decides_nothing(details: str) -> None:
    def classes(text: str) -> dict[str, tuple[type, Kind]]:
        failures = {name: call_error(name, text, target="h:1") for name in GRPC_NAMES}
        return {name: (type(error), kind_of(error)) for name, error in failures.items()}

    assert classes(details) == classes("plain")


def test_what_ends_a_stream_is_never_retried() -> None:
    from headrace.calls.retry import RETRIED

    assert not FATAL & RETRIED


def test_other_exceptions_are_unknown() -> None:
    assert kind_of(ValueError()) is Kind.UNKNOWN
    assert kind_of(errors.InputError("x")) is Kind.UNKNOWN
    assert kind_of(errors.PredictionFailed("an answer that cannot be decoded")) is Kind.UNKNOWN
    assert kind_of(errors.NotFound("no model takes video")) is Kind.NOT_FOUND


NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT
HINTS: list[tuple[list[tuple[str, str | bytes]], float | None]] = [
    ([], None),
    ([("retry-after", "3")], 3.0),
    ([("retry-after", "0")], 0.0),
    ([("retry-after", " 1.5 ")], 1.5),
    ([("retry-after", "Tue, 14 Nov 2023 22:13:27 GMT")], 7.0),
    ([("retry-after", "Tuesday, 14-Nov-23 22:13:27 GMT")], 7.0),
    ([("retry-after", "Tue Nov 14 22:13:27 2023")], 7.0),
    ([("retry-after", "Tue, 14 Nov 2023 22:13:13 GMT")], 0.0),
    ([("retry-after", "Tue, 14 Nov 99999999999 22:13:13 GMT")], None),
    ([("grpc-retry-pushback-ms", "250")], 0.25),
    ([("grpc-retry-pushback-ms", "-1")], -0.001),
    ([("grpc-retry-pushback-ms", "-inf")], None),
    ([("grpc-retry-pushback-ms", "Tue, 14 Nov 2023 22:13:27 GMT")], None),
    ([("retry-after", "soon"), ("grpc-retry-pushback-ms", "250")], 0.25),
    ([("retry-after-bin", b"3"), ("retry-after", b"3"), ("other", "3")], None),
]


def test_a_hint_when_to_come_back_is_seconds_or_a_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: NOW)
    both = [("retry-after", "3"), ("grpc-retry-pushback-ms", "250")]
    assert retry_hint(both) == retry_hint(both[::-1]) == 0.25  # libraries give metadata in any order
    assert [retry_hint(metadata) for metadata, _ in HINTS] == [pytest.approx(hint) for _, hint in HINTS]
    for useless in ("", "-1", "nan", "inf", "-inf", "1e999", "soon", "\udcff"):
        assert retry_hint([("retry-after", useless)]) is None
