"""headrace, as its documentation shows it."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from benchmarks.peers.samples import aio
from benchmarks.protocol import Arguments, main
from benchmarks.samples.measures import cold_shapes, shapes, submitted
from headrace import Client
from headrace.inputs import InputType

INPUTS = 128  # that "auto" packs into a request at most
COLD = """
import headrace
headrace.Client(base_url="http://127.0.0.1:1").model("u/a/models/m")
"""
COLD_CALL = """
import asyncio, headrace
async def main():
    async with headrace.Client(base_url="http://ADDRESS") as client:
        prediction = await client.model("u/a/models/m").predict_by_bytes("text", "text")
        assert prediction.text
asyncio.run(main())
"""


@asynccontextmanager
async def connect(arguments: Arguments, *, coalesce: bool = False) -> AsyncIterator[aio.Work]:
    """Make a client and a model; `coalesce`: concurrent calls may share requests."""
    data: str | bytes = b"x" * arguments.size if arguments.shape == "upload" else arguments.text()
    kind: InputType = "image" if arguments.shape == "upload" else "text"
    async with Client(base_url=f"http://{arguments.address}", pat="benchmark", coalesce=coalesce) as client:
        model = client.model("u/a/models/m")

        async def call() -> None:
            prediction = await model.predict_by_bytes(data, kind)
            assert len([(concept.name, concept.value) for concept in prediction.concepts]) == 5

        async def tokens() -> int:
            count = 0
            async with model.generate_by_bytes(data, kind) as stream:
                async for piece in stream:
                    assert piece.text
                    count += 1
            return count

        async def duplex(number: int) -> None:
            inputs = itertools.repeat(data, number)
            async with model.stream_by_bytes(_async(inputs), kind, window=arguments.concurrency) as stream:
                async for prediction in stream:
                    assert prediction.text
                    if arguments.shape == "hop":
                        await asyncio.sleep(0)

        async def mapped(number: int) -> None:
            inputs = itertools.repeat(data, number)
            batch: Literal["auto"] | None = "auto" if arguments.shape == "bulk" else None
            async for prediction in model.map(inputs, concurrency=arguments.concurrency, batch=batch, input_type=kind):
                assert prediction.text

        async def packed(number: int) -> None:
            inputs = itertools.repeat(data, number)
            window = INPUTS * arguments.concurrency
            async with model.stream_by_bytes(_async(inputs), kind, window=window, batch="auto") as stream:
                async for prediction in stream:
                    assert prediction.text

        ways = {"bulk": mapped, "at_once": mapped, "bulk_stream": packed}
        yield aio.Work(call, tokens, ways.get(arguments.shape, duplex))


async def _async(inputs: itertools.repeat[str | bytes]) -> AsyncIterator[str | bytes]:
    for item in inputs:
        yield item


def versions() -> list[str]:
    """List what matters."""
    grpc = [] if os.environ.get("HEADRACE_TRANSPORT") == "h2" else ["grpcio"]
    return ["headrace", *grpc, "protobuf"]


if __name__ == "__main__":
    ways = {**shapes(connect, at_once=submitted), **cold_shapes(COLD, COLD_CALL)}
    main(f"headrace-{os.environ['HEADRACE_TRANSPORT']}", ways, versions())
