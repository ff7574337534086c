"""The face detector on photos with one face and with none."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headrace.server.model import Item, OutputConfig
from headrace.server.models.faces import WEIGHTS, FaceDetector, keep

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def faces(fetched: Callable[[str], Path]) -> FaceDetector:
    fetched(WEIGHTS)
    model = FaceDetector()
    model.load()
    return model


def boxes(faces: FaceDetector, data: bytes, config: OutputConfig | None = None) -> list[list[float]]:
    regions = faces.predict(Item(image=data, config=config or OutputConfig())).data.regions
    assert all(region.data.concepts[0].name == "face" for region in regions)
    found = [region.region_info.bounding_box for region in regions]
    return [[box.left_col, box.top_row, box.right_col, box.bottom_row] for box in found]


# where the faces are, read off the photos by eye
@pytest.mark.parametrize(
    ("name", "place"), [("astronaut", [0.35, 0.12, 0.52, 0.34]), ("photographer", [0.38, 0.22, 0.50, 0.39])]
)
def test_the_one_face_is_found(
    faces: FaceDetector, photo: Callable[[str], bytes], name: str, place: list[float]
) -> None:
    assert boxes(faces, photo(name)) == [pytest.approx(place, abs=0.02)]


@pytest.mark.parametrize("name", ["cat", "coffee", "clock", "rocket"])
def test_where_nobody_is_none_is_found(faces: FaceDetector, photo: Callable[[str], bytes], name: str) -> None:
    assert boxes(faces, photo(name)) == []


def test_two_faces_in_a_large_picture(faces: FaceDetector, photo: Callable[[str], bytes]) -> None:
    one = Image.open(io.BytesIO(photo("astronaut"))).resize((1400, 1400))
    both = Image.new("RGB", (2800, 1400))
    both.paste(one, (0, 0))
    both.paste(one, (1400, 0))
    target = io.BytesIO()
    both.save(target, "JPEG")
    found = sorted(boxes(faces, target.getvalue()))
    assert found == [
        pytest.approx([0.175, 0.12, 0.26, 0.34], abs=0.02),
        pytest.approx([0.675, 0.12, 0.76, 0.34], abs=0.02),
    ]


def test_the_output_configuration_is_honoured(faces: FaceDetector, photo: Callable[[str], bytes]) -> None:
    assert boxes(faces, photo("astronaut"), OutputConfig(min_value=0.9999)) == []
    assert len(boxes(faces, photo("astronaut"), OutputConfig(min_value=0.3, max_concepts=1))) == 1


@pytest.mark.parametrize("size", [(1, 1), (11, 300), (5000, 2)])
def test_tiny_and_thin_pictures_hold_no_face(faces: FaceDetector, size: tuple[int, int]) -> None:
    target = io.BytesIO()
    Image.new("RGB", size, "pink").save(target, "PNG")
    assert boxes(faces, target.getvalue()) == []


def test_a_box_inside_another_is_the_same_face() -> None:
    two = np.array([[0, 0, 10, 10, 0.8], [2, 2, 6, 6, 0.9]])
    assert len(keep(two, 0.7)) == 2
    assert keep(two, 0.7, of_smaller=True).tolist() == [[2, 2, 6, 6, 0.9]]
