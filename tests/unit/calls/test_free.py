"""Free duplex streams: any number of answers, as they come, bounded in bytes; never resumed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import headrace
from headrace import Timeouts, errors
from headrace.testing import MemoryServer, ServerCall
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import service_pb2 as rpc
from headrace.v2 import status_pb2

pytestmark = pytest.mark.core

METHOD = "/clarifai.api.V2/StreamModelOutputs"


def response(text: str, code: int = 10000) -> bytes:
    status = status_pb2.Status(code=code, description="why")  # type: ignore[arg-type]
    outputs = [pb.Output(data=pb.Data(text=pb.Text(raw=text)))] if code == 10000 else []
    return rpc.MultiOutputResponse(status=status, outputs=outputs).SerializeToString()


def words_of(message: bytes) -> list[str]:
    return [item.data.text.raw for item in rpc.PostModelOutputsRequest.FromString(message).inputs]


Handler = Callable[[ServerCall], Any]


async def letters(call: ServerCall) -> None:
    """Answer each input with all its letters, and say goodbye."""
    while (message := await call.read()) is not None:
        for letter in "".join(words_of(message)):
            await call.write(response(letter))
    await call.write(response("bye"))


def open_stream(handler: Handler, source: Any, **options: Any) -> tuple[MemoryServer, headrace.DuplexStream]:
    server = MemoryServer({METHOD: handler})
    timeouts = options.pop("timeouts", Timeouts())
    client = headrace.Client(base_url="http://localhost:1", transport=server, timeouts=timeouts)
    return server, client.model("u/a/models/m").stream(source, matched=False, **options)


async def texts(stream: headrace.DuplexStream) -> list[str]:
    return [p.text async for p in stream]


async def test_any_number_of_answers_comes_in_the_servers_order() -> None:
    _, stream = open_stream(letters, ["ab", "", "cd"][::2])
    assert await texts(stream) == ["a", "b", "c", "d", "bye"]
    stats = stream.stats
    assert (stats.pulled, stats.sent, stats.received, stats.in_flight) == (2, 2, 5, 0)


async def test_answers_and_inputs_flow_at_once() -> None:
    queue: asyncio.Queue[str | None] = asyncio.Queue()

    async def source() -> AsyncIterator[str]:
        while (item := await queue.get()) is not None:
            yield item

    _, stream = open_stream(letters, source())
    async with stream:
        for letter in "xyz":
            queue.put_nowait(letter)
            assert (await anext(stream)).text == letter
        queue.put_nowait(None)
        assert await texts(stream) == ["bye"]


async def test_the_server_may_end_before_the_inputs_do() -> None:
    closed = asyncio.Event()

    async def source() -> AsyncIterator[str]:
        try:
            while True:
                yield "x"
                await asyncio.sleep(0)
        finally:
            closed.set()

    async def one(call: ServerCall) -> None:
        await call.read()
        await call.write(response("enough"))

    _, stream = open_stream(one, source())
    assert await texts(stream) == ["enough"]
    await asyncio.wait_for(closed.wait(), 2)


async def test_a_failure_ends_it_after_what_came() -> None:
    async def fails(call: ServerCall) -> None:
        await call.read()
        await call.write(response("one"))
        await call.write(response("", 21313))

    server, stream = open_stream(fails, ["x"])
    got = []
    with pytest.raises(errors.StreamBroken, match="after 1 answers") as caught:
        async for prediction in stream:
            got += [prediction.text]
    assert got == ["one"]
    assert (caught.value.code, caught.value.received) == (21313, 1)
    assert len(server.calls) == 1  # never again


async def test_a_break_is_told_and_not_resumed() -> None:
    async def breaks(call: ServerCall) -> None:
        await call.read()
        await call.write(response("one"))
        call.fail("UNAVAILABLE", "Socket closed")

    server, stream = open_stream(breaks, ["x"])
    with pytest.raises(errors.StreamBroken) as caught:
        await texts(stream)
    assert isinstance(caught.value.__cause__, errors.ConnectionLost)
    assert len(server.calls) == 1


async def test_silence_ends_it() -> None:
    async def silent(call: ServerCall) -> None:
        await call.read()
        await call.wait_cancelled()

    server, stream = open_stream(silent, ["x"], timeouts=Timeouts(idle=0.05))
    with pytest.raises(errors.StreamBroken, match=r"no answer of the stream for 0\.05 s"):
        await texts(stream)
    await server.until(lambda: server.calls[0].cancelled)


async def test_the_sources_failure_comes_out_as_itself() -> None:
    error = ValueError("mine")

    async def source() -> AsyncIterator[str]:
        yield "a"
        raise error

    _, stream = open_stream(letters, source())
    with pytest.raises(ValueError, match="mine") as caught:
        await texts(stream)
    assert caught.value is error


async def test_what_waits_for_the_reader_is_bounded_in_bytes() -> None:
    async def floods(call: ServerCall) -> None:
        await call.read()
        for _ in range(1000):
            await call.write(response("x" * 10_000))

    server, stream = open_stream(floods, ["x"], window_bytes=100_000)
    async with stream:
        await anext(stream)
        for _ in range(500):
            await asyncio.sleep(0)
        assert server.calls[0].sent_messages < 30
    await server.until(lambda: server.calls[0].cancelled)


async def test_leaving_early_closes_source_and_call() -> None:
    closed = asyncio.Event()

    async def source() -> AsyncIterator[str]:
        try:
            while True:
                yield "x"
                await asyncio.sleep(0)
        finally:
            closed.set()

    server, stream = open_stream(letters, source())
    async with stream:
        await anext(stream)
    assert closed.is_set()
    await server.until(lambda: server.calls[0].cancelled)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_an_input_that_cannot_be_sent_ends_it() -> None:
    """Nothing matches answers to inputs here, so no prediction could carry the failure."""
    _, stream = open_stream(letters, [b""], input_type="image")
    with pytest.raises(errors.HeadraceError, match="empty"):
        await texts(stream)
