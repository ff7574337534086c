"""HTTP beside the gRPC server, in the same process: OpenAI's API, and Studio."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from headrace import Client
from headrace.server.listen import ListenError
from headrace.server.loading import LoadError
from headrace.server.options import Options


@contextlib.asynccontextmanager
async def http_door(options: Options, address: str, inside: str) -> AsyncIterator[list[str]]:
    """Serve HTTP in front of a running server while the body runs; yields lines with the addresses.

    Args:
        address: where others find the running server.
        inside: where the server listens for this process.

    Raises:
        LoadError: the extra `web` is not installed.
        ListenError: the address cannot be used.
    """
    try:
        from headrace.web import serving
        from headrace.web.app import Settings, openai_and_studio, web_app
        from headrace.web.directory import Directory
        from headrace.web.door import key_for, loopback_hosts
    except ImportError as error:
        from headrace.support.extras import install

        raise LoadError(f"{error.name} is not installed: {install('web')}") from None
    key = key_for(options.host, options.api_key, studio=options.studio, insecure=options.insecure)
    settings = Settings(key, options.origins, loopback_hosts(options.host))
    async with Client(base_url=inside, pat=options.require_pat, timeout=None) as client:
        routes = openai_and_studio(Directory(client, base_url=address), openai=options.openai, studio=options.studio)
        app = web_app(client, routes, settings)
        try:
            async with serving.listening(
                app,
                options.host,
                options.http_port,
                tls_cert=options.tls_cert,
                tls_key=options.tls_key,
                sockets=options.studio,
            ) as place:
                yield serving.lines_for(place, key, openai=options.openai, studio=options.studio)
        except serving.ListenError as error:
            raise ListenError(str(error)) from None
