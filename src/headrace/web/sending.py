"""Sending responses: as JSON or as server-sent events, until the caller leaves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from headrace.web.events import event
from headrace.web.failures import Refusal, refusal

T = TypeVar("T")

Events = AsyncGenerator[str, None]
DONE = "data: [DONE]\n\n"
_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}  # no proxy keeps events back


class CallerLeft(Exception):
    """The caller has closed the connection."""


async def while_there(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Run work until the caller leaves.

    Raises:
        CallerLeft: the connection was closed; the work was cancelled.
    """
    doing = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait([doing, leaving], return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            return doing.result()
        raise CallerLeft
    finally:
        for task in (doing, leaving):
            task.cancel()
        await asyncio.gather(doing, leaving, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def answered(request: Request, work: Coroutine[Any, Any, Response]) -> Response:
    """Answer a request by some work, which ends when the caller leaves."""
    return await while_there(request.receive, work)


class EventStream(Response):
    """Server-sent events. The status is sent with the first event: an earlier failure gets its own status.

    Args:
        events: closed when they end, fail, or the caller leaves.
        failed: writes the event of a failure after the first one.
    """

    media_type = "text/event-stream"

    def __init__(self, events: Events, failed: Callable[[Refusal], str]) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._events = events
        self._failed = failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events, as long as somebody reads them."""
        with contextlib.suppress(CallerLeft):
            await while_there(receive, self._send_all(scope, receive, send))

    async def _send_all(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with contextlib.aclosing(self._events) as events:
            try:
                first = await anext(events, "")
            except Exception as error:
                refused = refusal(error)
                await JSONResponse(refused.body, refused.status, refused.headers)(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await self._write(send, first)
            try:
                async for one in events:
                    await self._write(send, one)
            except Exception as error:
                await self._write(send, self._failed(refusal(error)))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    @staticmethod
    async def _write(send: Send, text: str) -> None:
        await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


__all__ = ["DONE", "CallerLeft", "EventStream", "Events", "answered", "event"]
