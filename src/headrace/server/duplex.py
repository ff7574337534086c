"""A bidirectional stream: answers leave while inputs still arrive, and only as much is read as can be processed."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import Any

import grpc.aio

from headrace.server import envelope
from headrace.server.answering import Answering, Request, Response
from headrace.server.budget import Budget
from headrace.server.call import Admission, Call
from headrace.server.faults import Abort, Ended, Stalled
from headrace.server.feed import Feed
from headrace.server.hosted import Hosted, noted
from headrace.server.items import Settings, settings
from headrace.server.methods import Method, method_name
from headrace.server.model import Item, ModelError
from headrace.server.requests import parsed

MIN_READ = 8  # requests read and unanswered, at least, so that URLs are fetched ahead
MAX_READ_BYTES = 64 << 20  # of them; one request is always let in
CANCEL_GRACE = 0.02  # seconds in which a cancel that first read as the end of the input shows itself
FIRST_REQUEST_SECONDS = 120.0  # a stream that sends nothing for so long is ended
UNREADABLE = ModelError(envelope.BAD_FORMAT, "the message is not a request")


async def run_duplex(answering: Answering, call: Call, admission: Admission) -> None:
    """Answer a stream until the caller has sent all and got all, or has gone.

    It takes a slot once its first request is there: a silent stream blocks nobody.
    """
    await call.faults.before_reading()
    requests = _Requests(call, admission.bytes)
    try:
        async with asyncio.timeout(FIRST_REQUEST_SECONDS):
            first = await requests.read()
    except TimeoutError:
        reason = f"the stream has sent nothing for {FIRST_REQUEST_SECONDS:g} seconds"
        await call.context.abort(grpc.StatusCode.UNAVAILABLE, reason)
    if first is None:
        return
    if (busy := admission.busy()) is not None and call.refused is None:
        call.refused = busy
        await call.write(call.refusal(busy, Request()))
        requests.answered(first)
        return
    admission.enter()
    try:
        await _run(answering, call, first, requests)
    finally:
        admission.leave()
        requests.close()


async def _run(answering: Answering, call: Call, first: _Read, requests: _Requests) -> None:
    """Find out who answers the stream, by its first request, and let it."""
    own: tuple[Hosted, Method] | None = None
    hosted: Hosted | None = None
    request = first.request
    if request is not None and await call.admit(request.model_id) is None:
        try:
            hosted = await answering.model(request)
            method = hosted.find("stream", method_name(request.inputs[0]) if request.inputs else "")
            if method.shape == "stream":
                own = hosted, method
        except ModelError:
            pass  # each request's own answer reports the problem
    if own is not None:
        try:
            await own[0].ready()
        except ModelError as error:
            call.refused, own = error, None
    if own is not None:
        await _Unmatched(answering, call, requests, *own).run(first)
    else:
        await _Matched(answering, call, requests, hosted).run(first)


class _Read:
    """A message of a stream: a request or its error, and its size on the wire."""

    __slots__ = ("error", "request", "size")

    def __init__(self, request: Request | None, error: ModelError | None, size: int) -> None:
        self.request = request
        self.error = error
        self.size = size


class _Requests:
    """The messages of a stream, counted in the budget that all calls share until they are answered."""

    def __init__(self, call: Call, budget: Budget) -> None:
        self._call = call
        self._budget = budget
        self._held_bytes = 0

    async def read(self) -> _Read | None:
        """Read the next message; None at their end."""
        await self._budget.read()
        data = await self._call.context.read()
        if data is grpc.aio.EOF:
            return None
        size = len(data)
        self._budget.take(size)
        self._held_bytes += size
        try:
            return _Read(parsed(Request, data), None, size)
        except ModelError as error:
            return _Read(None, error, size)

    def answered(self, read: _Read) -> None:
        """Give back what a message held."""
        self._held_bytes -= read.size
        self._budget.release(read.size)

    def close(self) -> None:
        """Give back what all messages hold."""
        self._budget.release(self._held_bytes)
        self._held_bytes = 0


class _ReadAhead:
    """The bound on read and unanswered requests, in number and in bytes."""

    def __init__(self, requests: float) -> None:
        self._max_requests = requests
        self._max_bytes = requests if requests == math.inf else MAX_READ_BYTES
        self._count = 0
        self._bytes = 0
        self._released = asyncio.Event()

    async def take(self, size: int) -> None:
        self._count += 1
        self._bytes += size
        while self._count >= self._max_requests or self._bytes >= self._max_bytes:
            self._released.clear()
            await self._released.wait()

    def release(self, size: int) -> None:
        self._count -= 1
        self._bytes -= size
        self._released.set()


class _Matched:
    """Each request is answered on its own, several at a time, in their order unless the model says otherwise."""

    def __init__(self, answering: Answering, call: Call, requests: _Requests, hosted: Hosted | None) -> None:
        self._answering = answering
        self._call = call
        self._requests = requests
        self._default_id = hosted.id if hosted else ""
        self._ordered = hosted.ordered if hosted else True
        bound = max(MIN_READ, 2 * hosted.at_once if hosted else 0)
        self._ahead = _ReadAhead(math.inf if call.faults.answers_after_last_input else bound)
        self._answers: asyncio.Queue[asyncio.Task[tuple[Response | None, _Read]] | None] = asyncio.Queue()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, first: _Read) -> None:
        reader = self._spawn(self._read(first))
        try:
            if self._call.faults.answers_after_last_input:
                await reader
            while (task := await self._answers.get()) is not None:
                response, read = await task
                if response is not None:
                    await self._call.write(response)
                self._ahead.release(read.size)
                self._requests.answered(read)
            await reader
        finally:
            await _cancel(self._tasks)

    async def _read(self, read: _Read | None) -> None:
        try:
            while read is not None:
                task = self._spawn(self._answer(read))
                if self._ordered:
                    self._answers.put_nowait(task)
                else:
                    task.add_done_callback(self._answers.put_nowait)
                await self._ahead.take(read.size)
                read = await self._requests.read()
            if not self._ordered:
                await asyncio.gather(*(task for task in self._tasks if task is not asyncio.current_task()))
        finally:
            self._answers.put_nowait(None)

    async def _answer(self, read: _Read) -> tuple[Response | None, _Read]:
        request = read.request
        if request is None:
            return self._call.refusal(read.error or UNREADABLE, Request()), read
        request.model_id = request.model_id or self._default_id
        if self._call.refused is not None:
            return self._call.refusal(self._call.refused, request), read
        try:
            return await self._answering.answer(request, self._call), read
        except Stalled:
            return None, read

    def _spawn(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class _Unmatched:
    """The model's own `stream` gets the items and gives any number of answers."""

    def __init__(self, answering: Answering, call: Call, requests: _Requests, hosted: Hosted, method: Method) -> None:
        self._answering = answering
        self._call = call
        self._requests = requests
        self._hosted = hosted
        self._method = method
        self._typed = False
        self._feed = Feed(max(1, hosted.concurrency), call.cancelled)
        self._writing = asyncio.Lock()

    async def run(self, first: _Read) -> None:
        request = first.request
        self._typed = bool(request and request.inputs and method_name(request.inputs[0]))
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

    async def _read(self, read: _Read | None) -> None:
        while read is not None:
            try:
                if read.request is None:
                    raise read.error or UNREADABLE
                shared = settings(read.request, self._call.cancelled)
                self._hosted.check(shared.params)
            except ModelError as error:
                for input_id in [wire.id for wire in read.request.inputs] if read.request else [""]:
                    await self._write(error, input_id)
            else:
                with contextlib.suppress(Stalled):
                    await self._take(read.request, shared)
            self._requests.answered(read)
            read = await self._requests.read()
        # A leaving caller may first look like one that has sent everything: the model must not see it as such.
        await asyncio.sleep(CANCEL_GRACE)
        await self._feed.end()

    async def _take(self, request: Request, shared: Settings) -> None:
        rules = self._call.faults.inputs(len(request.inputs))
        for wire, rule in zip(request.inputs, rules, strict=True):
            item = await self._answering.item(wire, rule, shared, self._hosted, self._method)
            await (self._feed.put(item) if isinstance(item, Item) else self._write(item, wire.id))

    async def _write(self, result: Any, input_id: str) -> None:
        echoed = input_id if input_id and self._call.faults.echo_input_ids else None
        output = envelope.output(result, echoed, self._hosted.id)
        async with self._writing:
            await self._call.write(envelope.response([output], self._call.req_id))


async def _cancel(tasks: set[asyncio.Task[Any]]) -> None:
    for task in list(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
