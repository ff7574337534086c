"""A server that fails a whole stream by an answer that names no input, and ends it: blamed on few, never for ever."""

from __future__ import annotations

import pytest

from headrace import Client, RetryPolicy, StreamBroken
from headrace.codec import STREAM
from headrace.testing import MemoryServer, ServerCall
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import service_pb2 as rpc
from headrace.v2 import status_pb2

pytestmark = pytest.mark.core


async def one_answer_then_failure(call: ServerCall) -> None:
    """Do as a model server does whose model raises on its second input: a good answer, a failure, the end."""
    assert await call.read() is not None
    good = pb.Output(data=pb.Data(text=pb.Text(raw="good")))
    status = status_pb2.Status(code=status_pb2.SUCCESS)
    await call.write(rpc.MultiOutputResponse(status=status, outputs=[good]).SerializeToString())
    if await call.read() is not None:
        failure = status_pb2.Status(code=status_pb2.FAILURE, details="it raised")
        await call.write(rpc.MultiOutputResponse(status=failure).SerializeToString())


async def test_the_stream_is_given_up_after_the_second_failed_end() -> None:
    server = MemoryServer({STREAM: one_answer_then_failure})
    async with Client(transport=server, retry=RetryPolicy(initial=0.001, cap=0.002)) as client:
        stream = client.model("u/a/models/m").stream_by_bytes([f"text {n}" for n in range(50)], "text", window=None)
        with pytest.raises(StreamBroken, match=r"model\.map") as caught:
            async for prediction in stream:
                assert prediction.error is None
    assert len(server.calls) == 2
    assert caught.value.code == status_pb2.FAILURE
    assert caught.value.unanswered
    stats = stream.stats
    assert stats.pulled == stats.received + stats.errors + stats.dropped
