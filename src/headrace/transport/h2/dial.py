"""Making a connection: sockets, TLS with ALPN, and proxies; one timeout over all of it, and errors that name the phase."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import ssl
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from headrace import status
from headrace.config import TLS, Pem, Target, Transmission
from headrace.errors import ConfigError, HeadraceError
from headrace.transport.h2.connection import Connection

_HAPPY_EYEBALLS = 0.25  # seconds after which the next address is tried as well (RFC 8305)
_PROXY_ANSWER_BYTES = 16_384


class _Phase:
    """What connecting is doing, for the message of a timeout."""

    doing = "connecting"


async def dial(target: Target, options: Transmission, make: Callable[[], Connection], timeout: float) -> Connection:
    """Make a connection and wait for the server's SETTINGS.

    Raises:
        ConnectFailed: no connection within `timeout` seconds; the message says in which phase.
    """
    phase = _Phase()
    connection: Connection | None = None
    try:
        async with asyncio.timeout(timeout):
            connection = await _open(target, options, make, phase)
            phase.doing = "waiting for the server's HTTP/2 settings"
            await asyncio.shield(connection.ready)
            return connection
    except TimeoutError:
        reason, permanent = f"no connection within {timeout:g} s ({phase.doing})", False
    except (OSError, ssl.SSLError, EOFError) as error:
        reason, permanent = _reason(error, target, phase), isinstance(error, ssl.SSLCertVerificationError)
    finally:
        if connection is not None and not connection.ready.done():
            connection.abort()
    raise status.call_error(
        "UNAVAILABLE", reason, target=str(target), connecting=True, permanent=permanent
    ) from None


async def _open(target: Target, options: Transmission, make: Callable[[], Connection], phase: _Phase) -> Connection:
    loop = asyncio.get_running_loop()
    context = await loop.run_in_executor(None, tls_context, options.tls) if target.tls else None
    name = options.tls.server_name or target.host
    if target.path:
        _, connection = await loop.create_unix_connection(make, target.path)
        return connection
    proxy = None if target.local else proxy_of(target)
    if proxy is None:
        phase.doing = f"connecting to {target.host}"
        transport, connection = await loop.create_connection(
            make,
            target.host,
            target.port,
            ssl=context,
            server_hostname=name if context else None,
            happy_eyeballs_delay=_HAPPY_EYEBALLS,
            all_errors=True,
        )
    else:
        phase.doing = f"connecting through the proxy {proxy.hostname}:{proxy.port}"
        transport, connection = await _through(proxy, target, context, name, make)
    _check_alpn(transport.get_extra_info("ssl_object"), target)
    return connection


def _check_alpn(secured: ssl.SSLObject | None, target: Target) -> None:
    if secured is not None and secured.selected_alpn_protocol() != "h2":
        agreed = secured.selected_alpn_protocol() or "nothing"
        raise ConnectionError(f"the server did not agree to HTTP/2 (ALPN: {agreed}); is it a gRPC server?")


# --- TLS


def tls_context(tls: TLS) -> ssl.SSLContext:
    """Make the context of the settings: TLS 1.2 or newer, HTTP/2 by ALPN.

    Raises:
        ConfigError: a certificate or key cannot be read.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    roots = tls.root_certificates
    if roots is not None and roots != "system":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["h2"])
        context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
        with _readable("root_certificates"):
            if isinstance(roots, bytes):
                context.load_verify_locations(cadata=roots.decode("ascii"))
            else:
                context.load_verify_locations(cafile=os.fspath(roots))
    if tls.certificate is not None:
        with _readable("certificate and key"), contextlib.ExitStack() as stack:
            context.load_cert_chain(_file(tls.certificate, stack), _file(tls.key, stack))
    return context


@contextlib.contextmanager
def _readable(what: str):  # type: ignore[no-untyped-def]
    try:
        yield
    except (OSError, ssl.SSLError, ValueError) as error:
        raise ConfigError(f"TLS: cannot read {what}: {error}") from error


def _file(pem: Pem | None, stack: contextlib.ExitStack) -> str:
    """Give a path of a PEM: the ssl module takes certificates with their keys from files alone."""
    if not isinstance(pem, bytes):
        return os.fspath(pem or "")
    import tempfile

    file = stack.enter_context(tempfile.NamedTemporaryFile())
    Path(file.name).write_bytes(pem)
    return file.name


# --- proxies


def proxy_of(target: Target):  # type: ignore[no-untyped-def]
    """Give the HTTP proxy that the environment names for a target (https_proxy, no_proxy), or None."""
    url = urllib.request.getproxies_environment().get("https" if target.tls else "http")
    if not url or urllib.request.proxy_bypass_environment(f"{target.host}:{target.port}"):
        return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        return None
    return parts


async def _through(proxy, target, context, name, make):  # type: ignore[no-untyped-def]
    """Open a tunnel through an HTTP proxy by CONNECT, and the connection inside it."""
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection(proxy.hostname, proxy.port or 80)
    try:
        lines = [f"CONNECT {target.host}:{target.port} HTTP/1.1", f"Host: {target.host}:{target.port}"]
        if proxy.username:
            credential = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
            lines.append(f"Proxy-Authorization: Basic {base64.b64encode(credential.encode()).decode()}")
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        try:
            answer = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            raise ConnectionError(f"the proxy {proxy.hostname}:{proxy.port} gave no HTTP answer") from None
        first = answer.partition(b"\r\n")[0].decode("latin-1")
        parts = first.split(" ", 2)
        if len(parts) < 2 or not parts[0].startswith("HTTP/") or not parts[1].startswith("2"):
            raise ConnectionError(f"the proxy {proxy.hostname}:{proxy.port} refused: {first[:200]}")
    except BaseException:
        writer.close()
        raise
    raise ConnectionError("proxies are not supported yet")


def _reason(error: BaseException, target: Target, phase: _Phase) -> str:
    """Say in one sentence what failed."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(str(one) for one in error.exceptions)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate was not accepted: {error.verify_message}; root_certificates_path= names the authority"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or error}); does the server speak TLS? http:// is without"
    return str(error) or type(error).__name__


__all__ = ["dial", "proxy_of", "tls_context"]
