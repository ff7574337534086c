"""Puts a model's calls under a stream of frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack, cast

from headrace.calls.options import CallOptions, checked_on_error
from headrace.errors import ConfigError
from headrace.events import Dropped
from headrace.frames.feed import feed
from headrace.frames.stream import FrameStream, Mode
from headrace.track import Tracker

if TYPE_CHECKING:
    from headrace.calls.streams import DuplexStream, OnError
    from headrace.flow.pipe import Overflow
    from headrace.model import Model
    from headrace.sources.iterables import Source


class FrameOptions(CallOptions, total=False):
    """What `stream_frames` takes.

    Attributes:
        window: most frames in flight, 8 by default.
        target_latency: seconds; the window becomes smaller when answers take longer, larger (at most `window`) when
            they don't.
        overflow: what happens to frames when the window is full: "block", "latest", "drop_oldest" or "drop_newest";
            left out: "latest" for what is live, "block" for files and other iterators.
        max_age: seconds after which a frame that still waits is dropped.
        mode: "stream" (one duplex call), "unary" (concurrent calls), or "auto" (default): a stream, and unary calls
            where the server has none, or answers only after the last input.
        ordered: in the order of the frames (default), or as they are ready.
        track: give the same object the same `track_id` from frame to frame (needs ordered=True, and scipy): True, or a
            `headrace.track.Tracker` with other settings.
        on_error: "yield" frames whose prediction has `.error` (default), or "raise" it.
    """

    window: int
    target_latency: float | None
    overflow: Overflow | None
    max_age: float | None
    mode: Mode
    ordered: bool
    on_error: OnError
    track: bool | Tracker


def through(model: Model, source: Any, **options: Unpack[FrameOptions]) -> FrameStream:
    """Make the stream of frames; see `Model.stream_frames`."""
    given = cast("dict[str, Any]", dict(options))
    window = given.pop("window", 8)
    target_latency = given.pop("target_latency", None)
    mode = given.pop("mode", "auto")
    on_error = checked_on_error(given.pop("on_error", "yield"))
    overflow, max_age = given.pop("overflow", None), given.pop("max_age", None)
    ordered = given.pop("ordered", True)
    track = given.pop("track", False)
    if track and not ordered:
        raise ConfigError("track needs the frames in their order: ordered=True")
    model._given(cast("CallOptions", given), "image")  # a wrong option is found now, not when the stream starts

    emit = model.client._session.emit

    def told(id: str, number: int, cause: str) -> None:
        emit(Dropped(id, number, cause))

    def open_stream(frames: Source[Any], most: int) -> DuplexStream:
        return model.stream(frames, "image", window=most, prefetch=1, ordered=ordered, **given)

    def open_unary(frames: Source[Any], most: int) -> DuplexStream:
        return model.map(frames, concurrency=most, ordered=ordered, on_error="yield", input_type="image", **given)

    return FrameStream(
        feed(source, overflow, max_age, told),
        open_stream,
        open_unary,
        window=window,
        target_latency=target_latency,
        mode=mode,
        on_error=on_error,
        first_answer=model.client.timeouts.first_answer,
        tracker=(Tracker() if track is True else track) or None,
    )
