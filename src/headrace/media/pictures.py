"""Untrusted pictures: opened in named formats only, with a limit of pixels, shown as viewers show them.

Pillow (extra `images`) must be installed; `headrace.media` has the functions that say so if it is not.
"""

from __future__ import annotations

import io
import math
import warnings
import zlib
from functools import cache
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from PIL import Image

#: The largest picture in pixels that is decoded; the hosted service takes no larger ones either.
MAX_PIXELS = 85_000_000
#: Bytes to which the texts and the colour profile of one picture may unpack; Pillow's own limit for texts.
MAX_TEXT_BYTES = 64 << 20

_PNG = b"\x89PNG\r\n\x1a\n"
_PACKED = {b"iCCP", b"zTXt", b"iTXt"}
_TEXTS = {*_PACKED, b"tEXt"}
_STEP = 4096  # bytes unpacked at once: they become at most 4 MB


class BadPicture(ValueError):
    """Bytes that are not a picture, a broken one, or one that is too large to decode."""


@cache
def formats() -> tuple[str, ...]:
    """Return the formats that pictures may have.

    Otherwise Pillow tries all its formats, and some of them start programs (PostScript) or have decoders
    that are hardly reviewed.
    """
    known = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")  # what Pillow has ready comes first
    try:
        from PIL.AvifImagePlugin import SUPPORTED
    except ImportError:
        return known
    return (*known, "AVIF") if SUPPORTED else known


def opened(file: BinaryIO | io.BytesIO) -> Image.Image:
    """Open a picture; nothing but its header is read. Pillow's warning about large ones stays silent: check its size.

    Raises:
        Exception: whatever Pillow raises at bytes that are not a picture.
    """
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS is stricter
        return Image.open(file, formats=formats())


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode a picture.

    A PNG whose texts or colour profile are larger than Pillow takes is decoded without them.

    Raises:
        BadPicture: not a picture, a broken one, or one of more than `max_pixels` (found before it is decoded).
    """
    from PIL import Image

    def check(picture: Image.Image) -> None:
        if picture.width * picture.height > max_pixels:
            raise BadPicture(f"the picture has {picture.width}x{picture.height} pixels, more than {max_pixels:,}")

    try:
        return load(data, check)
    except BadPicture:
        raise
    except Image.DecompressionBombError:
        raise BadPicture(f"the picture has more than {max_pixels:,} pixels") from None
    except Exception as error:  # decoders may raise anything on damaged files
        raise BadPicture("the bytes are not a picture that can be decoded") from error


def load(data: bytes, check: Callable[[Image.Image], None]) -> Image.Image:
    """Open and decode a picture; a PNG whose texts or colour profile are larger than Pillow takes, without them.

    Args:
        check: called with the picture before its pixels are decoded; its exceptions are passed on.

    Raises:
        Exception: whatever Pillow raises at bytes that are not a picture, or a broken one.
    """
    try:
        return _loaded(data, check)
    except BadPicture:
        raise
    except Exception:
        lean = without_texts(data)
        if lean is None:
            raise
    return _loaded(lean, check)


def _loaded(data: bytes, check: Callable[[Image.Image], None]) -> Image.Image:
    with opened(io.BytesIO(data)) as picture:
        check(picture)
        picture.load()
        return picture


def size(data: bytes) -> tuple[int, int]:
    """Read a picture's width and height from its header.

    Raises:
        BadPicture: not a picture.
    """
    try:
        try:
            picture = opened(io.BytesIO(data))
        except Exception:
            lean = without_texts(data)
            if lean is None:
                raise
            picture = opened(io.BytesIO(lean))
        with picture:
            return picture.width, picture.height
    except BadPicture:
        raise
    except Exception as error:
        raise BadPicture("the bytes are not a picture that can be read") from error


def without_texts(data: bytes) -> bytes | None:
    """Leave the texts and the colour profile out of a PNG; None if it is not a PNG or has neither.

    Image editors, microscopes and diffusion tools write megabytes of them, more than Pillow takes. Source: PNG
    (chunk: length, type, data, checksum; `iCCP`, `tEXt`, `zTXt` and `iTXt` may be left out).

    Raises:
        BadPicture: they unpack to more than `MAX_TEXT_BYTES`.
    """
    if not data.startswith(_PNG):
        return None
    kept, unpacked, has_texts = [data[:8]], 0, False
    for kind, start, end in _chunks(data):
        if kind not in _TEXTS:
            kept.append(data[start:end])
            continue
        has_texts = True
        unpacked += _unpacked(kind, data[start + 8 : end - 4], MAX_TEXT_BYTES - unpacked)
        if unpacked > MAX_TEXT_BYTES:
            raise BadPicture(f"the picture's text chunks unpack to more than {MAX_TEXT_BYTES:,} bytes")
    return b"".join(kept) if has_texts else None


def _chunks(png: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type of each chunk, where it starts and where it ends."""
    at = len(_PNG)
    while at < len(png):
        end = min(at + 12 + int.from_bytes(png[at : at + 4]), len(png))
        yield png[at + 4 : at + 8], at, end
        at = end


def _unpacked(kind: bytes, content: bytes, limit: int) -> int:
    """Count the bytes that a chunk unpacks to, as far as `limit` and a step beyond."""
    keyword, _, rest = content.partition(b"\0")
    if kind not in _PACKED or (kind == b"iTXt" and not rest.startswith(b"\1")):
        return len(content)
    if kind == b"iTXt":
        rest = rest[1:].partition(b"\0")[2].partition(b"\0")[2]  # two languages come first
    stream, count = zlib.decompressobj(), len(keyword)
    try:
        for at in range(1, len(rest), _STEP):  # the first byte is the method
            if count > limit or stream.eof:
                break
            count += len(stream.decompress(rest[at : at + _STEP]))
    except zlib.error:
        pass  # broken, and left out anyway
    return count


def upright(picture: Image.Image) -> Image.Image:
    """Return a picture as a viewer shows it: turned as its EXIF data say, in RGB; see `rgb`."""
    from PIL import ImageOps

    return rgb(ImageOps.exif_transpose(picture))


def rgb(picture: Image.Image) -> Image.Image:
    """Return a picture of mode "RGB": what is transparent on white, more than 8 bits a pixel scaled down."""
    from PIL import Image

    if picture.mode == "RGB" and not picture.has_transparency_data:
        return picture
    if is_deep(picture):
        floats = picture.convert("F")
        scale = 255.0 / _white(picture.mode, floats)
        return floats.point(lambda level: level * scale + 0.5).convert("RGB")
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        white.alpha_composite(picture.convert("RGBA"))
        picture = white
    return picture.convert("RGB")


def is_deep(picture: Image.Image) -> bool:
    """Whether it has more than 8 bits a pixel, which Pillow would clip instead of scaling them."""
    return picture.mode.startswith("I") or picture.mode == "F"


def _white(mode: str, floats: Image.Image) -> float:
    """Return which level is white: Pillow has no word for it, so the brightest one decides.

    Raises:
        ValueError: the brightest is not a number.
    """
    extremes: Any = floats.getextrema()  # of one band
    if not all(map(math.isfinite, extremes)):
        raise ValueError("the pixels contain NaN")
    tops = (1.0, 255.0) if mode == "F" else (65535.0,)
    return next((top for top in tops if extremes[1] <= top), float(extremes[1]))
