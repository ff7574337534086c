"""Fetch the bytes of URL inputs, without access to private networks.

Every address that a host resolves to is checked and the connection is made to a checked one (a second look-up could
give another), with the host's name kept for TLS and the Host header. Redirects are followed by hand and checked the
same way. Proxies of the environment are not used: they would connect for us, unchecked.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Protocol

import httpx

from headrace.config import INPUT_BYTES, MiB
from headrace.server import addresses
from headrace.server.envelope import DOWNLOAD_FAILED, INVALID_URL, OVER_LIMIT, UNSUPPORTED
from headrace.server.model import ModelError
from headrace.server.threads import in_thread

MAX_BYTES = {**INPUT_BYTES, "video": 300 * MiB}  # a fetched video need not fit into a message
MAX_REDIRECTS = 5
TIMEOUT = 30.0  # seconds for one URL as a whole, redirects included
VIDEO_TIMEOUT = 120.0
MAX_FETCHES = 32  # fetches at a time
_VIDEO_TWIN = 1000  # 30002 -> 31002 and so on

Address = addresses.Address


class Resolve(Protocol):
    """Look a host up; blocking, run in a thread."""

    def __call__(self, host: str, port: int) -> Sequence[str]:
        """Return all addresses of a host, as text."""


def resolve(host: str, port: int) -> list[str]:
    """Look a host up with the system's resolver."""
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in answers))


class Fetcher:
    """Fetch URLs, a bounded number at a time.

    Args:
        allow_private: fetch from private and local addresses as well.
        resolver: the look-up; the system's own by default.
        timeout: seconds for one URL as a whole; by default 30, and 120 for videos.
        tls: how certificates are checked; httpx's own way by default.
    """

    def __init__(
        self,
        *,
        allow_private: bool = False,
        resolver: Resolve = resolve,
        timeout: float | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allow_private = allow_private
        self._resolve = resolver
        self._timeout = timeout
        self._slots = asyncio.Semaphore(MAX_FETCHES)
        # No kept connections: they are kept by address, and an address may serve many names.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self._client = httpx.AsyncClient(
            trust_env=False, follow_redirects=False, limits=limits, timeout=None, verify=tls or True
        )

    async def __aenter__(self) -> Fetcher:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def fetch(self, url: str, kind: str) -> bytes:
        """Return the bytes at a URL that should hold a `kind` ("image", "text", "audio", "video").

        Raises:
            ModelError: 30106 not a URL that is fetched, 30002 it cannot be fetched, 30105 too large, 30101 a web page
                instead of media; for videos the 31xxx twins.
        """
        limit = self._timeout or (VIDEO_TIMEOUT if kind == "video" else TIMEOUT)
        try:
            async with self._slots, asyncio.timeout(limit):
                return await self._follow(url, kind)
        except ModelError as error:
            code = error.code + _VIDEO_TWIN if kind == "video" else error.code
            raise ModelError(code, error.description) from error
        except TimeoutError as error:
            code = DOWNLOAD_FAILED + (_VIDEO_TWIN if kind == "video" else 0)
            raise ModelError(code, f"{_shown(url)} could not be fetched within {limit:g} s") from error

    async def _follow(self, url: str, kind: str) -> bytes:
        location = _parsed(url)
        for _ in range(MAX_REDIRECTS + 1):
            async with self._get(location) as response:
                if not response.is_redirect:
                    return await _body(response, location, kind)
                location = _parsed(str(location.join(response.headers["location"])))
        raise ModelError(DOWNLOAD_FAILED, f"{_shown(url)} was redirected more than {MAX_REDIRECTS} times")

    @contextlib.asynccontextmanager
    async def _get(self, url: httpx.URL) -> AsyncIterator[httpx.Response]:
        """Ask for a URL at its first checked address that can be connected to."""
        headers = {"host": url.netloc.decode("ascii"), "accept-encoding": "identity", "user-agent": "headrace"}
        reason: Exception | None = None
        for address in await self._addresses(url):
            at = url.copy_with(host=str(address), username=None, password=None)
            auth = (url.username, url.password) if url.username else None
            request = self._client.build_request("GET", at, headers=headers, extensions={"sni_hostname": _host(url)})
            try:
                response = await self._client.send(request, stream=True, auth=auth)
            except httpx.ConnectError as error:
                reason = error
                continue
            except httpx.HTTPError as error:
                raise _failed(url, error) from error
            try:
                yield response
            except httpx.HTTPError as error:
                raise _failed(url, error) from error
            finally:
                await response.aclose()
            return
        raise _failed(url, reason)

    async def _addresses(self, url: httpx.URL) -> list[Address]:
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            hosts = await in_thread(lambda: self._resolve(_host(url), port), "resolve")
        except (OSError, UnicodeError) as error:
            raise ModelError(DOWNLOAD_FAILED, f"the host of {_shown(url)} cannot be found") from error
        checked = [addresses.parse(one) for one in hosts]
        if not self._allow_private:
            for address in checked:
                if why := addresses.refused(address):
                    raise ModelError(
                        INVALID_URL,
                        f"{_shown(url)} leads to a {why} address, which the server does not fetch: send the file itself"
                        " (headrace serve --allow_private_urls fetches it, --local never does)",
                    )
        if not checked:
            raise ModelError(DOWNLOAD_FAILED, f"the host of {_shown(url)} has no address")
        return checked


def _parsed(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url.strip())
    except (httpx.InvalidURL, UnicodeError, ValueError) as error:
        raise ModelError(INVALID_URL, f"{_shown(url)} is not a URL") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ModelError(INVALID_URL, f"{_shown(url)} is not an http or https URL")
    return parsed


async def _body(response: httpx.Response, url: httpx.URL, kind: str) -> bytes:
    if response.status_code != 200:
        raise ModelError(DOWNLOAD_FAILED, f"{_shown(url)} answered with HTTP {response.status_code}")
    if response.headers.get("content-encoding", "identity") not in ("", "identity"):
        raise ModelError(DOWNLOAD_FAILED, f"{_shown(url)} sent a compressed response, although none was requested")
    if kind != "text" and response.headers.get("content-type", "").casefold().startswith("text/html"):
        raise ModelError(UNSUPPORTED, f"{_shown(url)} returned a web page; the input needs the {kind} itself")
    limit = MAX_BYTES[kind]
    length = response.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise ModelError(
            OVER_LIMIT, f"{_shown(url)} has {int(length):,} bytes; the limit of a fetched {kind} is {limit:,}"
        )
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > limit:
            raise ModelError(OVER_LIMIT, f"{_shown(url)} is larger than the {limit:,} bytes of a fetched {kind}")
    if not body:
        raise ModelError(DOWNLOAD_FAILED, f"{_shown(url)} returned no data")
    return bytes(body)


def _failed(url: httpx.URL, error: Exception | None) -> ModelError:
    reason = str(error) or type(error).__name__
    return ModelError(DOWNLOAD_FAILED, f"{_shown(url)} cannot be fetched: {reason}")


def _host(url: httpx.URL) -> str:
    """Return the host as it goes over the wire: names of other alphabets encoded."""
    return url.raw_host.decode("ascii")


def _shown(url: httpx.URL | str) -> str:
    """Return a URL for a message: without credentials and query, which may be secret, and not too long."""
    text = str(url.copy_with(username=None, password=None)) if isinstance(url, httpx.URL) else url
    text = text.partition("?")[0].partition("#")[0]
    head, separator, tail = text.partition("://")
    if separator and "@" in tail.partition("/")[0]:
        tail = tail.partition("@")[2]
    return repr((head + separator + tail)[:200])
