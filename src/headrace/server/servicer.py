"""The three prediction methods, over the models of a registry."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import grpc.aio

from headrace.server import envelope
from headrace.server.call import Call, Gate
from headrace.server.duplex import run_duplex
from headrace.server.fault_file import Rule
from headrace.server.faults import Stalled, never, on_input
from headrace.server.hosted import Hosted, noted, signatures_json
from headrace.server.items import Fetcher, Settings, make_item, settings
from headrace.server.methods import Method, method_name
from headrace.server.model import Answer, Item, ModelError, text
from headrace.server.registry import Registry
from headrace.signatures import GET_SIGNATURES
from headrace.v2 import resources_pb2, service_pb2

MIN_AT_ONCE = 8  # inputs of a batch under way at least: while one is in the model, URLs of others are fetched

_NOTHING = resources_pb2.Data(text=resources_pb2.Text())
_NOTHING_TYPED = resources_pb2.Data(parts=[resources_pb2.Part(id="return", data=resources_pb2.Data())])

Request = service_pb2.PostModelOutputsRequest
Response = service_pb2.MultiOutputResponse
Context = grpc.aio.ServicerContext[Request, Response]


class Predictions:
    """Answer PostModelOutputs, GenerateModelOutputs and StreamModelOutputs."""

    def __init__(self, registry: Registry, fetcher: Fetcher, gate: Gate) -> None:
        self._registry = registry
        self._fetcher = fetcher
        self._gate = gate

    async def post_model_outputs(self, request: Request, context: Context) -> Response:
        """Answer all inputs of a request at once."""
        with self._gate.call(context, "PostModelOutputs") as call:
            if (refused := await call.admit(request.model_id)) is not None:
                return call.refusal(refused, request)
            try:
                return await self.answer(request, call)
            except Stalled:
                await never()

    async def generate_model_outputs(self, request: Request, context: Context) -> None:
        """Answer the inputs of a request one after the other, each in pieces."""
        with self._gate.call(context, "GenerateModelOutputs") as call:
            if (refused := await call.admit(request.model_id)) is not None:
                await context.write(call.refusal(refused, request))
                return
            try:
                async with contextlib.aclosing(self.pieces(request, call)) as pieces:
                    async for piece in pieces:
                        await call.write(piece)
            except Stalled:
                await never()

    async def stream_model_outputs(self, _: AsyncIterator[Request], context: Context) -> None:
        """Answer a stream of requests while they arrive."""
        with self._gate.call(context, "StreamModelOutputs") as call:
            await run_duplex(self, call)

    async def model(self, request: Request) -> Hosted:
        """Find the model that a request names; one that names none means the only model that there is.

        Raises:
            ModelError: 11102 no id, 21200 unknown, 21350 unusable.
        """
        model_id = request.model_id or self._registry.only
        if not model_id:
            raise ModelError(envelope.INVALID_REQUEST, "model_id is empty")
        return await self._registry.get(model_id)

    async def answer(self, request: Request, call: Call) -> Response:
        """Make the response to one request: every input its own output, in their order."""
        struck = call.faults.inputs(len(request.inputs))
        try:
            hosted = await self.model(request)
            if request.inputs and method_name(request.inputs[0]) == GET_SIGNATURES:
                told = text(signatures_json(hosted))
                return envelope.response([envelope.output(told, request.inputs[0].id, hosted.id)], call.req_id)
            shared = settings(request, call.cancelled)
            await hosted.ready()
        except ModelError as error:
            return call.refusal(error, request)
        results = await self._answers(request.inputs, struck, shared, hosted)
        outputs = [
            envelope.output(result, call.echoed(wire), hosted.id)
            for wire, result in zip(request.inputs, results, strict=True)
        ]
        return envelope.response(outputs, call.req_id)

    async def _answers(
        self, inputs: Sequence[resources_pb2.Input], struck: Sequence[Rule | None], shared: Settings, hosted: Hosted
    ) -> list[Answer | Exception]:
        """Answer inputs, as many at a time as the model takes."""
        if len(inputs) == 1:
            return [await self._one(inputs[0], struck[0], shared, hosted)]
        results: dict[int, Answer | Exception] = {}
        left = iter(enumerate(inputs))

        async def work() -> None:
            for position, wire in left:
                results[position] = await self._one(wire, struck[position], shared, hosted)

        workers = min(len(inputs), max(MIN_AT_ONCE, hosted.at_once + 1))
        tasks = [asyncio.create_task(work()) for _ in range(workers)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        return [results[position] for position in range(len(inputs))]

    async def _one(
        self, wire: resources_pb2.Input, fault: Rule | None, shared: Settings, hosted: Hosted
    ) -> Answer | Exception:
        try:
            await on_input(fault)
            method = hosted.find("predict", method_name(wire))
            return await hosted.predict(await make_item(wire, shared, method, hosted.card, self._fetcher))
        except Exception as error:
            return noted(error, hosted)

    async def pieces(self, request: Request, call: Call) -> AsyncGenerator[Response, None]:
        """Make the responses of a generated answer; a failure is the last of them, and there is always one."""
        struck = call.faults.inputs(len(request.inputs))
        try:
            hosted = await self.model(request)
            shared = settings(request, call.cancelled)
            await hosted.ready()
        except ModelError as error:
            yield call.refusal(error, request)
            return
        for wire, fault in zip(request.inputs, struck, strict=True):
            given = 0
            try:
                await on_input(fault)
                method = hosted.find("generate", method_name(wire))
                item = await make_item(wire, shared, method, hosted.card, self._fetcher)
                async with contextlib.aclosing(hosted.generate(item)) as answers:
                    async for answer in answers:
                        given += 1
                        yield envelope.response([envelope.output(answer, call.echoed(wire), hosted.id)], call.req_id)
                if not given:  # an empty stream would look like a broken one
                    nothing = Answer(_NOTHING_TYPED if item.method else _NOTHING)
                    yield envelope.response([envelope.output(nothing, call.echoed(wire), hosted.id)], call.req_id)
            except Exception as error:
                failed = envelope.output(noted(error, hosted), call.echoed(wire), hosted.id)
                yield envelope.response([failed], call.req_id)

    async def item(
        self, wire: resources_pb2.Input, fault: Rule | None, shared: Settings, hosted: Hosted, method: Method
    ) -> Item | Exception:
        """Make an item of an input, or give the error that says why not."""
        try:
            await on_input(fault)
            return await make_item(wire, shared, method, hosted.card, self._fetcher)
        except Exception as error:
            return noted(error, hosted)
