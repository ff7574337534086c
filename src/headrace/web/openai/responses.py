"""POST /v1/responses, for text."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import time
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse
from starlette.responses import Response as HttpResponse

from headrace.chat.generation import Generation
from headrace.web.directory import Served
from headrace.web.failures import Refusal
from headrace.web.openai.conversation import as_input
from headrace.web.openai.requests import Response
from headrace.web.sending import Events, EventStream, event


async def response(body: Response, served: Served) -> HttpResponse:
    """Answer a text or a conversation."""
    served.must("text", "text", "/v1/responses")
    item, params = as_input(body.messages, served)
    sampling = {"temperature": body.temperature, "top_p": body.top_p, "max_tokens": body.max_output_tokens}
    params |= {name: value for name, value in sampling.items() if value is not None}
    generation = Generation(served.model, served, item, params, streamed=bool(body.stream))
    state = _ResponseState(body, generation)
    if body.stream:
        return EventStream(_events(generation, state), _failed)
    return JSONResponse(state.ended(await generation.text()))


class _ResponseState:
    """The response object in its states."""

    def __init__(self, body: Response, generation: Generation) -> None:
        self._body = body
        self._generation = generation
        self._id = f"resp_{secrets.token_hex(16)}"
        self.item_id = f"msg_{secrets.token_hex(16)}"
        self._created = int(time.time())

    def started(self) -> dict[str, Any]:
        """The state before any text."""
        return self._object("in_progress", [], None, None)

    def ended(self, text: str) -> dict[str, Any]:
        """The state when the text is complete, or as long as requested."""
        cut = self._generation.finish_reason == "length"
        usage = self._generation.usage
        cost = {
            "input_tokens": usage["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": usage["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage["total_tokens"],
        }
        status = "incomplete" if cut else "completed"
        return self._object(
            status, [self.message(text, status)], cost, {"reason": "max_output_tokens"} if cut else None
        )

    def message(self, text: str | None, status: str) -> dict[str, Any]:
        """The message; without its part as long as there is no text."""
        content = [] if text is None else [part(text)]
        return {"id": self.item_id, "type": "message", "status": status, "role": "assistant", "content": content}

    def _object(
        self, status: str, output: list[Any], usage: Mapping[str, Any] | None, incomplete: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        body = self._body
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "error": None,
            "incomplete_details": incomplete,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "metadata": body.metadata or {},
            "model": body.model,
            "output": output,
            "parallel_tool_calls": False,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "store": False,
            "temperature": body.temperature,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": body.top_p,
            "truncation": "disabled",
            "usage": usage,
        }


def part(text: str) -> dict[str, Any]:
    """Write a text as a part of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


async def _events(generation: Generation, state: _ResponseState) -> Events:
    numbers = itertools.count()

    def say(kind: str, **fields: Any) -> str:
        return event({"type": kind, "sequence_number": next(numbers), **fields}, kind)

    place = {"item_id": state.item_id, "output_index": 0, "content_index": 0}
    text = ""
    async with contextlib.aclosing(generation.pieces()) as pieces:
        first = await anext(pieces, "")  # a failure before this point has its own status
        yield say("response.created", response=state.started())
        yield say("response.in_progress", response=state.started())
        yield say("response.output_item.added", output_index=0, item=state.message(None, "in_progress"))
        yield say("response.content_part.added", **place, part=part(""))
        if first:
            text = first
            yield say("response.output_text.delta", **place, delta=first, logprobs=[])
        async for piece in pieces:
            text += piece
            yield say("response.output_text.delta", **place, delta=piece, logprobs=[])
    yield say("response.output_text.done", **place, text=text, logprobs=[])
    yield say("response.content_part.done", **place, part=part(text))
    ended = state.ended(text)
    yield say("response.output_item.done", output_index=0, item=ended["output"][0])
    yield say(f"response.{ended['status']}", response=ended)


def _failed(refusal: Refusal) -> str:
    error = refusal.body["error"]
    return event(
        {"type": "error", "code": error["code"], "message": error["message"], "param": error["param"]}, "error"
    )
