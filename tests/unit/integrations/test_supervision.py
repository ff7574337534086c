"""Regions as detections of the `supervision` package."""

from __future__ import annotations

import io
import math
import sys
from typing import Any

import numpy as np
import pytest
import supervision as sv
from PIL import Image

from headrace import ConfigError, FramePrediction, Prediction, PredictionFailed
from headrace.integrations import supervision as adapter
from headrace.results import Concept, Region
from headrace.v2 import resources_pb2 as pb

NAN = math.nan
INFINITE = math.inf


def detections(*args: Any, **options: Any) -> Any:
    """Leave the types of arrays aside, which are None where there is nothing."""
    return adapter.detections(*args, **options)


def region(name: str, *box: float, value: float = 0.5, **more: Any) -> Region:
    top, left, bottom, right = box or (0.0, 0.0, 0.0, 0.0)
    return Region(top, left, bottom, right, value, (Concept(name, value),) if name else (), **more)


def png(array: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(array, dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


#: A mask of 4 x 2 pixels that covers its right half.
RIGHT_HALF = png([[0, 0, 255, 255], [0, 0, 255, 255]])


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (region("cup", 0.25, 0.1, 0.75, 0.5), [40, 50, 200, 150]),
        (region("cup", -1.0, -2.0, 3.0, 4.0), [0, 0, 400, 200]),
        (region("cup", 0.0, 0.0, INFINITE, 0.5), [0, 0, 200, 200]),
        (region("cup", 0.5, 0.5, 0.5, 0.5), [200, 100, 200, 100]),
        (region("cup", 0.5, 0.5, 0.5, NAN), None),
        (region("cup", 0.75, 0.1, 0.25, 0.5), None),
        (region("cup"), None),
        (region("cup", mask=RIGHT_HALF), [200, 0, 400, 200]),
        (region("cup", 0.5, 0.5, 0.5, NAN, mask=RIGHT_HALF), [200, 0, 400, 200]),
        (region("cup", mask=png([[0]])), None),
    ],
)
def test_boxes_are_in_pixels_and_what_has_none_is_left_out(one: Region, expected: list[float] | None) -> None:
    found = detections([region("first", 0.0, 0.0, 1.0, 1.0), one], (400, 200))
    assert found.xyxy.tolist()[1:] == ([] if expected is None else [pytest.approx(expected)])
    assert found.data["class_name"].tolist() == (["first"] if expected is None else ["first", "cup"])


def test_nothing_found_is_empty_and_still_goes_through_supervision() -> None:
    nothing = detections([], (10, 10))
    assert len(nothing) == 0
    assert nothing.is_empty()
    assert len(nothing[nothing.confidence > 0.5]) == 0
    assert len(sv.Detections.merge([nothing, detections([region("cup", 0.0, 0.0, 1.0, 1.0)], (10, 10))])) == 1


def test_class_ids_are_the_same_for_the_same_name_and_follow_classes() -> None:
    regions = [region(name, 0.0, 0.0, 0.5, 0.5) for name in ("dog", "cat", "dog")]
    first, again = detections(regions, (8, 8)), detections(regions[1:], (8, 8))
    assert first.class_id[0] == first.class_id[2] != first.class_id[1]
    assert again.class_id.tolist() == first.class_id.tolist()[1:]
    assert min(first.class_id) >= 0  # palettes count from 0
    chosen = detections(regions, (8, 8), classes=["mouse", "dog"])
    assert (chosen.class_id.tolist(), chosen.data["class_name"].tolist()) == ([1, 1], ["dog", "dog"])


def test_masks_have_the_size_of_the_picture_and_boxes_stand_in_for_those_that_are_missing() -> None:
    both = [region("right", mask=RIGHT_HALF), region("top", 0.0, 0.0, 0.5, 1.0)]
    found = detections(both, (8, 4))
    masks = np.asarray(found.mask)
    assert masks.shape == (2, 4, 8)
    assert masks[0].sum() == 16
    assert masks[0, :, 4:].all()
    assert masks[1].sum() == 16
    assert masks[1, :2].all()
    without = detections(both, (8, 4), masks=False)
    assert without.mask is None
    assert without.xyxy.tolist() == found.xyxy.tolist()


def test_values_that_are_no_numbers_and_texts() -> None:
    found = detections(
        [region("a", 0.0, 0.0, 1.0, 1.0, value=NAN, text="EXIT"), region("", 0.0, 0.0, 1.0, 0.5)], (4, 4)
    )
    assert found.confidence.tolist() == [0.0, 0.5]
    assert found.data["text"].tolist() == ["EXIT", ""]
    assert found.data["class_name"].tolist() == ["a", ""]


def test_tracks_become_tracker_ids() -> None:
    box = (0.0, 0.0, 1.0, 1.0)
    tracked = [region("a", *box, track_id="7"), region("b", *box), region("c", *box, track_id="wing-3")]
    found = detections(tracked, (4, 4)).tracker_id
    assert found.tolist()[:2] == [7, -1]
    assert found[2] > 0
    assert detections([region("a", *box)], (4, 4)).tracker_id is None


def lying() -> bytes:
    """A photo of 40 x 20 pixels that a viewer turns upright: 20 x 40."""
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (40, 20)).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def test_the_size_is_that_of_the_picture_as_it_is_shown(tmp_path: Any) -> None:
    (tmp_path / "lying.jpg").write_bytes(lying())
    pictures: list[Any] = [
        lying(), tmp_path / "lying.jpg", str(tmp_path / "lying.jpg"), Image.open(io.BytesIO(lying())),
        Image.new("L", (20, 40)), np.zeros((40, 20, 3), np.uint8), png(np.zeros((40, 20))), (20, 40),
    ]  # fmt: skip
    for picture in pictures:
        assert detections([region("a", 0.0, 0.0, 1.0, 0.5)], picture).xyxy.tolist() == [[0, 0, 10, 40]], picture


@pytest.mark.parametrize(("picture", "error"), [((0, 5), ConfigError), ((1, 2, 3), ConfigError), (b"no", ValueError)])
def test_what_has_no_size_is_refused(picture: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        detections([], picture)
    with pytest.raises(ValueError, match="not known"):
        detections([], np.zeros(3))


def answer(**data: Any) -> Prediction:
    return Prediction(b"", [pb.Output(data=pb.Data(**data))])


def test_predictions_and_frames_give_them() -> None:
    message = pb.Region(data=pb.Data(concepts=[pb.Concept(name="cup", value=0.75)]))
    message.region_info.bounding_box.bottom_row = message.region_info.bounding_box.right_col = 0.5
    prediction = answer(regions=[message])
    assert prediction.to_supervision((8, 8), classes=["cup"]).xyxy.tolist() == [[0, 0, 4, 4]]
    frame: Any = FramePrediction(Image.new("RGB", (16, 8)), prediction, 0, 0.0, "", 0.0, 0.0)
    assert frame.to_supervision().xyxy.tolist() == [[0, 0, 8, 4]]
    assert frame.to_supervision((8, 8)).xyxy.tolist() == [[0, 0, 4, 4]]
    tracked: Any = FramePrediction(
        frame.frame, prediction, 0, 0.0, "", 0.0, 0.0, 0.0, (region("a", 0, 0, 1, 1, track_id="3"),)
    )
    found = tracked.to_supervision().tracker_id
    assert found.tolist() == [3]
    with pytest.raises(ConfigError, match="is not a picture"):
        FramePrediction("a text", prediction, 0, 0.0, "", 0.0, 0.0).to_supervision()


def test_a_failed_input_raises_its_error() -> None:
    failed = Prediction.failed(PredictionFailed("broken"))
    with pytest.raises(PredictionFailed, match="broken"):
        failed.to_supervision((8, 8))
    with pytest.raises(PredictionFailed, match="mask"):
        detections([region("a", mask=b"no picture")], (8, 8))


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ConfigError, match=r"need supervision: pip install .*\[supervision\]"):
        detections([], (8, 8))


def test_annotators_draw_them() -> None:
    scene = np.zeros((40, 80, 3), np.uint8)
    found = detections([region("cup", 0.25, 0.25, 0.75, 0.75), region("all", mask=RIGHT_HALF)], scene)
    drawn = sv.BoxAnnotator().annotate(scene.copy(), found)
    drawn = sv.MaskAnnotator().annotate(drawn, found)
    drawn = sv.LabelAnnotator().annotate(drawn, found, labels=found.data["class_name"].tolist())
    assert drawn.any()
