"""Draw boxes with labels on pictures. Needs Pillow (extra `images`), imported when something is drawn."""

from __future__ import annotations

import colorsys
import io
import zlib
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from PIL import Image, ImageDraw, ImageFont

    Font = ImageFont.ImageFont | ImageFont.FreeTypeFont
    Colour = tuple[int, int, int]

#: Most pixels of a picture that is decoded for drawing.
MAX_PIXELS = 85_000_000


class Boxed(Protocol):
    """What is drawn: corners as fractions of the picture (0..1, rows downwards), a name and a score (0..1)."""

    @property
    def top(self) -> float: ...
    @property
    def left(self) -> float: ...
    @property
    def bottom(self) -> float: ...
    @property
    def right(self) -> float: ...
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> float: ...


def draw_boxes(picture: Image.Image, boxes: Iterable[Boxed]) -> Image.Image:
    """Give a copy of a picture (RGB) with each box outlined and labelled "name 87%".

    Line width and letters follow the picture's size; a name always has the same colour. Boxes are drawn from the
    least score to the greatest, so that the surest stands on top. Corners outside of the picture are cut off.

    Args:
        picture: any Pillow picture; it stays as it is.
        boxes: such as `prediction.regions`.
    """
    from PIL import ImageDraw, ImageFont

    drawn = picture.convert("RGB")
    if drawn is picture:
        drawn = picture.copy()
    pen = ImageDraw.Draw(drawn, "RGBA")
    shorter = min(drawn.size)
    thick = max(2, round(shorter / 200))
    font = ImageFont.load_default(size=max(11, round(shorter / 30)))
    for box in sorted(boxes, key=lambda b: b.value):
        _draw_box(pen, drawn.size, box, thick, font)
    return drawn


def draw_on_bytes(data: bytes, boxes: Iterable[Boxed], *, form: str = "PNG", max_pixels: int = MAX_PIXELS) -> bytes:
    """Decode a picture, draw the boxes and encode it again, turned upright as its EXIF data say.

    Args:
        data: an encoded picture (JPEG, PNG, ...).
        boxes: such as `prediction.regions`.
        form: "PNG" or "JPEG".
        max_pixels: more are refused before they are decoded.

    Raises:
        ValueError: not a picture, or too many pixels.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as picture:
            if picture.width * picture.height > max_pixels:
                raise ValueError(f"the picture has {picture.width}x{picture.height} pixels, more than {max_pixels:,}")
            drawn = draw_boxes(ImageOps.exif_transpose(picture), boxes)
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError, SyntaxError) as error:
        raise ValueError("the bytes are no picture that can be decoded") from error
    out = io.BytesIO()
    drawn.save(out, form, **({"quality": 92} if form == "JPEG" else {}))
    return out.getvalue()


def colour_of(name: str) -> Colour:
    """Give a name's colour (red, green, blue; 0..255), the same in every run."""
    hue = zlib.crc32(name.encode(errors="replace")) % 360 / 360
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def _draw_box(pen: ImageDraw.ImageDraw, size: tuple[int, int], box: Boxed, thick: int, font: Font) -> None:
    width, height = size
    left, right = (round(_inside(x) * (width - 1)) for x in (box.left, box.right))
    top, bottom = (round(_inside(y) * (height - 1)) for y in (box.top, box.bottom))
    if right < left or bottom < top:
        return
    colour = colour_of(box.name)
    pen.rectangle((left, top, right, bottom), outline=colour, width=thick)
    label = f"{_printable(box.name)} {box.value:.0%}".strip()
    x1, y1, x2, y2 = pen.textbbox((0, 0), label, font=font)
    pad = thick + 1
    label_width, label_height = round(x2 - x1) + 2 * pad, round(y2 - y1) + 2 * pad
    x = max(0, min(left, width - label_width))
    y = top - label_height if top >= label_height else top  # above the box where there is room, else inside
    pen.rectangle((x, y, x + label_width, y + label_height), fill=(*colour, 235))
    pen.text((x + pad - x1, y + pad - y1), label, font=font, fill=_ink(colour))


def _inside(fraction: float) -> float:
    return min(max(fraction, 0.0), 1.0) if fraction == fraction else 0.0


def _ink(paper: Colour) -> Colour:
    """Give black or white, whichever is easier to read on `paper` (luma of ITU-R BT.601)."""
    red, green, blue = paper
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else " " for c in name)[:40]
