"""POST /v1/chat/completions and /v1/completions."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from starlette.responses import JSONResponse, Response

from headrace.chat.generation import Generation
from headrace.inputs import Input
from headrace.web.directory import Served
from headrace.web.failures import Refusal
from headrace.web.openai.conversation import as_input
from headrace.web.openai.requests import Chat, Completion
from headrace.web.sending import DONE, Events, EventStream, event

_MAX_PROMPTS_AT_ONCE = 4


async def chat(body: Chat, served: Served) -> Response:
    """Answer a conversation."""
    served.must("text", "text", "/v1/chat/completions")
    item, params = as_input(body.messages, served)
    params |= body.params(body.max_completion_tokens or body.max_tokens)
    generation = Generation(served.model, served, item, params, body.stops, streamed=bool(body.stream))
    frame = _frame("chatcmpl", body.model)
    if body.stream:
        usage = bool(body.stream_options and body.stream_options.include_usage)
        return EventStream(_chat_events(generation, frame, usage), _failed)
    text = await generation.text()
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": generation.finish_reason}
    return JSONResponse(frame("chat.completion") | {"choices": [choice], "usage": generation.usage})


async def completion(body: Completion, served: Served) -> Response:
    """Continue a text, or each of several."""
    served.must("text", "text", "/v1/completions")
    prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
    generations = [
        Generation(
            served.model,
            served,
            Input.from_text(prompt),
            body.params(body.max_tokens),
            body.stops,
            streamed=bool(body.stream),
        )
        for prompt in prompts
    ]
    frame = _frame("cmpl", body.model)
    if body.stream:
        if len(generations) > 1:
            raise Refusal(400, "A stream takes one prompt.", param="prompt")
        usage = bool(body.stream_options and body.stream_options.include_usage)
        return EventStream(_completion_events(generations[0], frame, usage), _failed)
    turn = asyncio.Semaphore(_MAX_PROMPTS_AT_ONCE)

    async def whole(generation: Generation) -> str:
        async with turn:
            return await generation.text()

    async with asyncio.TaskGroup() as group:
        texts = [group.create_task(whole(generation)) for generation in generations]
    choices = [
        {"index": index, "text": text.result(), "logprobs": None, "finish_reason": generation.finish_reason}
        for index, (text, generation) in enumerate(zip(texts, generations, strict=True))
    ]
    usages = [generation.usage for generation in generations]
    usage_in_all = {name: sum(usage[name] for usage in usages) for name in usages[0]}
    return JSONResponse(frame("text_completion") | {"choices": choices, "usage": usage_in_all})


async def _chat_events(generation: Generation, frame: Callable[[str], dict[str, Any]], usage: bool) -> Events:
    base = frame("chat.completion.chunk") | ({"usage": None} if usage else {})

    def chunk(delta: Mapping[str, Any], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event(base | {"choices": [choice]})

    first = True
    async with contextlib.aclosing(generation.pieces()) as pieces:
        async for piece in pieces:
            if first:
                yield chunk({"role": "assistant", "content": "", "refusal": None})
            first = False
            yield chunk({"content": piece})
    if first:
        yield chunk({"role": "assistant", "content": "", "refusal": None})
    yield chunk({}, generation.finish_reason)
    if usage:
        yield event(base | {"choices": [], "usage": generation.usage})
    yield DONE


async def _completion_events(generation: Generation, frame: Callable[[str], dict[str, Any]], usage: bool) -> Events:
    base = frame("text_completion") | ({"usage": None} if usage else {})

    def chunk(text: str, finish: str | None = None) -> str:
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
        return event(base | {"choices": [choice]})

    async with contextlib.aclosing(generation.pieces()) as pieces:
        async for piece in pieces:
            yield chunk(piece)
    yield chunk("", generation.finish_reason)
    if usage:
        yield event(base | {"choices": [], "usage": generation.usage})
    yield DONE


def _failed(refusal: Refusal) -> str:
    return event(refusal.body) + DONE


def _frame(prefix: str, model: str) -> Callable[[str], dict[str, Any]]:
    """Return a factory of the fields that all objects of one answer share."""
    shared = {"id": f"{prefix}-{secrets.token_hex(12)}", "created": int(time.time()), "model": model}
    return lambda kind: shared | {"object": kind, "system_fingerprint": None}
