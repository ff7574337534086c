"""Predictions as JSON, JSON lines and tables."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from headrace import export
from headrace.errors import InvalidRequest
from headrace.results import Prediction
from headrace.v2 import resources_pb2 as pb


def region(name: str = "cup", **more: object) -> pb.Region:
    box = pb.BoundingBox(top_row=0.1, left_col=0.2, bottom_row=0.5, right_col=0.75)
    concepts = [pb.Concept(name=name, value=0.9)] if name else []
    return pb.Region(region_info=pb.RegionInfo(bounding_box=box), data=pb.Data(concepts=concepts, **more))  # type: ignore[arg-type]


def prediction(position: int = 0, **data: object) -> Prediction:
    return Prediction(b"", [pb.Output(data=pb.Data(**data))], input_id=f"i{position}", position=position)  # type: ignore[arg-type]


FAILED = Prediction.failed(
    InvalidRequest('not a picture, said "x"\nsecond line', code=30300), input_id="i9", position=9
)
CONCEPTS = [pb.Concept(name="tabby, grey", value=0.1), pb.Concept(name="ünïcode", value=1)]


def table(*predictions: Prediction) -> list[dict[str, str]]:
    """Write a table and read it again; columns that say nothing are left out."""
    out = io.StringIO()
    count = export.to_csv(predictions, out)
    rows = [{key: value for key, value in row.items() if value} for row in csv.DictReader(io.StringIO(out.getvalue()))]
    assert len(rows) == count
    return rows


def test_concepts() -> None:
    head = {"input_id": "i3", "position": "3", "kind": "concept"}
    assert table(prediction(3, concepts=CONCEPTS)) == [
        {**head, "name": "tabby, grey", "value": "0.1"},
        {**head, "name": "ünïcode", "value": "1"},
    ]


def test_regions_with_boxes_concepts_and_text() -> None:
    head = {"input_id": "i0", "position": "0", "kind": "region"}
    box = {"left": "0.2", "top": "0.1", "right": "0.75", "bottom": "0.5"}
    found = table(prediction(regions=[region(), region("", text=pb.Text(raw="SALE"))]))
    assert found == [
        {**head, **box, "item": "0", "name": "cup", "value": "0.9"},
        {**head, **box, "item": "1", "value": "0", "text": "SALE"},
    ]


def test_frames_have_their_time() -> None:
    full = pb.Frame(
        frame_info=pb.FrameInfo(index=2, time=1500), data=pb.Data(regions=[region()], concepts=CONCEPTS[:1])
    )
    empty = pb.Frame(frame_info=pb.FrameInfo(index=3, time=2500))
    found = table(prediction(frames=[full, empty]))
    assert [(row["kind"], row["frame"], row["time"]) for row in found] == [
        ("concept", "2", "1.5"),
        ("region", "2", "1.5"),
        ("frame", "3", "2.5"),
    ]


def test_texts_vectors_and_media() -> None:
    found = table(
        prediction(
            text=pb.Text(raw="two\nlines"),
            embeddings=[pb.Embedding(vector=[0.1, -2])],
            image=pb.Image(base64=b"\x89PNG\r\n\x1a\n"),
        )
    )
    assert [row["kind"] for row in found] == ["text", "embedding", "image"]
    assert found[0]["text"] == "two\nlines"
    assert (found[1]["value"], json.loads(found[1]["text"])) == ("2", [0.1, -2])
    assert (found[2]["name"], found[2]["value"]) == ("png", "8")


def test_failed_inputs_have_a_row() -> None:
    (row,) = table(FAILED)
    assert row == {
        "input_id": "i9",
        "position": "9",
        "kind": "error",
        "name": "InvalidRequest",
        "value": "30300",
        "text": 'not a picture, said "x"\nsecond line',
    }


def test_a_batch_has_rows_for_each_input() -> None:
    outputs = [pb.Output(data=pb.Data(text=pb.Text(raw=raw))) for raw in ("a", "b")]
    batch = Prediction(b"", outputs, input_ids=("x", "y"))
    assert [(row["input_id"], row["position"], row["text"]) for row in table(batch)] == [
        ("x", "0", "a"),
        ("y", "1", "b"),
    ]


def test_a_writer_takes_predictions_as_they_come() -> None:
    out = io.StringIO()
    writer = export.CsvWriter(out)
    assert out.getvalue() == f"{','.join(export.COLUMNS)}\n"
    assert writer.write(prediction(concepts=CONCEPTS), "cat.jpg") == 2
    assert out.getvalue().splitlines()[1].startswith("i0,0,cat.jpg,concept,,")
    assert writer.write(FAILED) == 1
    assert writer.rows == 3


@pytest.mark.parametrize("write", [export.to_json, export.to_jsonl, export.to_csv])
def test_files_by_path_or_open(tmp_path: Path, write: export.Writer) -> None:
    path = tmp_path / "out"
    assert write([prediction(concepts=CONCEPTS[:1])], path) == 1
    out = io.StringIO()
    assert write([prediction(concepts=CONCEPTS[:1])], out) == 1
    assert not out.closed
    assert path.read_text(encoding="utf-8") == out.getvalue()


def test_json_is_an_object_or_a_list() -> None:
    def written(given: object) -> object:
        out = io.StringIO()
        export.to_json(given, out)  # type: ignore[arg-type]
        return json.loads(out.getvalue())

    one = written(prediction(4, concepts=CONCEPTS))
    assert isinstance(one, dict)
    assert (one["position"], one["outputs"][0]["data"]["concepts"][1]["name"]) == (4, "ünïcode")
    many = written(iter([prediction(), FAILED]))
    assert isinstance(many, list)
    assert many[1]["error"]["code"] == 30300
    assert written([]) == []


def test_json_lines() -> None:
    out = io.StringIO()
    assert export.to_jsonl([prediction(0, text=pb.Text(raw="a\nb")), FAILED], out) == 2
    first, second = (json.loads(text) for text in out.getvalue().splitlines())
    assert first["outputs"][0]["data"]["text"]["raw"] == "a\nb"
    assert second["position"] == 9
