"""A raw grpc.aio stub with protobuf both ways, the obvious way: the reference of most ratios.

With what no call to the service can do without: a credential, and for a single call a deadline, or it may never end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc.aio

from benchmarks.peers.samples import aio
from benchmarks.protocol import Arguments, main
from benchmarks.samples.measures import cold_shapes, shapes
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import service_pb2 as rpc

SERVICE = "/clarifai.api.V2/"
CREDENTIAL = (("authorization", "Key benchmark"),)
DEADLINE = 60.0  # seconds
INPUTS = 128  # of a packed request, the most that the protocol allows
COLD = """
import asyncio, grpc.aio
from headrace.v2 import resources_pb2, service_pb2
async def make(): grpc.aio.insecure_channel("127.0.0.1:1")
asyncio.run(make())
"""
COLD_CALL = """
import asyncio, grpc.aio
from headrace.v2 import resources_pb2 as pb, service_pb2 as rpc
async def main():
    async with grpc.aio.insecure_channel("ADDRESS") as channel:
        codecs = (rpc.PostModelOutputsRequest.SerializeToString, rpc.MultiOutputResponse.FromString)
        predict = channel.unary_unary("/clarifai.api.V2/PostModelOutputs", *codecs)
        data = pb.Data(text=pb.Text(raw="text"))
        response = await predict(rpc.PostModelOutputsRequest(inputs=[pb.Input(data=data)]))
        assert response.outputs[0].data.text.raw
asyncio.run(main())
"""


@asynccontextmanager
async def connect(arguments: Arguments) -> AsyncIterator[aio.Work]:
    """Open a channel."""
    text, payload = arguments.text(), b"x" * arguments.size
    codecs = (rpc.PostModelOutputsRequest.SerializeToString, rpc.MultiOutputResponse.FromString)

    def request(inputs: int = 1) -> rpc.PostModelOutputsRequest:
        large = arguments.shape == "upload"
        data = pb.Data(image=pb.Image(base64=payload)) if large else pb.Data(text=pb.Text(raw=text))
        return rpc.PostModelOutputsRequest(
            user_app_id=pb.UserAppIDSet(user_id="u", app_id="a"),
            model_id="m",
            inputs=[pb.Input(id=str(number), data=data) for number in range(inputs)],
        )

    async with grpc.aio.insecure_channel(arguments.address) as channel:
        predict = channel.unary_unary(SERVICE + "PostModelOutputs", *codecs)
        generate = channel.unary_stream(SERVICE + "GenerateModelOutputs", *codecs)
        stream = channel.stream_stream(SERVICE + "StreamModelOutputs", *codecs)

        async def call() -> None:
            response = await predict(request(), metadata=CREDENTIAL, timeout=DEADLINE)
            concepts = response.outputs[0].data.concepts
            assert len([(concept.name, concept.value) for concept in concepts]) == 5

        async def packed() -> None:
            response = await predict(request(INPUTS), metadata=CREDENTIAL, timeout=DEADLINE)
            assert len([output.data.text.raw for output in response.outputs]) == INPUTS

        async def tokens() -> int:
            count = 0
            async for response in generate(request(), metadata=CREDENTIAL):
                assert response.outputs[0].data.text.raw
                count += 1
            return count

        async def duplex(number: int) -> None:
            async def requests() -> AsyncIterator[rpc.PostModelOutputsRequest]:
                for _ in range(number):
                    yield request()

            async for response in stream(requests(), metadata=CREDENTIAL):
                assert response.outputs[0].data.text.raw
                if arguments.shape == "hop":
                    await asyncio.sleep(0)

        async def bulk(number: int) -> None:
            await aio.calls(packed, number // INPUTS, arguments.concurrency)

        yield aio.Work(call, tokens, bulk if arguments.shape == "bulk" else duplex)


if __name__ == "__main__":
    main("raw", {**shapes(connect), **cold_shapes(COLD, COLD_CALL)}, ["grpcio", "protobuf"])
