"""grpclib with its default codec for protobuf messages, as the pages "Overview" and "Client" of its manual show it.

Its plugin for protoc writes stubs that make the same method objects as are made here. A task of its own sends the
inputs of a duplex stream: the manual's loop, which waits for each answer before it sends the next, is slower.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from clarifai_grpc.grpc.api import resources_pb2, service_pb2
from grpclib.client import Channel, StreamStreamMethod, UnaryStreamMethod, UnaryUnaryMethod

from benchmarks.peers.samples import aio
from benchmarks.protocol import Arguments, cold, main

SERVICE = "/clarifai.api.V2/"
TYPES = (service_pb2.PostModelOutputsRequest, service_pb2.MultiOutputResponse)
WINDOW = 64


@asynccontextmanager
async def connect(arguments: Arguments) -> AsyncIterator[aio.Work]:
    """Open a channel."""
    text, payload = arguments.text(), b"x" * arguments.size
    host, port = arguments.address.split(":")

    def request() -> service_pb2.PostModelOutputsRequest:
        if arguments.shape == "upload":
            data = resources_pb2.Data(image=resources_pb2.Image(base64=payload))
        else:
            data = resources_pb2.Data(text=resources_pb2.Text(raw=text))
        return service_pb2.PostModelOutputsRequest(
            user_app_id=resources_pb2.UserAppIDSet(user_id="u", app_id="a"),
            model_id="m",
            inputs=[resources_pb2.Input(data=data)],
        )

    async with Channel(host, int(port)) as channel:
        predict = UnaryUnaryMethod(channel, SERVICE + "PostModelOutputs", *TYPES)
        generate = UnaryStreamMethod(channel, SERVICE + "GenerateModelOutputs", *TYPES)
        stream = StreamStreamMethod(channel, SERVICE + "StreamModelOutputs", *TYPES)

        async def call() -> None:
            response = await predict(request())
            concepts = response.outputs[0].data.concepts
            assert len([(concept.name, concept.value) for concept in concepts]) == 5

        async def tokens() -> int:
            count = 0
            async with generate.open() as opened:
                await opened.send_message(request(), end=True)
                async for response in opened:
                    assert response.outputs[0].data.text.raw
                    count += 1
            return count

        async def duplex(number: int) -> None:
            room = asyncio.Semaphore(WINDOW)
            async with stream.open() as opened:
                await opened.send_request()

                async def send() -> None:
                    for _ in range(number):
                        await room.acquire()
                        await opened.send_message(request())
                    await opened.end()

                sending = asyncio.create_task(send())
                async for response in opened:
                    assert response.outputs[0].data.text.raw
                    room.release()
                await sending

        yield aio.Work(call, tokens, duplex)


COLD = """
import asyncio
from clarifai_grpc.grpc.api import resources_pb2, service_pb2
from grpclib.client import Channel
async def make(): Channel("127.0.0.1", 1)
asyncio.run(make())
"""
SHAPES = ("unary", "unary_fixed", "tokens_burst", "tokens_paced", "duplex", "upload", "at_once", "long_stream")

if __name__ == "__main__":
    cold_import = {"cold_import": lambda arguments: cold(COLD, arguments.n)}
    main("grpclib", {**aio.shapes(connect, *SHAPES), **cold_import}, ["grpclib", "h2", "clarifai-grpc", "protobuf"])
