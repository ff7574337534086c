"""Frames of the page's camera through a model: the newest one waits, older ones are dropped and counted.

The first message is JSON: `model`, `params`, `window`. Each binary message is an encoded picture. Answers are JSON:
`frame` (the picture's number, from 0), the prediction, and the counts of the stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from headrace.inputs import Input
from headrace.results import Prediction
from headrace.web.directory import Directory
from headrace.web.failures import refusal
from headrace.web.messages import as_message
from headrace.web.sockets import websocket
from headrace.web.studio.sockets import Refused, fail, opened

_MAX_WINDOW = 16


def endpoint(directory: Directory) -> Callable[[WebSocket], Awaitable[None]]:
    """Make the endpoint in front of the models of a directory."""

    async def camera(ws: WebSocket) -> None:
        try:
            order = await opened(ws)
            try:
                served = await directory.find(str(order.get("model")))
            except Exception as error:
                await fail(ws, refusal(error).message)
                return
            params = order.get("params") if isinstance(order.get("params"), dict) else {}
            window = order.get("window")
            window = window if isinstance(window, int) and 1 <= window <= _MAX_WINDOW else 2
            newest = Newest()
            stream = served.model.stream(
                newest, "image", window=window, prefetch=1, overflow="latest", inference_params=params
            )

            def message(prediction: Prediction) -> Any:
                stats = stream.stats
                counts = {"received": stats.received, "dropped": stats.dropped + newest.dropped, "errors": stats.errors}
                frame = int(prediction.input_id.partition("-")[2] or 0)
                return {"frame": frame, "in_flight": stats.in_flight, **counts, "prediction": as_message(prediction)}

            await websocket(stream, ws, encode=message, on_message=newest.put)
        except (Refused, WebSocketDisconnect, RuntimeError):
            return

    return camera


class Newest(AsyncIterator[Input]):
    """An iterator that gives the newest picture, each once; those that were not taken in time are counted."""

    def __init__(self) -> None:
        self.dropped: int = 0
        self._came = 0
        self._waiting: Input | None = None
        self._there = asyncio.Event()

    def put(self, message: str | bytes) -> None:
        """Take the next picture; a text is none."""
        if isinstance(message, str):
            return
        if self._waiting is not None:
            self.dropped += 1
        self._waiting = Input.from_bytes(message, "image", id=f"f-{self._came}")
        self._came += 1
        self._there.set()

    async def __anext__(self) -> Input:
        while self._waiting is None:
            self._there.clear()
            await self._there.wait()
        item, self._waiting = self._waiting, None
        return item
