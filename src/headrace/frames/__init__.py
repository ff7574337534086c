"""Frames through a model: a source, a stream and the predictions, together."""

from headrace.frames.frame_prediction import FramePrediction
from headrace.frames.stats import FrameStats, meter
from headrace.frames.stream import FrameStream

__all__ = ["FramePrediction", "FrameStats", "FrameStream", "meter"]
