"""Models that converse, as functions of a test: some by OpenAI's API, some by a prompt and parameters."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from headrace.config import RetryPolicy
from headrace.testing import ReceivedInput
from headrace.v2 import resources_pb2 as pb

_Field = pb.ModelTypeField
_MSG = _Field(name="msg", type="STR", required=True)
_TEXT = _Field(name="return", type="STR")
_TEXTS = _Field(name="return", type="STR", iterator=True)


def _signature(name: str, fields: list[pb.ModelTypeField], returned: pb.ModelTypeField) -> pb.MethodSignature:
    shape = pb.UNARY_STREAMING if returned.iterator else pb.UNARY_UNARY
    return pb.MethodSignature(name=name, method_type=shape, input_fields=fields, output_fields=[returned])


#: Of a model that speaks OpenAI's API.
OPENAI = [
    _signature("openai_transport", [_MSG], _TEXT),
    _signature("openai_stream_transport", [_MSG], _TEXTS),
]

#: One attempt, so that a failure shows at once.
NO_RETRY = RetryPolicy(attempts=1, ambiguous_attempts=1, throttled_attempts=1, unprocessed=0)


def prompted(*parameters: str) -> list[pb.MethodSignature]:
    """Describe a model with a prompt and some parameters."""
    fields = [_Field(name=name, type="STR") for name in ("prompt", *parameters)]
    return [
        _signature("predict", fields, _TEXT),
        _signature("generate", fields, _TEXTS),
    ]


def openai_model(function: Callable[[dict[str, Any]], Any]) -> Callable[[ReceivedInput], Any]:
    """Make a double's function of one that gets a request of OpenAI's API.

    It gives back a message (a dict, or a text), or, for a request that streams, the deltas of one; a `completion` or a
    failure by itself is sent as it is.
    """

    def answer(item: ReceivedInput) -> Any:
        request = json.loads(item.data.parts[0].data.string_value)
        said = function(request)
        if not request.get("stream"):
            return data(whole(said) if isinstance(said, str) or "choices" not in said else said)
        if inspect.isasyncgen(said):
            return _events(said)
        return [data(event) for event in chunks(*([said] if isinstance(said, str | dict) else said))]

    return answer


async def _events(deltas: AsyncIterator[Any]) -> AsyncIterator[pb.Data]:
    async for delta in deltas:
        yield data(chunk(delta))


def whole(message: Mapping[str, Any] | str, finish_reason: str | None = None, **usage: int) -> dict[str, Any]:
    """Make a completion of a message."""
    fields = {"role": "assistant", **({"content": message} if isinstance(message, str) else message)}
    reason = finish_reason or ("tool_calls" if fields.get("tool_calls") else "stop")
    choice = {"index": 0, "finish_reason": reason, "message": fields}
    tokens = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, **usage}
    return {"id": "completion-1", "object": "chat.completion", "model": "speaker", "choices": [choice], "usage": tokens}


def chunk(delta: Mapping[str, Any] | str, finish_reason: str | None = None) -> dict[str, Any]:
    """Make a chunk of a delta; what is a chunk or a failure already stays."""
    if isinstance(delta, Mapping) and ("choices" in delta or "error" in delta):
        return dict(delta)
    fields = {"content": delta} if isinstance(delta, str) else dict(delta)
    choice = {"index": 0, "finish_reason": finish_reason, "delta": fields}
    return {"id": "completion-1", "object": "chat.completion.chunk", "model": "speaker", "choices": [choice]}


def chunks(*deltas: Any) -> list[dict[str, Any]]:
    """Make all chunks of an answer, up to the usage."""
    tools = any(isinstance(delta, Mapping) and delta.get("tool_calls") for delta in deltas)
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    last = chunk({}, "tool_calls" if tools else "stop")
    return [*map(chunk, deltas), last, {"id": "completion-1", "choices": [], "usage": usage, "model": "speaker"}]


def calling(name: str, arguments: Mapping[str, Any] | str, call_id: str = "call-1") -> dict[str, Any]:
    """Make a message, or a delta, that asks for a tool."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    call = {"index": 0, "id": call_id, "type": "function", "function": {"name": name, "arguments": text}}
    return {"content": None, "tool_calls": [call]}


def data(fields: Any) -> pb.Data:
    """Make what a method of a model returns."""
    return pb.Data(string_value=fields if isinstance(fields, str) else json.dumps(fields))


def words(item: ReceivedInput) -> list[pb.Output]:
    """Answer with the words of the prompt, in one piece or one by one, and count them."""
    said = item.text.split()
    tokens = pb.Output(prompt_tokens=len(said), completion_tokens=len(said))
    if item.shape == "predict":
        tokens.data.text.raw = " ".join(said)
        return [tokens]
    pieces = [f" {word}" if position else word for position, word in enumerate(said)]
    return [*(pb.Output(data=pb.Data(text=pb.Text(raw=piece))) for piece in pieces), tokens]


def vector(*numbers: float) -> pb.Data:
    """Answer with a vector."""
    return pb.Data(embeddings=[pb.Embedding(vector=numbers, num_dimensions=len(numbers))])


async def forever(item: ReceivedInput) -> AsyncIterator[str]:
    """Say one word again and again, until the caller leaves."""
    while True:
        yield "word "
        await asyncio.sleep(0.001)
