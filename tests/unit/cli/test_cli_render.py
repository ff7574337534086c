"""Results as text: for people, for pipes, as JSON."""

from __future__ import annotations

import json

import pytest

from headrace.cli import render, terminal
from headrace.errors import InvalidRequest
from headrace.results import Prediction
from headrace.v2 import resources_pb2 as pb


def prediction(**data: object) -> Prediction:
    return Prediction(b"", [pb.Output(data=pb.Data(**data))], input_id="a", position=3)  # type: ignore[arg-type]


def concepts(*pairs: tuple[str, float]) -> list[pb.Concept]:
    return [pb.Concept(id=name, name=name, value=value) for name, value in pairs]


def region(name: str, value: float) -> pb.Region:
    corners = pb.BoundingBox(top_row=0.1, left_col=0.2, bottom_row=0.5, right_col=0.75)
    return pb.Region(region_info=pb.RegionInfo(bounding_box=corners), data=pb.Data(concepts=concepts((name, value))))


CLASSES = prediction(concepts=concepts(("tabby", 0.5), ("tiger cat", 0.25)))


def test_concepts_for_people_have_bars() -> None:
    tabby, tiger = render.show(CLASSES, pretty=True).splitlines()
    assert tabby.startswith("  tabby      ██████████")
    assert tabby.endswith(" 50.0%")
    assert tiger.endswith(" 25.0%")
    assert len(tabby) == len(tiger)


def test_names_of_wide_characters_and_of_any_length_stay_in_their_column() -> None:
    found = prediction(concepts=concepts(("東京", 0.5), ("cat", 0.25), ("a very long name " * 5, 0.1)))
    wide, cat, long = render.show(found, pretty=True).splitlines()
    assert wide.startswith(f"  東京{' ' * 28}  ██████████ ")
    assert cat.startswith(f"  cat{' ' * 29}  █████ ")
    assert long.startswith("  a very long name a very long na…  ██ ")


@pytest.mark.parametrize("value", [-1.0, 0.0, 2.0, float("nan"), float("inf")])
def test_a_bar_of_any_value_keeps_its_width(value: float) -> None:
    (shown,) = render.show(prediction(concepts=concepts(("x", value))), pretty=True).splitlines()
    assert shown.startswith(f"  x  {'█' * 20 if value > 1 else ' ' * 20}  ")


def test_long_tables_are_cut_for_people_only() -> None:
    found = prediction(regions=[region("cup", 0.5)] * 50)
    shown = render.show(found, pretty=True).splitlines()
    assert len(shown) == 41
    assert shown[-1] == "  … and 10 more (all of them with -o json, or in a pipe)"
    assert len(render.show(found, pretty=False).splitlines()) == 50


def test_people_are_spared_a_long_tail() -> None:
    found = prediction(concepts=concepts(("cat", 0.9), *((f"thing {n}", 0.001) for n in range(19))))
    shown = render.show(found, pretty=True).splitlines()
    assert len(shown) == 4
    assert "17 below 1%" in shown[-1]
    assert len(render.show(found, pretty=False).splitlines()) == 20


def test_concepts_for_pipes_have_tabs() -> None:
    assert render.show(CLASSES, pretty=False) == "tabby\t0.5000\ntiger cat\t0.2500"


def test_regions() -> None:
    found = prediction(regions=[region("cup", 0.875)])
    assert render.show(found, pretty=False) == "cup\t0.8750\t0.1000\t0.2000\t0.5000\t0.7500"
    assert render.show(found, pretty=True) == "  cup  ████████▊   87.5%  at 20%, 10%, size 55% x 40%"


def test_frames() -> None:
    frame = pb.Frame(frame_info=pb.FrameInfo(index=1, time=2000), data=pb.Data(regions=[region("car", 0.5)]))
    found = prediction(frames=[frame])
    assert render.show(found, pretty=False) == "2000\tcar\t0.5000\t0.1000\t0.2000\t0.5000\t0.7500"
    assert "2.00 s  car 50.0%" in render.show(found, pretty=True)
    assert render.summary(found) == "1 frames, car in 1"


@pytest.mark.parametrize("pretty", [True, False])
def test_text_is_never_markup_and_cannot_steer_the_terminal(pretty: bool) -> None:
    found = prediction(text=pb.Text(raw="[bold]not markup[/bold]\x1b[2J\nsecond line"))
    assert render.show(found, pretty=pretty) == "[bold]not markup[/bold]\\x1b[2J\nsecond line"


@pytest.mark.parametrize("pretty", [True, False])
def test_names_from_models_are_escaped_too(pretty: bool) -> None:
    shown = render.show(prediction(concepts=concepts(("[b]a\x1b]0;x\x07\nb:cat:", 0.5))), pretty=pretty)
    assert "[b]a\\x1b]0;x\\x07 b:cat:" in shown
    assert len(shown.splitlines()) == 1


def test_vectors_pictures_and_sounds_are_described() -> None:
    embedding = pb.Embedding(vector=[0.5] * 8, num_dimensions=8)
    assert render.show(prediction(embeddings=[embedding]), pretty=False) == (
        "vector of 8 numbers: 0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000, ..."
    )
    assert "picture of 2 kB" in render.show(prediction(image=pb.Image(base64=b"x" * 2000)), pretty=False)
    assert "sound of 3 bytes" in render.show(prediction(audio=pb.Audio(base64=b"wav")), pretty=True)


@pytest.mark.parametrize("pretty", [True, False])
def test_an_empty_answer_is_no_line_of_results(pretty: bool, capsys: pytest.CaptureFixture[str]) -> None:
    render.emit_lines(render.show(prediction(), pretty=pretty), "cat.jpg")
    assert capsys.readouterr() == ("", "headrace: cat.jpg: nothing found\n")


def test_one_format_of_scores_in_all_commands() -> None:
    assert [terminal.score(value) for value in (0.39812, 1, 0, 0.0004, 12.5, -0.5)] == [
        *("39.8%", "100.0%", "0.0%", "0.0%", "12.5", "-0.5")
    ]
    assert "50.0%" in render.show(CLASSES, pretty=True)
    assert "50.0%" in render.row("a", CLASSES, pretty=True)
    assert "0.5000" in render.show(CLASSES, pretty=False)
    assert "0.5000" in render.row("a", CLASSES, pretty=False)


def test_a_row_of_many() -> None:
    assert render.row("a\tb.jpg", CLASSES, pretty=False) == "a\\tb.jpg\ttabby 0.5000, tiger cat 0.2500"
    shown = render.row("a/very/long/path/to/some/picture.jpg", CLASSES, pretty=True)
    assert shown.startswith("…")
    assert "picture.jpg  tabby 50.0%" in shown


def test_json_has_the_protocol_names_and_where_it_came_from() -> None:
    found = json.loads(render.as_json(render.record(CLASSES, "cat.jpg")))
    assert found["source"] == "cat.jpg"
    assert found["position"] == 3
    assert found["input_id"] == "a"
    assert found["outputs"][0]["data"]["concepts"][0]["name"] == "tabby"


def test_a_failed_input_is_an_object_as_well() -> None:
    error = InvalidRequest("not a picture", code=30300, input_id="a")
    found = render.record(render.failed(error, 2), "x.jpg")
    assert found["error"] == {"type": "InvalidRequest", "code": 30300, "message": "not a picture"}
    assert (found["position"], found["source"]) == (2, "x.jpg")


def test_json_is_safe_to_show_and_still_the_same_value() -> None:
    value = {"text": "\x1b[31m \u202e \x7f \x9b \U000e0001 ünïcode 😀\n"}
    shown = render.as_json(value, indent=None)
    assert not any(c in shown for c in "\x1b\u202e\x7f\x9b\U000e0001\n")
    assert "ünïcode 😀" in shown
    assert json.loads(shown) == value


def test_csv_is_printed_as_predictions_come(capsys: pytest.CaptureFixture[str]) -> None:
    table = render.CsvTable()
    table.add(CLASSES, "cat\x1b[2J.jpg")
    header, first, _ = capsys.readouterr().out.splitlines()
    assert header.startswith("input_id,position,source,kind,")
    assert first == "a,3,cat\\x1b[2J.jpg,concept,,tabby,0.5,,,,,,,"
    table.add(render.failed(InvalidRequest("bad", code=1), 4), "dog.jpg")
    assert capsys.readouterr().out == ",4,dog.jpg,error,,InvalidRequest,1,,,,,,,bad\n"
