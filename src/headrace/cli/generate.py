"""`headrace generate`: one prompt in, tokens out as they come."""

from __future__ import annotations

from typing import Any

import click

from headrace.cli import typed
from headrace.cli.completion import model_or_file
from headrace.cli.connect import Watcher, choose_model, connect
from headrace.cli.gather import Gathered, gather
from headrace.cli.options import Command, Options, shared
from headrace.cli.pieces import pieces
from headrace.cli.run import run


@click.command(cls=Command)
@click.argument("words", nargs=-1, metavar="[MODEL] [INPUT]", shell_complete=model_or_file)
@shared("server", "model", "input", "fields", "output")
def generate(
    options: Options,
    words: tuple[str, ...],
    field: tuple[tuple[str, Any], ...],
    inputs: dict[str, Any],
    method: str | None,
) -> int:
    """Send a prompt to a model and print the tokens as they come.

    \b
    headrace generate --local "Tell me about rivers."
    headrace generate USER/APP/models/MODEL "Hello!" --inference_params '{"max_tokens": 50}'
    echo "What is a head race?" | headrace generate --local -o jsonl
    """
    gathered = gather(options, words, {**inputs, **dict(field)})
    return run(_generate(options, gathered, method or "generate"))


async def _generate(options: Options, gathered: Gathered, method: str) -> int:
    watcher = Watcher()
    async with connect(options, watcher, gathered.ref) as client:
        model = await choose_model(client, options, gathered.ref, gathered.kinds)
        call = await typed.for_command(model, gathered, method, options)
        if call is not None and call.method.shape == "unary":
            raise click.UsageError(f"{call.method} returns one answer: use headrace predict --method {method}")
        return await pieces(model, gathered, call, options, watcher)
