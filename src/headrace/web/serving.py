"""Running the application in an event loop that has other work too."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import uvicorn

_GRACE_SECONDS = 1
_IDLE_SECONDS = 75  # seconds that an idle connection is kept
_BACKLOG = 256
_MESSAGE_BYTES = 64 << 20  # of a WebSocket


class ListenError(Exception):
    """The address cannot be used; the message is one line."""


class _Server(uvicorn.Server):
    """A server that leaves signals to the loop's owner, and reports when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self.listening.set()


@contextlib.asynccontextmanager
async def listening(
    app: Any,
    host: str,
    port: int,
    *,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    sockets: bool = False,
    lifespan: bool = False,
) -> AsyncIterator[str]:
    """Serve an ASGI application while the body runs; gives its address, such as http://127.0.0.1:8080.

    Args:
        port: 0 for a free one.
        sockets: take WebSockets too.
        lifespan: the application has a life of its own, which begins and ends with the serving.

    Raises:
        ListenError: the address is in use, or not one of this machine.
    """
    bound = _bound(host.strip("[]"), port)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="on" if lifespan else "off",
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        timeout_keep_alive=_IDLE_SECONDS,
        ssl_certfile=tls_cert,
        ssl_keyfile=tls_key,
        ws="websockets-sansio" if sockets else "none",
        ws_max_size=_MESSAGE_BYTES,
    )
    server = _Server(config)
    running = asyncio.ensure_future(server.serve(sockets=[bound]))
    ready = asyncio.ensure_future(server.listening.wait())
    try:
        await asyncio.wait([running, ready], return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
            raise ListenError(f"cannot serve HTTP on {host}:{port}")
        name = f"[{host}]" if ":" in host and not host.startswith("[") else host
        yield f"{'https' if tls_cert else 'http'}://{name}:{bound.getsockname()[1]}"
    finally:
        ready.cancel()
        server.should_exit = True
        await asyncio.gather(running, ready, return_exceptions=True)
        bound.close()


def lines_for(address: str, key: str | None, *, openai: bool, studio: bool) -> list[str]:
    """Return where things are, a line each."""
    lines = [f"OpenAI's API at {address}/v1"] if openai else []
    if studio:
        lines.append(f"Studio at {address}/{f'#token={key}' if key else ''}")
    return lines


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(_BACKLOG)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        raise ListenError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    return bound
