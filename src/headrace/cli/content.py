"""What of an answer is shown, whatever it is drawn with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.results import Concept, Frame


def frame_concepts(frame: Frame) -> list[Concept]:
    """Return the concepts of a frame that none of its regions says already."""
    said = {region.name for region in frame.regions}
    return [concept for concept in frame.concepts if concept.name not in said]
