"""`headrace stream`: many inputs through one bidirectional stream, answers as they come."""

from __future__ import annotations

import functools
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeGuard

import click
from anyio import to_thread

from headrace.cli import messages, render
from headrace.cli.completion import model_or_file
from headrace.cli.connect import Watcher, choose_model, connect, input_fields
from headrace.cli.gather import model_and_inputs, to_input_of_many
from headrace.cli.options import Command, Options, shared
from headrace.cli.run import DONE, SOME_FAILED, exit_code, run, say, warn_input
from headrace.cli.saving import Saver
from headrace.cli.status import Status
from headrace.cli.supply import Supply
from headrace.cli.tables import table_of
from headrace.cli.terminal import counted, in_seconds
from headrace.cli.video import VideoOptions, VideoRun, frame_window, video_options

if TYPE_CHECKING:
    from headrace import Input, Prediction
    from headrace.cli.part import Part
    from headrace.errors import HeadraceError


@click.command(cls=Command)
@click.argument("words", nargs=-1, metavar="[MODEL] [INPUT]...", shell_complete=model_or_file)
@shared("server", "model", "input", "output")
@video_options
@click.option("--from", "lists", multiple=True, metavar="FILE", help="A list of inputs, one a line; - for stdin.")
@click.option(
    "--window", type=click.IntRange(min=1), default=16, show_default=True, help="Maximum number of inputs in flight."
)
@click.option("--unordered", is_flag=True, help="Print answers as they arrive, not in the inputs' order.")
@click.option(
    "--on_error", type=click.Choice(["yield", "raise"]), default="yield", help="Go on after a bad input, or stop."
)
def stream(
    options: Options,
    frames: VideoOptions,
    words: tuple[str, ...],
    lists: tuple[str, ...],
    window: int,
    unordered: bool,
    on_error: str,
) -> int:
    """Send many inputs through one stream and print the answers as they come.

    An INPUT is a file, a folder, a glob, an http(s) URL, a text, or - for lines on stdin. A line is a URL, a file,
    or a text. One bad input never ends the stream: it is reported on stderr, and the exit code is 1.

    \b
    headrace stream --local photos/
    headrace stream --local --model_id detector 'shots/*.jpg' --draw --save out
    tail -f comments.txt | headrace stream --local --input_type text -o jsonl
    headrace stream --local --video clip.mp4 --draw out.mp4
    headrace stream --local --model_id detector --camera 0
    """
    stop_at_first = on_error == "raise"
    settings = {"window": window, "ordered": not unordered, "on_error": "yield"}
    of_frames = {**settings, "window": frame_window(window)}
    if frames.wanted:
        return run(VideoRun(options, frames, words, of_frames, stop_at_first=stop_at_first).all())
    ref, rest = model_and_inputs(options, words, other_inputs=bool(lists))
    model_named = ref is not None or options.names_model
    supply = Supply(options, rest, lists, model_named=model_named)
    films = replace(frames, video=tuple(str(film.path) for film in supply.films))
    as_frames = functools.partial(
        VideoRun, options, films, [ref] if ref else [], of_frames, stop_at_first=stop_at_first
    )
    if films.video and (frames.unused or options.draw is not None):
        return run(as_frames().all())
    if frames.unused:
        raise click.UsageError(f"{frames.unused} goes with frames: --video, --camera, or videos alone as inputs")
    stream_run = Run(options, ref, supply, stop_at_first=stop_at_first)
    return run(stream_run.all(settings, as_frames if films.video and model_named else None))


class Run:
    """One run of the command: names of what is in flight, counts, the line at the bottom.

    Args:
        options: the shared options.
        ref: the model's name among the positional arguments, or None.
        supply: the inputs.
        stop_at_first: end at the first input that fails.
    """

    def __init__(self, options: Options, ref: str | None, supply: Supply, *, stop_at_first: bool = False) -> None:
        self._options = options
        self._ref = ref
        self._supply = supply
        self._stop_at_first = stop_at_first
        self._total = supply.total
        self._names: dict[int, Part] = {}
        self._status = Status()
        self._watcher = Watcher(self._status)
        self._pretty = render.on_terminal()
        self._saver = Saver.of(options, several=supply.total != 1)
        self._done = self._failed = 0
        self._start = time.monotonic()
        self._first: float | None = None
        self._records: list[dict[str, Any]] = []
        self._table = table_of(options)

    async def all(self, settings: dict[str, Any], as_frames: Callable[[], VideoRun] | None = None) -> int:
        """Stream everything, print, and give the exit code.

        Args:
            settings: of the stream.
            as_frames: makes the run for a model that takes pictures, if all inputs are videos.
        """
        options, named = self._options, self._ref is not None or self._options.names_model
        kind, source = (None, None) if named else await self._supply.inputs(None)
        with self._status:
            async with connect(options, self._watcher, self._ref) as client:
                model = await choose_model(client, options, self._ref, [kind] if kind else [])
                if as_frames is not None:
                    fields = await input_fields(model) or ()
                    if "image" in fields and "video" not in fields:
                        return await as_frames().through(model)
                if source is None:
                    mixed = len(self._supply.kinds) > 1
                    _, source = await self._supply.inputs(await input_fields(model) if mixed else None)
                self._start = time.monotonic()
                inputs = self._named(source) if isinstance(source, AsyncIterator) else self._named_sync(source)
                try:
                    async with model.stream(inputs=inputs, **settings, **options.call) as predictions:
                        async for prediction in predictions:
                            await self._take(prediction)
                            if self._ends(prediction.error):
                                self._finish()
                                return exit_code(prediction.error)
                except BrokenPipeError:  # nobody reads: quietly
                    self._status.clear()
                    raise
                except BaseException:
                    self._finish()
                    raise
                self._finish()
        return SOME_FAILED if self._failed else DONE

    def _ends(self, error: HeadraceError | None) -> TypeGuard[HeadraceError]:
        """Return whether an input's failure ends the run: by option, or because all inputs have the refused type."""
        if error is None:
            return False
        return self._stop_at_first or (messages.refuses_type(error) and len(self._supply.kinds) == 1)

    async def _named(self, source: AsyncIterator[Part]) -> AsyncIterator[Input]:
        position = 0
        async for item in source:
            self._names[position] = item
            position += 1
            yield to_input_of_many(item)

    def _named_sync(self, source: Iterable[Part]) -> Iterator[Input]:
        for position, item in enumerate(source):
            self._names[position] = item
            yield to_input_of_many(item)

    async def _take(self, prediction: Prediction) -> None:
        """Print one answer, save what it holds, count it."""
        part = self._names.pop(prediction.position, None)
        name = part.name if part is not None else prediction.input_id
        if self._first is None:
            self._first = time.monotonic()
        self._done += 1
        self._status.clear()
        form = self._options.output
        if form == "jsonl":
            render.emit(render.as_json(render.record(prediction, name), indent=None))
        elif form == "json":
            self._records.append(render.record(prediction, name))
        elif self._table is not None:
            self._table.add(prediction, name)
        if prediction.error is not None:
            self._failed += 1
            warn_input(name, prediction.error)
        elif form == "text":
            render.emit(render.row(name, prediction, pretty=self._pretty))
        if prediction.error is None and part is not None:
            # In a thread: drawing on a large picture takes longer than the stream should wait.
            saved = functools.partial(self._saver.saved, prediction, (part,), prediction.position)
            self._failed += not (await to_thread.run_sync(saved) if self._saver.active else saved())
        self._progress()

    def _progress(self) -> None:
        rate = self._done / max(time.monotonic() - self._start, 1e-6)
        counted = f"{self._done} of {self._total}" if self._total else f"{self._done} done"
        failed = f", {self._failed} failed" if self._failed else ""
        self._status.progress("stream", self._done, self._total, f"{counted}, {rate:.1f}/s{failed}")

    def _finish(self) -> None:
        """Print the list of JSON and the summary; also when interrupted."""
        self._status.clear()
        if self._options.output == "json":
            render.emit(render.as_json(self._records))
        if self._table is not None:
            self._table.finish()
        seconds = time.monotonic() - self._start
        failed = f", {self._failed} failed" if self._failed else ""
        first = f", the first after {in_seconds(self._first - self._start)}" if self._first is not None else ""
        rate = f" ({self._done / seconds:.1f}/s)" if self._done and seconds > 0 else ""
        say(f"{counted(self._done, 'answer')}{failed} in {in_seconds(seconds)}{rate}{first}")
