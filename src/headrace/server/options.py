"""The server's command line: one parser, used by `python -m headrace.server` and by `headrace serve`."""

from __future__ import annotations

import argparse
import ipaddress
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from headrace.server.models import BUILT_IN

PAT_VARIABLE = "HEADRACE_SERVER_PAT"
KEY_VARIABLE = "HEADRACE_API_KEY"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for, checked."""

    port: int = 0
    unix: Path | None = None
    host: str = "127.0.0.1"
    models: tuple[str, ...] | None = None  # ids of built-in models; None: all
    targets: tuple[str, ...] = ()  # users' classes
    faults: Path | None = None
    allow_private_urls: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    require_pat: str | None = None
    max_calls: int = 1024
    max_request_mb: int = 1024
    watch_stdin: bool = False
    insecure: bool = False
    openai: bool = False  # serve OpenAI's HTTP API too
    studio: bool = False  # serve Studio too
    http_port: int = 0
    api_key: str | None = None
    origins: tuple[str, ...] = ()  # of web pages that may call it

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        return self.unix is not None or is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Return whether a host name or address means this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def parse(argv: Sequence[str], prog: str = "headrace serve") -> Options:
    """Read the command line; wrong usage prints one line on stderr and exits with 2 (SystemExit)."""
    reader = parser(prog)
    arguments = reader.parse_args(argv)
    for problem in _problems(arguments):
        reader.error(problem)
    names, targets = _split(arguments.models, arguments.targets)
    options = Options(
        port=arguments.port or 0,
        unix=None if arguments.unix is None else Path(arguments.unix.removeprefix("unix:")).expanduser().absolute(),
        host=arguments.host,
        models=names,
        targets=targets,
        faults=arguments.faults,
        allow_private_urls=arguments.allow_private_urls,
        tls_cert=arguments.tls_cert,
        tls_key=arguments.tls_key,
        require_pat=arguments.require_pat or os.environ.get(PAT_VARIABLE) or None,
        max_calls=arguments.max_calls,
        max_request_mb=arguments.max_request_mb,
        watch_stdin=arguments.watch_stdin,
        insecure=arguments.insecure,
        openai=arguments.openai,
        studio=arguments.studio,
        http_port=arguments.http_port or 0,
        api_key=arguments.api_key or os.environ.get(KEY_VARIABLE) or None,
        origins=tuple(arguments.cors),
    )
    for problem in _open_doors(options, insecure=arguments.insecure):
        reader.error(problem)
    return options


def _problems(arguments: argparse.Namespace) -> Iterator[str]:
    """Yield the problems of the arguments, alone or together."""
    if arguments.unix is not None and arguments.port is not None:
        yield "--port and --unix exclude each other"
    for name in ("port", "http_port"):
        port = getattr(arguments, name)
        if port is not None and not 0 <= port <= 65535:
            yield f"--{name.replace('_', '-')} {port} is not from 0 to 65535"
    for name in ("http_port", "api_key", "cors"):
        if getattr(arguments, name) and not (arguments.openai or arguments.studio):
            yield f"--{name.replace('_', '-')} belongs to --openai and --studio"
    if (arguments.tls_cert is None) != (arguments.tls_key is None):
        yield "--tls-cert and --tls-key belong together"
    if arguments.unix is not None and arguments.tls_cert is not None:
        yield "--unix needs no TLS"
    for path in (arguments.tls_cert, arguments.tls_key, arguments.faults):
        if path is not None and not path.is_file():
            yield f"{path} is not a file"
    for name in ("max_calls", "max_request_mb"):
        if getattr(arguments, name) < 1:
            yield f"--{name.replace('_', '-')} must be at least 1"


def _open_doors(options: Options, *, insecure: bool) -> Iterator[str]:
    """Yield the settings that would admit other machines without a credential."""
    if insecure:
        return
    if not (options.loopback or (options.tls_cert and options.require_pat)):
        yield (
            f"--host {options.host} is reachable from other machines: it needs --tls-cert, --tls-key and"
            " --require-pat (or --insecure, which lets anybody in)"
        )
    if options.openai and not (
        is_loopback(options.host) or options.api_key or options.studio
    ):  # because Studio gets a generated key
        yield f"--openai on --host {options.host} is reachable from other machines: it needs --api-key"


def _split(models: list[str] | None, targets: list[str]) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """Separate built-in names from users' classes, which have a colon, a dot or a slash in them."""
    if models is None:
        return None, tuple(targets)
    named = [name for one in models for name in one.split(",") if name]
    own = [name for name in named if set(name) & set(":./") and name not in BUILT_IN]
    return tuple(name for name in named if name not in own and name != "none"), (*targets, *own)


class Parser(argparse.ArgumentParser):
    """Reports wrong usage in one line, without the list of options."""

    @property
    def actions(self) -> list[argparse.Action]:
        """The options without help; for a command line that shows them in its own way."""
        return [action for action in self._actions if action.option_strings and action.dest != "help"]

    def error(self, message: str) -> NoReturn:
        """Print the line and exit with 2."""
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())} (see --help)\n")


def parser(prog: str) -> Parser:
    """Make the parser of the command line."""
    parser = Parser(
        prog=prog,
        description="Serve models over the Clarifai V2 prediction protocol, on this machine.",
        epilog="When ready, one line on stdout tells the address: listening on http://127.0.0.1:PORT",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("targets", nargs="*", metavar="CLASS", help="your own models: path/to/module.py:Class or package.module:Class")
    add("--port", type=int, help="TCP port (default: a free one)")
    add("--unix", metavar="PATH", help="listen on a socket file instead of a port")
    add("--host", default="127.0.0.1", help="address to bind to (default: %(default)s)")
    add(
        "--models",
        action="append",
        metavar="NAMES",
        help="built-in models, with commas; or 'none' (default: all)",
    )
    add("--faults", type=Path, metavar="FILE", help="fault script (TOML): delays, failures, throttling, resets")
    add("--allow-private-urls", action="store_true", help="let URL inputs point into private networks")
    add("--tls-cert", type=Path, metavar="FILE", help="certificate chain (PEM)")
    add("--tls-key", type=Path, metavar="FILE", help="its private key (PEM)")
    add("--require-pat", metavar="PAT", help=f"the only credential accepted (also: {PAT_VARIABLE} in the environment)")
    add("--insecure", action="store_true", help="allow a public address without TLS and credential")
    add("--max-calls", type=int, default=1024, help="prediction calls at a time (default: %(default)s)")
    add("--openai", action="store_true", help="serve OpenAI's HTTP API too, on a port of its own")
    add("--studio", action="store_true", help="serve Studio too, a page to try the models on")
    add("--http-port", type=int, help="the TCP port of these two (default: a free one)")
    add("--api-key", metavar="KEY", help=f"the only key accepted there (also: {KEY_VARIABLE} in the environment)")
    add("--cors", action="append", default=[], metavar="ORIGIN", help="a web page's origin that may call it; '*': any")
    add(
        "--max-request-mb",
        type=int,
        metavar="MB",
        default=1024,
        help="megabytes of all requests that arrive or are being answered (default: %(default)s)",
    )
    add("--watch-stdin", action="store_true", help=argparse.SUPPRESS)  # end when the parent process does
    return parser
