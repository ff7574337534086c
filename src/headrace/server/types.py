"""Types for the arguments and results of models with typed methods, besides Python's own.

Understood in annotations: str, bytes, int, float, bool, dict and list (JSON), `list[X]`, `tuple[X, Y]`, numpy arrays,
PIL pictures, the types here, dataclasses and TypedDicts of all these (clients give and get dicts), and `Iterator[X]` /
`AsyncIterator[X]` for a stream of values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NewType, TypeVar

from headrace.results import Concept, Frame, Region

Text = NewType("Text", str)
Image = NewType("Image", bytes)  # an encoded file
Audio = NewType("Audio", bytes)
Video = NewType("Video", bytes)

F = TypeVar("F", bound=Callable[..., Any])


def method(function: F) -> F:
    """Let calls reach a method that is not named `predict`, `generate` or `stream`; it needs annotations."""
    function.__headrace_method__ = True  # type: ignore[attr-defined]
    return function


__all__ = ["Audio", "Concept", "Frame", "Image", "Region", "Text", "Video", "method"]
