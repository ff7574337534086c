"""How a prediction is shown at a prompt and in a notebook, in a few words; this never raises."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from headrace import media

if TYPE_CHECKING:
    from headrace.results.prediction import Prediction
    from headrace.results.views import Concept, Frame, Region

_BEST = 2  # things that a line names
_CHARACTERS = 60  # of a text on a line
_ROWS = 20  # of a table
_TEXT_CHARACTERS = 10_000  # of a text in a notebook
_PICTURE_BYTES = 4 << 20  # above, a notebook does not hold the picture itself
_PICTURE_TYPES = {"png": "png", "jpg": "jpeg", "gif": "gif", "webp": "webp"}  # that browsers show


def line(prediction: Prediction) -> str:
    """Write a prediction in a few words."""
    if prediction.error is not None:
        return f"{prediction.input_id or prediction.position}: {type(prediction.error).__name__}"
    if len(prediction) != 1:
        return f"of {len(prediction)} inputs"
    try:
        return ", ".join(_parts(prediction)) or "that is empty"
    except Exception as error:  # what cannot be decoded; a prompt must not fail
        return f"that cannot be read: {type(error).__name__}"


def _parts(prediction: Prediction) -> Iterator[str]:
    things: list[Concept | Region] = [*prediction.concepts, *_best_first(prediction.regions)]
    yield from (f"{printable(one.name or 'region')} {one.value:.2f}" for one in things[:_BEST])
    if prediction.frames:
        yield f"{len(prediction.frames)} frames"
    if text := prediction.text:
        yield repr(text if len(text) <= _CHARACTERS else f"{text[: _CHARACTERS - 1]}…")
    for vector in prediction.embeddings[:1]:
        yield f"vector of {len(vector)} numbers"
    for kind, data in (("picture", prediction.image), ("sound", prediction.audio)):
        if data:
            yield f"{media.extension(data)} {kind} of {len(data):,} bytes"


def page(prediction: Prediction) -> str:
    """Write a prediction as HTML for a notebook: tables, the text, the picture; all from the model is escaped."""
    if prediction.error is not None:
        return f"<b>{_text(type(prediction.error).__name__)}</b>: {_text(str(prediction.error)[:_TEXT_CHARACTERS])}"
    if len(prediction) != 1:
        shown = [f"<li>{page(one)}</li>" for one in _first(prediction)]
        return f'<ol start="0">{"".join(shown)}</ol>{_more(len(prediction))}'
    try:
        return "".join(_blocks(prediction)) or "<i>an empty prediction</i>"
    except Exception as error:
        return f"<i>a prediction that cannot be read: {_text(type(error).__name__)}</i>"


def _first(prediction: Prediction) -> list[Prediction]:
    return [prediction[index] for index in range(min(len(prediction), _ROWS))]


def _blocks(prediction: Prediction) -> Iterator[str]:
    if concepts := prediction.concepts:
        yield _table(("name", "value"), ((c.name, f"{c.value:.2f}") for c in concepts[:_ROWS]), len(concepts))
    if regions := _best_first(prediction.regions):
        rows = ((r.name or r.text, f"{r.value:.2f}", *(f"{edge:.2f}" for edge in r.box)) for r in regions[:_ROWS])
        yield _table(("name", "value", "top", "left", "bottom", "right"), rows, len(regions))
    if frames := prediction.frames:
        yield _table(("time", "seen"), ((f"{f.time:.2f} s", _names(f)) for f in frames[:_ROWS]), len(frames))
    if text := prediction.text:
        yield f'<pre style="white-space: pre-wrap">{_text(text[:_TEXT_CHARACTERS])}</pre>'
    for vector in prediction.embeddings[:1]:
        yield f"<p>a vector of {len(vector)} numbers</p>"
    if picture := prediction.image:
        yield _picture(picture)
    if sound := prediction.audio:
        yield f"<p>a sound ({media.extension(sound)}) of {len(sound):,} bytes</p>"


def _names(frame: Frame) -> str:
    things: list[Concept | Region] = [*frame.concepts, *frame.regions]
    return ", ".join(f"{one.name} {one.value:.2f}" for one in things)


def _picture(data: bytes) -> str:
    kind = media.extension(data)
    if kind in _PICTURE_TYPES and len(data) <= _PICTURE_BYTES:
        return f'<img src="data:image/{_PICTURE_TYPES[kind]};base64,{base64.b64encode(data).decode()}">'
    return f"<p>a picture ({kind}) of {len(data):,} bytes</p>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], count: int) -> str:
    lines = [f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows]
    titles = "".join(f"<th>{title}</th>" for title in head)
    return f"<table><tr>{titles}</tr>{''.join(lines)}</table>{_more(count)}"


def _more(count: int) -> str:
    return f"<p>… and {count - _ROWS} more</p>" if count > _ROWS else ""


def _best_first(regions: Sequence[Region]) -> list[Region]:
    return sorted(regions, key=lambda region: -region.value if region.value == region.value else 0.0)


def printable(text: str) -> str:
    """Put a name on one line, without characters that would steer a terminal."""
    return "".join(c if c.isprintable() else " " for c in text[:_CHARACTERS])


def _text(text: str) -> str:
    import html  # for notebooks alone

    return html.escape(text.encode(errors="replace").decode())
