"""`headrace serve`: the embedded server; its options are the server's own (`headrace.server.options`)."""

from __future__ import annotations

import click


@click.command(
    "serve",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    add_help_option=False,
    short_help="Serve models on this machine, over the same protocol.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def serve(context: click.Context, arguments: tuple[str, ...]) -> None:
    """Serve models on this machine (`headrace serve --help` lists the options)."""
    from headrace.server.__main__ import run

    context.exit(run(prog="headrace serve", argv=arguments))
