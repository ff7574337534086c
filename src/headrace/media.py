"""Encoded pictures and sounds: what kind the first bytes show; decoding, with a cap on pixels.

Pillow and numpy (extra `images`) are imported when something is decoded.
"""

from __future__ import annotations

import importlib
import io
import warnings
from typing import TYPE_CHECKING, Any

from headrace.errors import ConfigError

if TYPE_CHECKING:
    from PIL import Image

    from headrace.transport.base import Buffer

#: Most pixels of a picture that is decoded; the hosted service takes no larger ones either.
MAX_PIXELS = 85_000_000

PICTURES = frozenset(("png", "jpg", "gif", "bmp", "tif", "webp"))
SOUNDS = frozenset(("wav", "mp3", "flac", "ogg"))
_SAME = {"jpeg": "jpg", "tiff": "tif"}
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpg"), (b"GIF8", "gif"), (b"BM", "bmp"),
    (b"II*\0", "tif"), (b"MM\0*", "tif"), (b"fLaC", "flac"), (b"OggS", "ogg"), (b"ID3", "mp3"),
)  # fmt: skip


class BadPicture(ValueError):
    """Bytes that are no picture, a broken one, or one that is too large to decode."""


def extension(data: bytes) -> str:
    """Give the file extension that the first bytes ask for, "bin" when they are of no known kind."""
    if data.startswith(b"RIFF"):
        return {b"WEBP": "webp", b"WAVE": "wav", b"AVI ": "avi"}.get(data[8:12], "bin")
    if data[4:8] == b"ftyp":
        return "mp4"
    return next((name for magic, name in _MAGIC if data.startswith(magic)), "bin")


def dimensions(data: Buffer) -> tuple[int, int] | None:
    """Read the width and height of a PNG, JPEG or GIF from its header; None of anything else.

    Pillow takes fifty microseconds for it, and hundreds to find that bytes are of no kind it knows. Source: PNG (IHDR
    comes first), GIF89a (logical screen), ITU-T T.81 (frame header: marker, length, precision, lines, samples).
    """
    start = bytes(data[:24])
    if start.startswith(b"\x89PNG\r\n\x1a\n") and len(start) == 24:
        return int.from_bytes(start[16:20]), int.from_bytes(start[20:24])
    if start.startswith(b"GIF8") and len(start) >= 10:
        return int.from_bytes(start[6:8], "little"), int.from_bytes(start[8:10], "little")
    if not start.startswith(b"\xff\xd8\xff"):
        return None
    at = 2
    for _ in range(1000):  # segments; some pictures carry megabytes of them
        if at + 9 > len(data) or data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # fill
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # those are tables and extensions
            return int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None


def extension_of_path(suffix: str) -> str:
    """Give a file name's suffix the way `extension` writes it: ".JPEG" is "jpg"."""
    name = suffix.lower().removeprefix(".")
    return _SAME.get(name, name)


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode a picture.

    Raises:
        ConfigError: Pillow isn't installed.
        BadPicture: not a picture, a broken one, or one of more than `max_pixels` (found before it is decoded).
    """
    pillow = require("PIL.Image", "pictures")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pillow.DecompressionBombWarning)  # the cap below is stricter
            picture: Image.Image = pillow.open(io.BytesIO(data))
            with picture:
                _check_size(picture, max_pixels)
                picture.load()
                return picture
    except BadPicture:
        raise
    except pillow.DecompressionBombError:
        raise BadPicture(f"the picture has more than {max_pixels:,} pixels") from None
    except Exception as error:  # decoders raise anything when a file is broken
        raise BadPicture("the bytes are no picture that can be decoded") from error


def size(data: bytes) -> tuple[int, int]:
    """Read a picture's width and height from its header.

    Raises:
        ConfigError: Pillow isn't installed.
        BadPicture: not a picture.
    """
    pillow = require("PIL.Image", "pictures")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pillow.DecompressionBombWarning)
            with pillow.open(io.BytesIO(data)) as picture:
                return int(picture.width), int(picture.height)
    except Exception as error:
        raise BadPicture("the bytes are no picture that can be read") from error


def decode_mask(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode a mask as a picture of mode "L": 255 where it is surest, 0 outside; what is transparent is outside.

    Values are stretched so that the brightest one is 255: there are masks of 0 and 1, and of 16 bits.

    Raises:
        ConfigError: Pillow isn't installed.
        BadPicture: not a picture, or too large.
    """
    picture = decode(data, max_pixels=max_pixels)
    if picture.has_transparency_data:
        black = require("PIL.Image", "pictures").new("RGBA", picture.size, "black")
        black.alpha_composite(picture.convert("RGBA"))
        picture = black
    if picture.mode.startswith("I") or picture.mode == "F":  # Pillow would clip these at 255
        floats = picture.convert("F")
        brightest = _brightest(floats)
        return floats.point(lambda value: value * (255.0 / brightest if brightest > 0 else 0.0)).convert("L")
    picture = picture.convert("L")
    brightest = _brightest(picture)
    if brightest in (0, 255):
        return picture
    return picture.point([min(round(value * 255 / brightest), 255) for value in range(256)])


def _brightest(picture: Image.Image) -> float:
    extremes: Any = picture.getextrema()  # of one band
    return float(extremes[1])


def require(module: str, what: str) -> Any:
    """Import a module of the extra `images`.

    Raises:
        ConfigError: it isn't installed; names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        name = "Pillow" if module.startswith("PIL") else module
        raise ConfigError(f"{what} need {name}: pip install 'headrace[images]'") from None


def _check_size(picture: Image.Image, max_pixels: int) -> None:
    if picture.width * picture.height > max_pixels:
        raise BadPicture(f"the picture has {picture.width}x{picture.height} pixels, more than {max_pixels:,}")
