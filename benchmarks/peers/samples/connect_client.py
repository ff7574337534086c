"""Connect for Python, speaking gRPC over HTTP/2 on pyqwest, with the codec for the messages of Google's protobuf.

Its plugin for protoc writes clients that call the same methods. Requests are not compressed, as everywhere else here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from clarifai_grpc.grpc.api import resources_pb2, service_pb2
from connectrpc.client import ConnectClient
from connectrpc.compat import google_protobuf_binary_codec
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.protocol import ProtocolType
from pyqwest import Client, HTTPTransport, HTTPVersion

from benchmarks.peers.samples import aio
from benchmarks.protocol import Arguments, main

SERVICE = "clarifai.api.V2"
TYPES = (service_pb2.PostModelOutputsRequest, service_pb2.MultiOutputResponse)
CREDENTIAL = {"authorization": "Key benchmark"}
DEADLINE_MS = 60_000
WINDOW = 64


def method(name: str, shape: StreamType) -> Any:
    """Describe a method as the generated clients do."""
    return MethodInfo(
        name=name,
        service_name=SERVICE,
        input=TYPES[0],
        output=TYPES[1],
        idempotency_level=IdempotencyLevel.UNKNOWN,
        stream_type=shape,
    )


@asynccontextmanager
async def connect(arguments: Arguments) -> AsyncIterator[aio.Work]:
    """Make a client."""
    text, payload = arguments.text(), b"x" * arguments.size

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

    predict = method("PostModelOutputs", StreamType.UNARY)
    generate = method("GenerateModelOutputs", StreamType.SERVER_STREAM)
    stream = method("StreamModelOutputs", StreamType.BIDI_STREAM)
    async with (
        HTTPTransport(http_version=HTTPVersion.HTTP2) as transport,
        ConnectClient(
            f"http://{arguments.address}",
            codec=google_protobuf_binary_codec(),
            protocol=ProtocolType.GRPC,
            send_compression=None,
            http_client=Client(transport),
        ) as client,
    ):

        async def call() -> None:
            response = await client.execute_unary(
                request=request(), method=predict, headers=CREDENTIAL, timeout_ms=DEADLINE_MS
            )
            concepts = response.outputs[0].data.concepts
            assert len([(concept.name, concept.value) for concept in concepts]) == 5

        async def tokens() -> int:
            count = 0
            async for response in client.execute_server_stream(request=request(), method=generate, headers=CREDENTIAL):
                assert response.outputs[0].data.text.raw
                count += 1
            return count

        async def duplex(number: int) -> None:
            room = asyncio.Semaphore(WINDOW)

            async def requests() -> AsyncIterator[service_pb2.PostModelOutputsRequest]:
                for _ in range(number):
                    await room.acquire()
                    yield request()

            async for response in client.execute_bidi_stream(request=requests(), method=stream, headers=CREDENTIAL):
                assert response.outputs[0].data.text.raw
                room.release()

        yield aio.Work(call, tokens, duplex)


SHAPES = ("unary", "unary_fixed", "tokens_burst", "tokens_paced", "duplex", "upload", "at_once", "long_stream")

if __name__ == "__main__":
    main("connect", aio.shapes(connect, *SHAPES), ["connectrpc", "pyqwest", "clarifai-grpc", "protobuf"])
