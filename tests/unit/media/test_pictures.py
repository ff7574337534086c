"""Pictures from strangers: which formats are decoded, which bombs are refused, that they look as viewers show them."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import struct
import sys
import warnings
import zlib
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin, features

from headrace import media
from headrace.draw import draw
from headrace.errors import PredictionFailed
from headrace.media import pictures
from headrace.media.pictures import BadPicture
from headrace.results import Prediction, Region
from headrace.v2 import resources_pb2 as pb

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"


def encoded(picture: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_with(*chunks: bytes, late: bool = False) -> bytes:
    """Encode a red picture of 4 x 3 with more chunks: behind its header, or (`late`) before its end."""
    plain = encoded(Image.new("RGB", (4, 3), "red"), "PNG")
    at = len(plain) - 12 if late else 8 + 25
    return plain[:at] + b"".join(chunks) + plain[at:]


def packed(count: int) -> bytes:
    stream = zlib.compressobj(9)
    return b"".join([*(stream.compress(bytes(1 << 20)) for _ in range(count >> 20)), stream.flush()])


@pytest.mark.parametrize(
    "form",
    [
        *("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"),
        pytest.param("AVIF", marks=pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")),
    ],
)
def test_the_formats_that_are_decoded(form: str) -> None:
    data = encoded(Image.new("RGB", (40, 30), "red"), form)
    assert pictures.decode(data).size == pictures.size(data) == (40, 30)


@functools.cache
def others() -> dict[str, bytes]:
    """Make a file of every format that Pillow writes and headrace does not take."""
    Image.init()
    found = {"EPS": POSTSCRIPT, "EPS behind a binary header": b"\xc5\xd0\xd3\xc6" + bytes(26) + POSTSCRIPT}
    for form in sorted(set(Image.SAVE) - {*pictures.formats(), "EPS", "MPO", "AVIF"}):  # MPO is a JPEG
        with warnings.catch_warnings(), contextlib.suppress(OSError, ValueError, KeyError):  # of other modes, or none
            warnings.simplefilter("ignore", DeprecationWarning)
            found[form] = encoded(Image.new("RGB", (40, 30)), form)
    return found


@pytest.mark.parametrize("form", others())
def test_no_other_format_is_decoded_and_no_program_started(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = tmp_path / "gs"
    stand_in.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    data = others()[form]
    answer = Prediction(b"", [pb.Output(data=pb.Data(image=pb.Image(base64=data)))])
    for look in (answer.to_pil, lambda: answer.image_size, Region(0, 0, 1, 1, 0.5, mask=data).mask_picture):
        with pytest.raises(PredictionFailed):
            look()
    with pytest.raises(BadPicture):
        draw(data, [])
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    "extra",
    {
        "zTXt": chunk(b"zTXt", b"prompt\0\0" + packed(2 << 20)),
        "iTXt": chunk(b"iTXt", b"prompt\0\1\0en\0name\0" + packed(2 << 20)),
        "iCCP": chunk(b"iCCP", b"profile\0\0" + packed(2 << 20)),
        "broken zTXt": chunk(b"zTXt", b"prompt\0\0" + b"\xff" * 200) + chunk(b"zTXt", b"x\0\0" + packed(2 << 20)),
        "many": b"".join(chunk(b"zTXt", b"%d\0\0" % n + packed(1 << 20)) for n in range(40)),
    }.items(),
    ids=lambda pair: pair[0],
)
def test_a_png_with_much_text_is_decoded(extra: tuple[str, bytes], late: bool) -> None:
    data = png_with(extra[1], late=late)
    assert pictures.decode(data).convert("RGB").getpixel((0, 0)) == (255, 0, 0)
    assert pictures.size(data) == (4, 3)


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP", b"iTXt"])
def test_a_bomb_of_text_is_refused(kind: bytes) -> None:
    start = b"x\0\1\0\0\0" if kind == b"iTXt" else b"x\0\0"
    with pytest.raises(BadPicture, match="unpack to more than"):
        pictures.decode(png_with(chunk(kind, start + packed(300 << 20))))


def test_many_texts_count_together() -> None:
    texts = [chunk(b"zTXt", b"%d\0\0" % n + packed(20 << 20)) for n in range(4)]
    with pytest.raises(BadPicture, match="unpack to more than"):
        pictures.decode(png_with(*texts))


def test_a_text_that_pillow_takes_stays() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("prompt", "a cat", zip=True)
    assert pictures.decode(encoded(Image.new("L", (3, 2)), "PNG", pnginfo=info)).info["prompt"] == "a cat"


TURNED = Image.new("RGB", (6, 4))
TURNED.getexif()[0x0112] = 6  # lies on its side
CLEAR = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
LOOKS = {
    "on its side": (TURNED, (4, 6), (0, 0, 0)),
    "clear": (CLEAR, (4, 4), (255, 255, 255)),
    "clear in a palette": (CLEAR.quantize(2), (4, 4), (255, 255, 255)),
    "clear, grey": (Image.new("LA", (4, 4), (0, 0)), (4, 4), (255, 255, 255)),
    "16 bits": (Image.new("I;16", (4, 4), 32896), (4, 4), (128, 128, 128)),
    "32 bits": (Image.new("I", (4, 4), 65535), (4, 4), (255, 255, 255)),
    "floats": (Image.new("F", (4, 4), 0.5), (4, 4), (128, 128, 128)),
    "one bit": (Image.new("1", (4, 4), 1), (4, 4), (255, 255, 255)),
    "CMYK": (Image.new("CMYK", (4, 4)), (4, 4), (255, 255, 255)),
}


@pytest.mark.parametrize("look", LOOKS)
def test_pictures_are_drawn_on_as_a_viewer_shows_them(look: str) -> None:
    picture, size, colour = LOOKS[look]
    before = picture.copy()
    drawn = draw(picture, [])
    assert (drawn.mode, drawn.size) == ("RGB", size)
    pixel = drawn.getpixel((1, 1))
    assert isinstance(pixel, tuple)
    assert all(abs(a - b) <= 1 for a, b in zip(pixel, colour, strict=True))
    assert (picture.mode, picture.tobytes()) == (before.mode, before.tobytes())


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_pil_picture_is_drawn_on_like_its_file(form: str) -> None:
    picture = Image.new("RGB", (60, 40))
    picture.paste("white", (0, 0, 10, 10))
    exif = picture.getexif()
    exif[0x0112] = 6
    data = encoded(picture, form, exif=exif)
    box = Region(0.0, 0.5, 0.2, 1.0, 0.9)
    by_bytes, by_picture = draw(data, [box]), draw(Image.open(io.BytesIO(data)), [box])
    assert by_bytes.size == by_picture.size == (40, 60)
    assert by_bytes.tobytes() == by_picture.tobytes()


def test_pillow_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ValueError, match="Pillow"):
        media.decode(b"")
