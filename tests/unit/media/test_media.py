"""Kinds by first bytes, decoding under a cap, masks of every make."""

from __future__ import annotations

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features

from headrace import media
from headrace.errors import ConfigError
from headrace.media import BadPicture
from tests.support import clips


def encoded(picture: Image.Image, form: str = "PNG", **options: bool) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("form", "extension"),
    [("PNG", "png"), ("JPEG", "jpg"), ("GIF", "gif"), ("BMP", "bmp"), ("TIFF", "tif"), ("WEBP", "webp")],
)
def test_extension_by_first_bytes(form: str, extension: str) -> None:
    data = encoded(Image.new("RGB", (3, 2)), form)
    assert media.extension(data) == extension
    assert media.size(data) == (3, 2)
    assert extension in media.PICTURES


def _brand(major: bytes, *compatible: bytes) -> bytes:
    names = major + b"\0\0\0\0" + b"".join(compatible)
    return (len(names) + 8).to_bytes(4) + b"ftyp" + names


#: First bytes -> what people call the format and what is in it; None: nothing that we know by its bytes.
HEADS = [
    (b"\xff\xd8\xff\xe0", "JPEG", "image"),
    (b"II*\0", "TIFF", "image"),
    (b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28", "BMP", "image"),
    (b"RIFF\0\0\0\0WEBPVP8 ", "WebP", "image"),
    (b"RIFF\0\0\0\0WAVEfmt ", "WAV", "audio"),
    (b"RIFF\0\0\0\0AVI LIST", "AVI", "video"),
    (_brand(b"heic", b"mif1", b"heic"), "HEIC", "image"),
    (_brand(b"heix"), "HEIC", "image"),
    (_brand(b"mif1", b"miaf", b"heic"), "HEIC", "image"),
    (_brand(b"mif1", b"avif", b"miaf"), "AVIF", "image"),
    (_brand(b"avif", b"mif1"), "AVIF", "image"),
    (_brand(b"avis"), "AVIF", "image"),
    (_brand(b"M4A ", b"mp42"), "M4A", "audio"),
    (_brand(b"M4B ", b"mp42"), "M4A", "audio"),
    (_brand(b"mp42", b"isom"), "MP4", "video"),
    (_brand(b"3gp5"), "MP4", "video"),
    (_brand(b"qt  "), "QuickTime", "video"),
    (b"\0\0\0\x08wide\0\0\x10\0mdat", "QuickTime", "video"),
    (b"ID3\x03", "MP3", "audio"),
    (b"\xff\xfb\x90\x64", "MP3", "audio"),
    (b"\xff\xf3\x40\xc4", "MP3", "audio"),
    (b"\xff\xf1\x50\x80", "AAC", "audio"),
    (b"\xff\xf9\x50\x80", "AAC", "audio"),
    (b"FORM\0\0\0\x20AIFFCOMM", "AIFF", "audio"),
    ("hello there".encode("utf-16"), "UTF-16 text", "text"),
    (b"\xfe\xff" + "hello there".encode("utf-16-be"), "UTF-16 text", "text"),
    (b"FLV\x01", "FLV", "video"),
    (b"BMW is a car maker", None, None),
    (b"The free lunch", None, None),
    (b"GIF8 is no version", None, None),
    (b"Gone with the wind " * 40, None, None),
    (b"#!/bin/sh", None, None),
    (b"\xff\xe0", None, None),
    (b"", None, None),
]


@pytest.mark.parametrize(("head", "name", "kind"), HEADS, ids=[f"{h[:12]!r}" for h, _, _ in HEADS])
def test_format_by_first_bytes(head: bytes, name: str | None, kind: str | None) -> None:
    for data in (head, bytearray(head), memoryview(head)):
        found = media.format_of(data)
        assert (found.name if found else None) == name
        assert media.kind(data) == kind


@pytest.mark.parametrize(
    ("container", "codec", "kind"),
    [
        ("mp4", "mpeg4", "video"),
        ("mov", "mpeg4", "video"),
        ("avi", "mpeg4", "video"),
        ("matroska", "mpeg4", "video"),
        ("asf", "wmv2", "video"),
        ("flv", "flv1", "video"),
        ("mpegts", "mpeg2video", "video"),
        ("mpeg", "mpeg2video", "video"),
        ("ipod", "aac", "audio"),
        ("adts", "aac", "audio"),
        ("wav", "pcm_s16le", "audio"),
        ("aiff", "pcm_s16be", "audio"),
        ("mp3", "libmp3lame", "audio"),
        ("flac", "flac", "audio"),
        ("ogg", "libopus", "audio"),
    ],
)
def test_kind_of_files_that_encoders_write(container: str, codec: str, kind: str) -> None:
    data = clips.tiny(container, codec)
    assert media.kind(data) == kind
    assert media.kind(data[: media.HEAD_BYTES]) == kind


@pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")
def test_kind_of_an_avif_picture() -> None:
    data = encoded(Image.new("RGB", (30, 20)), "AVIF")
    assert (media.kind(data), media.extension(data)) == ("image", "avif")


def test_kind_by_name_and_extension() -> None:
    heads = (b"RIFF\0\0\0\0WAVE", b"fLaC", b"\0\0\0\x18ftypmp42", b"#!/bin/sh", b"")
    assert [media.extension(head) for head in heads] == ["wav", "flac", "mp4", "bin", "bin"]
    assert [media.extension_of_path(suffix) for suffix in (".JPEG", ".tiff", ".png", "")] == ["jpg", "tif", "png", ""]
    names = {"a/B.HEIC": "image", "x.avif": "image", "book.m4b": "audio", "song.aac": "audio", "clip.mov": "video"}
    assert {name: media.kind_of_name(name) for name in names} == names
    assert [media.kind_of_name(name) for name in ("png", ".png", "a.png/b", "node.js", "3.14", "")] == [None] * 6


@pytest.mark.parametrize("form", ["PNG", "GIF", "JPEG", "progressive", "with a picture inside"])
def test_dimensions_from_the_header(form: str) -> None:
    picture = Image.new("RGB", (300, 200), "red")
    if form == "progressive":
        data = encoded(picture, "JPEG", progressive=True)
    elif form == "with a picture inside":  # a thumbnail, as cameras put it before the frame header
        thumbnail = encoded(Image.new("RGB", (8, 8)), "JPEG")
        start = b"\xff\xd8\xff\xe1" + (len(thumbnail) + 2).to_bytes(2)
        data = start + thumbnail + b"\xff" + encoded(picture, "JPEG")[2:]
    else:
        data = encoded(picture, form)
    for kind in (bytes, bytearray, memoryview):
        assert media.dimensions(kind(data)) == (300, 200)
    assert not any(media.dimensions(data[:at]) for at in range(10))


@pytest.mark.parametrize("form", ["BMP", "TIFF", "WEBP"])
def test_dimensions_of_other_kinds_are_left_to_pillow(form: str) -> None:
    assert media.dimensions(encoded(Image.new("RGB", (30, 20)), form)) is None


@given(st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff\xe0\0\0", b"\xff\xd8\xff"]), st.binary())
def test_dimensions_of_anything_are_numbers_or_none(start: bytes, rest: bytes) -> None:
    found = media.dimensions(start + rest)
    assert found is None or all(0 <= number < 1 << 32 for number in found)


def test_a_picture_of_endless_segments_is_given_up() -> None:
    assert media.dimensions(b"\xff\xd8" + b"\xff\xe0\0\x02" * 1_000_000) is None


def test_decode_refuses_what_is_too_large_before_decoding() -> None:
    with pytest.raises(BadPicture, match="40x30 pixels, more than 1,000"):
        media.decode(encoded(Image.new("L", (40, 30))), max_pixels=1000)
    for width in (9300, 19000):  # 86 megapixels, where Pillow says nothing; 361, where it raises
        bomb = encoded(Image.new("1", (width, width if width > 10_000 else 9300)))
        with pytest.raises(BadPicture, match="more than 85,000,000"):
            media.decode(bomb)


@pytest.mark.parametrize("data", [b"", b"hello", encoded(Image.new("RGB", (400, 300)))[:200]])
def test_decode_refuses_what_is_no_picture(data: bytes) -> None:
    with pytest.raises(BadPicture, match="not a picture"):
        media.decode(data)


def two_halves(mode: str, inside: object, outside: object) -> Image.Image:
    """Make a picture of 4x2 whose left half is inside."""
    picture = Image.new(mode, (4, 2), outside)  # type: ignore[arg-type]
    picture.paste(inside, (0, 0, 2, 2))  # type: ignore[arg-type]
    return picture


@pytest.mark.parametrize(
    ("mode", "inside", "outside"),
    [
        ("L", 255, 0),
        ("L", 1, 0),
        ("L", 100, 10),
        ("1", 1, 0),
        ("I;16", 40_000, 0),
        ("RGB", (255, 255, 255), (0, 0, 0)),
        ("RGBA", (255, 255, 255, 255), (255, 255, 255, 0)),
        ("LA", (255, 255), (255, 0)),
    ],
)
def test_masks_of_every_make(mode: str, inside: object, outside: object) -> None:
    mask = media.decode_mask(encoded(two_halves(mode, inside, outside)))
    assert (mask.mode, mask.size) == ("L", (4, 2))
    assert mask.getpixel((0, 0)) == 255
    dark = mask.getpixel((3, 1))
    assert isinstance(dark, int)
    assert dark < 30


def test_a_mask_of_nothing_is_empty() -> None:
    assert media.decode_mask(encoded(Image.new("L", (4, 2)))).getextrema() == (0, 0)
    assert media.decode_mask(encoded(Image.new("I;16", (4, 2)))).getextrema() == (0, 0)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ConfigError, match=r"pictures need Pillow: pip install '\S*\[images\]'"):
        media.decode(b"x")
