"""Serving HTTP in front of a V2 server: what `headrace proxy` and `headrace studio` share."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from headrace.cli.connect import connect
from headrace.cli.options import KeyValue, Options, Sectioned, shared
from headrace.cli.run import keep_secret, run
from headrace.support.extras import install

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.web.app import Settings

F = TypeVar("F", bound="Callable[..., Any]")
_KEY = "HEADRACE_API_KEY"


class Alias(KeyValue):
    """`ALIAS=URL`, or a model's URL or id alone."""

    name = "[ALIAS=]MODEL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Take the alias and the model; a model without an alias goes by its id."""
        if "=" not in value:
            return value.rstrip("/").rpartition("/")[2], value
        return super().convert(value, param, ctx)


@dataclass(frozen=True, slots=True)
class Served:
    """The models to serve, and the addresses."""

    models: dict[str, str]
    host: str
    port: int
    api_key: str | None
    origins: tuple[str, ...]
    insecure: bool
    openai: bool = False
    studio: bool = False


def _option(*names: str, section: str, **attributes: Any) -> Callable[[F], F]:
    return click.option(*names, cls=Sectioned, section=section, **attributes)


_OPTIONS = (
    _option("--model", "aliases", section="Models", multiple=True, type=Alias(), help="A model, and its name here."),
    _option(
        "--http_port",
        section="Where it listens",
        type=click.IntRange(0, 65535),
        default=0,
        help="TCP port; by default a free one.",
    ),
    _option("--host", section="Where it listens", default="127.0.0.1", show_default=True, help="Address to bind to."),
    _option("--api_key", section="Who may use it", metavar="KEY", help=f"The only key accepted (also: {_KEY})."),
    _option("--cors", section="Who may use it", multiple=True, metavar="ORIGIN", help="Pages that may call; '*': all."),
    _option("--insecure", section="Who may use it", is_flag=True, help="Allow a public address without a key."),
)


def serving(function: F) -> F:
    """Add the options to a command; its function gets the server's as `options`, and the others as `served`."""

    @functools.wraps(function)
    def command(
        options: Options,
        aliases: tuple[tuple[str, str], ...],
        http_port: int,
        host: str,
        api_key: str | None,
        cors: tuple[str, ...],
        insecure: bool,
        **others: Any,
    ) -> Any:
        key = api_key or os.environ.get(_KEY) or None
        keep_secret(key)
        models = {alias: str(model) for alias, model in aliases}
        return function(options, Served(models, host, http_port, key, cors, insecure), **others)

    decorated: Any = command
    for decorator in reversed((shared("server"), *_OPTIONS)):
        decorated = decorator(decorated)
    return decorated  # type: ignore[no-any-return]


def serve(options: Options, served: Served) -> int:
    """Serve until interrupted; gives the exit code.

    Raises:
        click.UsageError: models, key or the extra are missing, or the address cannot be used.
    """
    if not served.models and not options.own_server:
        raise click.UsageError("which models? Name them: --model ALIAS=https://clarifai.com/USER/APP/models/MODEL")
    try:
        from headrace.web.app import Settings
        from headrace.web.door import key_for, loopback_hosts
    except ImportError as error:
        raise click.UsageError(f"this needs {error.name}: {install('web')}") from error
    hosts = loopback_hosts(served.host)
    key = key_for(served.host, served.api_key, studio=served.studio, insecure=served.insecure)
    if not (hosts or key or served.insecure):
        raise click.UsageError(f"--host {served.host} is reachable from other machines: it needs --api-key")
    return run(_serve(options, served, Settings(key, served.origins, hosts)))


async def _serve(options: Options, served: Served, settings: Settings) -> int:
    from headrace.web.app import openai_and_studio, web_app
    from headrace.web.directory import Directory
    from headrace.web.serving import ListenError, lines_for, listening

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with connect(options) as client:
        base_url = None if options.local else str(client.target)
        directory = Directory(client, served.models, options.own_server and not served.models, base_url)
        routes = openai_and_studio(directory, openai=served.openai, studio=served.studio)
        try:
            async with listening(
                web_app(client, routes, settings), served.host, served.port, sockets=served.studio
            ) as address:
                lines = lines_for(address, settings.api_key, openai=served.openai, studio=served.studio)
                sys.stdout.write("".join(f"{line}\n" for line in lines))
                sys.stdout.flush()
                await stop.wait()
        except ListenError as error:
            raise click.UsageError(str(error)) from None
    return 0
