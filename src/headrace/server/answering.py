"""From requests to responses: find the model, turn inputs into items, and answers into outputs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence

from headrace.methods.signatures import GET_SIGNATURES
from headrace.server import envelope
from headrace.server.call import Call
from headrace.server.fault_file import Rule
from headrace.server.faults import on_input
from headrace.server.hosted import Hosted, noted, signatures_json
from headrace.server.items import Fetcher, Settings, make_item, settings
from headrace.server.methods import Method, method_name
from headrace.server.model import Answer, Item, ModelError, text
from headrace.server.registry import Registry
from headrace.v2 import resources_pb2, service_pb2

MIN_AT_ONCE = 8  # minimum inputs of a batch in flight: while one is in the model, URLs of others are fetched

_NOTHING = resources_pb2.Data(text=resources_pb2.Text())
_NOTHING_TYPED = resources_pb2.Data(parts=[resources_pb2.Part(id="return", data=resources_pb2.Data())])

Request = service_pb2.PostModelOutputsRequest
Response = service_pb2.MultiOutputResponse


class Answering:
    """Answer requests with the models of a registry."""

    def __init__(self, registry: Registry, fetcher: Fetcher) -> None:
        self._registry = registry
        self._fetcher = fetcher

    async def model(self, request: Request) -> Hosted:
        """Find the model that a request names; without a name it is the server's only model.

        Raises:
            ModelError: 11102 no id, 21200 unknown, 21350 unusable.
        """
        model_id = request.model_id or self._registry.only
        if not model_id:
            raise ModelError(envelope.INVALID_REQUEST, "model_id is empty")
        return await self._registry.get(model_id)

    async def answer(self, request: Request, call: Call) -> Response:
        """Make the response to one request: one output per input, in their order."""
        rules = call.faults.inputs(len(request.inputs))
        try:
            hosted = await self.model(request)
            if request.inputs and method_name(request.inputs[0]) == GET_SIGNATURES:
                listed = text(signatures_json(hosted))
                return envelope.response([envelope.output(listed, request.inputs[0].id, hosted.id)], call.req_id)
            shared = settings(request, call.cancelled)
            hosted.check(shared.params)
            await hosted.ready()
        except ModelError as error:
            return call.refusal(error, request)
        results = await self._answers(request.inputs, rules, shared, hosted)
        outputs = [
            envelope.output(result, call.echoed(wire), hosted.id)
            for wire, result in zip(request.inputs, results, strict=True)
        ]
        return envelope.response(outputs, call.req_id)

    async def _answers(
        self, inputs: Sequence[resources_pb2.Input], rules: Sequence[Rule | None], shared: Settings, hosted: Hosted
    ) -> list[Answer | Exception]:
        """Answer inputs, as many at a time as the model takes."""
        if len(inputs) == 1:
            return [await self._one(inputs[0], rules[0], shared, hosted)]
        results: dict[int, Answer | Exception] = {}
        remaining = iter(enumerate(inputs))

        async def work() -> None:
            for position, wire in remaining:
                results[position] = await self._one(wire, rules[position], shared, hosted)

        workers = min(len(inputs), max(MIN_AT_ONCE, hosted.at_once + 1))
        tasks = [asyncio.create_task(work()) for _ in range(workers)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        return [results[position] for position in range(len(inputs))]

    async def _one(
        self, wire: resources_pb2.Input, rule: Rule | None, shared: Settings, hosted: Hosted
    ) -> Answer | Exception:
        try:
            await on_input(rule)
            method = hosted.find("predict", method_name(wire))
            return await hosted.predict(await make_item(wire, shared, method, hosted.card, self._fetcher))
        except Exception as error:
            return noted(error, hosted)

    async def pieces(self, request: Request, call: Call) -> AsyncGenerator[Response, None]:
        """Make the responses of a generated answer; a failure comes last, and there is at least one response."""
        rules = call.faults.inputs(len(request.inputs))
        try:
            hosted = await self.model(request)
            shared = settings(request, call.cancelled)
            hosted.check(shared.params)
            await hosted.ready()
        except ModelError as error:
            yield call.refusal(error, request)
            return
        for wire, rule in zip(request.inputs, rules, strict=True):
            count = 0
            try:
                await on_input(rule)
                method = hosted.find("generate", method_name(wire))
                item = await make_item(wire, shared, method, hosted.card, self._fetcher)
                async with contextlib.aclosing(hosted.generate(item)) as answers:
                    async for answer in answers:
                        count += 1
                        yield envelope.response([envelope.output(answer, call.echoed(wire), hosted.id)], call.req_id)
                if not count:  # an empty stream would look like a broken one
                    nothing = Answer(_NOTHING_TYPED if item.method else _NOTHING)
                    yield envelope.response([envelope.output(nothing, call.echoed(wire), hosted.id)], call.req_id)
            except Exception as error:
                failed = envelope.output(noted(error, hosted), call.echoed(wire), hosted.id)
                yield envelope.response([failed], call.req_id)

    async def item(
        self, wire: resources_pb2.Input, rule: Rule | None, shared: Settings, hosted: Hosted, method: Method
    ) -> Item | Exception:
        """Make an item from an input, or return its error."""
        try:
            await on_input(rule)
            return await make_item(wire, shared, method, hosted.card, self._fetcher)
        except Exception as error:
            return noted(error, hosted)
