"""Reading text in pictures."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from PIL import Image, ImageDraw, ImageFont

from headrace.server.model import Item, ModelError, OutputConfig
from headrace.server.models.ocr import Ocr

LINES = ["Streams carry water to the mill.", "Open daily from 9:30 to 17:00"]


@pytest.fixture(scope="module")
def ocr() -> Ocr:
    model = Ocr()
    model.load()
    return model


def page(lines: list[str], scale: int = 1) -> bytes:
    image = Image.new("RGB", (700 * scale, 300 * scale), "white")
    font = ImageFont.load_default(36 * scale)
    for i, line in enumerate(lines):
        ImageDraw.Draw(image).text((40 * scale, (60 + 90 * i) * scale), line, "black", font)
    target = io.BytesIO()
    image.save(target, "PNG")
    return target.getvalue()


def test_rendered_lines_are_read_word_for_word(ocr: Ocr) -> None:
    data = ocr.predict(Item(image=page(LINES), params={"regions": True})).data
    assert data.text.raw.split("\n") == LINES
    assert [region.data.text.raw for region in data.regions] == LINES
    first, second = (region.region_info.bounding_box for region in data.regions)
    assert 0.15 < first.top_row < first.bottom_row < second.top_row < second.bottom_row < 0.75
    assert first.left_col == pytest.approx(40 / 700, abs=0.03)
    assert all(region.value > 0.8 for region in data.regions)


def test_a_large_page_is_read_too(ocr: Ocr) -> None:
    data = ocr.predict(Item(image=page(LINES, scale=5))).data
    assert data.text.raw.split("\n") == LINES
    assert not data.regions  # nobody wanted them


@pytest.mark.parametrize("name", ["cat", "rocket"])
def test_a_photo_without_text_gives_none(ocr: Ocr, photo: Callable[[str], bytes], name: str) -> None:
    data = ocr.predict(Item(image=photo(name))).data
    assert (data.text.raw, len(data.regions)) == ("", 0)


def test_the_least_score_is_honoured(ocr: Ocr) -> None:
    assert ocr.predict(Item(image=page(LINES), config=OutputConfig(min_value=1.0))).data.text.raw == ""


def test_another_switch_is_refused(ocr: Ocr) -> None:
    with pytest.raises(ModelError, match="regions") as caught:
        ocr.predict(Item(image=page(LINES), params={"regions": "yes"}))
    assert caught.value.code == 11102


def test_the_engine_writes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    model = Ocr()
    model.load()
    model.predict(Item(image=page(["Hello"])))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("size", [(1, 20_000), (3, 5000), (65_000, 1), (1, 1)])
def test_a_picture_of_any_shape_is_read(ocr: Ocr, size: tuple[int, int]) -> None:
    target = io.BytesIO()
    Image.new("RGB", size).save(target, "PNG")
    assert ocr.predict(Item(image=target.getvalue())).data.text.raw == ""


def test_a_long_line_keeps_its_place(ocr: Ocr) -> None:
    strip = Image.open(io.BytesIO(page(LINES[:1]))).crop((0, 40, 700, 130))
    wide = Image.new("RGB", (strip.width * 3, strip.height), "white")
    wide.paste(strip, (0, 0))
    target = io.BytesIO()
    wide.save(target, "PNG")
    data = ocr.predict(Item(image=target.getvalue(), params={"regions": True})).data
    assert data.text.raw == LINES[0]
    box = data.regions[0].region_info.bounding_box
    assert box.right_col < 0.4
    assert box.bottom_row <= 1.0
