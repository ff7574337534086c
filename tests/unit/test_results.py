"""Predictions: the protocol's paths and the short ones, batches, failed inputs, and that they can be handed on."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from headrace import Concept, Prediction, Region, Status, Usage
from headrace.errors import InputError, NotFound, PredictionFailed, ServerError
from headrace.results import status_of
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import status_pb2


def text(raw: str, input_id: str = "") -> pb.Output:
    return pb.Output(data=pb.Data(text=pb.Text(raw=raw)), input=pb.Input(id=input_id), prompt_tokens=2)


OK = Status(10000, "Ok", "", "r1")
BATCH = Prediction(b"raw", [text("a", "i0"), text("b")], status=OK, input_ids=["i0", "i1"])
FAILED = Prediction.failed(NotFound("no such model", code=21200, request_id="r2"), input_id="x", position=4)


def test_long_and_short_paths_are_the_same() -> None:
    data = pb.Data(
        text=pb.Text(raw="hello"),
        image=pb.Image(base64=b"png"),
        audio=pb.Audio(base64=b"wav"),
        concepts=[pb.Concept(id="c", name="cat", value=0.5)],
    )
    p = Prediction(b"", [pb.Output(data=data)], status=OK)
    assert p.text == p.outputs[0].data.text.raw == p.data.text.raw == "hello"
    assert (p.image, p.audio) == (b"png", b"wav")
    assert p.concepts == (Concept("cat", 0.5, "c"),)
    assert (p.status, p.request_id) == (OK, "r1")


def test_what_is_not_there_is_empty_or_none() -> None:
    p = Prediction(b"", [pb.Output()])
    assert (p.text, p.image, p.audio, p.concepts, p.regions, p.frames) == ("", None, None, (), (), ())
    assert len(p.embedding) == 0
    assert p.usage == Usage()
    assert p.request_id == ""


def test_a_string_value_is_text_too() -> None:
    assert Prediction(b"", [pb.Output(data=pb.Data(string_value="x"))]).text == "x"


def test_a_response_without_outputs_says_so_when_it_is_looked_at() -> None:
    p = Prediction(b"", ())
    assert (len(p), p.outputs, bool(p)) == (0, (), True)
    with pytest.raises(PredictionFailed, match="no output"):
        _ = p.text


def test_a_region_has_box_value_and_name() -> None:
    region = pb.Region(value=0.5, data=pb.Data(concepts=[pb.Concept(name="dog", value=0.25)], text=pb.Text(raw="t")))
    box = region.region_info.bounding_box
    box.top_row, box.left_col, box.bottom_row, box.right_col = 0.25, 0.125, 0.75, 0.5
    bare = pb.Region(data=pb.Data(concepts=[pb.Concept(name="dog", value=0.25)]))
    found = Prediction(b"", [pb.Output(data=pb.Data(regions=[region, bare, pb.Region()]))]).regions
    assert found[0] == Region(0.25, 0.125, 0.75, 0.5, 0.5, (Concept("dog", 0.25),), None, "t")
    assert found[0].name == "dog"
    assert found[0].pixels(80, 40) == (10, 10, 40, 30)
    assert found[1].value == 0.25  # the best concept's, where the region has none
    assert (found[2].name, found[2].value) == ("", 0.0)


def test_a_batch_is_one_prediction_per_input() -> None:
    assert len(BATCH) == 2
    assert [(p.text, p.input_id, p.position) for p in BATCH] == [("a", "i0", 0), ("b", "i1", 1)]
    assert BATCH[-1].text == "b"
    assert (BATCH[1].request_id, BATCH[1].raw) == ("r1", b"raw")
    assert BATCH.usage == Usage(prompt_tokens=4)
    assert BATCH.usage.total_tokens == 4
    with pytest.raises(IndexError):
        _ = BATCH[2]


def test_the_only_output_is_its_inputs() -> None:
    assert Prediction(b"", [text("a")], input_id="given")[0].input_id == "given"


def test_a_failed_one_raises_its_error_when_data_is_read() -> None:
    assert not FAILED
    assert (FAILED.input_id, FAILED.position, len(FAILED)) == ("x", 4, 0)
    for read in ("text", "outputs", "data", "concepts", "regions", "image", "usage", "embedding"):
        with pytest.raises(NotFound):
            getattr(FAILED, read)
    with pytest.raises(NotFound):
        list(FAILED)
    assert FAILED.status == Status(21200, "", "", "r2")
    assert FAILED.request_id == "r2"
    assert Prediction.failed(InputError("empty")).status == Status(0, "empty")


def test_plain_values() -> None:
    assert BATCH.to_dict() == {
        "input_id": "",
        "position": 0,
        "request_id": "r1",
        "outputs": [
            {"input": {"id": "i0"}, "data": {"text": {"raw": "a"}}, "prompt_tokens": 2},
            {"input": {}, "data": {"text": {"raw": "b"}}, "prompt_tokens": 2},
        ],
    }
    assert FAILED.to_dict() == {
        "input_id": "x",
        "position": 4,
        "error": {"type": "NotFound", "code": 21200, "message": "no such model"},
    }
    json.dumps([BATCH.to_dict(), FAILED.to_dict()])


@pytest.mark.parametrize("p", [BATCH, FAILED, Prediction(b"", ())])
def test_predictions_survive_copying_and_pickling(p: Prediction) -> None:
    for twin in (copy.copy(p), copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        assert twin.to_dict() == p.to_dict()
        assert twin.raw == p.raw


def test_no_representation_shows_data() -> None:
    p = Prediction(b"CANARY", [text("CANARY")], input_id="a")
    assert repr(p) == "<Prediction a: 1 outputs, 6 bytes>"
    assert repr(FAILED) == "<Prediction x: NotFound>"


def test_the_envelopes_status() -> None:
    status = status_pb2.Status(code=10010, description="d", details="e", req_id="r")  # type: ignore[arg-type]
    assert status_of(status) == Status(10010, "d", "e", "r")


def test_errors_of_the_server_are_told_by_code() -> None:
    assert isinstance(FAILED.error, ServerError)
    assert FAILED.error.code == 21200
