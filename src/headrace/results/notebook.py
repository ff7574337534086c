"""How a prediction shows itself in a notebook: tables, the text, pictures with their boxes; it never raises.

All that comes from a model is escaped and bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from headrace import media
from headrace.results.shown import best_first
from headrace.support import htmltext

if TYPE_CHECKING:
    from PIL import Image

    from headrace.results.prediction import Prediction
    from headrace.results.views import Concept, Frame, Region

_SOURCE_BYTES = 20 << 20  # of a file that is read to be drawn on
_SIDE = 800  # of a picture with boxes, in pixels
_ALONG = 8 << 20  # characters of a page with the answers of several inputs


def page(prediction: Prediction) -> str:
    """Write a prediction as HTML."""
    if prediction.error is not None:
        text = htmltext.escaped(prediction.error, htmltext.TEXT_CHARACTERS)
        return f"<b>{htmltext.escaped(type(prediction.error).__name__)}</b>: {text}"
    if len(prediction) != 1:
        items: list[str] = []
        for index in range(min(len(prediction), htmltext.ROWS)):
            if sum(map(len, items)) < _ALONG:
                items.append(f"<li>{page(prediction[index])}</li>")
        return f'<ol start="0">{"".join(items)}</ol>{htmltext.more(len(prediction))}'
    try:
        return "".join(_blocks(prediction)) or "<i>an empty prediction</i>"
    except Exception as error:  # what cannot be decoded; a notebook shows the rest of its cell
        return f"<i>a prediction that cannot be read: {htmltext.escaped(type(error).__name__)}</i>"


def png(prediction: Prediction) -> bytes | None:
    """Give a prediction's picture as PNG: the model's own, else the input with its boxes; None where there is none."""
    try:
        image = prediction.image
        if image:
            return image if media.extension(image) == "png" else _encoded(media.decode(image))
        return drawn(prediction.source, prediction.regions)
    except Exception:  # a failed input, a batch, what cannot be decoded or drawn
        return None


def drawn(source: str | Image.Image | None, regions: tuple[Region, ...]) -> bytes | None:
    """Draw regions on the picture that was sent, as PNG of a moderate size.

    Args:
        source: the picture, or the path of its file; anything else, and what cannot be read, gives None.
    """
    from headrace.draw import draw

    if not source or not regions:
        return None
    try:
        if isinstance(source, str):
            path = Path(source)
            if media.kind_of_name(source) != "image" or not path.is_file() or path.stat().st_size > _SOURCE_BYTES:
                return None
        return _encoded(draw(source, regions))
    except Exception:  # Pillow is missing, the file is gone or no picture, a mask is broken: the table says it all
        return None


def _encoded(picture: Image.Image) -> bytes:
    from headrace.results.saving import encode

    if max(picture.size) > _SIDE:
        picture = picture.copy()
        picture.thumbnail((_SIDE, _SIDE))
    return encode(picture, "png")


def _blocks(prediction: Prediction) -> Iterator[str]:
    if concepts := prediction.concepts:
        yield htmltext.table(("name", "value"), ((c.name, f"{c.value:.2f}") for c in concepts), len(concepts))
    if regions := prediction.regions:
        yield from regions_of(regions, drawn(prediction.source, regions))
    if frames := prediction.frames:
        yield htmltext.table(("time", "seen"), ((f"{f.time:.2f} s", _names(f)) for f in frames), len(frames))
    if text := prediction.text:
        yield htmltext.block(text)
    for vector in prediction.embeddings[:1]:
        yield f"<p>a vector of {len(vector)} numbers</p>"
    if image := prediction.image:
        kind = media.extension(image)
        yield htmltext.picture(image, kind) or f"<p>a picture ({kind}) of {len(image):,} bytes</p>"
    if sound := prediction.audio:
        yield f"<p>a sound ({media.extension(sound)}) of {len(sound):,} bytes</p>"


def regions_of(regions: tuple[Region, ...], picture: bytes | None) -> Iterator[str]:
    """Write regions as HTML: the picture with their boxes, where there is one, and a table."""
    if picture is not None:
        yield htmltext.picture(picture, "png") or ""
    best = best_first(regions)
    rows = ((r.name or r.text, f"{r.value:.2f}", *(f"{edge:.2f}" for edge in r.box)) for r in best)
    yield htmltext.table(("name", "value", "top", "left", "bottom", "right"), rows, len(best))


def _names(frame: Frame) -> str:
    things: list[Concept | Region] = [*frame.concepts[: htmltext.ROWS], *frame.regions[: htmltext.ROWS]]
    return ", ".join(f"{one.name} {one.value:.2f}" for one in things)
