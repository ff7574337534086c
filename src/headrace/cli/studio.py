"""`headrace studio`: a page to try models on."""

from __future__ import annotations

from dataclasses import replace

import click

from headrace.cli.http import Served, serve, serving
from headrace.cli.options import Command, Options


@click.command(cls=Command)
@serving
def studio(options: Options, served: Served) -> int:
    """Serve Studio, a page to try models on and to watch a stream at work.

    The page's address is the line on stdout. OpenAI's API is served beside it.

    \b
    headrace studio --local
    headrace studio --base_url http://127.0.0.1:8000 --http_port 8080
    headrace studio --model gpt=https://clarifai.com/openai/chat-completion/models/gpt-4o
    """
    return serve(options, replace(served, openai=True, studio=True))
