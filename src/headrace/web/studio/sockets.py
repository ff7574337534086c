"""What the page's WebSockets have in common: who may open them, and the first message."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

POLICY_VIOLATION = 1008
FIRST_SECONDS = 30.0  # for the first message to come


class Refused(Exception):
    """The socket has been closed already."""


async def opened(ws: WebSocket) -> dict[str, Any]:
    """Accept a socket of the page, and give its first message; pages of other origins are refused.

    Raises:
        Refused: it is of another origin, said nothing, or no JSON object.
    """
    origin = ws.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != ws.headers.get("host"):
        await ws.close(POLICY_VIOLATION)
        raise Refused
    await ws.accept()
    try:
        async with asyncio.timeout(FIRST_SECONDS):
            order = json.loads(await ws.receive_text())
    except (TimeoutError, ValueError, KeyError, WebSocketDisconnect):
        order = None
    if not isinstance(order, dict):
        await fail(ws, "the first message must be a JSON object")
        raise Refused
    return order


async def fail(ws: WebSocket, message: str) -> None:
    """Say what is wrong, and close."""
    try:
        await ws.send_json({"error": {"type": "Refused", "code": None, "message": message}})
        await ws.close(POLICY_VIOLATION)
    except (RuntimeError, WebSocketDisconnect):  # gone
        return
