"""Decoding untrusted pictures: known formats, size checked first, upright, RGB."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING

from headrace import media
from headrace.media import pictures
from headrace.server.model import Item, ModelError
from headrace.server.pixels import PIXELS

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = pictures.MAX_PIXELS
_ARTICLES = {"image": "a picture", "video": "a video", "audio": "a sound", "text": "a text"}
UNSUPPORTED_FORMAT, INVALID_ARGUMENT, OVER_LIMIT, INVALID_BYTES = 30101, 30104, 30105, 30300


def picture(item: Item, side: int | None = None) -> Image:
    """Decode the item's picture, as `decode` does.

    Raises:
        ModelError: 30104 when the item has none, and as `decode`.
    """
    if item.image is None:
        raise ModelError(INVALID_ARGUMENT, "the input holds no picture")
    return decode(item.image, side)


def decode(data: bytes, side: int | None = None) -> Image:
    """Decode a picture: its first frame, turned as its EXIF says, transparency on white, mode RGB.

    Args:
        data: a JPEG, PNG, TIFF, BMP, WEBP or GIF file; AVIF if Pillow can.
        side: minimum length in pixels of the shorter side; a large JPEG is then decoded reduced,
            which is several times faster.

    Raises:
        ModelError: 30101 no such picture format, 30105 more than 85 megapixels (found before decoding),
            30300 empty or broken.
    """
    from PIL import Image, UnidentifiedImageError

    if not data:
        raise ModelError(INVALID_BYTES, "the picture is empty")

    def prepare(image: Image.Image) -> None:
        if image.width * image.height > MAX_PIXELS:
            size = f"{image.width} x {image.height} = {image.width * image.height / 1e6:.1f} megapixels"
            raise ModelError(OVER_LIMIT, f"the picture has {size}; at most 85 are taken")
        if side is not None and image.format == "JPEG":
            image.draft("RGB", (2 * side, 2 * side))
        budget.enter_context(PIXELS.decoding(image.width * image.height))

    try:
        with contextlib.ExitStack() as budget:
            image = pictures.load(data, prepare)
            return pictures.upright(image)
    except ModelError:
        raise
    except UnidentifiedImageError as error:
        raise _unidentified(data) from error
    except Image.DecompressionBombError as error:
        raise ModelError(OVER_LIMIT, "the picture has more than 85 megapixels, the limit") from error
    except Exception as error:  # Pillow's readers raise many exceptions on crafted files
        raise ModelError(INVALID_BYTES, "the picture's bytes are damaged or cut off") from error


def _unidentified(data: bytes) -> ModelError:
    """Make the error for bytes that Pillow does not read as a picture."""
    format = media.format_of(data)
    if format is None or format.name in ("JPEG", "PNG", "TIFF", "BMP", "WebP", "GIF"):
        broken = "" if format is None else f"; they begin like {format.name}"
        known = f"the bytes are not a picture in a known format ({', '.join(pictures.formats())}){broken}"
        return ModelError(UNSUPPORTED_FORMAT, known)
    advice = "; convert it to JPEG or PNG" if format.kind == "image" else f", which is {_ARTICLES[format.kind]}"
    return ModelError(UNSUPPORTED_FORMAT, f"{format.name} cannot be decoded as a picture here{advice}")


def smaller(image: Image, longest_side: int) -> Image:
    """Make a picture smaller if one of its sides is longer than so many pixels."""
    shrink = longest_side / max(image.size)
    if shrink >= 1:
        return image
    return image.resize((max(1, round(image.width * shrink)), max(1, round(image.height * shrink))))


def encode(image: Image, format: str = "PNG") -> bytes:
    """Encode a picture as PNG (or another of Pillow's formats)."""
    target = io.BytesIO()
    image.save(target, format)
    return target.getvalue()
