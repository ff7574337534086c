"""The results of a model: `Prediction` and its typed views."""

from headrace.results.prediction import Output, Prediction
from headrace.results.views import (
    Concept,
    Frame,
    Region,
    Status,
    Usage,
    concepts_of,
    frames_of,
    regions_of,
    status_of,
)

__all__ = [
    "Concept",
    "Frame",
    "Output",
    "Prediction",
    "Region",
    "Status",
    "Usage",
    "concepts_of",
    "frames_of",
    "regions_of",
    "status_of",
]
