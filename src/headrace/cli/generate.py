"""`headrace generate`: one prompt in, tokens out as they come."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from headrace.cli import render
from headrace.cli.connect import Watcher, choose_model, connect
from headrace.cli.gather import Gathered, gather, to_input
from headrace.cli.options import Command, Options, shared
from headrace.cli.run import DONE, run
from headrace.cli.terminal import escape, in_seconds, is_terminal


@click.command(cls=Command)
@click.argument("words", nargs=-1, metavar="[MODEL] [INPUT]")
@shared("server", "model", "input", "fields", "output")
def generate(
    options: Options, words: tuple[str, ...], field: tuple[tuple[str, Any], ...], inputs: dict[str, Any]
) -> int:
    """Send a prompt to a model and print the tokens as they come.

    \b
    headrace generate --local "Tell me about rivers."
    headrace generate USER/APP/models/MODEL "Hello!" --inference_params '{"max_tokens": 50}'
    echo "What is a head race?" | headrace generate --local -o jsonl
    """
    gathered = gather(options, words, {**inputs, **dict(field)})
    if len(gathered.inputs) > 1:
        raise click.UsageError(f"generate takes one input, not {len(gathered.inputs)}; `headrace stream` takes many")
    return run(_generate(options, gathered))


async def _generate(options: Options, gathered: Gathered) -> int:
    watcher = Watcher()
    params = {**options.inference_params, **gathered.params}
    call = {**options.call, **({"inference_params": params} if params else {})}
    async with connect(options, watcher) as client:
        model = await choose_model(client, options, gathered.ref, gathered.input_type)
        printer = Printer(options.output)
        try:
            async with model.generate(inputs=[to_input(gathered.inputs[0])], **call) as stream:
                async for chunk in stream:
                    watcher.status.clear()
                    printer.take(chunk)
        finally:
            printer.finish()
    printer.tell()
    return DONE


class Printer:
    """Prints pieces as they come; JSON as one object at the end, JSONL as one object a piece.

    Args:
        form: "text", "json" or "jsonl".
    """

    def __init__(self, form: str) -> None:
        self._form = form
        self._start = time.monotonic()
        self._first: float | None = None
        self._texts: list[str] = []
        self._pieces = 0
        self._request_id = ""
        self._open = False  # a line of text that has no end yet

    def take(self, chunk: Any) -> None:
        """Print one piece."""
        if self._first is None:
            self._first = time.monotonic()
        self._pieces += 1
        self._request_id = chunk.request_id or self._request_id
        text = chunk.text
        self._texts.append(text)
        if self._form == "jsonl":
            render.emit(render.as_json({"text": text, **chunk.to_dict()}, indent=None))
        elif self._form == "text" and text:
            sys.stdout.write(render.encodable(escape(text), sys.stdout))
            sys.stdout.flush()
            self._open = not text.endswith("\n")
        elif self._form == "text":
            shown = "\n".join(render.media(chunk)) or render.show(chunk, pretty=render.on_terminal())
            if shown and not render.is_empty(chunk):
                self.finish()
                render.emit(shown)

    def finish(self) -> None:
        """End the line, and print the one object of JSON; also after a failure, for what has come until then."""
        if self._open:
            self._open = False
            sys.stdout.write("\n")
            sys.stdout.flush()
        if self._form == "json" and self._pieces:
            self._form = "done"
            whole = {"text": "".join(self._texts), "pieces": self._pieces, "request_id": self._request_id}
            render.emit(render.as_json(whole))

    def tell(self) -> None:
        """Say on a terminal how long it took."""
        if self._first is None or not is_terminal(sys.stderr):
            return
        now = time.monotonic()
        rate = (self._pieces - 1) / (now - self._first) if self._pieces > 1 and now > self._first else 0
        speed = f", {rate:.0f} a second" if rate else ""
        sys.stderr.write(
            f"{self._pieces} pieces in {in_seconds(now - self._start)}, the first after"
            f" {in_seconds(self._first - self._start)}{speed}\n"
        )
