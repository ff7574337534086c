"""Upscaling: the size asked for, and nearer to the original than plain resizing."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from headrace.server.model import Item, ModelError
from headrace.server.models.upscaler import Upscaler

pytest.importorskip("pyanime4k", reason="has no build for this Python")


@pytest.fixture(scope="module")
def upscaler() -> Upscaler:
    model = Upscaler()
    model.load()
    return model


def png(image: Image.Image) -> bytes:
    target = io.BytesIO()
    image.save(target, "PNG")
    return target.getvalue()


def decibels(one: Image.Image, other: Image.Image) -> float:
    error = np.mean((np.asarray(one, np.float64) - np.asarray(other, np.float64)) ** 2)
    return float(10 * np.log10(255**2 / error))


@pytest.mark.parametrize(("name", "gain"), [("astronaut", 1.0), ("coffee", 0.5), ("photographer", 0.4)])
def test_it_beats_bicubic_on_photos_with_edges(
    upscaler: Upscaler, photo: Callable[[str], bytes], name: str, gain: float
) -> None:
    original = Image.open(io.BytesIO(photo(name))).convert("RGB")
    small = original.resize((original.width // 2, original.height // 2), Image.Resampling.BICUBIC)
    answer = upscaler.predict(Item(image=png(small))).data.image
    larger = Image.open(io.BytesIO(answer.base64))
    assert larger.format == "PNG"
    assert larger.size == original.size == (answer.image_info.width, answer.image_info.height)
    bicubic = small.resize(original.size, Image.Resampling.BICUBIC)
    assert decibels(larger, original) > decibels(bicubic, original) + gain


@pytest.mark.parametrize(("width", "height"), [(100, 50), (150, 75), (201, 100), (333, 166), (400, 200)])
def test_the_width_is_honoured(upscaler: Upscaler, width: int, height: int) -> None:
    item = Item(image=png(Image.new("RGB", (100, 50), "teal")), params={"width": width})
    larger = Image.open(io.BytesIO(upscaler.predict(item).data.image.base64))
    assert larger.size == (width, height)
    assert np.abs(np.asarray(larger, np.int64) - [0, 128, 128]).max() <= 4


@pytest.mark.parametrize("width", [99, 401, 0, -5, 1.5, "wide"])
def test_another_width_is_refused(upscaler: Upscaler, width: object) -> None:
    item = Item(image=png(Image.new("RGB", (100, 50))), params={"width": width})
    with pytest.raises(ModelError, match="width") as caught:
        upscaler.predict(item)
    assert caught.value.code == 11102


def test_a_result_too_large_is_refused_before_it_is_made(upscaler: Upscaler) -> None:
    item = Item(image=png(Image.new("RGB", (4000, 3000))), params={"width": 16_000})
    with pytest.raises(ModelError, match="192 megapixels") as caught:
        upscaler.predict(item)
    assert caught.value.code == 11102


def test_one_pixel_is_enough(upscaler: Upscaler) -> None:
    answer = upscaler.predict(Item(image=png(Image.new("RGB", (1, 1), "red"))))
    assert Image.open(io.BytesIO(answer.data.image.base64)).size == (2, 2)
