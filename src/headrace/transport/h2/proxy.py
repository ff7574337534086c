"""HTTP proxies: which one, and the tunnel through it. RFC 9110 section 9.3.6."""

from __future__ import annotations

import asyncio
import base64
import os
from typing import cast

from headrace.config import Target
from headrace.errors import ConfigError
from headrace.transport.h2.diagnosis import Misfit, printable

_ANSWER_BYTES = 16_384


class Proxy:
    """An HTTP proxy; its password is in no text of it."""

    def __init__(self, url: str) -> None:
        from urllib.parse import unquote, urlsplit

        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            host, port = parts.hostname, parts.port
        except ValueError:  # its text repeats what was given, perhaps with a password
            parts, host, port = urlsplit(""), None, None
        if parts.scheme != "http" or not host:
            raise ConfigError(
                "grpc_proxy, https_proxy, http_proxy: a proxy is written as http://host:port, and no other kind is "
                "supported; name the server in no_proxy to connect to it directly"
            )
        self.host: str = host
        self.port: int = port or 80
        self._credential = ""
        if parts.username:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._credential = base64.b64encode(pair.encode()).decode()

    def __str__(self) -> str:
        return f"the proxy {self.host}:{self.port}"

    def request(self, target: Target) -> bytes:
        """Write the request for a tunnel."""
        host = f"[{target.host}]" if ":" in target.host else target.host
        lines = [f"CONNECT {host}:{target.port} HTTP/1.1", f"Host: {host}:{target.port}"]
        if self._credential:
            lines.append(f"Proxy-Authorization: Basic {self._credential}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def proxy_of(target: Target) -> Proxy | None:
    """Give the proxy that the environment names for a target, if any, by the names and in the order of gRPC.

    Raises:
        ConfigError: it is named in a way that is not supported.
    """
    if target.path or target.local:
        return None
    url = _variable("grpc_proxy") or _variable("https_proxy") or _variable("http_proxy")
    if not url or is_exempt(target, _variable("no_grpc_proxy") or _variable("no_proxy")):
        return None
    return Proxy(url)


def is_exempt(target: Target, exempt: str) -> bool:
    """Return whether a list as in no_proxy holds a target: names, with all below them, and networks; perhaps a port."""
    for entry in exempt.lower().replace(",", " ").split():
        name, colon, port = entry.rpartition(":")
        if colon and port.isdigit() and (name.endswith("]") or ":" not in name):
            if int(port) != target.port:
                continue
        else:
            name = entry
        name = name.removeprefix("*").lstrip(".")
        host = target.host.lower()
        if entry == "*" or (name and (host == name or host.endswith(f".{name}"))) or _is_within(host, name.strip("[]")):
            return True
    return False


def _is_within(host: str, network: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:  # one of them is a name
        return False


def _variable(name: str) -> str:
    """Read a variable of the environment in lower or upper case; a web server's HTTP_PROXY is a request's header."""
    value = os.environ.get(name, "")
    if not value and not (name == "http_proxy" and "REQUEST_METHOD" in os.environ):
        value = os.environ.get(name.upper(), "")
    return value.strip()


class Tunnel(asyncio.Protocol):
    """Asks a proxy for a tunnel.

    Attributes:
        opened: gets what came behind the proxy's answer, or the reason why there is no tunnel.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, proxy: Proxy, target: Target) -> None:
        self.opened: asyncio.Future[bytes] = loop.create_future()
        self._proxy = proxy
        self._target = target
        self._answer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._proxy.request(self._target))

    def data_received(self, data: bytes) -> None:
        """Read the answer, up to the empty line behind its headers."""
        self._answer += data
        head, end, rest = self._answer.partition(b"\r\n\r\n")
        if not end and len(self._answer) < _ANSWER_BYTES:
            return
        line = printable(" ".join(head.partition(b"\r\n")[0].decode("latin-1").split()))
        words = line.split(" ", 2)
        if not end or not words[0].startswith("HTTP/1.") or len(words) < 2:
            self._refuse(ConnectionError(f"{self._proxy} gave no HTTP answer"))
        elif words[1].startswith("2"):
            assert self._transport is not None
            self._transport.pause_reading()  # what comes now is not ours
            if not self.opened.done():
                self.opened.set_result(rest)
        elif words[1] == "407":
            self._refuse(
                Misfit(f"{self._proxy} refused the tunnel: {line[:200]}; write its credentials into https_proxy")
            )
        else:
            permanent = words[1].startswith("4") and words[1] not in ("408", "429")
            self._refuse((Misfit if permanent else ConnectionError)(f"{self._proxy} refused the tunnel: {line[:200]}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail, unless the tunnel is open."""
        self._refuse(ConnectionError(f"{self._proxy} closed the connection without an answer"))

    def _refuse(self, reason: Exception) -> None:
        if not self.opened.done():
            self.opened.set_exception(reason)
            self.opened.exception()  # not always awaited
        if self._transport is not None:
            self._transport.abort()
