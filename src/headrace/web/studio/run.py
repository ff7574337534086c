"""One call of a model, over a WebSocket of its own: closing it stops the model.

The first message is JSON: `model`, `params`, `kind` ("text", "image", "audio" or "video"), `text`, and `content` if
a binary message with the content follows. Answers are those of `headrace.web.websocket`.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from headrace.inputs import Input
from headrace.sinks.jsonl import record
from headrace.web.directory import Directory, Served
from headrace.web.failures import refusal
from headrace.web.sockets import websocket
from headrace.web.studio.inputs import KINDS, as_input
from headrace.web.studio.sockets import Refused, fail, opened

MAX_UPLOADS = 8  # held at once
FRAMES_A_SECOND = 5.0
_SIDE = 640  # of frames; models make them smaller anyway


def endpoint(directory: Directory) -> Callable[[WebSocket], Awaitable[None]]:
    """Make the endpoint in front of the models of a directory."""
    turn = asyncio.Semaphore(MAX_UPLOADS)

    async def run(ws: WebSocket) -> None:
        try:
            order = await opened(ws)
            if not order.get("content"):
                await _run(ws, directory, order)
            elif turn.locked():
                await fail(ws, "the server holds as many uploads as it may; try again later")
            else:
                async with turn:
                    await _run(ws, directory, order)
        except (Refused, WebSocketDisconnect, RuntimeError):
            return

    return run


async def _run(ws: WebSocket, directory: Directory, order: dict[str, Any]) -> None:
    content = await ws.receive_bytes() if order.get("content") else str(order.get("text") or "").encode()
    try:
        served = await directory.find(str(order.get("model")))
        stream = await _stream(served, order, content)
    except Exception as error:
        await fail(ws, refusal(error).message)
        return
    if await websocket(stream, ws):
        await ws.close()


async def _stream(served: Served, order: dict[str, Any], content: bytes) -> AsyncIterator[Any]:
    params = order.get("params") if isinstance(order.get("params"), dict) else {}
    kind = order.get("kind") if order.get("kind") in KINDS else None
    if kind == "video" and served.inputs and "video" not in served.inputs and "image" in served.inputs:
        return _frames(served, content, params)
    item = await as_input(served, kind, content, str(order.get("text") or "") if order.get("content") else None)
    if served.streams and "text" in served.outputs:
        return served.model.generate(item, inference_params=params)
    return _one(served, item, params)


async def _one(served: Served, item: Input, params: Any) -> AsyncIterator[Any]:
    yield await served.model.predict(item, inference_params=params)


async def _frames(served: Served, content: bytes, params: Any) -> AsyncIterator[Any]:
    """Yield the frames of a video, each with its time, as a model of pictures sees them."""
    from headrace.sources import video

    with tempfile.NamedTemporaryFile(prefix="headrace-studio-", suffix=".video") as file:
        await asyncio.to_thread(file.write, content)
        file.flush()
        source = video(file.name, fps=FRAMES_A_SECOND, resize=_SIDE)
        async with served.model.stream_frames(source, inference_params=params) as frames:
            async for frame in frames:
                yield {"frame": record(frame)}
