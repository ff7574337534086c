"""Making a stream of frames: checking its options, and supplying the calls underneath."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.calls.options import (
    FRAME_OPTIONS,
    FrameOptions,
    check_names,
    checked_count,
    checked_flag,
    checked_on_error,
    checked_overflow,
    checked_seconds,
)
from headrace.errors import ConfigError
from headrace.events import Dropped
from headrace.frames.feed import feed
from headrace.frames.stream import FrameStream, Open
from headrace.inputs import is_single
from headrace.track import Tracker

if TYPE_CHECKING:
    from headrace.calls.session import Session


def frame_stream(source: Any, options: FrameOptions, stream: Open, unary: Open, session: Session) -> FrameStream:
    """Make a stream of frames.

    Args:
        source: where the frames come from; a single picture is one frame.
        stream: opens a duplex call: (source, frames in flight at most) -> its predictions.
        unary: opens concurrent calls, alike.

    Raises:
        ConfigError: an option is wrong.
    """
    check_names(options, FRAME_OPTIONS)
    overflow, track = options.get("overflow"), options.get("track", False)
    if not isinstance(track, bool | Tracker):
        raise ConfigError(f"track must be True, False or a headrace.track.Tracker, not {track!r:.60}")
    ordered = checked_flag("ordered", options.get("ordered", True))
    if track and not ordered:
        raise ConfigError("track needs the frames in order: give ordered=True")

    def dropped(id: str, number: int, cause: str) -> None:
        session.emit(Dropped(id, number, cause))

    return FrameStream(
        feed(
            [source] if is_single(source) else source,
            checked_overflow(overflow) if overflow is not None else None,
            checked_seconds("max_age", options.get("max_age")),
            dropped,
        ),
        stream,
        unary,
        window=checked_count("window", options.get("window", 8)),
        target_latency=checked_seconds("target_latency", options.get("target_latency")),
        mode=options.get("mode", "auto"),
        on_error=checked_on_error(options.get("on_error", "yield")),
        first_answer=session.timeouts.first_answer,
        tracker=(Tracker() if track is True else track) or None,
    )


__all__ = ["frame_stream"]
