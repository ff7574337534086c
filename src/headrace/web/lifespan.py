"""A client that lives as long as the application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any

from headrace import Client


class _Life(AbstractAsyncContextManager[Any, None]):
    """The client open; also the form that older versions of aiohttp take: something that yields once."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def __aenter__(self) -> dict[str, Client]:
        await self._client.__aenter__()
        return {"client": self._client}

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def __aiter__(self) -> AsyncIterator[None]:
        async with self:
            yield


class _Lifespan:
    """Makes the life of one application."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __call__(self, app: Any) -> _Life:
        """Open and close the client with the application."""
        return _Life(self._client)


def lifespan(client: Client) -> _Lifespan:
    """Open a client when the application starts, and close it when it ends.

    `FastAPI(lifespan=lifespan(client))` and `Starlette(lifespan=...)`: requests have it as `request.state.client`.
    `app.cleanup_ctx.append(lifespan(client))` of aiohttp. A client of a running server starts no connection before its
    first call; `Client.local()` starts its server.
    """
    return _Lifespan(client)
