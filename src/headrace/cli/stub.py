"""`headrace models stub`: a model's methods as types for type checkers and editors."""

from __future__ import annotations

import difflib
from pathlib import Path

import click

from headrace.cli import render
from headrace.cli.connect import choose_model, connect
from headrace.cli.gather import model_and_inputs
from headrace.cli.options import Options, shared
from headrace.cli.run import DONE, run, say
from headrace.cli.terminal import line

DIFFERS = 1


@click.command()
@click.argument("model", required=False)
@click.option("--class-name", metavar="NAME", help="Name of the class; by default made of the model's id.")
@click.option("--blocking", is_flag=True, help="For headrace.blocking instead of the asyncio API.")
@click.option(
    "--check",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Compare with a stub: exit status 1 and a diff if the model's signatures are others.",
)
@shared("model", "server")
def stub(options: Options, model: str | None, class_name: str | None, blocking: bool, check: Path | None) -> int:
    """Write the types of a model's methods, for type checkers and editors.

    \b
    headrace models stub USER/APP/models/MODEL > model.pyi
    headrace models stub --local llm --blocking > llm.pyi
    headrace models stub USER/APP/models/MODEL --check model.pyi
    """
    if model is None and not options.names_model:
        names = (
            "a name of `headrace models --local`"
            if options.local
            else "USER/APP/models/MODEL, --model-url, or --model-id"
        )
        raise click.UsageError(f"which model? Give {names}")
    return run(_stub(options, model, class_name, blocking, check))


async def _stub(options: Options, word: str | None, class_name: str | None, blocking: bool, check: Path | None) -> int:
    from headrace.methods import stubs

    ref, others = model_and_inputs(options, (word,) if word is not None else ())
    if others:
        raise click.UsageError(f"{others[0]!r} is no model")
    async with connect(options, ref=ref) as client:
        model = await choose_model(client, options, ref, ())
        methods = await model.methods()
    try:
        code = stubs.stub(methods, class_name or stubs.class_name_of(model.id), str(model.ref), blocking=blocking)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if check is not None:
        return _compare(check, code, str(model.ref))
    render.emit(code.rstrip("\n"))
    return DONE


def _compare(check: Path, code: str, model: str) -> int:
    """Print how a stub differs from what it would be now; docstrings and layout do not count."""
    from headrace.methods import stubs

    try:
        before = stubs.signatures(check.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError) as error:
        raise click.UsageError(f"{check} is no stub: {error}") from error
    after = stubs.signatures(code)
    if before == after:
        return DONE
    for text in difflib.unified_diff(before.splitlines(), after.splitlines(), str(check), model, lineterm=""):
        render.emit(line(text))
    say(f"{check} differs from the model's signatures: write it again with `headrace models stub`")
    return DIFFERS


__all__ = ["stub"]
