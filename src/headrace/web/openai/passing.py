"""Models that speak OpenAI's API themselves: the request goes through as it is.

Such a model publishes the methods `openai_transport(msg: str) -> str` and `openai_stream_transport(msg: str) ->
Iterator[str]`; `msg` is the request as JSON text with `openai_endpoint` beside its fields.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from headrace.web.directory import PASS_THROUGH, PASS_THROUGH_STREAM, Served
from headrace.web.failures import Refusal
from headrace.web.sending import DONE, Events, EventStream, event


def passes(served: Served, fields: Mapping[str, Any]) -> bool:
    """Return whether a request can go through."""
    return (PASS_THROUGH_STREAM if fields.get("stream") else PASS_THROUGH) in served.methods


async def through(served: Served, endpoint: str, fields: Mapping[str, Any]) -> Response:
    """Pass a request to the model, and return its answer."""
    message = json.dumps({**fields, "openai_endpoint": endpoint}, ensure_ascii=False)
    if fields.get("stream"):
        named = endpoint == "/responses"
        return EventStream(
            _events(served, message, named), lambda refused: event(refused.body, "error" if named else "")
        )
    text = await served.model.call(PASS_THROUGH, message)
    _refuse_failure(text)
    return Response(text, media_type="application/json")


async def _events(served: Served, message: str, named: bool) -> Events:
    async with contextlib.aclosing(served.model.call(PASS_THROUGH_STREAM, message)) as pieces:
        async for piece in pieces:
            fields = _refuse_failure(piece)
            name = fields.get("type", "") if named else ""
            yield event(piece, name if isinstance(name, str) else "")
    if not named:
        yield DONE


def _refuse_failure(text: str) -> Mapping[str, Any]:
    """Return the answer's fields; a failure that the model gives as an answer is raised as one.

    Raises:
        Refusal: 502, it is not a JSON object, or it is a failure.
    """
    try:
        fields = json.loads(text)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise Refusal(
            502, f"The model's answer is not a JSON object: {text[:200]}", type="server_error", code="bad_answer"
        )
    error = fields.get("error")
    if isinstance(error, dict) and "choices" not in fields and "output" not in fields:
        raise Refusal(502, str(error.get("message", error))[:1000], type="server_error", code="model_error")
    if "code" in fields and "description" in fields and "choices" not in fields:  # how the official runner reports it
        reason = ": ".join(str(fields[name]) for name in ("description", "details") if fields.get(name))
        raise Refusal(502, reason[:1000], type="server_error", code="model_error")
    return fields
