"""Models of users that misbehave: their own input is answered with 21313 at once, and nobody else notices."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from headrace.server.model import Answer, ModelError
from headrace.v2 import resources_pb2


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Own(BaseException):
    pass


RAISED: dict[str, Any] = {
    "StopIteration": lambda: StopIteration(),
    "StopAsyncIteration": lambda: StopAsyncIteration(),
    "CancelledError": lambda: asyncio.CancelledError(),
    "GeneratorExit": lambda: GeneratorExit(),
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": lambda: KeyboardInterrupt(),
    "an own BaseException": lambda: Own("own"),
    "a lone surrogate": lambda: ValueError("\udcff"),
    "an unreadable text": lambda: Unreadable(),
    "a long text": lambda: ValueError("x" * 5_000_000),
    "a code that is none": lambda: ModelError("x", None),  # type: ignore[arg-type]
    "success": lambda: ModelError(10000, "fine"),
}
RETURNED = {
    "None": None,
    "a number": 5,
    "a surrogate": "\udcff",
    "an answer without data": Answer(None),  # type: ignore[arg-type]
    "tokens that are no number": Answer(resources_pb2.Data(), "x"),  # type: ignore[arg-type]
    "pairs of nothing": [(None, None)],
}


def acted(what: str) -> Any:
    if what in RAISED:
        raise RAISED[what]()
    return RETURNED.get(what, what)


class Plain:
    def predict(self, item: Any) -> Any:
        return acted(item.text)

    def generate(self, item: Any) -> Iterator[Any]:
        yield acted(item.text)


class Async:
    async def predict(self, item: Any) -> Any:
        return acted(item.text)

    async def generate(self, item: Any) -> AsyncIterator[Any]:
        yield acted(item.text)


class Many:
    def predict_many(self, items: Any) -> Any:
        return [acted(item.text) for item in items]


class ManyAsync:
    async def predict_many(self, items: Any) -> Any:
        return [acted(item.text) for item in items]


class Streaming:
    def stream(self, items: Any) -> Iterator[Any]:
        for item in items:
            yield acted(item.text)


class StreamingAsync:
    async def stream(self, items: Any) -> AsyncIterator[Any]:
        async for item in items:
            yield acted(item.text)


@pytest.mark.parametrize("cls", [Plain, Async, Many, ManyAsync, Streaming, StreamingAsync])
@pytest.mark.parametrize("what", [*RAISED, *RETURNED])
async def test_it_is_its_own_inputs_failure(serve: Any, cls: type, what: str) -> None:
    stub = await serve(cls)
    model = "".join(f"-{c.lower()}" if c.isupper() else c for c in cls.__name__).strip("-")
    async with asyncio.timeout(10):
        response = await stub.predict(stub.request(what, model=model))
        assert response.status.code == 21313, response.status
        assert len(response.status.details) < 3000
        async for piece in stub.generate(stub.request(what, model=model)):
            assert piece.status.code == 21313
        call = stub.stream()
        await call.write(stub.request(what, model=model, ids="x"))
        await call.done_writing()
        found = [response async for response in call]
        assert [(r.status.code, r.outputs[0].input.id) for r in found] == [(21313, "x0")]
        assert (await stub.predict(stub.request("fine", model=model))).outputs[0].data.text.raw == "fine"
        assert (await stub.predict(stub.request("fine"))).outputs[0].data.text.raw == "fine"


async def test_a_traceback_has_the_models_frames_and_is_given_once(serve: Any, caplog: Any) -> None:
    class Broken:
        def predict(self, item: Any) -> str:
            return str(1 / 0)

    stub = await serve(Broken)
    for _ in range(3):
        await stub.predict(stub.request("x", model="broken"))
    assert caplog.text.count("ZeroDivisionError") == 1
    frames = [line for line in caplog.text.splitlines() if line.lstrip().startswith("File ")]
    assert len(frames) == 1
    assert __file__ in frames[0]


class Ends:
    def load(self) -> None:
        sys.exit(3)

    def predict(self, item: Any) -> str:
        return "never"


async def test_a_load_that_exits_ends_no_server(serve: Any) -> None:
    stub = await serve(Ends)
    assert (await stub.predict(stub.request("x", model="ends"))).status.code == 21350
    assert (await stub.predict(stub.request("x"))).status.code == 10000


class Endless:
    def generate(self, item: Any) -> Iterator[str]:
        while True:
            yield "x" * 1_000_000


async def test_an_answer_without_end_is_not_joined(serve: Any) -> None:
    stub = await serve(Endless)
    assert (await stub.predict(stub.request("x", model="endless"))).status.code == 21313
