"""Decoding pictures: formats, limits checked before decoding, orientation, transparency, broken bytes."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from headrace.server.model import Item, ModelError
from headrace.server.models._images import decode, picture


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, format, **options)
    return target.getvalue()


def pixel(image: Image.Image, x: int, y: int) -> list[int]:
    return [int(value) for value in np.asarray(image)[y, x]]


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF"])
def test_the_documented_formats_are_read(format: str) -> None:
    image = decode(encoded(Image.new("RGB", (30, 20), (250, 10, 10)), format))
    assert (image.size, image.mode) == ((30, 20), "RGB")
    red, green, blue = pixel(image, 15, 10)
    assert red > 230
    assert max(green, blue) < 30


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"", 30300, "empty"),
        (b"just some text, no picture", 30101, "not a picture"),
        (b"<html><body>404</body></html>", 30101, "not a picture"),
        (encoded(Image.new("RGB", (8, 8)), "ICO"), 30101, "not a picture"),
        (png_header(50, 50), 30300, "damaged"),
    ],
)
def test_what_is_no_picture_is_named(data: bytes, code: int, words: str) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        decode(data)
    assert caught.value.code == code


def test_a_truncated_jpeg_is_invalid() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    whole = encoded(Image.fromarray(noise), "JPEG")
    with pytest.raises(ModelError, match="damaged or cut off") as caught:
        decode(whole[: len(whole) // 2])
    assert caught.value.code == 30300


@pytest.mark.parametrize("size", [(10_000, 8_501), (9_500, 9_500), (65_000, 65_000)])
def test_more_than_85_megapixels_are_refused_before_decoding(size: tuple[int, int]) -> None:
    with pytest.raises(ModelError, match="85") as caught:  # decoding would say "damaged": there are no pixels
        decode(png_header(*size))
    assert caught.value.code == 30105


def test_the_limit_itself_is_allowed() -> None:
    with pytest.raises(ModelError) as caught:
        decode(png_header(10_000, 8_500))
    assert caught.value.code == 30300  # it got as far as the missing pixels


def test_a_picture_is_turned_upright() -> None:
    image = Image.new("RGB", (40, 20), "black")
    image.paste("white", (0, 0, 20, 20))  # white on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held so that its top is at the right
    turned = decode(encoded(image, "JPEG", exif=exif, quality=95))
    assert turned.size == (20, 40)
    assert min(pixel(turned, 10, 5)) > 200  # the white half is on top now
    assert max(pixel(turned, 10, 35)) < 50


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparent_becomes_white(mode: str) -> None:
    image = Image.new("RGBA", (10, 10), (0, 0, 0, 0))
    image = image.convert("LA") if mode == "LA" else image
    data = encoded(image.quantize(4), "PNG") if mode == "PA" else encoded(image, "PNG")
    assert pixel(decode(data), 5, 5) == [255, 255, 255]


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    image = Image.fromarray(np.array([[0, 32768, 65535]], np.uint16))
    assert [pixel(decode(encoded(image, "PNG")), x, 0)[0] for x in range(3)] == [0, 128, 255]


def test_a_large_jpeg_is_read_reduced_when_little_is_needed() -> None:
    data = encoded(Image.new("L", (3200, 1600), 90), "JPEG")
    assert decode(data, 200).size == (800, 400)
    assert decode(data).size == (3200, 1600)


def test_an_input_without_picture_is_refused() -> None:
    with pytest.raises(ModelError) as caught:
        picture(Item(text="no picture"))
    assert caught.value.code == 30104
