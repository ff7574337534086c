"""GenerateModelOutputs over a real connection: pieces as they are made, failures at the end, cancels."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from headrace.server.hosted import READ_AHEAD
from headrace.server.model import Item, ModelError
from headrace.v2 import service_pb2 as pb


async def pieces(call: Any) -> list[pb.MultiOutputResponse]:
    return [response async for response in call]


async def test_words_come_one_by_one_and_join_to_the_text(serve: Any) -> None:
    stub = await serve()
    responses = await pieces(stub.generate(stub.request("one two  three")))
    assert len(responses) == 4  # two spaces have an empty word between them
    assert "".join(r.outputs[0].data.text.raw for r in responses) == "one two  three"
    assert {(r.status.code, r.outputs[0].input.id) for r in responses} == {(10000, "i0")}


async def test_several_inputs_are_generated_one_after_the_other(serve: Any) -> None:
    stub = await serve()
    responses = await pieces(stub.generate(stub.request("a b", "", "c")))
    assert [(r.outputs[0].input.id, r.status.code, r.outputs[0].data.text.raw) for r in responses] == [
        ("i0", 10000, "a"),
        ("i0", 10000, " b"),
        ("i1", 30104, ""),
        ("i2", 10000, "c"),
    ]


class Lockstep:
    """A plain generator that makes the second piece only after the test has seen the first."""

    seen = threading.Event()

    def generate(self, item: Item) -> Iterator[str]:
        yield "first"
        assert self.seen.wait(10)
        yield "second"


async def test_a_piece_leaves_before_the_next_is_made(serve: Any) -> None:
    Lockstep.seen.clear()
    stub = await serve(Lockstep)
    call = stub.generate(stub.request("a", model="lockstep"))
    assert (await call.read()).outputs[0].data.text.raw == "first"
    Lockstep.seen.set()
    assert (await call.read()).outputs[0].data.text.raw == "second"


class Breaks:
    """Fails after a piece."""

    def generate(self, item: Item) -> Iterator[str]:
        yield "good"
        raise ModelError(30104, "enough") if item.text == "input" else RuntimeError("bad luck")


class Silent:
    """Yields nothing."""

    def generate(self, item: Item) -> Iterator[str]:
        yield from ()


@pytest.mark.parametrize(("text", "code"), [("input", 30104), ("x", 21313)])
async def test_a_failure_underway_is_a_last_failing_response(serve: Any, text: str, code: int) -> None:
    stub = await serve(Breaks)
    responses = await pieces(stub.generate(stub.request(text, model="breaks")))
    assert [(r.status.code, r.outputs[0].status.code) for r in responses] == [(10000, 10000), (code, code)]


async def test_nothing_generated_is_one_empty_text_not_an_empty_stream(serve: Any) -> None:
    stub = await serve(Silent)
    (response,) = await pieces(stub.generate(stub.request("a", model="silent")))
    assert (response.status.code, response.outputs[0].data.HasField("text")) == (10000, True)


@pytest.mark.parametrize(("text", "model", "code"), [("a", "nope", 21200), ("", "echo", 30104)])
async def test_failures_before_the_first_piece_are_responses_too(serve: Any, text: str, model: str, code: int) -> None:
    stub = await serve()
    (response,) = await pieces(stub.generate(stub.request(text, model=model)))
    assert response.status.code == code


class Whole:
    """Has predict only."""

    def predict(self, item: Item) -> str:
        return f"<{item.text}>"


async def test_a_model_without_generate_gives_its_answer_in_one_piece(serve: Any) -> None:
    stub = await serve(Whole)
    (response,) = await pieces(stub.generate(stub.request("a", model="whole")))
    assert response.outputs[0].data.text.raw == "<a>"


async def test_a_model_without_predict_has_its_pieces_joined(serve: Any) -> None:
    stub = await serve(Breaks, Steps)
    response = await stub.predict(stub.request("3", model="steps"))
    assert response.outputs[0].data.text.raw == "0 1 2 "
    assert (await stub.predict(stub.request("x", model="breaks"))).status.code == 21313


class Steps:
    """Yields so many numbers."""

    async def generate(self, item: Item) -> AsyncIterator[str]:
        for number in range(int(item.text or 0)):
            yield f"{number} "


class Watched:
    """Endless; tells when it was stopped, and how far it got."""

    made = 0
    stopped = threading.Event()

    @classmethod
    def reset(cls) -> None:
        cls.made = 0
        cls.stopped = threading.Event()


class EndlessSync(Watched):
    """Yields from a thread."""

    def generate(self, item: Item) -> Iterator[str]:
        try:
            while True:
                type(self).made += 1
                yield "x"
                if item.cancelled.wait(0.005):
                    return
        finally:
            type(self).stopped.set()


class EndlessAsync(Watched):
    """Yields on the loop."""

    async def generate(self, item: Item) -> AsyncIterator[str]:
        try:
            while True:
                type(self).made += 1
                yield "x"
                await asyncio.sleep(0.005)
        finally:
            type(self).stopped.set()


class Waits(Watched):
    """Makes nothing, but looks whether its caller has gone."""

    def generate(self, item: Item) -> Iterator[str]:
        yield "ready"
        item.cancelled.wait(10)
        type(self).stopped.set()


@pytest.mark.parametrize("cls", [EndlessSync, EndlessAsync, Waits])
async def test_a_caller_who_goes_away_stops_the_model(serve: Any, cls: type[Watched]) -> None:
    cls.reset()
    stub = await serve(cls)
    name = {"EndlessSync": "endless-sync", "EndlessAsync": "endless-async", "Waits": "waits"}[cls.__name__]
    took = []
    for _ in range(3):  # the best of three counts: this machine may be busy
        cls.reset()
        call = stub.generate(stub.request("a", model=name))
        await call.read()
        call.cancel()
        started = time.monotonic()
        assert await asyncio.to_thread(cls.stopped.wait, 5)
        took.append(time.monotonic() - started)
        with contextlib.suppress(asyncio.CancelledError):
            await call.read()
    assert min(took) < 0.2


class Flood(Watched):
    """Yields large pieces as fast as they are taken."""

    def generate(self, item: Item) -> Iterator[str]:
        try:
            while True:
                type(self).made += 1
                yield "x" * 100_000
        finally:
            type(self).stopped.set()


async def test_a_model_never_runs_far_ahead_of_a_caller_who_does_not_read(serve: Any) -> None:
    Flood.reset()
    stub = await serve(Flood)
    call = stub.generate(stub.request("a", model="flood"))
    await call.read()
    before = -1
    while Flood.made != before:  # until it makes no progress any more
        before = Flood.made
        await asyncio.sleep(0.3)
    assert Flood.made <= READ_AHEAD + 100  # 100: what fits into the connection itself
    call.cancel()
    assert await asyncio.to_thread(Flood.stopped.wait, 5)
