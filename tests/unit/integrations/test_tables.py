"""Predictions as Arrow tables, Parquet files and pandas."""

from __future__ import annotations

import contextlib
import sys
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from headrace import ClosedError, ConfigError, FramePrediction, NotFound, Prediction, tables
from headrace.results import Concept, Region
from headrace.sinks import TableSink
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import status_pb2


def output(**data: Any) -> pb.Output:
    status = status_pb2.Status(code=10000, req_id="r-1")  # type: ignore[arg-type]
    return pb.Output(data=pb.Data(**data), status=status, prompt_tokens=3, completion_tokens=4)


def answer(position: int = 0, **data: Any) -> Prediction:
    return Prediction(b"", [output(**data)], input_id=f"i{position}", position=position)


def vector(*numbers: float) -> pb.Embedding:
    return pb.Embedding(vector=numbers, num_dimensions=len(numbers))


def full() -> Prediction:
    region = pb.Region(id="r", track_id="7", data=pb.Data(concepts=[pb.Concept(name="cup", value=0.5)]))
    region.data.text.raw = "EXIT"
    region.region_info.bounding_box.top_row = 0.25
    region.region_info.mask.image.base64 = b"mask"
    region.region_info.point.col = 0.5
    frame = pb.Frame(frame_info=pb.FrameInfo(index=2, time=1500), data=pb.Data(regions=[region]))
    return answer(
        text=pb.Text(raw="Ω"),
        concepts=[pb.Concept(name="train", value=0.75, id="ai_1")],
        regions=[region],
        frames=[frame],
        embeddings=[vector(0.5, 0.25)],
        image=pb.Image(base64=b"png"),
        audio=pb.Audio(base64=b"wav"),
    )


CONCEPT = {"name": "cup", "value": 0.5, "id": ""}
REGION = {
    "name": "cup",
    "value": 0.5,
    "top": 0.25,
    "left": 0.0,
    "bottom": 0.0,
    "right": 0.0,
    "concepts": [CONCEPT],
    "text": "EXIT",
    "track_id": "7",
    "id": "r",
    "point": {"left": 0.5, "top": 0.0},
    "mask": b"mask",
}
ROW = {
    "input_id": "i0",
    "position": 0,
    "source": "",
    "frame": None,
    "time": None,
    "status": 10000,
    "request_id": "r-1",
    "error": None,
    "text": "Ω",
    "regions": [REGION],
    "embedding": [0.5, 0.25],
    "concepts": [{"name": "train", "value": 0.75, "id": "ai_1"}],
    "frames": [{"index": 2, "time_ms": 1500, "concepts": [], "regions": [REGION], "text": None}],
    "image": b"png",
    "audio": b"wav",
    "prompt_tokens": 3,
    "completion_tokens": 4,
    "cached_tokens": 0,
}


def test_a_row_holds_all_that_a_prediction_says() -> None:
    table = tables.to_arrow(full())
    assert table.to_pylist() == [ROW]
    assert table.schema == tables.schema(2)


def test_an_answer_without_content_and_a_failed_input_are_rows_too() -> None:
    error = NotFound("no such model", code=21200)
    empty, failed = tables.to_arrow([answer(), Prediction.failed(error, input_id="bad", position=1)]).to_pylist()
    assert (empty["concepts"], empty["regions"], empty["text"], empty["embedding"]) == ([], [], None, None)
    assert failed["error"] == {"type": "NotFound", "code": 21200, "message": str(error)}
    assert (failed["input_id"], failed["position"], failed["concepts"], failed["prompt_tokens"]) == (
        "bad",
        1,
        None,
        None,
    )


def test_a_batch_is_a_row_for_each_input_and_what_cannot_be_decoded_a_failed_one() -> None:
    batch = Prediction(b"", [output(text=pb.Text(raw=text)) for text in "ab"], input_ids=["x", "y"])
    broken = Prediction(b"", [], input_id="none")
    rows = tables.to_arrow([batch, broken]).to_pylist()
    assert [(row["input_id"], row["text"]) for row in rows[:2]] == [("x", "a"), ("y", "b")]
    assert [row["error"]["type"] for row in rows[2:]] == ["PredictionFailed"]


@pytest.mark.parametrize(
    ("vectors", "dimensions", "type_"),
    [
        ([(1, 2), None, (3, 4)], None, pa.list_(pa.float32(), 2)),
        ([(1, 2), (3,), None], None, pa.list_(pa.float32())),
        ([(1, 2), (3, 4)], 0, pa.list_(pa.float32())),
        ([(1, 2)], None, pa.list_(pa.float32(), 2)),
        ([None], 2, pa.list_(pa.float32(), 2)),
        ([None, None], None, pa.list_(pa.float32())),
        ([], None, pa.list_(pa.float32())),
    ],
)
def test_vectors_are_lists_of_a_fixed_size_where_they_can(
    vectors: list[Any], dimensions: int | None, type_: Any
) -> None:
    answers = [answer(embeddings=[vector(*one)] if one else []) for one in vectors]
    column = tables.to_arrow(answers, dimensions=dimensions)["embedding"]
    assert column.type == type_
    assert column.to_pylist() == [list(one) if one else None for one in vectors]


def test_vectors_become_a_matrix_without_a_copy() -> None:
    column = tables.to_arrow([answer(n, embeddings=[vector(n, n + 0.5)]) for n in range(3)])["embedding"].chunk(0)
    matrix = column.flatten().to_numpy(zero_copy_only=True).reshape(-1, 2)
    assert matrix.tolist() == [[0, 0.5], [1, 1.5], [2, 2.5]]


def test_the_vector_of_a_batch_of_one_stays_in_its_memory() -> None:
    one = answer(embeddings=[vector(*range(512))])
    column = tables.to_arrow(one)["embedding"].chunk(0)
    assert column.values.to_numpy().ctypes.data == one.embedding_array().ctypes.data


def test_a_later_vector_of_another_length_is_refused_by_name() -> None:
    answers = [answer(n, embeddings=[vector(*range(2 + n // 2))]) for n in range(3)]
    with pytest.raises(ConfigError, match=r"input i2 has 3 numbers, not 2 .*dimensions=0"):
        list(tables.record_batches(answers, rows=2))
    assert sum(len(one) for one in tables.record_batches(answers, rows=2, dimensions=0)) == 3


def test_batches_have_one_schema_and_are_bounded_in_rows_and_bytes() -> None:
    batches = list(tables.record_batches((answer(n) for n in range(25)), rows=10))
    assert [len(one) for one in batches] == [10, 10, 5]
    assert len({str(one.schema) for one in batches}) == 1
    large = [answer(n, image=pb.Image(base64=bytes(12 << 20))) for n in range(4)]
    assert [len(one) for one in tables.record_batches(large)] == [3, 1]
    with pytest.raises(ConfigError, match="rows"):
        tables.record_batches([], rows=0)


async def later(answers: Any) -> AsyncIterator[Any]:
    for one in answers:
        yield one


async def test_streams_are_awaited_and_give_the_same(tmp_path: Path) -> None:
    answers = [answer(n, text=pb.Text(raw=str(n)), embeddings=[vector(n)]) for n in range(7)]
    plain = tables.to_arrow(answers)
    assert (await tables.to_arrow(later(answers))).equals(plain)
    assert [len(one) async for one in tables.record_batches(later(answers), rows=3)] == [3, 3, 1]
    assert (await tables.to_pandas(later(answers))).equals(tables.to_pandas(answers))
    assert await tables.to_parquet(later(answers), tmp_path / "a.parquet") == 7
    assert tables.to_parquet(answers, tmp_path / "b.parquet") == 7
    for name in ("a", "b"):
        assert parquet.read_table(tmp_path / f"{name}.parquet").equals(plain)


FORMS: dict[str, Callable[[Path], Any]] = {
    ".parquet": parquet.read_table,
    ".arrow": lambda path: ipc.open_file(pa.memory_map(str(path))).read_all(),
    ".feather": lambda path: ipc.open_file(pa.memory_map(str(path))).read_all(),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_writer_completes_its_file_with_what_has_come(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"t{form.upper() if form == '.arrow' else form}"
    with contextlib.suppress(KeyError), tables.TableWriter(path, rows=2) as writer:
        for n in range(5):
            assert writer.write(answer(n), source="a\udcff") == 1
        assert not path.exists()
        raise KeyError
    assert [row["position"] for row in FORMS[form](path).to_pylist()] == [0, 1, 2, 3, 4]
    assert FORMS[form](path)["source"][0].as_py() == "a\\udcff"
    writer.close()
    with pytest.raises(ClosedError):
        writer.write(answer())
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_a_table_without_rows_has_columns(tmp_path: Path) -> None:
    with tables.TableWriter(tmp_path / "none.parquet"):
        pass
    assert parquet.read_schema(tmp_path / "none.parquet").names == tables.schema().names
    assert tables.to_arrow([]).num_rows == 0


def test_where_writing_fails_the_older_file_stays(tmp_path: Path) -> None:
    def failing() -> Iterator[Prediction]:
        yield from (answer(n) for n in range(2500))
        raise KeyError("no more")

    path = tmp_path / "t.parquet"
    tables.to_parquet(answer(), path)
    with pytest.raises(KeyError):
        tables.to_parquet(failing(), path)
    assert parquet.read_table(path).num_rows == 1
    assert [one.name for one in tmp_path.iterdir()] == ["t.parquet"]


def test_memory_stays_that_of_a_batch(tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        tables.to_parquet(
            (answer(n, image=pb.Image(base64=bytes(1 << 20))) for n in range(200)), tmp_path / "t.parquet"
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100 << 20  # a batch of 32 MiB and its copy, of 200 MiB


def test_pandas_keeps_whole_numbers_whole() -> None:
    frame = tables.to_pandas([full(), Prediction.failed(NotFound("no"), input_id="bad", position=1)])
    assert list(frame.columns) == tables.schema().names
    assert str(frame["prompt_tokens"].dtype) == "Int64"
    assert frame["concepts"][0][0]["name"] == "train"
    assert frame["embedding"][0].tolist() == [0.5, 0.25]
    assert frame["error"][1]["type"] == "NotFound"


async def test_frames_have_their_number_time_and_tracks(tmp_path: Path) -> None:
    tracked = (Region(0, 0, 1, 1, 0.5, (Concept("cup", 0.5),), track_id="3"),)
    frames = [FramePrediction(None, answer(n), n * 10, n / 4, "clip", 0.0, 0.0, tracked=tracked) for n in range(3)]
    rows = tables.to_arrow(frames).to_pylist()
    assert [(row["frame"], row["time"], row["source"]) for row in rows] == [
        (0, 0, "clip"),
        (10, 0.25, "clip"),
        (20, 0.5, "clip"),
    ]
    assert rows[0]["regions"][0]["track_id"] == "3"
    async with TableSink(tmp_path / "frames.parquet") as sink:
        for one in frames:
            await sink.write(one)
    assert parquet.read_table(tmp_path / "frames.parquet").to_pylist() == rows


def test_a_prediction_saves_itself_as_a_table(tmp_path: Path) -> None:
    batch = Prediction(b"", [output(), output()])
    for form, read in FORMS.items():
        assert read(batch.save(tmp_path / f"all{form}")).num_rows == 2


def test_other_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"t\.xlsx: a table's name ends in \.parquet"):
        tables.TableWriter(tmp_path / "t.xlsx")


@pytest.mark.parametrize(("module", "call"), [("pyarrow", tables.to_arrow), ("pandas", tables.to_pandas)])
def test_without_the_package_the_extra_is_named(module: str, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=r"pip install .*\[(arrow|pandas)\]"):
        call([answer()])
