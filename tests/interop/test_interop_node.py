"""The official Node.js SDK on the embedded server: what it can do here, and what it cannot do anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headrace.server.models._llama import SMOLLM2
from tests.interop.conftest import HERE, SAMPLES, Outcomes, Outside, drive
from tests.support.weights import need

pytestmark = pytest.mark.timeout(600)  # the first test may have to install the SDK

CAT = ["tiger cat", "Egyptian cat", "tabby"]
REVIEW = (SAMPLES / "texts" / "good-review.txt").read_text()
CAT_BYTES = (SAMPLES / "photos" / "cat.jpg").stat().st_size
LABELS = [["size", f"{CAT_BYTES} bytes", 0.75], ["magic", "ffd8", 0.5]]

WORKS: dict[str, Any] = {
    "predict_by_bytes": ["HELLO"],
    "predict_by_filepath": CAT,
    "predict_by_url": CAT,
    "predict_text_by_url": [REVIEW.upper()],
    "predict_text_by_filepath": [REVIEW.upper()],
    "several_inputs": [[f"i{n}", f"WORD {n}"] for n in range(3)],
    "multimodal": [f"image of {CAT_BYTES} bytes what is it"],
    "by_ids": ["IDS"],
    "with_version": ["V"],
    "deployment": ["d-1", "somebody", ["A"]],
    "nodepool": ["n-1", "c-1", ["A"]],
    "large_input_and_answer": ["12000000 bytes", 12_000_000],
    "encrypted_with_credential": ["TLS"],
    "warming_up": "warm warm!",
    "inference_params_with_output_config": ["A!!!"],
    "output_config": [f"{CAT_BYTES} bytes", "picture"],
    "video_frames": [[1000, "cup"], [3000, "person"]],
    "method_signatures": [["prompt", 1, True], ["times", 3, False], ["mark", 1, False]],
    "typed_predict": "hi hi hi!",
    "typed_predict_with_deployment": "hi hi!",
    "typed_everything": '[true, 0.5, "text", {"a": [1, {"b": null}]}]',
    "typed_json": "a b",
    "typed_params": "a a a",
    "typed_float": 1.25,
    "typed_list": 6,
    "typed_bool": False,
    "typed_zeros": [0, "", []],
    "typed_image_by_url": LABELS,
    "typed_image_by_bytes": LABELS,
    "typed_built_in": CAT,
    "typed_generate": ["a", "b", "c"],
    "typed_generate_item_model": ["A", "B", "C"],
    "typed_generate_empty": [""],  # a stream that ends empty would be asked for again for ten minutes
}
FAILS_HERE = {  # our server's refusals, as this SDK tells them
    "unknown_model": '"code":21200',
    "unknown_model_info": "21200 : Model does not exist",
    "bad_input": '"code":30104',
    "encrypted_with_wrong_credential": '"code":11008',
    "typed_bytes": "argument raw: expected bytes, got a string",  # the SDK writes every value as a string or number
    "typed_wrong_argument": "Field colour not found",
    "typed_generate_failing": "Model prediction failed",
    "typed_generate_failing_at_once": "Input invalid argument",
}
BROKEN_THERE = {  # the SDK's own faults, on any server; when one is mended, this test tells
    "one_bad_input_of_three": '"code":10010',  # the two good answers are lost
    "typed_predict_with_version": "available methods are ",  # it never looks the signatures of a version up
    "typed_whole_float": "Validation failed for field ratio",  # 3.0 is no float to it
}
ODD_THERE: dict[str, Any] = {  # works, but not as told
    "inference_params_alone": ["A"],  # dropped unless there is an output configuration, too
    "private_stream": [4],  # its request goes out twice and one answer comes
    "generate_by_bytes": "undefined",
    "stream_by_bytes": "undefined",
}


@pytest.fixture(scope="module")
def outcome(
    clarifai_node: Path, settings: dict[str, str], outside: Outside, tmp_path_factory: pytest.TempPathFactory
) -> Outcomes:
    """What the steps of the driver gave."""
    env = outside.environment(tmp_path_factory.mktemp("home"), settings["base"])
    return drive(["node", str(HERE / "drivers" / "node_sdk.mjs")], env, settings, cwd=clarifai_node)


@pytest.mark.parametrize("step", WORKS)
def test_it_works(outcome: Outcomes, step: str) -> None:
    assert outcome(step).must() == WORKS[step]


@pytest.mark.parametrize("step", FAILS_HERE)
def test_a_failure_is_reported(outcome: Outcomes, step: str) -> None:
    error = outcome(step).error
    assert error is not None
    assert FAILS_HERE[step] in error


@pytest.mark.parametrize("step", BROKEN_THERE)
def test_broken_in_the_sdk_itself(outcome: Outcomes, step: str) -> None:
    error = outcome(step).error
    assert error is not None
    assert BROKEN_THERE[step] in error


@pytest.mark.parametrize("step", ODD_THERE)
def test_odd_in_the_sdk_itself(outcome: Outcomes, step: str) -> None:
    assert outcome(step).must() == ODD_THERE[step]


def test_every_built_in_model_has_methods_that_it_understands(outcome: Outcomes) -> None:
    found = outcome("methods_of_all_models").must()
    assert len(found) > 15
    assert all("predict" in methods for methods in found.values())
    assert outcome("available_methods").must() == sorted(found["typed"])


@pytest.mark.models
def test_a_language_model(outcome: Outcomes) -> None:
    need(SMOLLM2)
    text, count = outcome("language_model").must()
    assert "Paris" in text
    assert count > 3


def test_it_asks_nobody_else(outcome: Outcomes, outside: Outside) -> None:
    outcome("private_stream")  # the last one
    assert outside.asked == []
