"""Connection faults of a script: the server listens on a private address behind a proxy that injects them."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from headrace.server import listen
from headrace.server.fault_file import Script
from headrace.server.options import Options


@contextlib.asynccontextmanager
async def proxied(
    start: Callable[[listen.ListenAddress], Awaitable[str]], options: Options, script: Script
) -> AsyncIterator[str]:
    """Start the server where only the proxy finds it; gives the proxy's address.

    Args:
        start: starts the server at a place, and gives its address.

    Raises:
        ListenError: the address is in use, or cannot be made.
    """
    from headrace.testing import FaultProxy

    with contextlib.ExitStack() as stack:
        if options.tls_cert is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headrace-")))
            private = replace(options, unix=folder / "s")
        else:  # TLS passes through
            private = replace(options, host="127.0.0.1", port=0)
        place = listen.ListenAddress(private)
        stack.callback(place.leave)
        inner = await start(place)
        public = f"unix:{options.unix}" if options.unix is not None else f"{options.host}:{options.port}"
        proxy = FaultProxy(inner, script.connection, script=script.connections, listen=public)
        try:
            if options.unix is not None:
                listen.claim(options.unix)
            before = os.umask(0o177)
            try:
                await proxy.start()
            finally:
                os.umask(before)
        except OSError as error:
            raise listen.ListenError(f"cannot listen on {public}: {error.strerror or error}") from error
        try:
            yield proxy.address
        finally:
            await proxy.aclose()
