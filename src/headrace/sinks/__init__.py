"""Where frames with their predictions go: annotated videos and pictures, JSON lines, tables, captions."""

from headrace.sinks.base import Sink
from headrace.sinks.jsonl import JsonlSink
from headrace.sinks.pictures import PictureSink
from headrace.sinks.table import TableSink
from headrace.sinks.video import VideoSink
from headrace.sinks.webvtt import WebVttSink

__all__ = ["JsonlSink", "PictureSink", "Sink", "TableSink", "VideoSink", "WebVttSink"]
