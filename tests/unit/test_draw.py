"""Boxes on pictures."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from headrace.draw import colour_of, coloured_masks, draw, draw_boxes, draw_on_bytes
from headrace.results import Concept, Region


@dataclass(frozen=True)
class Box:
    top: float
    left: float
    bottom: float
    right: float
    name: str = "cup"
    value: float = 0.9


def encoded(picture: Image.Image, form: str = "PNG", **settings: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **settings)
    return buffer.getvalue()


def test_a_box_is_drawn_where_it_is_and_the_original_stays() -> None:
    white = Image.new("RGB", (400, 300), "white")
    drawn = draw_boxes(white, [Box(0.5, 0.25, 0.9, 0.75)])
    assert white.getcolors() == [(400 * 300, (255, 255, 255))]
    assert drawn.getpixel((100, 200)) == colour_of("cup")  # the left edge
    assert drawn.getpixel((299, 200)) == colour_of("cup")  # the right edge
    assert drawn.getpixel((200, 210)) == (255, 255, 255)  # inside
    label = drawn.crop((100, 130, 180, 148)).getcolors(100_000)
    assert label is not None
    assert len(label) > 1  # a label stands above the box


def test_boxes_beyond_the_picture_are_cut_off_and_nonsense_is_left_out() -> None:
    white = Image.new("RGB", (100, 100), "white")
    assert draw_boxes(white, [Box(-5, -5, 7, 9)]).getpixel((0, 50)) == colour_of("cup")
    assert draw_boxes(white, [Box(0.9, 0.9, 0.1, 0.1)]).getcolors() == [(10_000, (255, 255, 255))]
    assert draw_boxes(white, [Box(float("nan"), 0, 0.5, 0.5)]).size == (100, 100)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
@pytest.mark.parametrize("size", [(1, 1), (3, 500), (640, 480)])
def test_any_mode_and_size(mode: str, size: tuple[int, int]) -> None:
    drawn = draw_boxes(Image.new(mode, size), [Box(0, 0, 1, 1, name="x\ny" * 30)])
    assert (drawn.mode, drawn.size) == ("RGB", size)


def test_a_picture_that_lies_on_its_side_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    data = encoded(Image.new("RGB", (40, 20)), "JPEG", exif=exif)
    with Image.open(io.BytesIO(draw_on_bytes(data, []))) as drawn:
        assert drawn.size == (20, 40)


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="not a picture"):
        draw_on_bytes(b"hello", [])
    with pytest.raises(ValueError, match="not a picture"):
        draw_on_bytes(encoded(Image.new("RGB", (400, 300)), "JPEG")[:500], [])
    with pytest.raises(ValueError, match="more than 1,000"):
        draw_on_bytes(encoded(Image.new("L", (40, 30))), [], max_pixels=1000)


def test_a_name_keeps_its_colour() -> None:
    assert colour_of("person") == colour_of("person") != colour_of("cup")


def left_half(size: tuple[int, int] = (40, 30)) -> Region:
    """Make a region of which the mask, not the box, says where it is."""
    mask = Image.new("L", size)
    mask.paste(255, (0, 0, size[0] // 2, size[1]))
    return Region(0, 0, 1, 1, 0.8, (Concept("cat", 0.8),), encoded(mask))


def test_a_mask_tints_what_it_covers_and_is_labelled_in_its_middle() -> None:
    drawn = draw(Image.new("RGB", (400, 300), "white"), [left_half()])
    assert drawn.getpixel((390, 150)) == (255, 255, 255)
    red, green, blue = colour_of("cat")
    tinted = drawn.getpixel((10, 290))
    assert tinted == pytest.approx(tuple(round(255 * 0.55 + 0.45 * c) for c in (red, green, blue)), abs=2)
    assert drawn.getpixel((0, 0)) == tinted  # no outline beside a mask
    middle = drawn.crop((60, 140, 140, 160)).getcolors(100_000)
    assert middle is not None
    assert len(middle) > 1


def test_a_share_of_the_picture_is_labelled_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    labels: list[str] = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda self, at, text, **_: labels.append(text))
    half = left_half()
    draw(Image.new("RGB", (40, 30)), [replace(half, value=0.5), replace(half, value=0.8)])
    assert labels == ["cat, 50% of the picture", "cat 80%"]


def test_a_background_beside_other_masks_stays_as_it_is() -> None:
    white, half = Image.new("RGB", (400, 300), "white"), left_half()
    behind = replace(left_half(), concepts=(Concept("background", 0.5),), mask=encoded(Image.new("L", (8, 6), 255)))
    alone = draw(white, [half])
    assert draw(white, [half, behind]).tobytes() == alone.tobytes()
    assert draw(white, [behind]).getpixel((390, 290)) != (255, 255, 255)
    unmasked = replace(behind, mask=None)  # a detector may have a class of this name
    assert draw(white, [half, unmasked]).tobytes() != alone.tobytes()


def test_a_mask_that_cannot_be_decoded_is_refused() -> None:
    with pytest.raises(ValueError, match="not a picture"):
        draw(Image.new("RGB", (40, 30)), [Region(0, 0, 1, 1, 0.5, (), b"nonsense")])


def test_what_can_be_drawn_on(tmp_path: Path) -> None:
    white = Image.new("RGB", (40, 30), "white")
    path = tmp_path / "a.png"
    white.save(path)
    for given in (white, path, str(path), path.read_bytes(), np.asarray(white), np.asarray(white.convert("L"))):
        assert draw(given, []).size == (40, 30)
    with pytest.raises(ValueError, match="cannot draw on int"):
        draw(7, [])
    with pytest.raises(OSError, match="nope"):
        draw("nope.png", [])


def test_masks_of_several_regions_in_one_picture() -> None:
    whole = Region(0, 0, 1, 1, 0.5, (Concept("sky", 0.5),), encoded(Image.new("L", (80, 60), 255)))
    picture = coloured_masks([whole, left_half()])
    assert picture.size == (80, 60)
    assert picture.getpixel((5, 5)) == colour_of("cat")
    assert picture.getpixel((75, 5)) == colour_of("sky")
