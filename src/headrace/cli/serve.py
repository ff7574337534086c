"""`headrace serve`: the embedded server; its options are the server's own (`headrace.server.options`)."""

from __future__ import annotations

import argparse
from typing import Any

import click

from headrace.cli.completion import model_names
from headrace.cli.options import Command, Sectioned
from headrace.server import options as server

_SECTIONS = {
    "Where it listens": ("--port", "--unix", "--host"),
    "OpenAI's API and Studio": ("--openai", "--studio", "--http-port", "--api-key", "--cors"),
    "Models": ("--models", "--faults", "--allow-private-urls", "--max-calls", "--max-request-mb"),
    "Who may use it": ("--tls-cert", "--tls-key", "--require-pat", "--insecure"),
}


def _option(action: argparse.Action) -> click.Option:
    """Make the command's option of the server's own."""
    name = action.option_strings[0]
    section = next((section for section, names in _SECTIONS.items() if name in names), "")
    flag = action.nargs == 0
    attributes: dict[str, Any] = {} if flag else {"metavar": action.metavar or action.dest.split("_")[-1].upper()}
    text = (action.help or "") % {"default": action.default}
    return Sectioned(
        [name],
        section=section,
        is_flag=flag,
        multiple=isinstance(action.default, list) or name == "--models",
        hidden=action.help == argparse.SUPPRESS,
        help=f"{text[:1].upper()}{text[1:]}." if action.help != argparse.SUPPRESS else None,
        shell_complete=model_names if name == "--models" else None,
        **attributes,
    )


def _arguments(parameters: dict[str, Any]) -> list[str]:
    """Write the options as the server's own parser reads them, which checks them."""
    arguments: list[str] = []
    for action in server.parser("headrace serve").actions:
        value = parameters.get(action.dest)
        if action.nargs == 0:
            arguments += [action.option_strings[0]] if value else []
            continue
        values = value if isinstance(value, tuple) else () if value is None else (value,)
        arguments += [f"{action.option_strings[0]}={one}" for one in values]
    return arguments


@click.command("serve", cls=Command, params=[_option(action) for action in server.parser("headrace serve").actions])
@click.argument("targets", nargs=-1, metavar="[CLASS]...", type=click.Path())
@click.pass_context
def serve(context: click.Context, /, targets: tuple[str, ...], **values: Any) -> None:
    """Serve models on this machine, over the Clarifai V2 prediction protocol.

    A CLASS is a model of yours: path/to/module.py:Class or package.module:Class. When ready, one line on stdout has the
    address: listening on http://127.0.0.1:PORT

    \b
    headrace serve --port 8000
    headrace serve my_model.py:MyModel --models none
    """
    from headrace.server.__main__ import run

    context.exit(run(prog="headrace serve", argv=[*_arguments(values), "--", *targets]))
