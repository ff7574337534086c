"""Draw boxes and masks with labels on pictures. Needs Pillow (extra `images`), imported when something is drawn."""

from __future__ import annotations

import colorsys
import io
import math
import os
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from headrace import media
from headrace.errors import InputError
from headrace.media import MAX_PIXELS, encoding, pictures
from headrace.support.later import later, later_module

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

    from headrace.results.views import Region

    Font: TypeAlias = ImageFont.ImageFont | ImageFont.FreeTypeFont
    #: A path, an encoded picture as bytes, a PIL picture, or an array of shape (height, width[, 3 or 4]), uint8.
    Picture: TypeAlias = str | os.PathLike[str] | bytes | Image.Image | Any
else:
    Image = later_module("PIL.Image")
    ImageDraw = later_module("PIL.ImageDraw")
    Font = later("PIL.ImageFont", "FreeTypeFont")
    Picture = str | os.PathLike[str] | bytes | later("PIL.Image", "Image") | Any
    Region = later("headrace.results.views", "Region")

Colour: TypeAlias = tuple[int, int, int]

_MASK_OPACITY = 0.45
_BACKGROUND = "background"
_SAME_SHARE = 0.005  # tolerance within which a value counts as the mask's share of the picture
_CELLS = 32  # cells of the grid in which a mask's middle is searched, per side


class Boxed(Protocol):
    """A region to draw: corners as fractions of the picture (0..1, rows downwards), a name and a score (0..1).

    A `Region` also has a `mask`, an encoded picture or None, which is laid over the picture.
    """

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


def draw(image: Picture, boxes: Iterable[Boxed], *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Draw boxes and masks on a picture, turned upright as its EXIF data say. See `draw_boxes`.

    Args:
        image: a path, an encoded picture as bytes, a PIL picture, or an array of shape (height, width[, 3 or 4]).
        boxes: such as `prediction.regions` or `frame.regions`.
        max_pixels: more are refused before they are decoded.

    Raises:
        ConfigError: Pillow isn't installed.
        ValueError: not a picture, or too many pixels; also of a mask.
        OSError: the path cannot be read.
    """
    media.require("PIL.Image", "drawings")
    if isinstance(image, str | os.PathLike):
        image = Path(image).read_bytes()
    if isinstance(image, bytes | bytearray | memoryview):
        image = media.decode(bytes(image), max_pixels=max_pixels)
    try:
        return draw_boxes(pictures.upright(encoding.image_of(image)), boxes)
    except InputError as error:
        raise ValueError(f"cannot draw on {type(image).__name__}: {error}") from error


def draw_boxes(picture: Image.Image, boxes: Iterable[Boxed]) -> Image.Image:
    """Return a copy of a picture (RGB) with each region labelled "name 87%": its mask laid over it, or its box drawn.

    A value that is the mask's share of the picture, as those of segmenters are, is labelled as one: "name, 55% of the
    picture". A region named "background" is left as it is if other regions have masks, too.

    Line width and letters follow the picture's size; a name always has the same colour. Boxes are drawn from the
    lowest score to the highest, so that the most certain is on top. Corners outside of the picture are cut off.

    Args:
        picture: any Pillow picture; it stays as it is.
        boxes: such as `prediction.regions`.
    """
    boxes = sorted(boxes, key=lambda b: -1.0 if math.isnan(b.value) else b.value)
    from PIL import ImageDraw, ImageFont

    drawn = pictures.rgb(picture)
    if drawn is picture:
        drawn = picture.copy()
    shorter = min(drawn.size)
    thick = max(2, round(shorter / 200))
    font = ImageFont.load_default(size=max(11, round(shorter / 30)))
    masked = [box for box in boxes if getattr(box, "mask", None)]
    if len(masked) > 1:
        boxes = [box for box in boxes if box not in masked or box.name.casefold() != _BACKGROUND]
    laid = [
        _lay_mask(drawn, mask, colour_of(box.name)) if (mask := getattr(box, "mask", None)) else None for box in boxes
    ]
    pen = ImageDraw.Draw(drawn, "RGBA")
    for box, mask in zip(boxes, laid, strict=True):
        _draw_box(pen, drawn.size, box, mask, thick, font)
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
    drawn = draw(data, boxes, max_pixels=max_pixels)
    out = io.BytesIO()
    drawn.save(out, form, **({"quality": 92} if form == "JPEG" else {}))
    return out.getvalue()


def coloured_masks(regions: Sequence[Region]) -> Image.Image:
    """Put the masks of regions into one picture (RGB): each in the colour of its name, black if there is none.

    Args:
        regions: those with a mask; the later ones lie on top.

    Raises:
        PredictionFailed: a mask that cannot be decoded.
    """
    masks = [region.mask_picture() for region in regions]
    size = max((mask.size for mask in masks), key=lambda size: size[0] * size[1])
    canvas: Image.Image = media.require("PIL.Image", "masks").new("RGB", size)
    for region, mask in zip(regions, masks, strict=True):
        canvas.paste(colour_of(region.name), mask=mask.resize(size))
    return canvas


def colour_of(name: str) -> Colour:
    """Return a name's colour (red, green, blue; 0..255), the same in every run."""
    hue = zlib.crc32(name.encode(errors="replace")) % 360 / 360
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


class _Laid(NamedTuple):
    """A mask that lies on the picture: its middle (fractions of the picture), and its share of the picture."""

    x: float
    y: float
    share: float


def _lay_mask(drawn: Image.Image, mask: bytes, colour: Colour) -> _Laid:
    """Tint what a mask covers; it is for the whole picture, whatever its size."""
    filters = media.require("PIL.ImageFilter", "drawings")
    inside = media.decode_mask(mask)
    drawn.paste(colour, mask=inside.resize(drawn.size).point([round(v * _MASK_OPACITY) for v in range(256)]))
    cells = inside.resize((_CELLS, _CELLS)).filter(filters.BoxBlur(_CELLS // 8)).tobytes()
    highest = max(cells)
    widest = [divmod(n, _CELLS) for n, value in enumerate(cells) if value == highest]  # far from its edges
    middle = [sum(cell) / len(widest) for cell in zip(*widest, strict=True)]
    row, column = min(widest, key=lambda cell: math.dist(cell, middle))
    share = sum(value * pixels for value, pixels in enumerate(inside.histogram())) / (
        255 * inside.width * inside.height
    )
    return _Laid((column + 0.5) / _CELLS, (row + 0.5) / _CELLS, share)


def _draw_box(
    pen: ImageDraw.ImageDraw,
    size: tuple[int, int],
    box: Boxed,
    mask: _Laid | None,
    thick: int,
    font: Font,
) -> None:
    """Outline a box and label it at its upper left corner, or only label a mask in its middle."""
    width, height = size
    colour = colour_of(box.name)
    is_share = mask is not None and abs(box.value - mask.share) <= _SAME_SHARE
    label = f"{_printable(box.name)}{f', {box.value:.0%} of the picture' if is_share else f' {box.value:.0%}'}".strip()
    x1, y1, x2, y2 = pen.textbbox((0, 0), label, font=font)
    pad = thick + 1
    label_width, label_height = round(x2 - x1) + 2 * pad, round(y2 - y1) + 2 * pad
    if mask is not None:
        x, y = round(mask.x * width - label_width / 2), round(mask.y * height - label_height / 2)
    else:
        if any(map(math.isnan, (box.top, box.left, box.bottom, box.right))):
            return
        left, right = (round(_inside(f) * (width - 1)) for f in (box.left, box.right))
        top, bottom = (round(_inside(f) * (height - 1)) for f in (box.top, box.bottom))
        if right < left or bottom < top:
            return
        pen.rectangle((left, top, right, bottom), outline=colour, width=thick)
        x, y = (
            left,
            top - label_height if top >= label_height else top,
        )  # above the box if there is room, else inside
    x, y = max(0, min(x, width - label_width)), max(0, min(y, height - label_height))
    pen.rectangle((x, y, x + label_width, y + label_height), fill=(*colour, 235))
    pen.text((x + pad - x1, y + pad - y1), label, font=font, fill=_ink(colour))


def _inside(fraction: float) -> float:
    return min(max(fraction, 0.0), 1.0)


def _ink(paper: Colour) -> Colour:
    """Return black or white, whichever is easier to read on `paper` (luma of ITU-R BT.601)."""
    red, green, blue = paper
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else " " for c in name)[:40]
