"""Options of calls are checked before anything is sent."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.calls.batching import AUTO_BYTES, Packing
from headrace.calls.options import check, checked_metadata, checked_on_error, checked_packing
from headrace.config import UNSET, Limits
from headrace.errors import ConfigError


def test_what_is_given_counts_and_the_rest_comes_from_model_and_client() -> None:
    given_ = check({}, {"deployment_id": "d"}, 5.0)
    assert (given_.timeout, given_.routing, given_.metadata) == (5.0, {"deployment_id": "d"}, ())
    assert given_.seconds(60.0) == 5.0
    given_ = check({"timeout": 1.0, "metadata": [("a", "b")]}, {}, 5.0)
    assert (given_.timeout, given_.metadata) == (1.0, (("a", "b"),))
    assert check({"timeout": None}, {}, 5.0).seconds(60.0) is None
    assert check({}, {}, UNSET).seconds(60.0) == 60.0


def test_waiting_for_a_model_is_bounded_by_a_timeout_where_the_user_gave_one() -> None:
    assert check({}, {}, UNSET).warm_up is None
    assert check({"timeout": 5.0}, {}, UNSET).warm_up == math.inf
    assert check({}, {}, 5.0).warm_up == math.inf


@pytest.mark.parametrize("timeout", [0, -1, math.nan, "5", True, [1]])
def test_a_timeout_is_positive_seconds_or_none(timeout: Any) -> None:
    with pytest.raises(ConfigError, match="timeout must be positive"):
        check({"timeout": timeout}, {}, UNSET)


def test_routing_on_a_call_replaces_the_models() -> None:
    model = {"deployment_id": "d", "user_id": "du"}
    assert check({}, model, UNSET).routing == model
    assert check({"deployment_id": "e"}, model, UNSET).routing == {"deployment_id": "e"}
    assert check({"compute_cluster_id": "c", "nodepool_id": "n"}, model, UNSET).routing == {
        "compute_cluster_id": "c",
        "nodepool_id": "n",
    }
    assert check({"user_id": "x"}, model, UNSET).routing == {"deployment_id": "d", "user_id": "x"}
    assert model == {"deployment_id": "d", "user_id": "du"}
    assert check({"deployment_id": "e", "deployment_user_id": "x", "user_id": "x"}, {}, UNSET).routing["user_id"] == "x"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"timeot": 1}, "timeot"),
        ({"deployment_id": "d", "nodepool_id": "n"}, "not both"),
        ({"nodepool_id": "n"}, "compute_cluster_id"),
        ({"deployment_id": "d", "user_id": "a", "deployment_user_id": "b"}, "give one"),
    ],
)
def test_what_contradicts_itself_is_refused(options: Any, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        check(options, {}, UNSET)


@pytest.mark.parametrize(
    "metadata",
    [
        [("authorization", "Key x")],
        [("x-clarifai-session-token", "x")],
        [("grpc-timeout", "1")],
        [("trace-bin", "x")],
        [("X-Upper", "x")],
        [("", "x")],
        [("a b", "x")],
        [("a", "x\ny: z")],
        [("a", "é")],
        [("ä", "x")],
        [("a",)],
        [("a", 5)],
        ["ab"],
        [5],
        {"ab": "x"},
    ],
)
def test_metadata_that_could_forge_a_header_is_refused(metadata: Any) -> None:
    with pytest.raises(ConfigError, match="metadata"):
        checked_metadata(metadata)


@given(st.lists(st.tuples(st.text(max_size=10), st.text(max_size=10)), max_size=3))
def test_metadata_that_passes_is_plain(pairs: list[tuple[str, str]]) -> None:
    try:
        passed = checked_metadata(pairs)
    except ConfigError:
        return
    for name, value in passed:
        assert name.isascii()
        assert name == name.lower()
        assert f"{name}{value}".isprintable()


def test_batches_and_what_to_do_with_errors() -> None:
    limits = Limits(inputs_per_request=100, request_bytes=5000, videos_per_request=2)
    assert checked_packing(None, 0.0, limits) == Packing(1, 5000, 2)
    assert checked_packing(100, 0.5, limits) == Packing(100, 5000, 2, 0.5)
    assert checked_packing("auto", 0, limits) == Packing(100, 5000, 2)
    assert checked_packing("auto", 0, Limits()) == Packing(128, AUTO_BYTES, 1)
    for wrong in (0, 101, 1.5, "3", True):
        with pytest.raises(ConfigError, match="batch"):
            checked_packing(wrong, 0, limits)  # type: ignore[arg-type]
    for seconds in (-1, float("inf"), float("nan"), "1", True):
        with pytest.raises(ConfigError, match="batch_wait"):
            checked_packing(5, seconds, limits)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="give batch as well"):
        checked_packing(None, 0.1, limits)
    assert checked_on_error("yield") == "yield"
    with pytest.raises(ConfigError, match="on_error"):
        checked_on_error("ignore")  # type: ignore[arg-type]
