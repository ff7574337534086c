"""Large unary requests over gRPC: they end like small ones, and what was sent is not held until the answer comes."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import grpc
import pytest
from grpc import aio

from headrace import errors
from headrace.config import Transmission
from headrace.target import Target
from headrace.transport.base import Buffer
from headrace.transport.grpc import calls as module
from headrace.transport.grpc.calls import GrpcCall
from headrace.transport.grpc.client import SCARCE_BYTES, GrpcTransport

pytestmark = pytest.mark.core

NAMES = ("Length", "Abort", "Wait", "Nothing", "Refuse", "Early")
LENGTH, ABORT, WAIT, NOTHING, REFUSE, EARLY = (f"/test.T/{name}" for name in NAMES)
SIZES = (SCARCE_BYTES - 1, SCARCE_BYTES)


class Handlers(grpc.GenericRpcHandler):
    """A server that tells how long a message was, refuses it, keeps it waiting, or ends without an answer."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        self.go_on = asyncio.Event()
        self.cancelled = asyncio.Event()

    def service(self, details: Any) -> Any:
        name = details.method.rpartition("/")[2].lower()
        if details.method in (NOTHING, REFUSE, EARLY):
            return grpc.stream_stream_rpc_method_handler(getattr(self, name))
        return grpc.unary_unary_rpc_method_handler(getattr(self, name))

    async def length(self, request: bytes, context: Any) -> bytes:
        return b"%d %s" % (len(request), request[-1:])

    async def abort(self, request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "on purpose")
        raise AssertionError

    async def wait(self, request: bytes, context: Any) -> bytes:
        del request
        self.arrived.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return b"done"

    async def nothing(self, requests: Any, context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            if not request:
                yield b"an answer to an empty message"

    async def refuse(self, requests: Any, context: Any) -> AsyncIterator[bytes]:
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "unread")
        yield b""

    async def early(self, requests: Any, context: Any) -> AsyncIterator[bytes]:
        yield b"early"


@pytest.fixture
async def handlers() -> Handlers:
    return Handlers()


@pytest.fixture
async def transport(handlers: Handlers) -> AsyncIterator[GrpcTransport]:
    server = aio.server(options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 2 * SCARCE_BYTES)])
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    made = GrpcTransport(Target.parse(f"http://127.0.0.1:{port}"), Transmission())
    yield made
    await made.close(0)
    await server.stop(None)


@pytest.fixture
def traced() -> Iterator[Callable[[], int]]:
    """Give a function that tells the bytes which the transport's code has allocated and somebody still holds."""
    tracemalloc.start()
    only = [tracemalloc.Filter(True, module.__file__)]
    yield lambda: sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces(only).traces)
    tracemalloc.stop()


@pytest.mark.parametrize("size", SIZES)
async def test_a_message_arrives_whole(transport: GrpcTransport, size: int) -> None:
    parts: list[Buffer] = [b"a", memoryview(bytes(size - 2)), bytearray(b"z")]
    assert await transport.unary(LENGTH, parts, (), 10) == b"%d z" % size


@pytest.mark.parametrize("size", SIZES)
async def test_a_failure_is_the_servers(transport: GrpcTransport, size: int) -> None:
    with pytest.raises(errors.ConnectionLost, match="on purpose"):
        await transport.unary(ABORT, [bytes(size)], (), 10)


async def test_a_message_that_the_server_refuses_to_receive_is_its_error(transport: GrpcTransport) -> None:
    with pytest.raises(errors.HeadraceError, match="larger than max"):
        await transport.unary(LENGTH, [bytes(32 * SCARCE_BYTES)], (), 10)


async def test_a_refusal_without_reading_is_its_error(transport: GrpcTransport) -> None:
    with pytest.raises(errors.AuthError, match="unread"):
        await transport.unary(REFUSE, [bytes(32 * SCARCE_BYTES)], (), 10)


@pytest.mark.parametrize("size", SIZES)
async def test_a_timeout_is_a_deadline_exceeded(transport: GrpcTransport, size: int, handlers: Handlers) -> None:
    with pytest.raises(errors.DeadlineExceeded):
        await transport.unary(WAIT, [bytes(size)], (), 0.3)


@pytest.mark.parametrize("size", SIZES)
async def test_a_cancelled_call_ends_on_the_server(transport: GrpcTransport, size: int, handlers: Handlers) -> None:
    task = asyncio.ensure_future(transport.unary(WAIT, [bytes(size)], (), 10))
    await handlers.arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(handlers.cancelled.wait(), 10)


@pytest.mark.parametrize("size", SIZES)
async def test_a_call_that_is_closed_under_it_is_a_closed_error(
    transport: GrpcTransport, size: int, handlers: Handlers
) -> None:
    task = asyncio.ensure_future(transport.unary(WAIT, [bytes(size)], (), 10))
    await handlers.arrived.wait()
    await transport.close(0)
    with pytest.raises(errors.ClosedError):
        await task


async def test_an_end_without_an_answer_is_an_error(transport: GrpcTransport) -> None:
    with pytest.raises(errors.HeadraceError, match="no answer to a unary call"):
        await transport.unary(NOTHING, [bytes(SCARCE_BYTES)], (), 10)


async def test_an_answer_counts_although_the_message_could_not_be_sent_whole(
    transport: GrpcTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = GrpcCall.write

    async def late(call: GrpcCall, parts: Sequence[Buffer]) -> None:
        await write(call, parts)
        raise errors.ConnectionLost("the call has ended")

    monkeypatch.setattr(GrpcCall, "write", late)
    assert await transport.unary(EARLY, [bytes(SCARCE_BYTES)], (), 10) == b"early"


async def test_what_is_sent_is_let_go_of_while_the_answer_is_awaited(
    transport: GrpcTransport, handlers: Handlers, traced: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = memoryview(bytes(2 * SCARCE_BYTES - 100))
    half_close = GrpcCall.half_close
    sent = asyncio.Semaphore(0)

    async def noted(call: GrpcCall) -> None:
        sent.release()
        await half_close(call)

    monkeypatch.setattr(GrpcCall, "half_close", noted)
    await transport.connect(10)
    before = traced()
    tasks = [asyncio.ensure_future(transport.unary(WAIT, [b"head", payload], (), 10)) for _ in range(2)]
    for _ in tasks:
        await sent.acquire()
    assert traced() - before < 0.2 * SCARCE_BYTES
    handlers.go_on.set()
    assert await asyncio.gather(*tasks) == [b"done", b"done"]
