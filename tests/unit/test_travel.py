"""What leaves the process: values that are pickled and copied, JSON, tables and files that others read."""

from __future__ import annotations

import copy
import csv
import io
import json
import math
import os
import pickle
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace import Client, Concept, Frame, Limits, Region, RetryPolicy, Status, Timeouts, Usage, config, export
from headrace.calls.stats import ClientStats
from headrace.calls.streams import StreamStats
from headrace.cli import render, terminal
from headrace.credentials import Account, Credentials
from headrace.errors import InputError
from headrace.frames.stats import FrameStats
from headrace.reference import ModelRef
from headrace.results import Prediction
from headrace.sources.videos import VideoStats
from headrace.support.files import append, placed
from headrace.support.frozen import FrozenDict
from headrace.support.jsontext import dumps
from headrace.target import Target
from headrace.v2 import resources_pb2 as pb

REGION = Region(0.0, 0.1, 0.5, 1.0, 0.9, (Concept("cup", 0.9, "c1"),), b"png", "text", "7")
VALUES = [
    Limits(input_bytes={"text": 10}),
    Timeouts(total=None),
    RetryPolicy(attempts=2),
    config.Window(None),
    config.Coalesce(wait=0.1),
    config.TLS(root_certificates=b"pem"),
    config.KeepAlive(None),
    config.Transmission(),
    Credentials(pat="p"),
    Account(Target.parse(None), Credentials(token="t"), "u", "a"),
    Target.parse("unix:/run/model.sock"),
    ModelRef("u", "a", "m", "v"),
    Concept("cat", 0.5, "c"),
    REGION,
    REGION.box,
    REGION.pixels(100, 100),
    Frame(1, 500, (Concept("cat", 0.5),), (REGION,)),
    Usage(1, 2, 3),
    Status(10000, "Ok", "", "r"),
    StreamStats(pulled=3, drops=FrozenDict(latest=2), dropped=2),
    FrameStats(frames=3, drops=FrozenDict(latest=2), dropped=2),
    VideoStats(frames=3, drops={"latest": 2}),
    ClientStats(1, 1, 0, 0, 0, 1, 1, 0, 0, 15.0, 50.0),
]


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_values_come_out_equal(how: Callable[[object], object], subtests: pytest.Subtests) -> None:
    for value in VALUES:
        with subtests.test(value=type(value).__name__):
            twin = how(value)
            assert twin == value
            assert (type(twin), repr(twin), str(twin)) == (type(value), repr(value), str(value))


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_client_and_its_models_say_why_they_stay(how: Callable[[object], object]) -> None:
    client = Client(base_url="http://127.0.0.1:9")
    with pytest.raises(
        TypeError, match="a Client cannot be pickled, because it holds connections; make one in each process"
    ):
        how(client)
    with pytest.raises(TypeError, match="make both in each process"):
        how(client.model("u/a/models/m"))


def test_a_frozen_dict_is_a_dict_that_stays_as_it_is() -> None:
    frozen = FrozenDict(a=1)
    assert (frozen, repr(frozen), json.dumps(frozen), hash(frozen)) == ({"a": 1}, "{'a': 1}", '{"a": 1}', hash(frozen))
    changes: list[Callable[[Any], object]] = [
        lambda d: d.update(b=2),
        lambda d: d.__setitem__("b", 2),
        lambda d: d.__delitem__("a"),
        lambda d: d.pop("a"),
        lambda d: d.popitem(),
        lambda d: d.clear(),
        lambda d: d.setdefault("b", 2),
        lambda d: d.__ior__({"b": 2}),
    ]
    for change in changes:
        with pytest.raises(TypeError, match="cannot be changed"):
            change(frozen)
    assert frozen == {"a": 1}


def test_statistics_print_in_a_few_words() -> None:
    stats = StreamStats(pulled=4, sent=3, received=2, drops=FrozenDict(latest=1), dropped=1, lag=0.123456)
    assert str(stats) == "pulled 4, sent 3, received 2, errors 0, dropped 1, drops {'latest': 1}, lag 0.1235"
    assert "mappingproxy" not in repr(stats)
    assert str(VideoStats(3, 2)) == "frames 3, given 2"


# -- JSON

ODD: list[Any] = [
    "Grüße, 你好, 😀",
    "missing\udcf6.txt",
    "\x00\x1b\x7f\x85\u2028\ufeff",
    "a\u202eb\U000e0041",
    {"ключ\ud800": [1, None, True]},
    9007199254740993,
    0.1,
    -0.0,
    [math.inf, -math.inf, math.nan],
]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "cp1252", "utf-16", None])
def test_json_parses_and_is_exact_in_every_encoding(encoding: str | None, subtests: pytest.Subtests) -> None:
    for value in ODD:
        with subtests.test(value=ascii(value)):
            for indent in (None, 2):
                text = dumps(value, indent=indent, encoding=encoding)
                read = json.loads(text.encode(encoding or "ascii").decode(encoding or "ascii"))
                assert read == (["Infinity", "-Infinity", "NaN"] if isinstance(value, list) else value)
                assert not any(terminal.escape(c) != c for c in text)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_the_command_line_writes_json_for_its_stdout(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding=encoding, write_through=True))
    render.emit(render.as_json({"text": "Grüße 你"}))
    assert json.loads(raw.getvalue().decode(encoding)) == {"text": "Grüße 你"}


FAILED = Prediction.failed(InputError("no such file: missing\udcf6.txt"), input_id="x")


@pytest.mark.parametrize("encoding", ["path", "utf-8", "ascii", "latin-1"])
@pytest.mark.parametrize("write", [export.to_json, export.to_jsonl, export.to_csv])
def test_names_that_are_no_text_are_written(write: export.Writer, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "out"
    if encoding == "path":
        assert write([FAILED], path) == 1
    else:
        with path.open("w", encoding=encoding) as file:
            assert write([FAILED], file) == 1
    text = path.read_text(encoding="utf-8" if encoding == "path" else encoding)
    if write is export.to_csv:
        (row,) = csv.DictReader(io.StringIO(text))
        assert row["text"] == "no such file: missing\\udcf6.txt"
    else:
        read = json.loads(text)
        assert (read[0] if isinstance(read, list) else read)["error"]["message"] == str(FAILED.error)


def test_json_keeps_zeros_and_the_order_of_edges() -> None:
    box = pb.BoundingBox(bottom_row=1, right_col=1)
    region = pb.Region(region_info=pb.RegionInfo(bounding_box=box), data=pb.Data(concepts=[pb.Concept(name="x")]))
    frame = pb.Frame(frame_info=pb.FrameInfo(), data=pb.Data(regions=[region]))
    later = pb.Frame(frame_info=pb.FrameInfo(index=1, time=1500))
    one = Prediction(b"", [pb.Output(data=pb.Data(frames=[frame, later], concepts=[pb.Concept(id="c")]))])
    data = json.loads(dumps(one.to_dict()))["outputs"][0]["data"]
    assert data["concepts"] == [{"id": "c", "value": 0}]
    assert [found["frame_info"] for found in data["frames"]] == [{"index": 0, "time": 0}, {"index": 1, "time": 1500}]
    edges = data["frames"][0]["data"]["regions"][0]["region_info"]["bounding_box"]
    assert list(edges.items()) == [("top_row", 0), ("left_col", 0), ("bottom_row", 1), ("right_col", 1)]


def test_edges_have_one_order() -> None:
    region = Region(0.1, 0.2, 0.3, 0.4, 0.9)
    assert region.box == (0.1, 0.2, 0.3, 0.4)
    assert region.pixels(1000, 100) == (10, 200, 30, 400)
    assert [name for name in export.COLUMNS if name in region.box._fields] == ["top", "left", "bottom", "right"]
    assert region.pixels(1000, 100)._fields == region.box._fields == ("top", "left", "bottom", "right")


# -- files


def failing(path: Path) -> None:
    with placed(path) as fresh:
        fresh.write_bytes(b"half")
        raise OSError(28, "No space left on device")


def test_a_file_is_there_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    with placed(path) as fresh:
        fresh.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    with pytest.raises(OSError, match="No space"):
        failing(path)
    assert path.read_text() == "whole"
    assert os.listdir(tmp_path) == ["out.txt"]


def test_a_file_keeps_its_mode_and_a_link_its_target(tmp_path: Path) -> None:
    path, link = tmp_path / "a", tmp_path / "link"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    with placed(link) as fresh:
        fresh.write_text("new")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode), link.is_symlink()) == ("new", 0o640, True)
    with placed(link, follow=False) as fresh:
        fresh.write_text("newer")
    assert (path.read_text(), link.read_text(), link.is_symlink()) == ("new", "newer", False)


@pytest.mark.parametrize("late", [False, True])
def test_a_file_that_is_there_stays(tmp_path: Path, late: bool) -> None:
    path = tmp_path / "a"
    if not late:
        path.write_text("mine")
    with pytest.raises(FileExistsError), placed(path, replace=False) as fresh:
        fresh.write_text("other")
        path.write_text("mine")
    assert (path.read_text(), os.listdir(tmp_path)) == ("mine", ["a"])


def test_devices_are_written_to() -> None:
    assert export.to_json([FAILED], os.devnull) == 1
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_an_export_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def predictions() -> Any:
        yield FAILED
        raise RuntimeError("the source broke")

    for write in (export.to_json, export.to_jsonl, export.to_csv):
        with pytest.raises(RuntimeError, match="the source broke"):
            write(predictions(), tmp_path / "out")
    assert os.listdir(tmp_path) == []


def test_a_line_is_appended_whole_or_not_at_all(tmp_path: Path) -> None:
    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            if self.tell() >= 10:
                raise OSError(28, "No space left on device")
            return super().write(bytes(data[:4]))

    with Full(tmp_path / "log", "w") as file:
        append(file, "one\n")
        with pytest.raises(OSError, match="No space"):
            append(file, "a longer line\n")
    assert (tmp_path / "log").read_text() == "one\n"


# -- terminals


def hidden() -> list[str]:
    ranges = [(0, 0x20), (0x7F, 0xA0), (0x200B, 0x2010), (0x2028, 0x202F), (0x2060, 0x2070), (0xFE00, 0xFE10)]
    ranges += [(0xE0000, 0xE1000), (0xD800, 0xD803), (0xFFF0, 0xFFFC), (0x1BCA0, 0x1BCA4), (0x1D173, 0x1D17B)]
    ranges += [(0x180B, 0x1810), (0xFFFE, 0x10000), (0xFDD0, 0xFDF0)]
    singles = "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u3164\ufeff\uffa0"
    return [*singles, *(chr(number) for first, end in ranges for number in range(first, end))]


def test_every_character_that_a_terminal_does_not_show_is_escaped() -> None:
    for c in set(hidden()) - {"\n", "\t"}:
        for text in (f"a{c}b", c, f"{c}{c}", f"a{c}{c}{c}"):
            shown = terminal.escape(text)
            assert c not in shown, ascii(text)
            assert shown.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "\u2764\ufe0f 1\ufe0f\u20e3 \U0001f469\u200d\U0001f680 \U0001f3f3\ufe0f\u200d\U0001f308",
        "Grüße, ÅÄÖ e\u0301",
        "你好、日本語 한국어",
        "عربي עברית हिन्दी ไทย",
        "½ € ∑ █▏ 😀\xa0\u3000",
    ],
)
def test_what_a_terminal_shows_stays(text: str) -> None:
    assert terminal.escape(text) == text
