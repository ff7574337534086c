"""`headrace proxy`: OpenAI's HTTP API in front of a V2 server."""

from __future__ import annotations

from dataclasses import replace

import click

from headrace.cli.http import Served, serve, serving
from headrace.cli.options import Command, Options


@click.command(cls=Command)
@serving
def proxy(options: Options, served: Served) -> int:
    """Give OpenAI's HTTP API to the models of a V2 server, the hosted one included.

    Whoever may call it uses the credential that it was started with. When ready, one line on stdout has the address.

    \b
    headrace proxy --model gpt=https://clarifai.com/openai/chat-completion/models/gpt-4o
    headrace proxy --base_url http://127.0.0.1:8000 --http_port 8080
    """
    return serve(options, replace(served, openai=True))
