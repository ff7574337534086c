"""`headrace proxy`: OpenAI's HTTP API in front of a V2 server."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, TypeVar

import click

from headrace.cli.connect import connect
from headrace.cli.options import Command, KeyValue, Options, Sectioned, shared
from headrace.cli.run import keep_secret, run
from headrace.support.extras import install

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.web.openai.app import Settings

F = TypeVar("F", bound="Callable[..., Any]")
_KEY = "HEADRACE_API_KEY"


class _Alias(KeyValue):
    """`ALIAS=URL`, or a model's URL or id alone."""

    name = "[ALIAS=]MODEL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Take the alias and the model; a model without an alias goes by its id."""
        if "=" not in value:
            return value.rstrip("/").rpartition("/")[2], value
        return super().convert(value, param, ctx)


def _option(*names: str, section: str, **attributes: Any) -> Callable[[F], F]:
    return click.option(*names, cls=Sectioned, section=section, **attributes)


@click.command(cls=Command)
@shared("server")
@_option("--model", "aliases", section="Models", multiple=True, type=_Alias(), help="A model and the name it goes by.")
@_option(
    "--http_port", section="Where it listens", type=click.IntRange(0, 65535), default=0, help="Default: a free one."
)
@_option("--host", section="Where it listens", default="127.0.0.1", show_default=True, help="Address to bind to.")
@_option("--api_key", section="Who may use it", metavar="KEY", help=f"The only key accepted (also: {_KEY}).")
@_option(
    "--cors", section="Who may use it", multiple=True, metavar="ORIGIN", help="A web page that may call it; '*': any."
)
@_option("--insecure", section="Who may use it", is_flag=True, help="Allow a public address without a key.")
def proxy(
    options: Options,
    aliases: tuple[tuple[str, str], ...],
    http_port: int,
    host: str,
    api_key: str | None,
    cors: tuple[str, ...],
    insecure: bool,
) -> int:
    """Give OpenAI's HTTP API to the models of a V2 server, the hosted one included.

    Whoever may call it uses the credential that it was started with. When ready, one line on stdout has the address.

    \b
    headrace proxy --model gpt=https://clarifai.com/openai/chat-completion/models/gpt-4o
    headrace proxy --base_url http://127.0.0.1:8000 --http_port 8080
    """
    from headrace.server.options import is_loopback

    key = api_key or os.environ.get(_KEY) or None
    keep_secret(key)
    if not (is_loopback(host) or key or insecure):
        raise click.UsageError(f"--host {host} is reachable from other machines: it needs --api-key")
    if not aliases and not options.own_server:
        raise click.UsageError("which models? Name them: --model ALIAS=https://clarifai.com/USER/APP/models/MODEL")
    try:
        from headrace.web.openai.app import Settings
        from headrace.web.openai.door import loopback_hosts
    except ImportError as error:
        raise click.UsageError(f"this needs {error.name}: {install('web')}") from error
    names = {alias: str(model) for alias, model in aliases}
    return run(_serve(options, names, host, http_port, Settings(key, cors, loopback_hosts(host))))


async def _serve(options: Options, aliases: dict[str, str], host: str, port: int, settings: Settings) -> int:
    from headrace.web.openai.app import openai_app
    from headrace.web.openai.directory import Directory
    from headrace.web.openai.serving import ListenError, listening

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with connect(options) as client:
        directory = Directory(client, aliases, listed=options.own_server and not aliases)
        try:
            async with listening(openai_app(client, directory, settings), host, port) as address:
                sys.stdout.write(f"OpenAI's API at {address}/v1\n")
                sys.stdout.flush()
                await stop.wait()
        except ListenError as error:
            raise click.UsageError(str(error)) from None
    return 0
