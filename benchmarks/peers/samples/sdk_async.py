"""The official SDK's async methods, one input a call (the notes of its releases, and its examples of async inference).

There is no `async_predict_by_bytes`: the input is made with `Inputs`, as those of the blocking methods are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from clarifai.client.input import Inputs

from benchmarks.peers.samples import aio, sdk
from benchmarks.protocol import Arguments, main


@asynccontextmanager
async def connect(arguments: Arguments) -> AsyncIterator[aio.Work]:
    """Make the model."""
    model = sdk.model(arguments)
    payload = b"x" * arguments.size

    def inputs() -> list[Any]:
        if arguments.shape == "upload":
            return [Inputs.get_input_from_bytes("", image_bytes=payload)]
        return [Inputs.get_input_from_bytes("", text_bytes=payload)]

    async def call() -> None:
        response = await model.async_predict(inputs=inputs())
        concepts = response.outputs[0].data.concepts
        assert len([(concept.name, concept.value) for concept in concepts]) == 5

    async def tokens() -> int:
        count = 0
        async for response in await model.async_generate(inputs=inputs()):
            assert response.outputs[0].data.text.raw
            count += 1
        return count

    yield aio.Work(call, tokens)


SHAPES = ("unary", "unary_fixed", "bulk", "upload", "at_once", "tokens_burst", "tokens_paced")

if __name__ == "__main__":
    main("sdk-async", aio.shapes(connect, *SHAPES), sdk.VERSIONS)
