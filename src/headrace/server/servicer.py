"""The three prediction methods: calls let in, answered, and ended."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from headrace.server.answering import Answering, Request, Response
from headrace.server.call import Admission
from headrace.server.duplex import run_duplex
from headrace.server.faults import Stalled, never


class Predictions:
    """Answer PostModelOutputs, GenerateModelOutputs and StreamModelOutputs."""

    def __init__(self, answering: Answering, admission: Admission) -> None:
        self._answering = answering
        self._admission = admission

    async def post_model_outputs(self, request: Request, context: Any) -> Response:
        """Answer all inputs of a request at once."""
        with self._admission.call(context, "PostModelOutputs") as call:
            if (refused := await call.admit(request.model_id)) is not None:
                return call.refusal(refused, request)
            try:
                return await self._answering.answer(request, call)
            except Stalled:
                await never()

    async def generate_model_outputs(self, request: Request, context: Any) -> None:
        """Answer the inputs of a request one after the other, each in pieces."""
        with self._admission.call(context, "GenerateModelOutputs") as call:
            if (refused := await call.admit(request.model_id)) is not None:
                await context.write(call.refusal(refused, request))
                return
            try:
                async with contextlib.aclosing(self._answering.pieces(request, call)) as pieces:
                    async for piece in pieces:
                        await call.write(piece)
            except Stalled:
                await never()

    async def stream_model_outputs(self, _: AsyncIterator[bytes], context: Any) -> None:
        """Answer a stream of requests while they arrive."""
        with self._admission.call(context, "StreamModelOutputs") as call:
            await run_duplex(self._answering, call, self._admission)
