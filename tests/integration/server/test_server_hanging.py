"""Models that hang: their own input fails after the model's time, and everybody else goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc.aio
import pytest

RELEASED = threading.Event()  # ends the threads that hang, after a test

LIMIT = 0.2


def acted(text: str) -> str:
    if text == "hang":
        RELEASED.wait(60)
    return text


async def acted_on_loop(text: str) -> str:
    if text == "hang":
        await asyncio.Event().wait()
    return text


class Plain:
    timeout = LIMIT

    def predict(self, item: Any) -> str:
        return acted(item.text)

    def generate(self, item: Any) -> Iterator[str]:
        yield "first"
        yield acted(item.text)


class Async:
    timeout = LIMIT

    async def predict(self, item: Any) -> str:
        return await acted_on_loop(item.text)

    async def generate(self, item: Any) -> AsyncIterator[str]:
        yield "first"
        yield await acted_on_loop(item.text)


class Many:
    timeout = LIMIT

    def predict_many(self, items: Any) -> list[str]:
        return [acted(item.text) for item in items]


class ManyAsync:
    timeout = LIMIT

    async def predict_many(self, items: Any) -> list[str]:
        return [await acted_on_loop(item.text) for item in items]


class Streaming:
    timeout = LIMIT

    def stream(self, items: Any) -> Iterator[str]:
        for item in items:
            yield acted(item.text)


class StreamingAsync:
    timeout = LIMIT

    async def stream(self, items: Any) -> AsyncIterator[str]:
        async for item in items:
            yield await acted_on_loop(item.text)


@pytest.fixture(autouse=True)
def released() -> Iterator[None]:
    RELEASED.clear()
    yield
    RELEASED.set()


def name_of(cls: type) -> str:
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in cls.__name__).strip("-")


CLASSES = [Plain, Async, Many, ManyAsync, Streaming, StreamingAsync]


async def _predict(stub: Any, text: str, model: str) -> list[tuple[int, str]]:
    response = await stub.predict(stub.request(text, model=model))
    return [(response.status.code, response.status.details)]


async def _generate(stub: Any, text: str, model: str) -> list[tuple[int, str]]:
    call = stub.generate(stub.request(text, model=model))
    return [(piece.status.code, piece.status.details) async for piece in call]


async def _rest(call: Any) -> list[Any]:
    """Read a call to its end; gRPC allows only one way of reading."""
    found = []
    while (response := await call.read()) is not grpc.aio.EOF:
        found.append(response)
    return found


async def _stream(stub: Any, text: str, model: str) -> list[tuple[int, str]]:
    call = stub.stream()
    await call.write(stub.request("fine", model=model, ids="a"))
    assert (await call.read()).status.code == 10000
    await call.write(stub.request(text, model=model, ids="b"))
    await call.done_writing()
    found = [(r.outputs[0].input.id, r.status.code, r.status.details) for r in await _rest(call)]
    assert {id for id, _, _ in found} == {"b0"}
    return [(code, details) for _, code, details in found]


@pytest.mark.parametrize("ask", [_predict, _generate, _stream])
@pytest.mark.parametrize("cls", CLASSES)
async def test_its_input_fails_and_nobody_else_notices(serve: Any, cls: type, ask: Any) -> None:
    stub = await serve(cls)
    async with asyncio.timeout(20):
        hanging = asyncio.create_task(ask(stub, "hang", name_of(cls)))
        assert (await _predict(stub, "other", "echo"))[0][0] == 10000
        code, details = (await hanging)[-1]
        assert code == 21313
        assert "gave no answer for 0.2 seconds" in details
        for _ in range(3):  # more than there are threads
            assert [code for code, _ in await ask(stub, "fine", name_of(cls))][-1] == 10000


@pytest.mark.parametrize("cls", [Plain, Many, Streaming])
async def test_a_caller_who_leaves_frees_the_slot_as_well(serve: Any, cls: type) -> None:
    stub = await serve(cls)
    async with asyncio.timeout(20):
        with pytest.raises(Exception, match="Deadline"):
            await stub.predict(stub.request("hang", model=name_of(cls)), timeout=0.05)
        assert (await _predict(stub, "fine", name_of(cls)))[0][0] == 10000


class Loading:
    timeout = LIMIT

    def load(self) -> None:
        RELEASED.wait(60)

    def predict(self, item: Any) -> str:
        return ""


async def test_a_load_that_hangs_is_an_error(serve: Any) -> None:
    stub = await serve(Loading)
    async with asyncio.timeout(20):
        [(code, details)] = await _predict(stub, "x", "loading")
    assert (code, details) == (21350, "model loading has not been loaded within 0.2 seconds")


class Slow:
    """Works longer than its time in all, and gives something in between; and waits long for its items."""

    timeout = 0.6

    def generate(self, item: Any) -> Iterator[str]:
        for word in "abcd":
            RELEASED.wait(0.25)
            yield word

    async def stream(self, items: AsyncIterator[Any]) -> AsyncIterator[str]:
        async for item in items:
            yield item.text


async def test_who_works_or_waits_is_not_given_up(serve: Any) -> None:
    stub = await serve(Slow)
    assert [code for code, _ in await _generate(stub, "x", "slow")] == [10000] * 4
    call = stub.stream()
    for text in "ab":
        await call.write(stub.request(text, model="slow"))
        assert (await call.read()).outputs[0].data.text.raw == text
        await asyncio.sleep(0.8)
    await call.done_writing()
    assert await _rest(call) == []
