"""URLs as inputs: passed on for the server to fetch, or downloaded here (extra `urls`), a bounded number at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from headrace.config import Limits, MiB
from headrace.errors import ConfigError, SourceError
from headrace.inputs import Field, Input, InputType
from headrace.sources.base import ItemSource
from headrace.support.extras import install

if TYPE_CHECKING:
    import httpx

PREFETCH = 4
REDIRECTS = 5


def from_urls(
    urls: str | Iterable[str] | AsyncIterable[str],
    input_type: InputType | None = None,
    *,
    fetch: Literal["server", "client"] = "server",
    prefetch: int = PREFETCH,
    timeout: float = 30.0,
    limits: Limits | None = None,
) -> ItemSource:
    """Make a source of http(s) URLs: one, a list, or any (async) iterator of them.

    Args:
        fetch: "server": URLs are passed on; "client": downloaded here, for servers that cannot reach them.
        prefetch: downloads ahead.
        timeout: seconds that one download may take.
        limits: what is too large; the defaults if not given.

    Raises:
        ConfigError: `fetch="client"` without httpx (extra `urls`).
    """
    if fetch not in ("server", "client"):
        raise ConfigError(f'fetch must be "server" or "client", not {fetch!r}')
    items = [urls] if isinstance(urls, str) else urls
    again = isinstance(items, list | tuple | set | frozenset)
    if fetch == "server":

        async def pass_on(url: str) -> Input:
            return Input.from_url(url, input_type)

        return ItemSource("URLs", lambda: items, pass_on, input_type=input_type or "", again=again)
    return _Downloads(items, input_type, prefetch, timeout, limits or Limits(), again)


class _Downloads(ItemSource):
    """Downloads over one connection pool, which `aclose` closes."""

    def __init__(
        self,
        items: Iterable[str] | AsyncIterable[str],
        input_type: InputType | None,
        prefetch: int,
        timeout: float,
        limits: Limits,
        again: bool,
    ) -> None:
        try:
            import httpx  # noqa: F401
        except ImportError:
            raise ConfigError(f"downloading URLs here needs httpx: {install('urls')}") from None
        self._http: httpx.AsyncClient | None = None
        self._timeout = timeout
        self._limit_bytes = limits.input_bytes.get(input_type or "", limits.request_bytes)
        self._type = input_type or ""
        super().__init__(
            "URLs", lambda: items, self._download, prefetch=max(prefetch, 1), input_type=self._type, again=again
        )

    async def _download(self, url: str) -> Input:
        import httpx

        Input.from_url(url)  # nothing but http(s)
        shown = without_secrets(url)
        try:
            if self._http is None:  # the environment's proxies and certificates may be wrong
                self._http = httpx.AsyncClient(follow_redirects=True, max_redirects=REDIRECTS, timeout=self._timeout)
            async with asyncio.timeout(self._timeout), self._http.stream("GET", url) as response:
                if response.status_code != 200:
                    raise SourceError(f"{shown}: HTTP status {response.status_code}", source=shown)
                data = bytearray()
                async for chunk in response.aiter_bytes():
                    data += chunk
                    if len(data) > self._limit_bytes:
                        raise SourceError(f"{shown}: more than {self._limit_bytes / MiB:.0f} MiB", source=shown)
        except TimeoutError as error:
            raise SourceError(f"{shown}: no answer within {self._timeout:g} s", source=shown) from error
        except httpx.HTTPError as error:
            raise SourceError(f"{shown}: {str(error) or type(error).__name__}", source=shown) from error
        except SourceError:
            raise
        except Exception as error:
            reason = f"it cannot be downloaded: {type(error).__name__}: {error}"
            raise SourceError(
                f"{shown}: {reason} (check the proxies and certificates that the environment names)"
            ) from error
        if not data:
            raise SourceError(f"{shown}: the response is empty", source=shown)
        return Input([Field(self._type, "bytes", bytes(data))])

    async def aclose(self) -> None:
        await super().aclose()
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()


def without_secrets(url: str) -> str:
    """Return a URL without user, password and query, for messages."""
    parts = urlsplit(url)
    if not parts.scheme or not parts.netloc:
        return url.partition("?")[0]
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
