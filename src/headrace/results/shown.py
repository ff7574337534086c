"""How a prediction is shown at a prompt and in a notebook, in a few words; this never raises."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from headrace import media

if TYPE_CHECKING:
    from headrace.results.prediction import Prediction
    from headrace.results.views import Concept, Region

_BEST = 2  # things that a line names
_CHARACTERS = 60  # of a text on a line


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
    things: list[Concept | Region] = [*prediction.concepts, *best_first(prediction.regions)]
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


def best_first(regions: Sequence[Region]) -> list[Region]:
    """Sort regions by their value, those without a number last."""
    return sorted(regions, key=lambda region: -region.value if region.value == region.value else 0.0)


def printable(text: str) -> str:
    """Put a name on one line, without characters that would steer a terminal."""
    return "".join(c if c.isprintable() else " " for c in text[:_CHARACTERS])
