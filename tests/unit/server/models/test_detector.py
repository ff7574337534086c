"""The object detector on photos: what is found where, and the output configuration."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from headrace.server.model import Item, OutputConfig
from headrace.server.models._boxes import keep
from headrace.server.models.detector import Detector
from headrace.server.models.nanodet import NanoDetector
from headrace.v2 import resources_pb2 as pb


@pytest.fixture(scope="module")
def detector() -> Detector:
    model = Detector()
    model.load()
    return model


@pytest.fixture(scope="module")
def nanodet() -> NanoDetector:
    model = NanoDetector()
    model.load()
    return model


@pytest.mark.parametrize(
    ("name", "found", "place"),
    [  # left, top, right, bottom, read off the pictures by eye
        ("cat", "cat", (0.0, 0.0, 1.0, 1.0)),
        ("astronaut", "person", (0.03, 0.03, 0.75, 1.0)),
        ("photographer", "person", (0.0, 0.1, 0.6, 1.0)),
    ],
)
def test_nanodet_finds_what_stands_in_front(
    nanodet: NanoDetector, photo: Callable[[str], bytes], name: str, found: str, place: tuple[float, ...]
) -> None:
    best = nanodet.predict(Item(image=photo(name))).data.regions[0]
    assert best.data.concepts[0].name == found
    assert best.value > 0.5
    assert overlap(best.region_info.bounding_box, *place) > 0.8


def test_nanodets_boxes_stay_in_place_when_the_picture_is_tall(
    nanodet: NanoDetector, photo: Callable[[str], bytes]
) -> None:
    square = Image.open(io.BytesIO(photo("astronaut")))
    tall = Image.new("RGB", (square.width, square.width * 2))
    tall.paste(square, (0, square.width))
    target = io.BytesIO()
    tall.save(target, "PNG")
    regions = nanodet.predict(Item(image=target.getvalue())).data.regions
    assert any(
        r.data.concepts[0].name == "person" and overlap(r.region_info.bounding_box, 0.03, 0.52, 0.75, 1.0) > 0.7
        for r in regions
    )


def test_nanodet_honours_the_output_configuration(nanodet: NanoDetector, photo: Callable[[str], bytes]) -> None:
    def names(config: OutputConfig) -> list[str]:
        regions = nanodet.predict(Item(image=photo("cat"), config=config)).data.regions
        return [r.data.concepts[0].name for r in regions]

    assert names(OutputConfig(min_value=0.9)) == []
    assert len(names(OutputConfig(min_value=0.05))) > len(names(OutputConfig()))
    assert names(OutputConfig(min_value=0.05, max_concepts=1)) == ["cat"]
    assert set(names(OutputConfig(min_value=0.05, select_concepts=("dog",)))) == {"dog"}


def overlap(box: pb.BoundingBox, left: float, top: float, right: float, bottom: float) -> float:
    width = min(box.right_col, right) - max(box.left_col, left)
    height = min(box.bottom_row, bottom) - max(box.top_row, top)
    shared = max(width, 0) * max(height, 0)
    area = (box.right_col - box.left_col) * (box.bottom_row - box.top_row)
    return shared / (area + (right - left) * (bottom - top) - shared)


def test_it_finds_the_cup(detector: Detector, photo: Callable[[str], bytes]) -> None:
    regions = detector.predict(Item(image=photo("coffee"))).data.regions
    assert [region.data.concepts[0].name for region in regions] == ["cup"]
    # the cup's edges, read off the picture by eye
    assert overlap(regions[0].region_info.bounding_box, 0.26, 0.11, 0.71, 0.76) > 0.8
    assert regions[0].data.concepts[0].value == regions[0].value > 0.4


def test_it_finds_the_photographer(detector: Detector, photo: Callable[[str], bytes]) -> None:
    regions = detector.predict(Item(image=photo("photographer"))).data.regions
    people = [r for r in regions if r.data.concepts[0].name == "person"]
    assert any(overlap(r.region_info.bounding_box, 0.0, 0.1, 0.55, 1.0) > 0.7 for r in people)


def test_boxes_stay_in_place_when_the_picture_is_tall(detector: Detector, photo: Callable[[str], bytes]) -> None:
    wide = Image.open(io.BytesIO(photo("coffee")))
    tall = Image.new("RGB", (wide.width, wide.width * 2), (128, 128, 128))
    tall.paste(wide, (0, wide.width))
    target = io.BytesIO()
    tall.save(target, "PNG")
    regions = detector.predict(Item(image=target.getvalue(), config=OutputConfig(min_value=0.1))).data.regions
    third = wide.height / tall.height
    assert any(
        r.data.concepts[0].name == "cup"
        and overlap(r.region_info.bounding_box, 0.26, 0.5 + 0.11 * third, 0.71, 0.5 + 0.76 * third) > 0.6
        for r in regions
    )


def test_the_output_configuration_is_honoured(detector: Detector, photo: Callable[[str], bytes]) -> None:
    def found(name: str, config: OutputConfig) -> list[tuple[str, float]]:
        regions = detector.predict(Item(image=photo(name), config=config)).data.regions
        return [(r.data.concepts[0].name, r.value) for r in regions]

    assert found("coffee", OutputConfig(min_value=0.9)) == []
    many = found("photographer", OutputConfig(min_value=0.02))
    assert len(many) > len(found("photographer", OutputConfig()))
    assert all(value >= 0.02 for _, value in many)
    assert found("photographer", OutputConfig(min_value=0.02, max_concepts=1)) == many[:1]
    assert {name for name, _ in found("coffee", OutputConfig(min_value=0.02, select_concepts=("cup",)))} == {"cup"}


def test_of_boxes_on_one_object_the_best_is_kept() -> None:
    corners = np.array([[0, 0, 1, 1], [0.05, 0, 1, 1], [0, 0, 1, 1], [0.6, 0.6, 1, 1]])
    values, classes = np.array([0.5, 0.9, 0.7, 0.3]), np.array([0, 0, 1, 0])
    assert keep(corners, values, classes) == [1, 3]  # the third is in the same place, of another class
    corners[2] = [0, 0, 0.5, 1]
    assert keep(corners, values, classes) == [1, 2, 3]  # now it is in a part of it
