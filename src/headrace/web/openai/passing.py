"""Models that speak OpenAI's API themselves: the request goes through as it is."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from headrace.chat import transport
from headrace.chat.abilities import STREAM_TRANSPORT, TRANSPORT
from headrace.errors import PredictionFailed
from headrace.web.directory import Served
from headrace.web.failures import Refusal
from headrace.web.sending import DONE, Events, EventStream, event


def passes(served: Served, fields: Mapping[str, Any]) -> bool:
    """Return whether a request can go through."""
    return (STREAM_TRANSPORT if fields.get("stream") else TRANSPORT) in served.methods


async def through(served: Served, endpoint: str, fields: Mapping[str, Any]) -> Response:
    """Pass a request to the model, and return its answer."""
    if fields.get("stream"):
        named = endpoint == "/responses"
        return EventStream(
            _events(served, endpoint, fields, named), lambda refused: event(refused.body, "error" if named else "")
        )
    text = await transport.request(served.model, endpoint, fields)
    _checked(text)
    return Response(text, media_type="application/json")


async def _events(served: Served, endpoint: str, fields: Mapping[str, Any], named: bool) -> Events:
    async with contextlib.aclosing(transport.stream(served.model, endpoint, fields)) as pieces:
        async for piece in pieces:
            answer = _checked(piece)
            name = answer.get("type", "") if named else ""
            yield event(piece, name if isinstance(name, str) else "")
    if not named:
        yield DONE


def _checked(text: str) -> Mapping[str, Any]:
    """Parse the model's answer.

    Raises:
        Refusal: 502, it is not a JSON object, or it is a failure.
    """
    try:
        return transport.fields_of(text)
    except PredictionFailed as error:
        raise Refusal(502, error.message, type="server_error", code=error.name.lower()) from None
