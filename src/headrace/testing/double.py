"""A model server for tests: a Python function answers, and the test sees and controls what happens."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from typing import Literal, TypeAlias

from google.protobuf.message import Message

from headrace.codec import GENERATE, PREDICT, SERVICE, STREAM
from headrace.config import Target, Transmission
from headrace.testing import answers
from headrace.testing.answers import Answer, Fail, GrpcFail, ModelFunction, ReceivedInput, Shape
from headrace.testing.turnstile import Turnstile
from headrace.transport.memory import MemoryServer, MemoryTransport, ServerCall
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import service_pb2 as service

_REQUESTS: dict[str, type[Message]] = {
    "GetModel": service.GetModelRequest,
    "ListModels": service.ListModelsRequest,
    "GetModelVersion": service.GetModelVersionRequest,
    "GetModelType": service.GetModelTypeRequest,
    "ListModelTypes": service.ListModelTypesRequest,
    "GetDeployment": service.GetDeploymentRequest,
    "GetNodepool": service.GetNodepoolRequest,
    "GetUser": service.GetUserRequest,
}

Reply: TypeAlias = Message | Fail | GrpcFail | int
Response: TypeAlias = service.MultiOutputResponse | GrpcFail
_NamesModel: TypeAlias = service.GetModelRequest | service.ListModelsRequest | service.GetModelVersionRequest


class ModelDouble:
    """Stands in for a model and its server; `Client(transport=double)` talks to it.

    ::

        double = ModelDouble(lambda item: item.text.upper())
        flaky = ModelDouble(lambda item: 11005 if item.attempt == 1 else "fine")    # throttled the first time
        tokens = ModelDouble(lambda item: ["one ", "two ", GrpcFail("UNAVAILABLE")])

    The function gets a `ReceivedInput` and returns text, (name, value) pairs for concepts, a `Data` or `Output`
    message, a failure (`Fail`, `GrpcFail`, or a status code), or several of these for `generate`. It may be async,
    and a generator of either kind. What it raises ends the call as gRPC UNKNOWN and is in `server.errors`.

    Args:
        function: answers one input.
        echo_ids: outputs name the input that they answer.
        answering: on duplex streams, answers come in the order of the inputs ("in_order"), as they get ready
            ("as_ready"), or only after the last input ("at_end"); inputs are read at once in all three.
        model_type: the model's type id; `input_fields`: what that type takes.
        signatures: the model's typed methods.
        server: how the wire behaves; a `MemoryServer()` by default.

    Attributes:
        server: the in-memory server: faults, calls, metadata.
        inputs: every input received, in order (not with `MemoryServer(keep=False)`).
        attempts: input id -> how often it was received.
        answered: how many inputs were answered.
    """

    def __init__(
        self,
        function: ModelFunction,
        *,
        echo_ids: bool = True,
        answering: Literal["in_order", "as_ready", "at_end"] = "in_order",
        model_type: str = "text-to-text",
        input_fields: Sequence[str] = ("text",),
        signatures: Sequence[pb.MethodSignature] = (),
        server: MemoryServer | None = None,
    ) -> None:
        self.function = function
        self.echo_ids = echo_ids
        self.answering = answering
        self.model_type: pb.ModelType = pb.ModelType(id=model_type, title=model_type, input_fields=input_fields)
        self.signatures: list[pb.MethodSignature] = list(signatures)
        self.server: MemoryServer = server or MemoryServer()
        self.inputs: list[ReceivedInput] = []
        self.attempts: Counter[str] = Counter()
        self.answered: int = 0
        self._turnstile = Turnstile(self.server.changes.notify)
        self._request_ids = itertools.count(1)
        self._replies: dict[str, Reply | Callable[[Message], Reply]] = {}
        self.server.handlers[PREDICT] = self._predict
        self.server.handlers[GENERATE] = self._generate
        self.server.handlers[STREAM] = self._stream
        for name in _REQUESTS:
            self.server.handlers[SERVICE + name] = self._look_up

    def __call__(self, target: Target, options: Transmission) -> MemoryTransport:
        """Make an unconnected transport to this server: it is a `TransportFactory`."""
        return self.server(target, options)

    def __repr__(self) -> str:
        return f"<ModelDouble {sum(self.attempts.values())} received, {self.answered} answered, {len(self.held)} held>"

    # -- what a test controls and sees

    def reply(self, method: str, reply: Reply | Callable[[Message], Reply]) -> None:
        """Answer a look-up such as "GetModel" with this message, failure, or function of the request."""
        if method not in _REQUESTS:
            raise ValueError(f"{method!r} is none of {sorted(_REQUESTS)}")
        self._replies[method] = reply

    @property
    def held(self) -> list[str]:
        """Ids of inputs whose answer is held back now, in the order in which they came."""
        return self._turnstile.waiting

    def hold(self) -> None:
        """Answer no input from now on; the function is called when the input is released."""
        self._turnstile.hold()

    def release(self, *ids: str) -> None:
        """Let the inputs with these ids be answered, now or when they come; without ids all, also later ones."""
        self._turnstile.release(*ids)

    def release_next(self, count: int = 1) -> None:
        """Let the next inputs be answered, in the order in which they came or come."""
        self._turnstile.release_next(count)

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Hold answers for the length of a `with` block."""
        self.hold()
        try:
            yield
        finally:
            self.release()

    async def received(self, count: int, timeout: float = 10.0) -> None:
        """Wait until so many inputs were received, repeated ones included.

        Raises:
            TimeoutError: it was fewer for `timeout` seconds.
        """
        await self.server.until(lambda: self.attempts.total() >= count, timeout)

    # -- handlers

    async def _predict(self, call: ServerCall) -> None:
        await _send(call, await self._respond(call, await call.read() or b"", "predict"))

    async def _generate(self, call: ServerCall) -> None:
        request = service.PostModelOutputsRequest.FromString(await call.read() or b"")
        for item in self._take(call, request, "generate"):
            async with contextlib.aclosing(self._answers(item)) as pieces:
                async for answer in pieces:
                    await _send(call, answer if isinstance(answer, GrpcFail) else self._response([answer], [item]))
                    if isinstance(answer, int | Fail):
                        return
            self._count_answered(1)

    async def _stream(self, call: ServerCall) -> None:
        ready: asyncio.Queue[asyncio.Task[Response] | None] = asyncio.Queue()
        running: set[asyncio.Task[Response]] = set()

        async def pull() -> None:
            delayed = []
            while (message := await call.read()) is not None:
                task = asyncio.create_task(self._respond(call, message, "stream"))
                running.add(task)
                if self.answering == "as_ready":
                    task.add_done_callback(ready.put_nowait)
                elif self.answering == "in_order":
                    ready.put_nowait(task)
                else:
                    delayed.append(task)
            for task in delayed:
                ready.put_nowait(task)

        puller = asyncio.create_task(pull())
        puller.add_done_callback(lambda _: ready.put_nowait(None))
        try:
            while running or not puller.done():
                response = await ready.get()
                if response is not None:
                    await _send(call, await response)
                    running.discard(response)
            await puller
        finally:
            puller.cancel()
            for task in running:
                task.cancel()
            await asyncio.gather(puller, *running, return_exceptions=True)

    async def _respond(self, call: ServerCall, message: bytes, shape: Shape) -> Response:
        request = service.PostModelOutputsRequest.FromString(message)
        items = self._take(call, request, shape)
        parts: list[Answer] = []
        for item in items:
            async with contextlib.aclosing(self._answers(item)) as pieces:
                answer = answers.joined([piece async for piece in pieces])
            if isinstance(answer, GrpcFail):
                return answer
            parts.append(answer)
        self._count_answered(len(items))
        return self._response(parts, items)

    async def _answers(self, item: ReceivedInput) -> AsyncGenerator[Answer, None]:
        await self._turnstile.passing(item.id)
        answer = self.function(item)
        if inspect.isawaitable(answer):
            answer = await answer
        async with contextlib.aclosing(answers.one_by_one(answer)) as pieces:
            async for piece in pieces:
                yield piece

    def _take(self, call: ServerCall, request: service.PostModelOutputsRequest, shape: Shape) -> list[ReceivedInput]:
        items = []
        for sent in request.inputs:
            self.attempts[sent.id] += 1
            items.append(ReceivedInput(sent.id, shape, self.attempts[sent.id], sent.data, dict(call.metadata), request))
        if self.server.keep:
            self.inputs.extend(items)
        self.server.changes.notify()
        return items

    def _count_answered(self, count: int) -> None:
        self.answered += count
        self.server.changes.notify()

    def _response(self, parts: Sequence[Answer], items: Sequence[ReceivedInput]) -> service.MultiOutputResponse:
        ids = [item.id if self.echo_ids else None for item in items]
        return answers.to_response(parts, ids, f"request-{next(self._request_ids)}")

    async def _look_up(self, call: ServerCall) -> None:
        name = call.method.removeprefix(SERVICE)
        request = _REQUESTS[name].FromString(await call.read() or b"")
        reply = self._replies.get(name)
        if reply is None:
            reply = self._usual_reply(request)
        elif callable(reply):
            reply = reply(request)
        if isinstance(reply, int | Fail):
            # The status is field 1 of every response, so any of them carries a failure.
            reply = service.SingleModelResponse(status=answers.to_status(reply))
        await _send(call, reply)

    def _usual_reply(self, request: Message) -> Message:
        ok = answers.to_status(answers.SUCCESS)
        if isinstance(request, service.GetModelRequest):
            return service.SingleModelResponse(status=ok, model=self._model(request, request.model_id))
        if isinstance(request, service.ListModelsRequest):
            models = [self._model(request, "double")] if request.page <= 1 else []
            return service.MultiModelResponse(status=ok, models=models)
        if isinstance(request, service.GetModelVersionRequest):
            version = self._model(request, request.model_id).model_version
            return service.SingleModelVersionResponse(status=ok, model_version=version)
        if isinstance(request, service.GetModelTypeRequest):
            return service.SingleModelTypeResponse(status=ok, model_type=self.model_type)
        if isinstance(request, service.ListModelTypesRequest):
            return service.MultiModelTypeResponse(status=ok, model_types=[self.model_type])
        if isinstance(request, service.GetDeploymentRequest):
            return service.SingleDeploymentResponse(status=ok, deployment=pb.Deployment(id=request.deployment_id))
        if isinstance(request, service.GetNodepoolRequest):
            return service.SingleNodepoolResponse(status=ok, nodepool=pb.Nodepool(id=request.nodepool_id))
        return service.SingleUserResponse(status=ok, user=pb.User(id="double-user"))

    def _model(self, request: _NamesModel, model_id: str) -> pb.Model:
        owner = request.user_app_id
        version = pb.ModelVersion(
            id=getattr(request, "version_id", "") or "double-version", method_signatures=self.signatures
        )
        return pb.Model(
            id=model_id,
            name=model_id,
            user_id=owner.user_id,
            app_id=owner.app_id,
            model_type_id=self.model_type.id,
            model_version=version,
        )


async def _send(call: ServerCall, response: Message | GrpcFail) -> None:
    if isinstance(response, GrpcFail):
        call.fail(
            response.status,
            response.details,
            retry_after=response.retry_after,
            unprocessed=response.unprocessed,
            broken=response.broken,
            too_large=response.too_large,
        )
    await call.write(response.SerializeToString())
