"""Making a connection: sockets, TLS, proxies; one timeout over all of it, and errors that name the phase."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import Callable

from headrace.config import Target, Transmission
from headrace.errors import ConfigError
from headrace.transport.h2.addresses import open_socket
from headrace.transport.h2.connection import Connection
from headrace.transport.h2.diagnosis import CHECK_PORT, EarlyEnd, Misfit, explain_early_end, explain_tls
from headrace.transport.h2.proxy import Proxy, Tunnel, proxy_of

_SHUTDOWN = 1.0  # seconds for TLS to say goodbye
_SETTINGS = "waiting for the server's HTTP/2 settings"
_CONNECT_CALL = r"\[Errno (\d+)\] Connect call failed"


class DialFailed(Exception):
    """There is no connection.

    Attributes:
        permanent: trying again cannot help, for the server is not what was expected.
    """

    def __init__(self, reason: str, *, permanent: bool = False) -> None:
        super().__init__(reason)
        self.permanent = permanent


class Phase:
    """What connecting is doing, for the message of a timeout."""

    __slots__ = ("doing",)

    def __init__(self) -> None:
        self.doing: str = "connecting"

    def late(self, timeout: float) -> DialFailed:
        """Make the error for when there is no connection after `timeout` seconds."""
        advice = f"; it takes connections and says nothing: {CHECK_PORT}" if self.doing == _SETTINGS else ""
        return DialFailed(f"no connection within {timeout:g} s ({self.doing}){advice}")


async def dial(
    target: Target, options: Transmission, make: Callable[[], Connection], timeout: float, phase: Phase
) -> Connection:
    """Make a connection and wait for the server's SETTINGS.

    Raises:
        DialFailed: no connection within `timeout` seconds.
        ConfigError: a certificate, or the address of a proxy, cannot be read.
    """
    loop = asyncio.get_running_loop()
    connection: Connection | None = None
    ready, end = False, loop.time() + timeout
    try:
        async with asyncio.timeout(timeout):
            connection = await _open(target, options, make, phase)
            phase.doing = _SETTINGS
            await connection.ready
            ready = True
            return connection
    except TimeoutError as error:
        if str(error):  # of the system, not ours
            raise DialFailed(str(error)) from None
        raise phase.late(timeout) from None
    except ConfigError:
        raise
    except (OSError, ValueError) as error:  # a ValueError: a name that is none
        explained: BaseException | None = explain_tls(error) if isinstance(error, ssl.SSLError) else error
        if isinstance(error, EarlyEnd) and not target.path and proxy_of(target) is None:
            explained = await explain_early_end(error, target, options.tls, end - loop.time())
        permanent = isinstance(explained, Misfit)
        raise DialFailed(_text(explained or error, phase), permanent=permanent) from None
    finally:
        if connection is not None and not ready:
            connection.give_up("it was not ready in time")


async def _open(target: Target, options: Transmission, make: Callable[[], Connection], phase: Phase) -> Connection:
    loop = asyncio.get_running_loop()
    if target.path:
        phase.doing = f"connecting to {target.path}"
        return (await loop.create_unix_connection(make, target.path))[1]
    if target.tls:
        phase.doing = "reading certificates"
    context: ssl.SSLContext | None = None
    if target.tls:
        from headrace.transport.h2.tls import make_context

        context = await loop.run_in_executor(None, make_context, options.tls)
    name = (options.tls.server_name or target.host) if context is not None else None
    if context is not None:  # a name that is none fails here, before there is a socket to lose
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=name)
    proxy = proxy_of(target)
    if proxy is not None:
        phase.doing = f"connecting through {proxy}"
        return await _open_through(proxy, target, context, name, make, phase)
    phase.doing = f"connecting to {target.host}"
    connected = await open_socket(target.host, target.port)
    if context is not None:
        phase.doing = f"agreeing on TLS with {target.host}"
    _, connection = await loop.create_connection(
        make,
        sock=connected,
        ssl=context,
        server_hostname=name,
        ssl_shutdown_timeout=_SHUTDOWN if context is not None else None,
    )
    return connection


async def _open_through(
    proxy: Proxy,
    target: Target,
    context: ssl.SSLContext | None,
    name: str | None,
    make: Callable[[], Connection],
    phase: Phase,
) -> Connection:
    """Open a tunnel, and the connection inside it."""
    loop = asyncio.get_running_loop()
    try:
        connected = await open_socket(proxy.host, proxy.port)
    except OSError as error:
        raise ConnectionError(f"no connection to {proxy}: {_text(error, Phase())}") from None
    transport, tunnel = await loop.create_connection(lambda: Tunnel(loop, proxy, target), sock=connected)
    try:
        early = await tunnel.opened
        connection = make()
        if context is not None:
            phase.doing = f"agreeing on TLS with {target.host} through {proxy}"
            secured = await loop.start_tls(
                transport, connection, context, server_hostname=name, ssl_shutdown_timeout=_SHUTDOWN
            )
            if secured is None:
                raise ConnectionError(f"{proxy} closed the connection")
            connection.connection_made(secured)
            return connection
        transport.set_protocol(connection)
        connection.connection_made(transport)
        if early:
            connection.data_received(early)
        transport.resume_reading()
        return connection
    except BaseException:
        transport.abort()
        raise


def _text(error: BaseException, phase: Phase) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    if not str(error) and isinstance(error, ConnectionError):
        return f"the server ended the connection ({phase.doing})"
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror and not re.search(_CONNECT_CALL, text):
        return f"{error.strerror} ({phase.doing})"
    # asyncio gives the number alone
    return re.sub(_CONNECT_CALL, lambda match: f"{os.strerror(int(match[1]))}:", text)
