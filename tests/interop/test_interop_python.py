"""The official Python SDK on the embedded server: what it can do here, and what it cannot do anywhere."""

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
    "predict_by_bytes": "HELLO",
    "predict_by_bytes_without_type": "HELLO",
    "predict_by_filepath": CAT,
    "predict_by_url": CAT,
    "predict_text_by_url": REVIEW.upper(),
    "inference_params": "A!!!",
    "output_config": [f"{CAT_BYTES} bytes", "picture"],
    "several_inputs": [[f"i{n}", f"WORD {n}"] for n in range(5)],
    "multimodal": f"image of {CAT_BYTES} bytes what is it",
    "by_ids": "IDS",
    "with_version": "V",
    "with_token": "T",
    "encrypted_with_credential": ["TLS"],
    "warming_up": ["WARM"],
    "large_input_and_answer": ["12000000 bytes", 12_000_000],
    "generate_by_bytes": ["ONE", "TWO", "THREE"],
    "generate_by_filepath": REVIEW,
    "generate_by_url": REVIEW,
    "generate_inputs": ["A", "B"],
    "stream_by_bytes": ["A", "B", "C"],
    "stream_by_url": ["tiger cat"] * 3,
    "stream_by_filepath": ["tiger cat"],
    "stream_many": [str(n) for n in range(300)],
    "stream_inputs": [["i0", "0"], ["i1", "1"], ["i2", "2"]],
    "deployment": ["d-1", "somebody", ["A"]],
    "nodepool": ["n-1", "c-1", "somebody", ["A"]],
    "deployment_generate_and_stream": [["A", "B"], ["C"]],
    "typed_predict": "hi hi hi?",
    "typed_predict_positional_with_defaults": "hi hi!",
    "typed_predict_batch": ["a a!", "b!"],
    "typed_predict_with_proto": ["hi hi!", 10000, "return"],
    "typed_predict_plain_form": ["hey!"],
    "typed_generate": ["a", "b", "c"],
    "typed_generate_other_name": [0, 40, 80],
    "typed_generate_empty": [""],  # the SDK wants an answer, so there is one
    "typed_stream": [6, 8, 11],
    "typed_stream_lazily": [1, [3], [1, 2]],
    "typed_everything": {
        "flag": True,
        "ratio": 0.5,
        "raw": "bytes",
        "text": "text",
        "data": {"a": [1.0, {"b": None}], "c": "d"},
    },
    "typed_zero_values": {"flag": False, "ratio": 0.0, "raw": "", "text": "", "data": {}},
    "typed_lists_and_tuples": ["sum", 10],
    "typed_array": [[0.0, 0.5, 1.0], [1.5, 2.0, 2.5]],
    "typed_image_by_bytes": LABELS,
    "typed_image_by_url": LABELS,
    "typed_media": ["two", "sound", "film", "2 images"],
    "typed_picture": [20, 30],
    "typed_concepts": [3, ["x", "y"], [1]],
    "typed_optional_left_out": [0, [], None],
    "video_frames": [[1000, "cup"], [3000, "person"]],
    "typed_region": [[[0.0, 0.0, 0.25, 0.5], ["thing"]]],  # left, top, right, bottom
    "typed_built_in": CAT,
    "typed_built_in_vector": [1280, 1.0],
    "from_local_grpc": ["local local!", ["a", "b"], [1, 3]],
    "async_predict_inputs": ["HI"],
    "async_generate_inputs": ["A", "B"],
    "async_predict_awaited_twice": "hi!",
    "async_generate_awaited_twice": ["a", "b", "c"],
}
FAILS_HERE = {  # our server's refusals, as this SDK tells them
    "unknown_model": ("MODEL_DOES_NOT_EXIST", "there is no model"),
    "encrypted_with_wrong_credential": ("CONN_KEY_INVALID", "Invalid API key"),
    "bad_input": ("INPUT_INVALID_ARGUMENT", "this one is bad"),
    "unfetchable_url": ("INPUT_FAILED", "HTTP 404"),
    "typed_generate_failing": ("MODEL_PREDICTION_FAILED", "no more of this"),
    "typed_wrong_argument": ("TypeError", "unexpected key: colour"),
    "several_input_types": ("UserError", "multiple input types"),
}
BROKEN_THERE = {  # the SDK's own faults, on any server; when one is mended, this test tells
    "one_bad_input_of_three": ("MIXED_STATUS", "1 of 3 inputs failed"),  # the two good answers are lost
    "generate_with_output_config": ("AttributeError", "MergeFromDict"),
    "compatible_client_without_signatures": ("ValueError", "Only single output supported"),
    "async_predict": ("TypeError", "coroutine is not JSON serializable"),  # a coroutine where the answer should be
    "async_generate": ("TypeError", "got coroutine"),
    "async_stream": ("TypeError", "got NoneType"),
}


@pytest.fixture(scope="module")
def outcome(
    clarifai_python: Path, settings: dict[str, str], outside: Outside, tmp_path_factory: pytest.TempPathFactory
) -> Outcomes:
    """What the steps of the driver gave."""
    env = outside.environment(tmp_path_factory.mktemp("home"), settings["base"])
    return drive([str(clarifai_python), str(HERE / "drivers" / "python_sdk.py")], env, settings)


@pytest.mark.parametrize("step", WORKS)
def test_it_works(outcome: Outcomes, step: str) -> None:
    assert outcome(step).must() == WORKS[step]


@pytest.mark.parametrize("step", FAILS_HERE)
def test_a_failure_is_reported(outcome: Outcomes, step: str) -> None:
    error = outcome(step).error
    assert error is not None
    assert all(words in error for words in FAILS_HERE[step]), error


@pytest.mark.parametrize("step", BROKEN_THERE)
def test_broken_in_the_sdk_itself(outcome: Outcomes, step: str) -> None:
    error = outcome(step).error
    assert error is not None
    assert all(words in error for words in BROKEN_THERE[step]), error


def test_signatures_are_read_as_they_were_written(outcome: Outcomes) -> None:
    found = outcome("signatures").must()
    assert found["predict"] == "def predict(prompt: str, times: int = 2, mark: str = !) -> str:"
    assert found["generate"] == "def generate(prompt: str, times: int = 1) -> Iterator[str]:"
    assert found["stream"] == "def stream(numbers: Iterator[int], start: int = 0) -> Iterator[int]:"
    assert found["find"] == "def find(image: data_types.Image) -> List[data_types.Region]:"
    assert found["total"] == "def total(numbers: List[int], pair: Tuple[str, int]) -> Tuple[str, int]:"
    assert found["scaled"] == "def scaled(array: np.ndarray, factor: float = 2.0) -> np.ndarray:"
    assert outcome("signatures_by_asking_the_model").must() == sorted(found)


def test_every_built_in_model_has_signatures_that_it_understands(outcome: Outcomes) -> None:
    found = outcome("signatures_of_all_models").must()
    assert len(found) > 15
    assert all(signatures for signatures in found.values())
    assert found["efficientnet-lite0"][0].startswith("def predict(image: data_types.Image")


@pytest.mark.models
def test_a_language_model(outcome: Outcomes) -> None:
    need(SMOLLM2)
    whole, pieces, typed, count, counted = outcome("language_model").must()
    assert "Paris" in whole
    assert whole == pieces == typed
    assert count > 3
    assert counted


def test_it_asks_nobody_else(outcome: Outcomes, outside: Outside) -> None:
    outcome("async_stream")  # the last one
    assert outside.asked == []
