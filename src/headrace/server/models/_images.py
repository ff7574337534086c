"""Decoding pictures that strangers send: known formats, size looked at first, upright, RGB."""

from __future__ import annotations

import io
import warnings
from functools import cache
from typing import TYPE_CHECKING

from headrace.server.model import Item, ModelError

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF")
MAX_PIXELS = 85_000_000
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
        data: a JPEG, PNG, TIFF, BMP, WEBP or GIF file.
        side: least length in pixels that the shorter side is needed in; a large JPEG is then decoded reduced,
            which is several times faster.

    Raises:
        ModelError: 30101 no such picture format, 30105 more than 85 megapixels (found before decoding),
            30300 empty or broken.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    if not data:
        raise ModelError(INVALID_BYTES, "the picture is empty")
    _warn_by_raising()
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise ModelError(UNSUPPORTED_FORMAT, f"the bytes are not a picture in a known format ({_known()})") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ModelError(OVER_LIMIT, "the picture has more than 85 megapixels, the limit") from error
    except Exception as error:  # Pillow's readers raise many kinds on crafted files
        raise ModelError(INVALID_BYTES, "the picture's bytes are broken") from error
    if image.width * image.height > MAX_PIXELS:
        size = f"{image.width} x {image.height} = {image.width * image.height / 1e6:.1f} megapixels"
        raise ModelError(OVER_LIMIT, f"the picture has {size}; at most 85 are taken")
    try:
        if side is not None and image.format == "JPEG":
            image.draft("RGB", (2 * side, 2 * side))
        image.load()
        return _rgb(ImageOps.exif_transpose(image))
    except Exception as error:
        raise ModelError(INVALID_BYTES, "the picture's bytes are broken or end early") from error


def encode(image: Image, format: str = "PNG") -> bytes:
    """Encode a picture as PNG (or another of Pillow's formats)."""
    target = io.BytesIO()
    image.save(target, format)
    return target.getvalue()


@cache
def _warn_by_raising() -> None:
    """Make an error of Pillow's warning, on stderr, about pictures somewhat larger than our limit; once a process."""
    from PIL import Image

    warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


def _known() -> str:
    return ", ".join(FORMATS)


def _rgb(image: Image) -> Image:
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":  # 16 bits and more a pixel: Pillow would clip, not scale
        return _scaled(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _scaled(image: Image) -> Image:
    import numpy as np
    from PIL import Image

    values = np.asarray(image, np.float32)
    if not np.isfinite(values).all():
        raise ValueError("not a number among the pixels")
    top = 65535.0 if image.mode.startswith("I") and values.max() <= 65535 else max(float(values.max()), 1.0)
    return Image.fromarray((values.clip(0, top) * (255.0 / top)).astype(np.uint8)).convert("RGB")
