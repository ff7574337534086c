"""Decoding untrusted pictures with Pillow (extra `images`), and a clear error if it is not installed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from headrace.errors import ConfigError
from headrace.media import pictures
from headrace.media.pictures import MAX_PIXELS
from headrace.support.extras import install
from headrace.support.later import later_module

if TYPE_CHECKING:
    from PIL import Image
else:
    Image = later_module("PIL.Image")


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode a picture: JPEG, PNG, GIF, BMP, WEBP or TIFF, and AVIF if Pillow can.

    Raises:
        ConfigError: Pillow isn't installed.
        BadPicture: not such a picture, damaged, or of more than `max_pixels` (found before it is decoded).
    """
    require("PIL.Image", "pictures")
    return pictures.decode(data, max_pixels)


def size(data: bytes) -> tuple[int, int]:
    """Read a picture's width and height from its header.

    Raises:
        ConfigError: Pillow isn't installed.
        BadPicture: not a picture.
    """
    require("PIL.Image", "pictures")
    return pictures.size(data)


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


def require(module: str, purpose: str) -> Any:
    """Import a module of the extra `images`.

    Raises:
        ConfigError: it isn't installed; names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        name = "Pillow" if module.startswith("PIL") else module
        raise ConfigError(f"{purpose} need {name}: {install('images')}") from None
