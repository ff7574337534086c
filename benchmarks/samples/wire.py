"""The transports alone: bytes in and bytes out over `headrace.transport`, and what they are measured against.

`HEADRACE_TRANSPORT` names one of headrace's, as for clients; "stub" is a raw grpc.aio stub that takes bytes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from benchmarks.peers.samples import aio
from benchmarks.protocol import Arguments, main
from benchmarks.samples.measures import shapes
from headrace.codec import GENERATE, PREDICT, STREAM
from headrace.config import Target, Transmission
from headrace.transport.base import Transport
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import service_pb2 as rpc

CREDENTIAL = (("authorization", "Key benchmark"),)
DEADLINE = 60.0  # seconds


def request(arguments: Arguments) -> list[bytes]:
    """Make the parts of a request message: a small one, or one with a large part."""
    if arguments.shape == "upload":
        payload = b"x" * arguments.size
        around = rpc.PostModelOutputsRequest(
            model_id="m", inputs=[pb.Input(data=pb.Data(image=pb.Image(base64=payload)))]
        ).SerializeToString()
        return [around[: around.index(payload)], payload]
    data = pb.Data(text=pb.Text(raw=arguments.text()))
    return [rpc.PostModelOutputsRequest(model_id="m", inputs=[pb.Input(data=data)]).SerializeToString()]


def transport(address: str) -> Transport:
    """Make the transport that the environment names."""
    host, _, port = address.rpartition(":")
    target = Target(f"http://{address}", host, int(port), tls=False)
    if os.environ["HEADRACE_TRANSPORT"] == "h2":
        from headrace.transport.h2.transport import H2Transport

        return H2Transport(target, Transmission())
    from headrace.transport.grpc.client import GrpcTransport

    return GrpcTransport(target, Transmission())


@asynccontextmanager
async def ours(arguments: Arguments) -> AsyncIterator[aio.Work]:
    """Use one of headrace's transports."""
    wire, parts = transport(arguments.address), request(arguments)
    await wire.connect(10.0)

    async def call() -> None:
        await wire.unary(PREDICT, parts, CREDENTIAL, DEADLINE)

    async def tokens() -> int:
        count = 0
        reading = wire.open(GENERATE, CREDENTIAL, timeout=DEADLINE, first=parts)
        while await reading.read() is not None:
            count += 1
            while reading.read_now() is not None:
                count += 1
        return count

    async def duplex(number: int) -> None:
        stream = wire.open(STREAM, CREDENTIAL)
        room = asyncio.Semaphore(arguments.concurrency)

        async def send() -> None:
            for _ in range(number):
                await room.acquire()
                await stream.write(parts)
            await stream.half_close()

        sending = asyncio.create_task(send())
        while await stream.read() is not None:
            room.release()
        await sending

    try:
        yield aio.Work(call, tokens, duplex)
    finally:
        await wire.close(0)


@asynccontextmanager
async def stub(arguments: Arguments) -> AsyncIterator[aio.Work]:
    """Use grpc.aio as its documentation shows it, without serializers."""
    import grpc.aio

    content = b"".join(request(arguments))
    async with grpc.aio.insecure_channel(arguments.address) as channel:
        predict: Any = channel.unary_unary(PREDICT)
        generate: Any = channel.unary_stream(GENERATE)
        stream: Any = channel.stream_stream(STREAM)

        async def call() -> None:
            await predict(content, metadata=CREDENTIAL, timeout=DEADLINE)

        async def tokens() -> int:
            count = 0
            async for _ in generate(content, metadata=CREDENTIAL, timeout=DEADLINE):
                count += 1
            return count

        async def duplex(number: int) -> None:
            room = asyncio.Semaphore(arguments.concurrency)

            async def requests() -> AsyncIterator[bytes]:
                for _ in range(number):
                    await room.acquire()
                    yield content

            async for _ in stream(requests(), metadata=CREDENTIAL):
                room.release()

        yield aio.Work(call, tokens, duplex)


def connect(arguments: Arguments) -> AbstractAsyncContextManager[aio.Work]:
    """Use what the environment names."""
    return stub(arguments) if os.environ["HEADRACE_TRANSPORT"] == "stub" else ours(arguments)


def versions() -> list[str]:
    """List what matters."""
    return ["headrace"] if os.environ["HEADRACE_TRANSPORT"] == "h2" else ["headrace", "grpcio"]


if __name__ == "__main__":
    main(f"wire-{os.environ['HEADRACE_TRANSPORT']}", shapes(connect), versions())
