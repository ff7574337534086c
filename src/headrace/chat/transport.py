"""Models that speak OpenAI's API themselves: requests go through as they are.

Such a model publishes the methods `openai_transport(msg: str) -> str` and `openai_stream_transport(msg: str) ->
Iterator[str]`; `msg` is the request as JSON text with `openai_endpoint` beside its fields.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any

from headrace.chat.abilities import STREAM_TRANSPORT, TRANSPORT
from headrace.errors import PredictionFailed

if TYPE_CHECKING:
    from headrace.model import Model

CHAT, EMBEDDINGS = "/chat/completions", "/embeddings"


async def request(model: Model, endpoint: str, fields: Mapping[str, Any], timeout: float | None = None) -> str:
    """Send a request and wait for the whole answer: JSON text, checked by `fields_of`.

    Args:
        timeout: seconds, or None for the client's own.

    Raises:
        PredictionFailed: the answer is not a JSON object, or it is a failure.
        HeadraceError: as any call.
    """
    text: str = await model.call(TRANSPORT, _message(endpoint, fields), **_options(timeout))
    return text


async def stream(
    model: Model, endpoint: str, fields: Mapping[str, Any], timeout: float | None = None
) -> AsyncGenerator[str, None]:
    """Send a request and give the events of the answer as they come; closing it early stops the model."""
    call = model.call(STREAM_TRANSPORT, _message(endpoint, fields), **_options(timeout))
    async with contextlib.aclosing(call) as pieces:
        async for piece in pieces:
            yield piece


def fields_of(text: str) -> Mapping[str, Any]:
    """Read an answer, or an event of one.

    Raises:
        PredictionFailed: it is not a JSON object (name "BAD_ANSWER"), or it is a failure ("MODEL_ERROR").
    """
    try:
        fields = json.loads(text)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise PredictionFailed(f"The model's answer is not a JSON object: {text[:200]}", name="BAD_ANSWER")
    error = fields.get("error")
    if isinstance(error, dict) and "choices" not in fields and "output" not in fields:
        raise _failed(str(error.get("message", error)))
    if "code" in fields and "description" in fields and "choices" not in fields:  # as the official runner reports it
        raise _failed(": ".join(str(fields[name]) for name in ("description", "details") if fields.get(name)))
    return fields


def _failed(reason: str) -> PredictionFailed:
    return PredictionFailed(reason[:1000], name="MODEL_ERROR", description=reason[:1000])


def _message(endpoint: str, fields: Mapping[str, Any]) -> str:
    return json.dumps({**fields, "openai_endpoint": endpoint}, ensure_ascii=False)


def _options(timeout: float | None) -> dict[str, Any]:
    return {} if timeout is None else {"timeout": timeout}


__all__ = ["CHAT", "EMBEDDINGS", "fields_of", "request", "stream"]
