"""Where inputs come from: files, URLs, lines, videos and cameras, alone or several as one."""

from headrace.sources.base import InputSource, ItemSource
from headrace.sources.camera import camera
from headrace.sources.files import from_bytes, from_glob, from_paths
from headrace.sources.items import SourceInput
from headrace.sources.lines import from_csv, from_jsonl, from_lines
from headrace.sources.merge import Merged, merge
from headrace.sources.urls import from_urls
from headrace.sources.video import FrameInput, VideoSource, VideoStats, video

__all__ = [
    "FrameInput",
    "InputSource",
    "ItemSource",
    "Merged",
    "SourceInput",
    "VideoSource",
    "VideoStats",
    "camera",
    "from_bytes",
    "from_csv",
    "from_glob",
    "from_jsonl",
    "from_lines",
    "from_paths",
    "from_urls",
    "merge",
    "video",
]
