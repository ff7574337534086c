"""A frame as a picture, with its prediction drawn on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.draw import draw_boxes
from headrace.results.views import Concept, Region

if TYPE_CHECKING:
    from PIL.Image import Image

    from headrace.frames import FramePrediction


def annotated(frame: FramePrediction) -> Image | None:
    """Draw the regions; if there are none, the best concept or the text as a label of the whole picture.

    Returns:
        The picture (RGB), plain if the prediction failed; None if there is no picture at all.
    """
    picture = frame.picture()
    if picture is None or frame.error is not None:
        return picture
    return draw_boxes(picture, [_labelled(region) for region in frame.regions] or _whole(frame))


def _labelled(region: Region) -> Region:
    """Show an object's id beside its name."""
    if not region.track_id:
        return region
    name = Concept(f"{region.name} #{region.track_id}", region.value)
    return Region(region.top, region.left, region.bottom, region.right, region.value, (name,), region.mask)


def _whole(frame: FramePrediction) -> list[Region]:
    if frame.concepts:
        best = frame.concepts[0]
        return [Region(0, 0, 1, 1, best.value, (best,))]
    return []
