"""Where inputs come from: files, URLs, lines, videos and cameras, alone or several as one.

The names are imported when they are first used: the core imports this package for `iterables` alone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.sources.base import InputSource, ItemSource
    from headrace.sources.cameras import camera
    from headrace.sources.files import from_bytes, from_glob, from_paths
    from headrace.sources.items import SourceInput
    from headrace.sources.lines import from_csv, from_jsonl, from_lines
    from headrace.sources.merged import Merged, merge
    from headrace.sources.urls import from_urls
    from headrace.sources.videos import FrameInput, VideoSource, VideoStats, video

_PLACES = {
    "base": ("InputSource", "ItemSource"),
    "cameras": ("camera",),
    "files": ("from_bytes", "from_glob", "from_paths"),
    "items": ("SourceInput",),
    "lines": ("from_csv", "from_jsonl", "from_lines"),
    "merged": ("Merged", "merge"),
    "urls": ("from_urls",),
    "videos": ("FrameInput", "VideoSource", "VideoStats", "video"),
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names}

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


if not TYPE_CHECKING:  # type checkers would take any name then

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
