"""`headrace stream --video` and `--camera`: frames through a model, drawn, printed and counted as they come."""

from __future__ import annotations

import functools
import importlib.util
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from headrace.cli import messages, render
from headrace.cli.connect import Watcher, choose_model, connect
from headrace.cli.gather import model_and_inputs
from headrace.cli.options import Options, Seconds, Sectioned
from headrace.cli.run import DONE, SOME_FAILED, exit_code, say, warn_input
from headrace.cli.status import Status
from headrace.cli.terminal import counted, in_seconds
from headrace.errors import HeadraceError
from headrace.support.extras import install

if TYPE_CHECKING:
    from headrace import Model
    from headrace.frames import FramePrediction, FrameStats, FrameStream
    from headrace.sinks import Sink
    from headrace.sources import VideoSource

F = TypeVar("F", bound=Callable[..., Any])
VIDEO_NAMES = (".mp4", ".mkv", ".mov", ".webm", ".avi")
METER_SECONDS = 1.0
RATES = click.FloatRange(0, 1000, min_open=True)
WINDOW = 8  # frames in flight, if no --window is given: more only makes answers older
DETECTOR = "detector"  # of the embedded server: draws boxes, if no model is named


@dataclass(frozen=True, slots=True)
class VideoOptions:
    """The options for frames, besides those of a stream."""

    video: tuple[str, ...] = ()
    camera: tuple[str, ...] = ()
    fps: float | None = None
    resize: int | None = None
    track: bool = False
    captions: Path | None = None
    target_latency: float | None = None
    meter: bool = False

    @property
    def wanted(self) -> bool:
        """Whether frames are to be streamed."""
        return bool(self.video or self.camera)

    @property
    def unused(self) -> str:
        """A given option that is only for frames, "" if there is none."""
        used = {
            "--fps": self.fps, "--resize": self.resize, "--track": self.track, "--captions": self.captions,
            "--target_latency": self.target_latency, "--meter": self.meter,
        }  # fmt: skip
        return next((name for name, value in used.items() if value), "")

    @property
    def count(self) -> int:
        """How many sources there are."""
        return len(self.video) + len(self.camera)


def video_options(function: F) -> F:
    """Add the options; the function gets their values as one `VideoOptions` named `frames`."""

    @functools.wraps(function)
    def command(*positional: Any, **values: Any) -> Any:
        own = {item.name: values.pop(item.name) for item in fields(VideoOptions)}
        return function(*positional, frames=VideoOptions(**own), **values)

    add = functools.partial(click.option, cls=Sectioned, section="Videos and cameras")
    decorated: Any = command
    for decorator in reversed(
        (
            add("--video", multiple=True, metavar="PATH|URL", help="Frames of a video; --draw OUT.mp4 annotates it."),
            add("--camera", multiple=True, metavar="N|URL", help="Frames of a camera: a number, rtsp:// or http://."),
            add("--fps", type=RATES, metavar="N", help="Frames per second to send (default: all)."),
            add(
                "--resize", type=click.IntRange(16, 8192), metavar="PIXELS", help="Shrink frames to this longest side."
            ),
            add("--track", is_flag=True, help="Give each object a stable number."),
            add("--captions", type=click.Path(path_type=Path, dir_okay=False), metavar="VTT", help="Write captions."),
            add("--target_latency", type=Seconds(), metavar="SECONDS", help="Adapt the window to this latency."),
            add("--meter", is_flag=True, help="A line of counts on stderr, every second."),
        )
    ):
        decorated = decorator(decorated)
    return decorated  # type: ignore[no-any-return]


def frame_window(window: int) -> int:
    """Return the window for frames: a smaller one than for other inputs, if none was asked for."""
    source = click.get_current_context().get_parameter_source("window")
    return WINDOW if source is click.core.ParameterSource.DEFAULT else window


class VideoRun:
    """One run of the command over frames.

    Args:
        options: the shared options.
        frames: the options of videos.
        words: positional arguments: a model, and with `--draw` the video to write.
        settings: window and order.
        stop_at_first: end at the first frame that fails.

    Raises:
        click.UsageError: inputs besides the videos, missing files, outputs that exist already or don't fit.
    """

    def __init__(
        self,
        options: Options,
        frames: VideoOptions,
        words: Sequence[str],
        settings: dict[str, Any],
        *,
        stop_at_first: bool = False,
    ) -> None:
        self._options = options
        self._frames = frames
        self._settings = settings
        self._stop_at_first = stop_at_first
        if frames.track and importlib.util.find_spec("scipy") is None:  # else noticed only when frames are in flight
            raise click.UsageError(f"--track needs scipy: {install('track')}")
        self._out = self._drawing()
        self._ref, rest = model_and_inputs(options, words, other_inputs=True)
        if rest or options.url or options.data or options.file_path:
            raise click.UsageError("--video and --camera are the inputs; give no others")
        draws = options.draw is not None
        if self._ref is None and not options.names_model and (draws or frames.track):
            self._ref = DETECTOR
            say(f"using {DETECTOR}, which says where things are")
        for path in frames.video:
            if "://" not in path and not Path(path).exists():
                raise click.UsageError(f"missing file: {path}")
        if options.output not in ("text", "json", "jsonl") and options.table is None:
            raise click.UsageError("frames are printed as text, json or jsonl, or written to a .parquet or .arrow file")
        if frames.camera and options.output == "json":
            raise click.UsageError("a camera has no end, a JSON list has one: use -o jsonl")
        if frames.count > 1 and (self._out or options.save or frames.captions):
            raise click.UsageError("annotated videos, pictures and captions need exactly one video")
        self._free(self._out, frames.captions, options.table)
        self._status = Status()
        self._pretty = render.on_terminal()
        self._records: list[dict[str, Any]] = []
        self._failed = self._done = 0
        self._said = 0.0
        self._refusal: HeadraceError | None = None  # what ended it

    def _drawing(self) -> Path | None:
        """Return the annotated video to write, None if none is."""
        name = self._options.draw
        if name is None or (name == "" and self._options.save):
            return None
        if not name.lower().endswith(VIDEO_NAMES):
            raise click.UsageError("--draw takes the video to write, such as --draw out.mp4 (or --save DIR: pictures)")
        return Path(name)

    def _free(self, *paths: Path | None) -> None:
        for path in paths:
            if path is not None and path.exists() and not self._options.force:
                raise click.UsageError(f"{path} already exists; --force overwrites it")
            if path is not None and any(path.resolve() == Path(video).resolve() for video in self._frames.video):
                raise click.UsageError(f"{path} is the video that is read")

    async def all(self) -> int:
        """Stream everything, print, write, and give the exit code."""
        with self._status:
            async with connect(self._options, Watcher(self._status), self._ref) as client:
                return await self.through(await choose_model(client, self._options, self._ref, ["image"]))

    async def through(self, model: Model) -> int:
        """Stream everything through a model."""
        options, frames = self._options, self._frames
        start = time.monotonic()
        async with AsyncExitStack() as stack:
            sinks = [await stack.enter_async_context(sink) for sink in self._sinks()]
            stream = model.stream_frames(
                self._sources(),
                target_latency=frames.target_latency,
                track=frames.track,
                **self._settings,
                **options.call,
            )
            try:
                async with stream:
                    async for frame in stream:
                        for sink in sinks:
                            await sink.write(frame)
                        self._show(frame)
                        if self._ends(frame):
                            break
                        self._meter(stream)
            except BaseException:
                if self._done:  # else the error says more than counts: there is no such camera
                    self._sum_up(stream.stats, time.monotonic() - start)
                raise
            self._sum_up(stream.stats, time.monotonic() - start)
        if self._refusal is not None:
            return exit_code(self._refusal)
        for path in (self._out, frames.captions, options.table):
            if path is not None:
                say(f"wrote {path}")
        if options.save is not None:
            say(f"wrote {counted(self._done - self._failed, 'picture')} to {options.save}")
        return SOME_FAILED if self._failed else DONE

    def _ends(self, frame: FramePrediction) -> bool:
        """Return whether a frame's failure ends the run: by option, or because every frame would fail."""
        if frame.error is None or not (self._stop_at_first or messages.refuses_type(frame.error)):
            return False
        self._refusal = frame.error
        return True

    def _sources(self) -> list[VideoSource]:
        from headrace import sources

        frames = self._frames
        settings: dict[str, Any] = {"fps": frames.fps, "resize": frames.resize}
        cameras = (int(name) if name.isdecimal() else name for name in frames.camera)
        return [
            *(sources.video(path, **settings) for path in frames.video),
            *(sources.camera(name, **settings) for name in cameras),
        ]

    def _sinks(self) -> list[Sink]:
        from headrace import sinks

        opened: list[Sink] = []
        if self._out is not None:
            opened.append(sinks.VideoSink(self._out))
        if self._options.save is not None:
            folder = self._options.save
            if folder.is_dir() and any(folder.glob("*.jpg")) and not self._options.force:
                raise click.UsageError(f"{folder} holds pictures already; --force overwrites those of the same names")
            opened.append(sinks.PictureSink(folder))
        if self._frames.captions is not None:
            opened.append(sinks.WebVttSink(self._frames.captions))
        if self._options.table is not None:
            opened.append(sinks.TableSink(self._options.table))
        return opened

    def _show(self, frame: FramePrediction) -> None:
        from headrace.sinks.jsonl import record

        name = f"{frame.time:.3f}" if self._frames.count == 1 else f"{frame.source} {frame.time:.3f}"
        self._done += 1
        self._status.clear()
        if self._options.output == "jsonl":
            render.emit(render.as_json(record(frame), indent=None))
        elif self._options.output == "json":
            self._records.append(record(frame))
        if frame.error is not None:
            self._failed += 1
            warn_input(f"frame {frame.index} ({name})", frame.error)
        elif self._options.output == "text":
            render.emit(render.row(name, frame.prediction, pretty=self._pretty))

    def _meter(self, stream: FrameStream) -> None:
        from headrace.frames import meter

        now = time.monotonic()
        if self._status.on:
            self._status.show(meter(stream.stats))
        elif self._frames.meter and now - self._said >= METER_SECONDS:
            self._said = now
            say(meter(stream.stats))

    def _sum_up(self, stats: FrameStats, seconds: float) -> None:
        self._status.clear()
        if self._options.output == "json":
            render.emit(render.as_json(self._records))
        parts = [f"{counted(stats.frames, 'frame')}: {counted(stats.predictions, 'answer')}"]
        if stats.errors:
            parts.append(f"{stats.errors} failed")
        if stats.dropped:
            causes = ", ".join(f"{cause} {number}" for cause, number in sorted(stats.drops.items()))
            parts.append(f"{stats.dropped} dropped ({causes})")
        rate = f" ({self._done / seconds:.1f}/s)" if self._done and seconds > 0 else ""
        say(f"{', '.join(parts)}, in {in_seconds(seconds)}{rate}")
