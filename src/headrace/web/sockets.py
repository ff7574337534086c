"""A stream through a WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any

from headrace.web.events import BEAT, HEARTBEAT, Encode, beating
from headrace.web.messages import End, as_message, failure_message

#: Called with each message that the browser sends meanwhile, text or bytes.
OnMessage = Callable[[str | bytes], Awaitable[None] | None]


async def websocket(
    stream: AsyncIterable[Any],
    ws: Any,
    *,
    encode: Encode | None = None,
    heartbeat: float | None = HEARTBEAT,
    on_message: OnMessage | None = None,
) -> bool:
    """Send a stream's items through an accepted WebSocket as JSON texts, and stop the model when the browser leaves.

    Messages are `{"text": ...}` (or the whole prediction), then `{"done": {...tokens}}` or `{"error": {...}}`; while
    nothing comes, `{"heartbeat": true}`. The socket is left open for the application to close. Until the last message
    it is read, to notice that the browser leaves: what the browser sends before goes to `on_message`, and what it sends
    after the last message is the application's to read.

    Args:
        stream: a `TokenStream`, a `PredictionStream`, a `FrameStream`, or any async iterable.
        ws: a WebSocket of Starlette or FastAPI, or a `WebSocketResponse` of aiohttp.
        encode: makes the JSON value of an item.
        heartbeat: seconds; None: none.

    Returns:
        Whether the browser stayed to the end.
    """
    browser = _Browser(ws)
    sending = asyncio.ensure_future(_send_all(stream, browser, encode or as_message, heartbeat))
    reading = asyncio.ensure_future(_read(ws, on_message))
    try:
        await asyncio.wait([sending, reading], return_when=asyncio.FIRST_COMPLETED)
        if not sending.done():
            reading.result()  # an error of `on_message`
            return False
    finally:
        for task in (sending, reading):
            task.cancel()
        await asyncio.gather(sending, reading, return_exceptions=True)
    try:
        await browser.write(sending.result())  # nobody reads any more
    except _Left:
        return False
    return True


class _Left(Exception):
    """The other side is gone."""


class _Browser:
    """The other side of the socket."""

    def __init__(self, ws: Any) -> None:
        self._send = ws.send_text if hasattr(ws, "send_text") else ws.send_str

    async def write(self, value: Any) -> None:
        """Send a value as JSON.

        Raises:
            _Left: the other side is gone.
        """
        try:
            await self._send(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
        except (ConnectionError, RuntimeError) as error:  # how frameworks report it
            raise _Left from error


async def _send_all(
    stream: AsyncIterable[Any], browser: _Browser, encode: Encode, heartbeat: float | None
) -> dict[str, Any]:
    """Send all items; gives the last message.

    Raises:
        _Left: the other side is gone.
    """
    end = End()
    try:
        async with contextlib.aclosing(beating(stream, heartbeat)) as items:
            async for item in items:
                if item is BEAT:
                    await browser.write({"heartbeat": True})
                    continue
                end.count(item)
                await browser.write(encode(item))
    except _Left:
        raise
    except Exception as error:
        return failure_message(error)
    return {"done": end.message}


async def _read(ws: Any, on_message: OnMessage | None) -> None:
    """Read until the browser leaves."""
    while True:
        try:
            message = await ws.receive()
        except RuntimeError:  # a read after the close
            return
        content = _content(message)
        if content is None:
            return
        if on_message is not None:
            handled = on_message(content)
            if inspect.isawaitable(handled):
                await handled


def _content(message: Any) -> str | bytes | None:
    """Return a message's content; None if the other side is gone."""
    if isinstance(message, dict):  # ASGI
        if message["type"] == "websocket.disconnect":
            return None
        content: str | bytes | None = message.get("text")
        return message.get("bytes") or b"" if content is None else content
    data = message.data  # aiohttp: of the messages that close, data is a code, an error or None
    return data if isinstance(data, str | bytes) else None
