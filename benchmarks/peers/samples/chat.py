"""AsyncOpenAI's chat completions, whole and as a stream of tokens, as the README of the package shows them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from openai import AsyncOpenAI

from benchmarks.peers.samples import aio
from benchmarks.protocol import Arguments

SHAPES = ("unary", "tokens_burst", "tokens_paced")  # no fixed load: it can't serve the rate that the others are given
SHARE = 4  # a completion costs ten calls of the others: a quarter of as many is a sample of good length


def connect(**options: Callable[[], Any]) -> Callable[[Arguments], AbstractAsyncContextManager[aio.Work]]:
    """Make what makes a client; `options` are made anew for each."""

    @asynccontextmanager
    async def connected(arguments: Arguments) -> AsyncIterator[aio.Work]:
        text = arguments.text()
        if arguments.shape == "unary":
            arguments.n = max(1, arguments.n // SHARE)
        works = {name: make() for name, make in options.items()}
        async with AsyncOpenAI(base_url=f"http://{arguments.address}/v1", api_key="none", **works) as client:

            async def call() -> None:
                message = {"role": "user", "content": text}
                completion = await client.chat.completions.create(model="m", messages=[message])
                assert completion.choices[0].message.content

            async def tokens() -> int:
                count = 0
                message = {"role": "user", "content": text}
                stream = await client.chat.completions.create(model="m", messages=[message], stream=True)
                async for event in stream:
                    if event.choices[0].delta.content:
                        count += 1
                return count

            yield aio.Work(call, tokens)

    return connected
