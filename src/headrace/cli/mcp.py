"""`headrace mcp`: models as tools of an MCP server, over stdin and stdout or HTTP."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.connect import connect
from headrace.cli.http import Alias
from headrace.cli.options import Command, Options, Sectioned, shared
from headrace.cli.run import run, say
from headrace.cli.terminal import counted
from headrace.support.extras import install

if TYPE_CHECKING:
    from headrace import Client, Model

_HOST = "127.0.0.1"
_BODY_BYTES = 96 << 20  # of a request over HTTP: a picture as base64


@click.command(cls=Command)
@shared("server")
@click.option(
    "--model",
    "models",
    cls=Sectioned,
    section="Tools",
    multiple=True,
    type=Alias(),
    help="A model, and what its tool is called; left out with --local: all of them.",
)
@click.option(
    "--allow_path",
    "folders",
    cls=Sectioned,
    section="Tools",
    multiple=True,
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Let tools read files below this folder; else none.",
)
@click.option("--http", cls=Sectioned, section="Where it listens", is_flag=True, help="HTTP on loopback, not stdio.")
@click.option(
    "--http_port",
    cls=Sectioned,
    section="Where it listens",
    type=click.IntRange(0, 65535),
    default=0,
    help="TCP port; by default a free one.",
)
def mcp(
    options: Options, models: tuple[tuple[str, str], ...], folders: tuple[Path, ...], http: bool, http_port: int
) -> int:
    """Offer models as tools to assistants, editors and agents that speak MCP.

    A host starts this command and talks to it over stdin and stdout; messages for people go to stderr. A tool stands
    for each method of a model. The credential stays here: no tool shows it.

    \b
    headrace mcp --local --model detector --model llm
    headrace mcp --model gpt=https://clarifai.com/openai/chat-completion/models/gpt-4o
    headrace mcp --local --model classifier --allow_path ~/Pictures
    headrace mcp --local --http --http_port 8080
    """
    if not models and not options.own_server:
        raise click.UsageError("which models? Name them: --model NAME=https://clarifai.com/USER/APP/models/MODEL")
    try:
        import headrace.integrations.mcp  # noqa: F401
    except ImportError as error:
        raise click.UsageError(f"this needs {error.name or 'mcp'}: {install('mcp')}") from error
    port = http_port if http or http_port else None
    return run(_serve(options, {name: str(model) for name, model in models}, folders, port))


async def _serve(options: Options, named: dict[str, str], folders: tuple[Path, ...], port: int | None) -> int:
    from headrace.integrations.mcp import mcp_server

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with connect(options) as client:
        models = await _models(client, named)
        server = mcp_server(models, allow_paths=folders)
        say(f"offering {counted(len(models), 'model')}: {', '.join(models)}")
        if port is not None:
            await _over_http(server, port, stop)
            return 0
        serving = asyncio.ensure_future(_over_stdio(server))
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
    if serving.done():
        serving.result()
        return 0
    sys.stderr.flush()
    os._exit(0)  # a thread reads stdin, which nothing but another line or its end would wake; all else is closed


async def _models(client: Client, named: dict[str, str]) -> dict[str, Model]:
    """Give the models by the names of their tools: those that were named, or all that the server has."""
    if named:
        return {
            name: client.model(model) if "/" in model else client.model(model_id=model) for name, model in named.items()
        }
    infos = await client.models()
    return {info.id: client.model(user_id=info.user_id, app_id=info.app_id, model_id=info.id) for info in infos}


async def _over_stdio(server: Any) -> None:
    from mcp.server.stdio import stdio_server

    async with stdio_server() as (incoming, outgoing):  # what else is printed on stdout goes to stderr meanwhile
        await server.run(incoming, outgoing, server.create_initialization_options())


async def _over_http(server: Any, port: int, stop: asyncio.Event) -> None:
    from headrace.web.serving import ListenError, listening

    app = server.streamable_http_app(host=_HOST, max_request_body_size=_BODY_BYTES)
    try:
        async with listening(app, _HOST, port, lifespan=True) as address:
            sys.stdout.write(f"MCP at {address}/mcp\n")
            sys.stdout.flush()
            await stop.wait()
    except ListenError as error:
        raise click.UsageError(str(error)) from None
