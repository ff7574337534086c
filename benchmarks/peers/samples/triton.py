"""tritonclient.grpc.aio as the client's own aio examples use it, with the client's own channel options.

A text is a tensor of BYTES made of numpy objects, as in the string example. An encoded picture is one of UINT8, as the
client of Triton's DALI backend sends it, which is cheaper than the BYTES of the ensemble example.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import tritonclient.grpc.aio as triton

from benchmarks.peers.samples import aio
from benchmarks.protocol import Arguments

VERSIONS = ("tritonclient", "grpcio", "protobuf", "numpy")
COLD = """
import asyncio
import tritonclient.grpc.aio
async def make(): tritonclient.grpc.aio.InferenceServerClient("127.0.0.1:1")
asyncio.run(make())
"""


def read(result: Any) -> None:
    """Read the text of an answer."""
    assert result.as_numpy("text")[0].decode()


def read_classes(result: Any) -> None:
    """Read the five labels of an answer with their scores."""
    labels = [label.decode() for label in result.as_numpy("label")]
    assert len([*zip(labels, result.as_numpy("score").tolist(), strict=True)]) == 5


@asynccontextmanager
async def connect(arguments: Arguments) -> AsyncIterator[aio.Work]:
    """Make a client."""
    text, payload = arguments.text(), b"x" * arguments.size

    def inputs() -> list[Any]:
        if arguments.shape == "upload":
            tensor: Any = np.frombuffer(payload, dtype=np.uint8)[np.newaxis]
            tensor_input = triton.InferInput("image", list(tensor.shape), "UINT8")
        else:
            tensor = np.array([text.encode()], dtype=np.object_)
            tensor_input = triton.InferInput("text", [1], "BYTES")
        tensor_input.set_data_from_numpy(tensor)
        return [tensor_input]

    async with triton.InferenceServerClient(arguments.address) as client:

        async def call() -> None:
            read_classes(await client.infer("m", inputs()))

        async def tokens() -> int:
            async def one() -> AsyncIterator[dict[str, Any]]:
                yield {"model_name": "m", "inputs": inputs()}

            count = 0
            async for result, error in client.stream_infer(one()):
                assert error is None
                read(result)
                count += 1
            return count

        async def duplex(number: int) -> None:
            async def many() -> AsyncIterator[dict[str, Any]]:
                for _ in range(number):
                    yield {"model_name": "m", "inputs": inputs()}

            async for result, error in client.stream_infer(many()):
                assert error is None
                read(result)

        yield aio.Work(call, tokens, duplex)
