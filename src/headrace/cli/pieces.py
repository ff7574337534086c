"""Answers in pieces: generated, printed as they come, and saved."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from headrace.cli import render, sounds
from headrace.cli.gather import Gathered, to_input
from headrace.cli.run import DONE, SOME_FAILED, say
from headrace.cli.saving import Saver
from headrace.cli.tables import table_of
from headrace.cli.terminal import counted, escape, in_seconds, is_terminal, width
from headrace.cli.wrapping import Wrapped
from headrace.errors import InputError
from headrace.results import Prediction
from headrace.v2 import resources_pb2 as pb

if TYPE_CHECKING:
    from headrace import Model
    from headrace.cli.connect import Watcher
    from headrace.cli.options import Options
    from headrace.cli.part import Part
    from headrace.cli.typed import TypedCall


async def pieces(model: Model, gathered: Gathered, call: TypedCall | None, options: Options, watcher: Watcher) -> int:
    """Generate, print the pieces as they come, and save what they hold.

    Args:
        gathered: the input, if `call` is None.
        call: a method with its arguments.

    Raises:
        click.UsageError: no input, or several.
    """
    call_options = options.call
    if call is not None:
        item, parts = call.item, call.parts
        call_options.pop("inference_params", None)
    else:
        gathered = gathered.resolved(options)
        if len(gathered.inputs) > 1:
            raise click.UsageError(
                f"generate takes one input, not {len(gathered.inputs)}; `headrace stream` takes many"
            )
        (parts,) = gathered.inputs
        item = to_input(parts)
        if gathered.params:
            call_options["inference_params"] = {**options.inference_params, **gathered.params}
    printer = Printer(options.output, Saver.of(options, several=not options.saves_one), parts, table_of(options))
    try:
        async with model.generate(inputs=[item], **call_options) as stream:
            async for chunk in stream:
                watcher.status.clear()
                if call is None:
                    printer.take(chunk)
                else:
                    answer = call.answer(chunk)
                    printer.take(answer, call.show(chunk, pretty=False) if render.is_empty(answer) else "")
    finally:
        printer.finish()
    printer.keep()
    printer.tell()
    return DONE if printer.saved else SOME_FAILED


class Printer:
    """Prints pieces as they come; JSON as one object at the end, JSONL as one object a piece, CSV as rows.

    Args:
        form: "text", "json", "jsonl", "csv" or a table's file.
        saver: keeps the text, once it is whole, and the pictures and sounds of pieces.
        parts: the input, for names.
        table: takes the pieces where they are rows.
    """

    def __init__(self, form: str, saver: Saver, parts: tuple[Part, ...], table: render.Table | None = None) -> None:
        self.saved: bool = True
        self._form = form
        self._saver = saver
        self._parts = parts
        self._table = table
        self._start = time.monotonic()
        self._first: float | None = None
        self._texts: list[str] = []
        self._media: list[dict[str, Any]] = []  # pieces that are no text, for JSON
        self._sounds: list[bytes] = []  # to be joined in one file
        self._pieces = 0
        self._request_id = ""
        self._wrapped = Wrapped("", width()) if render.on_terminal() else None
        self._open = False  # a line of text that has no end yet

    def take(self, chunk: Prediction, value: str = "") -> None:
        """Print one piece; `value` is its value if it is of no known kind."""
        if self._first is None:
            self._first = time.monotonic()
        self._pieces += 1
        self._request_id = chunk.request_id or self._request_id
        text = chunk.text
        self._texts.append(text)
        if self._form == "jsonl":
            render.emit(render.as_json({"text": text, **chunk.to_dict()}, indent=None))
        elif self._table is not None:
            self._table.add(chunk, self._parts[0].name if self._parts else "")
        elif self._form == "text" and text:
            self._write(text)
        elif self._form == "text":
            if render.is_empty(chunk):
                shown = value
            else:
                shown = "\n".join(render.media(chunk)) or render.show(chunk, pretty=render.on_terminal())
            if shown:
                self.finish()
                render.emit(shown)
        if chunk.image or chunk.audio:
            if self._form == "json":
                self._media += chunk.to_dict()["outputs"]
            if chunk.audio and self._saver.one_file:
                self._sounds.append(chunk.audio)
            else:
                self.saved &= self._saver.saved(chunk, self._parts, self._pieces - 1)

    def _write(self, text: str) -> None:
        """Write a piece of text immediately; on a terminal word by word, so that lines end between words."""
        if self._wrapped is not None:
            self._wrapped.write(text)
            return
        sys.stdout.write(render.encodable(escape(text), sys.stdout))
        sys.stdout.flush()
        self._open = not text.endswith("\n")

    def finish(self) -> None:
        """End the line, and print the one JSON object; also after a failure, with the pieces received until then."""
        if self._wrapped is not None:
            self._wrapped.end()
        elif self._open:
            self._open = False
            sys.stdout.write("\n")
            sys.stdout.flush()
        if self._table is not None and self._pieces:
            self._table.finish()
        if self._form == "json" and self._pieces:
            self._form = "done"
            whole = {"text": "".join(self._texts), "pieces": self._pieces, "request_id": self._request_id}
            render.emit(render.as_json({**whole, **({"outputs": self._media} if self._media else {})}))

    def keep(self) -> None:
        """Save the whole text, and the pieces of a sound that go into one file."""
        if self._sounds:
            try:
                sound = sounds.joined(self._sounds)
            except InputError as error:
                say(str(error))
                self.saved = False
                return
            whole = Prediction(b"", [pb.Output(data=pb.Data(audio=pb.Audio(base64=sound)))])
            self.saved &= self._saver.saved(whole, self._parts, 0, alone=True)
        if text := "".join(self._texts):
            whole = Prediction(b"", [pb.Output(data=pb.Data(text=pb.Text(raw=text)))])
            self.saved &= self._saver.saved(whole, self._parts, 0, alone=True)

    def tell(self) -> None:
        """Say on a terminal how long it took."""
        if self._first is None or not is_terminal(sys.stderr):
            return
        now = time.monotonic()
        rate = (self._pieces - 1) / (now - self._first) if self._pieces > 1 and now > self._first else 0
        speed = f", {rate:.0f} a second" if rate else ""
        sys.stderr.write(
            f"{counted(self._pieces, 'piece')} in {in_seconds(now - self._start)}, the first after"
            f" {in_seconds(self._first - self._start)}{speed}\n"
        )
