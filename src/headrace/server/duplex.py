"""A bidirectional stream: answers leave while inputs still arrive, and no more is read than can be worked on."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TYPE_CHECKING, Any

import grpc.aio

from headrace.server import envelope
from headrace.server.call import Call
from headrace.server.faults import Abort, Ended, Stalled
from headrace.server.feed import Feed
from headrace.server.hosted import Hosted, noted
from headrace.server.items import Settings, settings
from headrace.server.methods import Method, method_name
from headrace.server.model import Item, ModelError
from headrace.v2 import service_pb2

if TYPE_CHECKING:
    from headrace.server.servicer import Predictions

MIN_READ = 8  # requests read and unanswered, at least, so that URLs are fetched ahead
MAX_READ_BYTES = 64 << 20  # of them; one request is always let in
CANCEL_GRACE = 0.02  # seconds in which a cancel that first read as the end of the input shows itself

Request = service_pb2.PostModelOutputsRequest
Response = service_pb2.MultiOutputResponse


async def run_duplex(predictions: Predictions, call: Call) -> None:
    """Answer a stream until the caller has sent all and got all, or has gone."""
    await call.faults.before_reading()
    first = await call.context.read()
    if first is grpc.aio.EOF:
        return
    own: tuple[Hosted, Method] | None = None
    hosted: Hosted | None = None
    if await call.admit(first.model_id) is None:
        try:
            hosted = await predictions.model(first)
            method = hosted.find("stream", method_name(first.inputs[0]) if first.inputs else "")
            if method.shape == "stream":
                own = hosted, method
        except ModelError:
            pass  # each request's own answer says what is wrong
    if own is not None:
        try:
            await own[0].ready()
        except ModelError as error:
            call.refused, own = error, None
    if own is not None:
        await _Free(predictions, call, *own).run(first)
    else:
        await _Matched(predictions, call, hosted).run(first)


class _Room:
    """The bound on what was read and is not yet answered, in requests and in bytes."""

    def __init__(self, requests: float) -> None:
        self._requests = requests
        self._most_bytes = requests if requests == math.inf else MAX_READ_BYTES
        self._count = 0
        self._bytes = 0
        self._freed = asyncio.Event()

    async def take(self, size: int) -> None:
        self._count += 1
        self._bytes += size
        while self._count >= self._requests or self._bytes >= self._most_bytes:
            self._freed.clear()
            await self._freed.wait()

    def give(self, size: int) -> None:
        self._count -= 1
        self._bytes -= size
        self._freed.set()


class _Matched:
    """Each request is answered on its own, several at a time, in their order unless the model says otherwise."""

    def __init__(self, predictions: Predictions, call: Call, hosted: Hosted | None) -> None:
        self._predictions = predictions
        self._call = call
        self._default_id = hosted.id if hosted else ""
        self._ordered = hosted.ordered if hosted else True
        bound = max(MIN_READ, 2 * hosted.at_once if hosted else 0)
        self._room = _Room(math.inf if call.faults.answers_after_last_input else bound)
        self._turn: asyncio.Queue[asyncio.Task[tuple[Response | None, int]] | None] = asyncio.Queue()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, first: Request) -> None:
        reader = self._spawn(self._read(first))
        try:
            if self._call.faults.answers_after_last_input:
                await reader
            while (task := await self._turn.get()) is not None:
                response, size = await task
                if response is not None:
                    await self._call.write(response)
                self._room.give(size)
            await reader
        finally:
            await _cancel(self._tasks)

    async def _read(self, request: Any) -> None:
        try:
            while request is not grpc.aio.EOF:
                request.model_id = request.model_id or self._default_id
                size = request.ByteSize()
                task = self._spawn(self._answer(request, size))
                if self._ordered:
                    self._turn.put_nowait(task)
                else:
                    task.add_done_callback(self._turn.put_nowait)
                await self._room.take(size)
                request = await self._call.context.read()
            if not self._ordered:
                await asyncio.gather(*(task for task in self._tasks if task is not asyncio.current_task()))
        finally:
            self._turn.put_nowait(None)

    async def _answer(self, request: Request, size: int) -> tuple[Response | None, int]:
        if self._call.refused is not None:
            return self._call.refusal(self._call.refused, request), size
        try:
            return await self._predictions.answer(request, self._call), size
        except Stalled:
            return None, size

    def _spawn(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class _Free:
    """The model's own `stream` gets the items and gives any number of answers."""

    def __init__(self, predictions: Predictions, call: Call, hosted: Hosted, method: Method) -> None:
        self._predictions = predictions
        self._call = call
        self._hosted = hosted
        self._method = method
        self._typed = False
        self._feed = Feed(max(1, hosted.concurrency), call.cancelled)
        self._writing = asyncio.Lock()

    async def run(self, first: Request) -> None:
        self._typed = bool(first.inputs and method_name(first.inputs[0]))
        reader = asyncio.create_task(self._read(first))
        writer = asyncio.create_task(self._answer())
        try:
            await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
            if reader.done():
                reader.result()
            await writer
        finally:
            await _cancel({reader, writer})

    async def _answer(self) -> None:
        try:
            running = self._hosted.stream(self._feed, self._method, self._typed)
            async with contextlib.aclosing(running) as answers:
                async for input_id, answer in answers:
                    await self._write(answer, input_id)
        except (Abort, Ended):
            raise
        except Exception as error:
            await self._write(noted(error, self._hosted), self._feed.failed)

    async def _read(self, request: Any) -> None:
        while request is not grpc.aio.EOF:
            try:
                shared = settings(request, self._call.cancelled)
            except ModelError as error:
                for wire in request.inputs:
                    await self._write(error, wire.id)
            else:
                with contextlib.suppress(Stalled):
                    await self._take(request, shared)
            request = await self._call.context.read()
        # A caller that goes away may first look like one that has sent all: the model must not take it for that.
        await asyncio.sleep(CANCEL_GRACE)
        await self._feed.end()

    async def _take(self, request: Request, shared: Settings) -> None:
        struck = self._call.faults.inputs(len(request.inputs))
        for wire, fault in zip(request.inputs, struck, strict=True):
            item = await self._predictions.item(wire, fault, shared, self._hosted, self._method)
            await (self._feed.put(item) if isinstance(item, Item) else self._write(item, wire.id))

    async def _write(self, result: Any, input_id: str) -> None:
        echoed = input_id if input_id and self._call.faults.echo_input_ids else None
        made = envelope.output(result, echoed, self._hosted.id)
        async with self._writing:
            await self._call.write(envelope.response([made], self._call.req_id))


async def _cancel(tasks: set[asyncio.Task[Any]]) -> None:
    for task in list(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
