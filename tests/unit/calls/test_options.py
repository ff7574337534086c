"""Options of calls are checked before anything is sent."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import Client
from headrace.calls.batching import AUTO_BYTES, BatchLimits
from headrace.calls.options import (
    FrameOptions,
    StreamOptions,
    check,
    checked_batching,
    checked_metadata,
    checked_on_error,
)
from headrace.config import UNSET, Limits
from headrace.errors import ConfigError
from headrace.testing import ModelDouble
from headrace.transport.base import OWN_HEADERS


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
        *[[(name, "x")] for name in sorted(OWN_HEADERS)],
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
    assert checked_batching(None, 0.0, limits) == BatchLimits(1, 5000, 2)
    assert checked_batching(100, 0.5, limits) == BatchLimits(100, 5000, 2, 0.5)
    assert checked_batching("auto", 0, limits) == BatchLimits(100, 5000, 2)
    assert checked_batching("auto", 0, Limits()) == BatchLimits(128, AUTO_BYTES, 1)
    for wrong in (0, 101, 1.5, "3", True):
        with pytest.raises(ConfigError, match="batch"):
            checked_batching(wrong, 0, limits)  # type: ignore[arg-type]
    for seconds in (-1, float("inf"), float("nan"), "1", True):
        with pytest.raises(ConfigError, match="batch_wait"):
            checked_batching(5, seconds, limits)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="give batch= too"):
        checked_batching(None, 0.1, limits)
    assert checked_on_error("yield") == "yield"
    with pytest.raises(ConfigError, match="on_error"):
        checked_on_error("ignore")  # type: ignore[arg-type]


#: option -> values that cannot be
WRONG: dict[str, tuple[Any, ...]] = {
    "timeout": (0, -1, "5", True, math.nan, [1]),
    "prefetch": (0, -1, 2.5, None, "4", True),
    "window": (0, -1, 2.5, "16", True),
    "window_bytes": (0, 2.5, "1", None),
    "ordered": ("no", 1, None),
    "matched": ("no", 0, None),
    "resume": ("no", 1),
    "overflow": ("all", None, 5, ["block"]),
    "max_age": ("5", 0, -1, True),
    "on_error": ("ignore", None, 5),
    "batch": (0, "8", 2.5, True, 1000),
    "batch_wait": (-1, "1", None),
    "metadata": (5, "ab", [("a",)], {"a": "b"}, [("a", 5)]),
    "inference_params": (5, "x", [1]),
    "output_config": (5, "x"),
    "deployment_id": (5, b"d"),
    "user_id": (5,),
    "concurrency": (0, 2.5, "3", None, True),
    "target_latency": (0, "1", True),
    "mode": ("fast", None),
    "track": ("yes", 1),
    "prompt": ("hi",),
}
COMMON = {"timeout", "metadata", "inference_params", "output_config", "deployment_id", "user_id", "prompt"}
CALLS: dict[str, set[str]] = {
    "predict": COMMON,
    "generate": COMMON,
    "stream": set(StreamOptions.__optional_keys__) | COMMON,
    "map": {*COMMON, "concurrency", "ordered", "on_error", "batch", "batch_wait"},
    "stream_frames": set(FrameOptions.__optional_keys__) | COMMON,
}


@pytest.mark.parametrize("call", CALLS)
async def test_a_wrong_option_is_refused_at_the_call(call: str) -> None:
    async with Client(base_url="http://127.0.0.1:1", transport=ModelDouble(lambda item: "")) as client:
        method: Any = getattr(client.model("u/a/models/m"), call)
        for option, values in WRONG.items():
            for value in values:
                if option not in CALLS[call] or (call == "stream_frames" and option == "overflow" and value is None):
                    continue
                with pytest.raises(ConfigError):
                    found = method(["x"], **{option: value})
                    if call == "predict":
                        await found
                    pytest.fail(f"{call}({option}={value!r}) was taken")


@pytest.mark.parametrize(
    ("options", "hint"),
    [({"timeot": 5}, "did you mean timeout"), ({"prompt": "hi"}, 'model.call("predict", prompt=...)')],
)
async def test_a_wrong_name_comes_with_a_hint(options: dict[str, Any], hint: str) -> None:
    async with Client(base_url="http://127.0.0.1:1", transport=ModelDouble(lambda item: "")) as client:
        with pytest.raises(ConfigError, match=re.escape(hint)):
            await client.model("u/a/models/m").predict("x", **options)


def test_metadata_becomes_pairs_that_can_be_a_key() -> None:
    assert checked_metadata([["x-a", "b"]]) == (("x-a", "b"),)  # type: ignore[list-item]
