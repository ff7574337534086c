"""Handlers of the three prediction methods from one function of protocol messages."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import TypeAlias

from headrace.codec import GENERATE, PREDICT, STREAM
from headrace.transport.memory import Handler, ServerCall
from headrace.v2 import service_pb2 as service

Request: TypeAlias = service.PostModelOutputsRequest
Response: TypeAlias = service.MultiOutputResponse
#: A response, or several for one request of a token stream; may be awaited.
Responses: TypeAlias = Response | Iterable[Response] | AsyncIterable[Response]


def prediction_handlers(function: Callable[[Request], Responses | Awaitable[Responses]]) -> dict[str, Handler]:
    """Make the handlers of all three prediction methods, for `MemoryServer(prediction_handlers(function))`.

    `function` is called once a request; all its responses are sent, in each of the methods. For full control over
    the wire; `ModelDouble` is the shorter way if inputs and answers matter.
    """

    async def handler(call: ServerCall) -> None:
        while (message := await call.read()) is not None:
            answer = function(Request.FromString(message))
            responses = await answer if inspect.isawaitable(answer) else answer
            if isinstance(responses, Response):
                await call.write(responses.SerializeToString())
            elif isinstance(responses, AsyncIterable):
                async for response in responses:
                    await call.write(response.SerializeToString())
            else:
                for response in responses:
                    await call.write(response.SerializeToString())
            if call.method != STREAM:
                return

    return {PREDICT: handler, GENERATE: handler, STREAM: handler}


__all__ = ["GENERATE", "PREDICT", "STREAM", "prediction_handlers"]
