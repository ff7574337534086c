"""Inputs and answers go through a stream many at a step, and no more are pulled ahead than may be sent soon."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import pytest

import headrace
from headrace import Client
from headrace.calls.duplex.sender import MAX_UNSENT
from headrace.config import Target, Transmission
from headrace.errors import InputError
from headrace.transport.base import Buffer, Metadata
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import service_pb2 as rpc
from headrace.v2 import status_pb2

pytestmark = pytest.mark.core

ANSWER = rpc.MultiOutputResponse(
    status=status_pb2.Status(code=status_pb2.SUCCESS), outputs=[pb.Output(data=pb.Data(text=pb.Text(raw="a")))]
).SerializeToString()


class ScriptedCall:
    """A call that answers each message at once, or never takes any; it counts how often its reader waited."""

    def __init__(self, takes: bool) -> None:
        self.takes = takes
        self.written = 0
        self.waits = 0
        self._answers: deque[bytes | None] = deque()
        self._arrived = asyncio.Event()

    async def write(self, parts: Sequence[Buffer]) -> None:
        if not self.takes:
            await asyncio.Event().wait()
        self.written += 1
        self._put(ANSWER)

    async def half_close(self) -> None:
        self._put(None)

    async def read(self) -> bytes | None:
        if not self._answers:
            self.waits += 1
            self._arrived.clear()
            await self._arrived.wait()
        return self._answers.popleft()

    def read_now(self) -> bytes | None:
        return self._answers.popleft() if self._answers and self._answers[0] is not None else None

    def cancel(self) -> None:
        self._put(None)

    def _put(self, answer: bytes | None) -> None:
        self._answers.append(answer)
        self._arrived.set()


class ScriptedTransport:
    """A connection that is always there, with such calls; a `Transport`."""

    healthy = True
    survives_fork = True
    max_streams: int | None = None
    on_max_streams: Callable[[], object] | None = None

    def __init__(self, takes: bool) -> None:
        self.takes = takes
        self.calls: list[ScriptedCall] = []

    def __call__(self, target: Target, options: Transmission) -> ScriptedTransport:
        return self

    async def connect(self, timeout: float) -> None: ...

    async def unary(self, method: str, parts: Sequence[Buffer], metadata: Metadata, timeout: float | None) -> bytes:
        return ANSWER

    def open(self, method: str, metadata: Metadata, **_: Any) -> ScriptedCall:
        self.calls.append(ScriptedCall(self.takes))
        return self.calls[-1]

    async def close(self, grace: float) -> None: ...

    def discard(self) -> None: ...


class Counted:
    """A source of texts that counts what is pulled of it."""

    def __init__(self, number: int) -> None:
        self.pulled = 0
        self._number = number

    def texts(self) -> Iterator[str]:
        for _ in range(self._number):
            self.pulled += 1
            yield "x"

    async def asynchronous(self) -> AsyncIterator[str]:
        for text in self.texts():
            yield text


def stream(client: Client, source: Any, **options: Any) -> headrace.PredictionStream:
    return client.model("u/a/models/m").stream(source, "text", **options)


@pytest.mark.parametrize("way", ["asynchronous", "list"])
async def test_a_window_of_inputs_goes_out_and_comes_back_in_one_step_each(way: str) -> None:
    transport, counted, number, window = ScriptedTransport(takes=True), Counted(640), 640, 64
    async with Client(base_url="http://127.0.0.1:1", transport=transport) as client:
        source = counted.asynchronous() if way == "asynchronous" else ["x"] * number
        async with stream(client, source, window=window) as predictions:
            assert [p.position async for p in predictions] == list(range(number))
            assert predictions.stats.peak_in_flight <= window
    (call,) = transport.calls
    assert call.written == number
    assert call.waits <= 3 * number / window  # one by one, it would wait for each


@pytest.mark.parametrize("prefetch", [4, 100])
async def test_no_more_is_pulled_than_is_sent_soon_however_large_the_window(prefetch: int) -> None:
    transport, counted = ScriptedTransport(takes=False), Counted(10_000)
    async with (
        Client(base_url="http://127.0.0.1:1", transport=transport) as client,
        stream(client, counted.asynchronous(), window=None, prefetch=prefetch) as predictions,
    ):
        while not transport.calls or counted.pulled < MAX_UNSENT:
            await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.sleep(0)  # it would go on in any of these turns
        assert counted.pulled <= 1 + max(MAX_UNSENT, prefetch) + prefetch
        assert predictions.stats.sent == 1  # which is being written
    assert predictions.stats.pulled == predictions.stats.dropped == counted.pulled


async def test_a_consumer_that_stops_is_waited_for_with_the_window_and_the_pipe_full() -> None:
    transport, counted = ScriptedTransport(takes=True), Counted(10_000)
    async with (
        Client(base_url="http://127.0.0.1:1", transport=transport) as client,
        stream(client, counted.asynchronous(), window=16, prefetch=4) as predictions,
    ):
        for taken in range(1, 40):
            await anext(predictions)
            for _ in range(20):
                await asyncio.sleep(0)
            assert counted.pulled == taken + 16 + 4
            assert transport.calls[0].written == taken + 16


async def test_inputs_of_which_none_can_be_sent_are_as_many_errors() -> None:
    transport = ScriptedTransport(takes=True)
    async with Client(base_url="http://127.0.0.1:1", transport=transport) as client:
        async with stream(client, [""] * 50, window=4, prefetch=2) as predictions:
            assert [(p.position, type(p.error)) async for p in predictions] == [(n, InputError) for n in range(50)]
        stats = predictions.stats
    assert (stats.pulled, stats.sent, stats.errors) == (50, 0, 50)
