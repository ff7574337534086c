"""Predictions: the protocol's paths and the short ones, batches, failed inputs, and that they can be handed on."""

from __future__ import annotations

import copy
import itertools
import json
import math
import operator
import pickle
import subprocess
import sys
from collections.abc import Callable

import pytest

from headrace import Concept, Prediction, Region, Status, Usage, codec
from headrace.errors import ConfigError, InputError, NotFound, PredictionFailed, ServerError
from headrace.results import status_of
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import service_pb2 as rpc
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


@pytest.mark.parametrize(("own", "shown"), [("o1", "o1"), ("", "r1")])
def test_an_outputs_own_status_without_a_request_id_has_that_of_the_response(own: str, shown: str) -> None:
    status = status_pb2.Status(code=status_pb2.SUCCESS, description="well", req_id=own)
    p = answer(pb.Output(status=status))
    assert (p.status.description, p.request_id) == ("well", shown)


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
    assert found[0].pixels(80, 40) == (10, 10, 30, 40)
    assert found[1].value == 0.25  # the best concept's, where the region has none
    assert (found[2].name, found[2].value) == ("", 0.0)


def test_a_batch_is_one_prediction_per_input() -> None:
    assert len(BATCH) == 2
    assert [(p.text, p.input_id, p.position) for p in BATCH] == [("a", "i0", 0), ("b", "i1", 1)]
    assert BATCH[-1].text == "b"
    assert (BATCH[1].request_id, BATCH.raw) == ("r1", b"raw")
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


def answer(*outputs: pb.Output, **more: object) -> Prediction:
    """Make a prediction of a whole response, as the calls do."""
    status = status_pb2.Status(code=status_pb2.SUCCESS, description="Ok", req_id="r1")
    raw = rpc.MultiOutputResponse(status=status, outputs=outputs).SerializeToString()
    return Prediction(raw, codec.outputs_in(raw), status=status, **more)  # type: ignore[arg-type]


LARGE = pb.Output(data=pb.Data(image=pb.Image(base64=bytes(40_000))))
VECTOR = pb.Output(data=pb.Data(embeddings=[pb.Embedding(vector=[0.5] * 10_000, num_dimensions=10_000)]))
NAN = pb.Output(data=pb.Data(concepts=[pb.Concept(name="x", value=math.nan)]))
PLACED = answer(text("a"), input_id="a", position=3)
PLACED.source = "photos/cat.jpg"
TRAVELLERS = {
    "a batch": BATCH,
    "a failed one": FAILED,
    "one without outputs": Prediction(b"", ()),
    "a small one": answer(text("a"), input_id="a", position=3),
    "one of a file": PLACED,
    "a picture": answer(LARGE),
    "a vector": answer(VECTOR),
    "not a number": answer(NAN),
    "large and small": answer(LARGE, text("b"), input_ids=("x", "y")),
    "one of several": answer(LARGE, text("b"), input_ids=("x", "y"))[0],
    "what is no response": Prediction(b"\xff\xff", [text("a")]),
    "without status": Prediction(b"", [text("a")]),
    "lone surrogates": Prediction.failed(InputError("no file missing\udcf6.txt"), input_id="x"),
}


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_predictions_survive_copying_and_pickling(
    how: Callable[[Prediction], Prediction], subtests: pytest.Subtests
) -> None:
    for name, looked_at in itertools.product(TRAVELLERS, (False, True)):
        with subtests.test(name=name, looked_at=looked_at):
            p = TRAVELLERS[name]
            if looked_at and p.error is None:
                for one in p:
                    _ = (one.text, one.concepts, one.embeddings, one.image, one.frames)
            twin = how(p)
            assert twin == p
            assert hash(twin) == hash(p)
            assert (twin.to_dict(), twin.raw, twin.status) == (p.to_dict(), p.raw, p.status)
            assert (twin.source, repr(twin), str(twin.error)) == (p.source, repr(p), str(p.error))
            assert how(twin) == p


def test_a_pickled_prediction_holds_a_large_response_once() -> None:
    assert len(pickle.dumps(TRAVELLERS["a picture"])) < 41_000


def test_a_prediction_comes_back_from_another_process() -> None:
    script = "import pickle, sys; sys.stdout.buffer.write(pickle.dumps(pickle.load(sys.stdin.buffer)))"
    sent = pickle.dumps(TRAVELLERS["a picture"])
    run = subprocess.run([sys.executable, "-c", script], input=sent, capture_output=True, check=True, timeout=60)
    assert pickle.loads(run.stdout) == TRAVELLERS["a picture"]


@pytest.mark.parametrize(
    "other",
    [
        answer(text("b"), input_id="a", position=3),
        answer(text("a"), input_id="b", position=3),
        answer(text("a"), input_id="a", position=4),
        PLACED,
        FAILED,
        "a",
    ],
)
def test_predictions_that_say_something_else_differ(other: object) -> None:
    assert answer(text("a"), input_id="a", position=3) != other


def test_one_of_several_has_a_response_of_its_own() -> None:
    """For other stubs, whose `outputs[0]` would be a neighbour's; and so that it does not hold its neighbours."""
    one = answer(LARGE, text("b"))[1]
    response = rpc.MultiOutputResponse.FromString(one.raw)
    assert [output.data.text.raw for output in response.outputs] == ["b"]
    assert (response.status.code, response.status.req_id) == (10000, "r1")
    alone = answer(text("b"))
    assert alone[0].raw == alone.raw


READS: dict[str, Callable[[Prediction], object]] = {
    **{
        name: operator.attrgetter(name)
        for name in ("text", "data", "concepts", "regions", "frames", "embedding", "embeddings", "image", "image_size")
    },
    "audio": lambda p: p.audio,
    "to_pil": lambda p: p.to_pil(),
    "embedding_array": lambda p: p.embedding_array(),
    "draw": lambda p: p.draw(b""),
}


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("batch", [BATCH, answer(LARGE, LARGE)])
def test_a_batch_is_not_taken_for_its_first_answer(name: str, batch: Prediction) -> None:
    with pytest.raises(ConfigError, match=r"answers to 2 inputs: read each, as in p\[0\].text"):
        READS[name](batch)


def seen(**data: object) -> Prediction:
    return Prediction(b"", [pb.Output(data=pb.Data(**data))])  # type: ignore[arg-type]


CONCEPTS = [
    pb.Concept(name=name, value=value) for name, value in (("tiger cat", 0.4), ("Egyptian cat", 0.36), ("x", 0))
]
REPRS = [
    (seen(concepts=CONCEPTS), "<Prediction tiger cat 0.40, Egyptian cat 0.36>"),
    (seen(text=pb.Text(raw="one\ntwo\x1b")), r"<Prediction 'one\ntwo\x1b'>"),
    (seen(text=pb.Text(raw="x" * 1_000_000)), f"<Prediction '{'x' * 59}…'>"),
    (seen(regions=[pb.Region(value=0.5), pb.Region(value=0.9, data=pb.Data(concepts=CONCEPTS))]),
     "<Prediction tiger cat 0.90, region 0.50>"),
    (seen(frames=[pb.Frame(), pb.Frame()]), "<Prediction 2 frames>"),
    (seen(embeddings=[pb.Embedding(vector=[1.0] * 384)]), "<Prediction vector of 384 numbers>"),
    (seen(image=pb.Image(base64=b"\x89PNG\r\n\x1a\n")), "<Prediction png picture of 8 bytes>"),
    (seen(audio=pb.Audio(base64=b"fLaC")), "<Prediction flac sound of 4 bytes>"),
    (seen(concepts=[pb.Concept(name="a\x1b\u202e", value=math.nan)]), "<Prediction a   nan>"),
    (seen(), "<Prediction that is empty>"),
    (BATCH, "<Prediction of 2 inputs>"),
    (FAILED, "<Prediction x: NotFound>"),
    (Prediction(b"", ()), "<Prediction of 0 inputs>"),
    (Prediction(b"", [codec.output_in(b"\x32\xc0\xb8\x02" + b"\xff" * 40_000)]),
     "<Prediction that cannot be read: PredictionFailed>"),
]  # fmt: skip


@pytest.mark.parametrize(("p", "text"), REPRS, ids=[text for _, text in REPRS])
def test_a_prompt_shows_what_the_model_says(p: Prediction, text: str) -> None:
    assert repr(p) == str(p) == text


def test_a_notebook_shows_tables_texts_and_pictures() -> None:
    p = seen(
        concepts=[pb.Concept(name="<b>cat</b>", value=0.4)] * 30,
        text=pb.Text(raw="<script>"),
        image=pb.Image(base64=b"\x89PNG\r\n\x1a\n"),
    )
    page = p._repr_html_()
    assert page.count("<td>&lt;b&gt;cat&lt;/b&gt;</td><td>0.40</td>") == 20
    assert "… and 10 more" in page
    assert "&lt;script&gt;" in page
    assert '<img src="data:image/png;base64,' in page


@pytest.mark.parametrize("p", [p for p, _ in REPRS])
def test_a_notebook_shows_anything(p: Prediction) -> None:
    assert p._repr_html_()


def test_the_envelopes_status() -> None:
    status = status_pb2.Status(code=10010, description="d", details="e", req_id="r")  # type: ignore[arg-type]
    assert status_of(status) == Status(10010, "d", "e", "r")


def test_errors_of_the_server_are_reported_by_code() -> None:
    assert isinstance(FAILED.error, ServerError)
    assert FAILED.error.code == 21200
