"""Cutting out who is in front."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from headrace.server.model import Item, OutputConfig
from headrace.server.models import faces
from headrace.server.models._data import shipped
from headrace.server.models.salient import SalientObject
from headrace.server.models.segmenter import Segmenter
from headrace.v2 import resources_pb2 as pb

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def segmenter(fetched: Callable[[str], Path]) -> Segmenter:
    fetched(faces.WEIGHTS)
    model = Segmenter()
    model.load()
    return model


def mask(region: pb.Region) -> NDArray[np.bool_]:
    image = Image.open(io.BytesIO(region.region_info.mask.image.base64))
    assert (image.format, image.mode) == ("PNG", "L")
    values = np.asarray(image)
    assert set(np.unique(values)) <= {0, 255}
    return np.asarray(values == 255)


def outline(points: list[tuple[int, int]], size: tuple[int, int]) -> NDArray[np.bool_]:
    image = Image.new("1", size)
    ImageDraw.Draw(image).polygon(points, 1)
    return np.asarray(image)


def test_the_photographer_is_cut_out(segmenter: Segmenter, photo: Callable[[str], bytes]) -> None:
    person, background = segmenter.predict(Item(image=photo("photographer"))).data.regions
    # a rough outline of the man without his camera, drawn by eye
    man = outline([(0, 200), (60, 150), (155, 110), (160, 80), (215, 60), (265, 90), (265, 180), (330, 200),
                   (330, 250), (190, 300), (150, 380), (150, 511), (85, 511), (0, 420)], (512, 512))  # fmt: skip
    found = mask(person)
    assert np.sum(found & man) / np.sum(found | man) > 0.75
    assert np.array_equal(mask(background), ~found)
    assert [r.data.concepts[0].name for r in (person, background)] == ["person", "background"]
    assert person.data.concepts[0].value == pytest.approx(found.mean(), abs=1e-4)
    assert person.value + background.value == pytest.approx(1)


def test_an_astronaut_is_a_person_in_half_of_the_picture(segmenter: Segmenter, photo: Callable[[str], bytes]) -> None:
    person = segmenter.predict(Item(image=photo("astronaut"))).data.regions[0]
    assert person.data.concepts[0].name == "person"
    assert 0.45 < person.value < 0.62
    found = mask(person)
    assert found[120, 225]  # the face
    assert not found[60, 60]  # the flag
    box = person.region_info.bounding_box
    assert box.top_row < 0.05
    assert box.bottom_row > 0.95


def test_what_is_no_person_is_not_called_one(segmenter: Segmenter, photo: Callable[[str], bytes]) -> None:
    def names(photo_name: str) -> list[str]:
        return [r.data.concepts[0].name for r in segmenter.predict(Item(image=photo(photo_name))).data.regions]

    assert names("cat") == ["foreground", "background"]
    assert names("rocket") == ["background"]


def test_the_mask_has_the_size_of_the_picture(segmenter: Segmenter, photo: Callable[[str], bytes]) -> None:
    region = segmenter.predict(Item(image=photo("cat"))).data.regions[0]
    assert mask(region).shape == (300, 451)
    info = region.region_info.mask.image.image_info
    assert (info.width, info.height) == (451, 300)


def test_the_output_configuration_is_honoured(segmenter: Segmenter, photo: Callable[[str], bytes]) -> None:
    def names(config: OutputConfig) -> list[str]:
        regions = segmenter.predict(Item(image=photo("photographer"), config=config)).data.regions
        return [r.data.concepts[0].name for r in regions]

    assert names(OutputConfig(select_concepts=("background",))) == ["background"]
    assert names(OutputConfig(max_concepts=1)) == ["person"]
    assert names(OutputConfig(min_value=0.5)) == ["background"]


@pytest.fixture(scope="module")
def salient() -> SalientObject:
    model = SalientObject()
    model.load()
    return model


@pytest.mark.parametrize(
    ("name", "called", "least", "most", "inside", "outside"),
    [  # shares of the picture, and (row, column) of two places, as fractions
        ("cat", "cat", 0.6, 0.8, (0.5, 0.6), (0.1, 0.02)),
        ("coffee", "espresso", 0.4, 0.55, (0.4, 0.5), (0.95, 0.05)),
        ("astronaut", "person", 0.5, 0.62, (0.25, 0.43), (0.1, 0.1)),
        ("photographer", "person", 0.28, 0.42, (0.5, 0.3), (0.2, 0.9)),
        ("rocket", "object", 0.015, 0.035, (0.45, 0.5), (0.5, 0.1)),
    ],
)
def test_the_main_object_is_cut_out_and_named(
    salient: SalientObject,
    photo: Callable[[str], bytes],
    name: str,
    called: str,
    least: float,
    most: float,
    inside: tuple[float, float],
    outside: tuple[float, float],
) -> None:
    thing, background = salient.predict(Item(image=photo(name))).data.regions
    found = mask(thing)
    assert (thing.data.concepts[0].name, background.data.concepts[0].name) == (called, "background")
    assert least < thing.value < most
    assert thing.value == pytest.approx(found.mean(), abs=1e-4)
    assert np.array_equal(mask(background), ~found)

    def at(place: tuple[float, float]) -> bool:
        return bool(found[round(place[0] * found.shape[0]), round(place[1] * found.shape[1])])

    if name != "rocket":  # too thin to point at
        assert at(inside)
    assert not at(outside)


@pytest.mark.parametrize("kind", ["page", "grey", "noise"])
def test_where_nothing_stands_out_there_is_only_background(salient: SalientObject, kind: str) -> None:
    if kind == "page":
        picture: Image.Image = Image.open(io.BytesIO(shipped("samples/pages/receipt.png").read_bytes()))
    elif kind == "noise":
        picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (300, 400, 3), np.uint8))
    else:
        picture = Image.new("RGB", (400, 300), kind)
    target = io.BytesIO()
    picture.save(target, "PNG")
    (only,) = salient.predict(Item(image=target.getvalue())).data.regions
    assert only.data.concepts[0].name == "background"
    assert only.value == 1
