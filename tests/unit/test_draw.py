"""Boxes on pictures."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pytest
from PIL import Image

from headrace.draw import colour_of, draw_boxes, draw_on_bytes


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
    with pytest.raises(ValueError, match="no picture"):
        draw_on_bytes(b"hello", [])
    with pytest.raises(ValueError, match="no picture"):
        draw_on_bytes(encoded(Image.new("RGB", (400, 300)), "JPEG")[:500], [])
    with pytest.raises(ValueError, match="more than 1,000"):
        draw_on_bytes(encoded(Image.new("L", (40, 30))), [], max_pixels=1000)


def test_a_name_keeps_its_colour() -> None:
    assert colour_of("person") == colour_of("person") != colour_of("cup")
