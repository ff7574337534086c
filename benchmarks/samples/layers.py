"""What our own layers cost: headrace over a transport that answers at once in memory."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

from benchmarks.protocol import Arguments, Meter, Sample, main
from benchmarks.server.answers import ENVELOPE, OUTPUT, TOKEN, TOKENS
from headrace import Client, Input, Model
from headrace.codec import GENERATE
from headrace.config import Target, Transmission
from headrace.inputs import InputType
from headrace.transport.base import Buffer, Metadata

INPUTS = 128  # of a packed request
ANSWERS = [ENVELOPE + OUTPUT * inputs for inputs in range(INPUTS + 1)]
ANSWER = ANSWERS[1]


class NullCall:
    """A call that has an answer for each message, or all tokens for the first; a `Call`."""

    def __init__(self, tokens: bool) -> None:
        self._tokens = tokens
        self._answers: deque[bytes] = deque()
        self._ended = False
        self._waiting: asyncio.Future[None] | None = None

    async def write(self, parts: Sequence[Buffer]) -> None:
        """Answer."""
        self.answer()

    async def half_close(self) -> None:
        """End after the last answer."""
        self.end()

    def answer(self) -> None:
        """Have an answer, or all tokens."""
        self._answers.extend([TOKEN] * TOKENS if self._tokens else [ANSWER])
        self._wake()

    def end(self) -> None:
        """Have no more answers than there are."""
        self._ended = True
        self._wake()

    async def read(self) -> bytes | None:
        """Give the next answer."""
        while not self._answers:
            if self._ended:
                return None
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        return self._answers.popleft()

    def read_now(self) -> bytes | None:
        """Give an answer that is there."""
        return self._answers.popleft() if self._answers else None

    def cancel(self) -> None:
        """End at once."""
        self._answers.clear()
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class NullTransport:
    """A connection that is always there; a `Transport`."""

    healthy = True
    survives_fork = True
    max_streams: int | None = None

    def __init__(self, target: Target, options: Transmission) -> None:
        self.on_max_streams: Callable[[], object] | None = None

    async def connect(self, timeout: float) -> None:
        """Be connected."""

    async def unary(self, method: str, parts: Sequence[Buffer], metadata: Metadata, timeout: float | None) -> bytes:
        """Answer each input: two parts, after those of the template."""
        return ANSWERS[len(parts) // 2]

    def open(
        self,
        method: str,
        metadata: Metadata,
        *,
        timeout: float | None = None,
        first: Sequence[Buffer] | None = None,
    ) -> NullCall:
        """Open a call, with its only message where that is given."""
        call = NullCall(tokens=method == GENERATE)
        if first is not None:
            call.answer()
            call.end()
        return call

    async def close(self, grace: float) -> None:
        """Have nothing to close."""

    def discard(self) -> None:
        """Have nothing to let go of."""


async def unary(model: Model, item: str | Input, arguments: Arguments, look: bool) -> None:
    """Make unary calls, --concurrency at once."""
    remaining = iter(range(arguments.n))
    kind = _kind(item)

    async def worker() -> None:
        for _ in remaining:
            prediction = await model.predict(item, kind)
            if look:
                assert len([(concept.name, concept.value) for concept in prediction.concepts]) == 5

    await asyncio.gather(*(worker() for _ in range(arguments.concurrency)))


async def tokens(model: Model, item: str | Input, arguments: Arguments, look: bool) -> None:
    """Read token streams, one after another."""
    for _ in range(arguments.n // TOKENS):
        async with model.generate(item, _kind(item)) as stream:
            async for piece in stream:
                assert not look or piece.text


async def duplex(model: Model, item: str | Input, arguments: Arguments, look: bool) -> None:
    """Send inputs through one stream."""

    async def inputs() -> AsyncIterator[str | Input]:
        for one in itertools.repeat(item, arguments.n):
            yield one

    async with model.stream(inputs(), _kind(item), window=arguments.concurrency) as stream:
        async for prediction in stream:
            assert not look or prediction.text


async def bulk(model: Model, item: str | Input, arguments: Arguments, look: bool) -> None:
    """Put inputs through packed requests."""
    inputs = itertools.repeat(item, arguments.n)
    packed = model.map(inputs, concurrency=8, batch=INPUTS, input_type=_kind(item))
    async for prediction in packed:
        assert not look or prediction.text


def _kind(item: str | Input) -> InputType | None:
    return None if isinstance(item, Input) else "text"


Work = Callable[[Model, "str | Input", Arguments, bool], Coroutine[Any, Any, None]]


def shape(work: Work, *, look: bool) -> Callable[[Arguments], Sample]:
    """Make a shape: `look`: build each input and read each answer, which is where protobuf is."""

    async def measured(arguments: Arguments) -> Sample:
        async with Client(base_url="http://127.0.0.1:1", transport=NullTransport) as client:
            model = client.model("u/a/models/m")
            item = arguments.text() if look else Input.from_text(arguments.text())
            await work(model, item, arguments, look)
            meter = Meter()
            await work(model, item, arguments, look)
            meter.stop()
            return Sample("", "", arguments.n, meter.cpu_s, meter.wall_s)

    return lambda arguments: asyncio.run(measured(arguments))


SHAPES = {
    "layers_unary": shape(unary, look=False),
    "layers_tokens": shape(tokens, look=False),
    "layers_duplex": shape(duplex, look=False),
    "layers_bulk": shape(bulk, look=False),
    "full_unary": shape(unary, look=True),
    "full_tokens": shape(tokens, look=True),
    "full_duplex": shape(duplex, look=True),
    "full_bulk": shape(bulk, look=True),
}

if __name__ == "__main__":
    main("headrace", SHAPES, ["headrace", "protobuf"])
