"""Frames through a model: a source, a stream and the predictions, together."""

from headrace.frames.stats import FrameStats, meter
from headrace.frames.stream import FramePrediction, FrameStream

__all__ = ["FramePrediction", "FrameStats", "FrameStream", "meter"]
