"""Choosing the parts of an answer to show, in any output."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.results import Concept, Frame


def frame_concepts(frame: Frame) -> list[Concept]:
    """Return the concepts of a frame that are not the names of its regions."""
    named = {region.name for region in frame.regions}
    return [concept for concept in frame.concepts if concept.name not in named]
