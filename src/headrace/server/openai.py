"""OpenAI's HTTP API beside the gRPC server, in the same process: `headrace serve --openai`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from headrace import Client
from headrace.server.listen import ListenError
from headrace.server.loading import LoadError
from headrace.server.options import Options


@contextlib.asynccontextmanager
async def openai_door(options: Options, inside: str) -> AsyncIterator[str]:
    """Serve OpenAI's API in front of a running server while the body runs; gives its address.

    Args:
        inside: where the server listens for this process.

    Raises:
        LoadError: the extra `web` is not installed.
        ListenError: the address cannot be used.
    """
    try:
        from headrace.web.openai import serving
        from headrace.web.openai.app import Settings, openai_app
        from headrace.web.openai.directory import Directory
        from headrace.web.openai.door import loopback_hosts
    except ImportError as error:
        from headrace.support.extras import install

        raise LoadError(f"{error.name} is not installed: {install('web')}") from None
    async with Client(base_url=inside, pat=options.require_pat, timeout=None) as client:
        hosts = loopback_hosts(options.host)
        app = openai_app(client, Directory(client), Settings(options.api_key, options.origins, hosts))
        try:
            async with serving.listening(
                app, options.host, options.http_port, tls_cert=options.tls_cert, tls_key=options.tls_key
            ) as address:
                yield address
        except serving.ListenError as error:
            raise ListenError(str(error)) from None
