"""Pictures of coloured shapes, drawn from sentences."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from headrace.server.model import Item, ModelError
from headrace.server.models._shape_text import tokens
from headrace.server.models.shapes import MAX_WORDS, ShapesToImage

COLOURS = {
    "red": (219, 38, 38),
    "green": (33, 158, 61),
    "blue": (33, 84, 212),
    "yellow": (250, 214, 26),
    "purple": (128, 46, 173),
    "black": (13, 13, 13),
}
GROUND = (217, 222, 227)


@pytest.fixture(scope="module")
def artist() -> ShapesToImage:
    model = ShapesToImage()
    model.load()
    return model


def drawn(artist: ShapesToImage, text: str, **params: object) -> NDArray[np.float64]:
    answer = artist.predict(Item(text=text, params={"seed": 1, **params})).data.image
    picture = Image.open(io.BytesIO(answer.base64))
    assert picture.format == "PNG"
    assert picture.size == (answer.image_info.width, answer.image_info.height)
    return np.asarray(picture, np.float64)


def near(picture: NDArray[np.float64], colour: tuple[int, int, int]) -> NDArray[np.bool_]:
    return np.asarray(np.abs(picture - colour).max(-1) < 40)


def middle(spot: NDArray[np.bool_]) -> tuple[float, float]:
    rows, columns = np.nonzero(spot)
    assert len(rows), "the colour is nowhere"
    return float(columns.mean()) / spot.shape[1], float(rows.mean()) / spot.shape[0]


@pytest.mark.parametrize(
    ("shape", "one", "other"),
    [
        (s, *pair)
        for s, pair in zip(("circle", "square", "star"), itertools.combinations(list(COLOURS)[:4], 2), strict=False)
    ],
)
def test_two_shapes_stand_where_the_sentence_says(artist: ShapesToImage, shape: str, one: str, other: str) -> None:
    picture = drawn(artist, f"a large {one} {shape} on the left and a large {other} {shape} on the right")
    assert middle(near(picture, COLOURS[one])) == pytest.approx((0.24, 0.5), abs=0.06)
    assert middle(near(picture, COLOURS[other])) == pytest.approx((0.76, 0.5), abs=0.06)
    assert near(picture, GROUND)[[0, 0, -1, -1], [0, -1, 0, -1]].all()


@pytest.mark.parametrize(
    ("place", "x", "y"),
    [("at the top", 0.5, 0.24), ("in the bottom right corner", 0.76, 0.76), ("in the middle", 0.5, 0.5)],
)
def test_places_are_understood(artist: ShapesToImage, place: str, x: float, y: float) -> None:
    assert middle(near(drawn(artist, f"a red circle {place}"), COLOURS["red"])) == pytest.approx((x, y), abs=0.06)


def test_sizes_are_understood(artist: ShapesToImage) -> None:
    areas = [
        near(drawn(artist, f"a {size} blue circle"), COLOURS["blue"]).mean() for size in ("small", "large", "huge")
    ]
    assert areas[0] * 3 < areas[1]
    assert areas[1] * 1.4 < areas[2]
    assert areas[2] == pytest.approx(np.pi * 0.34**2, rel=0.3)


def test_one_above_the_other(artist: ShapesToImage) -> None:
    picture = drawn(artist, "a red square above a blue circle")
    (_, red), (_, blue) = (middle(near(picture, COLOURS[name])) for name in ("red", "blue"))
    assert red < 0.4 < 0.6 < blue


def test_a_background_has_its_colour(artist: ShapesToImage) -> None:
    picture = drawn(artist, "a yellow heart on a black background")
    assert near(picture, COLOURS["black"])[[0, 0, -1, -1], [0, -1, 0, -1]].all()
    assert near(picture, COLOURS["yellow"])[128, 128]


def test_shapes_have_their_outlines(artist: ShapesToImage) -> None:
    def reach(shape: str) -> float:
        """How far the shape's farthest point is from its middle, next to a disc of the same area."""
        spot = near(drawn(artist, f"a huge red {shape} in the middle"), COLOURS["red"])
        rows, columns = np.nonzero(spot)
        farthest = np.hypot(rows - rows.mean(), columns - columns.mean()).max()
        return float(farthest / np.sqrt(spot.sum() / np.pi))

    assert reach("circle") == pytest.approx(1.0, abs=0.05)
    assert reach("square") == pytest.approx(1.25, abs=0.08)  # half a diagonal: 1.253
    assert reach("star") == pytest.approx(1.55, abs=0.2)
    ring = near(drawn(artist, "a huge red ring in the middle"), COLOURS["red"])
    assert ring.mean() > 0.1
    assert not ring[middle_pixel(ring)]


def middle_pixel(spot: NDArray[np.bool_]) -> tuple[int, int]:
    x, y = middle(spot)
    return round(y * spot.shape[0]), round(x * spot.shape[1])


def test_a_seed_makes_the_same_picture_again(artist: ShapesToImage) -> None:
    one, again, other = (drawn(artist, "a green triangle", seed=seed) for seed in (5, 5, 6))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert not np.array_equal(
        drawn(artist, "a green triangle", seed=None), drawn(artist, "a green triangle", seed=None)
    )


def test_width_and_height_are_honoured(artist: ShapesToImage) -> None:
    picture = drawn(artist, "a red circle in the middle", width=400, height=200)
    assert picture.shape == (200, 400, 3)
    spot = near(picture, COLOURS["red"])
    assert middle(spot) == pytest.approx((0.5, 0.5), abs=0.05)
    rows, columns = np.nonzero(spot)
    assert np.ptp(rows) == pytest.approx(np.ptp(columns), abs=6)  # still round


@pytest.mark.parametrize(
    ("text", "spots"),
    [
        ("three green triangles", {"green": 3}),
        ("two red circles", {"red": 2}),
        ("four tiny yellow hearts", {"yellow": 4}),
        ("Draw 3 blue squares!", {"blue": 3}),
        ("a pair of red boxes on a black background", {"red": 2}),
        ("a red triangle and three tiny blue circles", {"red": 1, "blue": 3}),
        ("two tiny purple stars and two green crosses", {"purple": 2, "green": 2}),
        ("blue diamonds", {"blue": 2}),
        ("one red ring", {"red": 1}),
    ],
)
def test_numbers_and_plurals_are_counted(artist: ShapesToImage, text: str, spots: dict[str, int]) -> None:
    picture = drawn(artist, text)
    assert {colour: count(near(picture, COLOURS[colour])) for colour in spots} == spots


def count(spot: NDArray[np.bool_]) -> int:
    """Count the connected parts of a mask, specks left out."""
    remaining = {(int(row), int(column)) for row, column in zip(*np.nonzero(spot[::2, ::2]), strict=True)}
    parts = 0
    while remaining:
        pending, size = [remaining.pop()], 1
        while pending:
            row, column = pending.pop()
            beside = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & remaining
            remaining -= beside
            pending += beside
            size += len(beside)
        parts += size > 20
    return parts


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("two big red dots", "a big red dot , a big red dot"),
        ("please draw a couple of boxes", "a box , a box"),
        ("1 plus, 2 pluses", "a plus , a plus , a plus"),
        ("a circle and two green rhombuses on white", "a circle and a green rhombus , a green rhombus on white"),
        ("a red circle above a blue square", "a red circle above a blue square"),
        ("a star in the top left and a ring", "a star in the top left and a ring"),
    ],
)
def test_each_shape_is_said_by_itself(text: str, words: str) -> None:
    assert " ".join(tokens(text)) == words


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("five stars", "one to 4"),
        ("a dozen hearts", "one to 4"),
        ("no circles", "one to 4"),
        ("99999999999999999999 circles", "one to 4"),
        ("three stars and two rings", "one to 4"),
        ("a star, a ring, a heart, a cross and a dot", "one to 4"),
        ("two red circles at the top", "where each circle is"),
        ("on the left three stars", "where each star is"),
        ("two circles above a square", "two shapes"),
        ("three", "only shapes"),
        ("circular things", "only shapes"),
    ],
)
def test_what_would_be_counted_or_placed_wrongly_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ModelError, match=reason) as caught:
        tokens(text)
    assert caught.value.code == 30104


@pytest.mark.parametrize(
    ("text", "params", "code"),
    [
        ("", {}, 30104),
        ("a photo of a cat", {}, 30104),
        ("a red circle " + "very " * MAX_WORDS, {}, 30105),
        ("a red circle", {"width": 20}, 11102),
        ("a red circle", {"height": 5000}, 11102),
        ("a red circle", {"seed": 0.5}, 11102),
    ],
)
def test_what_it_cannot_draw_is_refused(artist: ShapesToImage, text: str, params: dict[str, object], code: int) -> None:
    with pytest.raises(ModelError) as caught:
        artist.predict(Item(text=text, params=params))
    assert caught.value.code == code
