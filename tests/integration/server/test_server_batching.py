"""Models that answer several items at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from headrace.server.loading import LoadError
from headrace.server.model import Item, ModelError


class Many:
    """Tells how many items were answered together; the first batch waits until the test lets it go."""

    batch = 4
    entered = threading.Event()
    go = threading.Event()

    def predict_many(self, items: Sequence[Item]) -> list[str | ModelError]:
        self.entered.set()
        assert self.go.wait(10)
        if any(item.text == "break" for item in items):
            raise RuntimeError("all of it")
        return [
            ModelError(30104, "bad one") if item.text == "bad" else f"{item.text} of {len(items)}" for item in items
        ]


@pytest.fixture(autouse=True)
def _closed() -> None:
    Many.entered.clear()
    Many.go.clear()


async def result(call: Any) -> Any:
    return await call


async def test_what_waits_while_the_model_is_busy_is_answered_together(serve: Any) -> None:
    stub = await serve(Many)
    first = asyncio.create_task(result(stub.predict(stub.request("a", model="many"))))
    assert await asyncio.to_thread(Many.entered.wait, 10)
    rest = asyncio.create_task(result(stub.predict(stub.request(*"bcdefg", model="many"))))
    await asyncio.sleep(0.2)  # they are waiting now; were they not, they would be answered alone
    Many.go.set()
    assert (await first).outputs[0].data.text.raw == "a of 1"
    assert [o.data.text.raw for o in (await rest).outputs] == [
        "b of 4",
        "c of 4",
        "d of 4",
        "e of 4",
        "f of 2",
        "g of 2",
    ]


async def test_one_bad_item_spoils_no_other_of_its_batch(serve: Any) -> None:
    Many.go.set()
    stub = await serve(Many)
    response = await stub.predict(stub.request("a", "bad", "c", model="many"))
    assert [o.status.code for o in response.outputs] == [10000, 30104, 10000]
    response = await stub.predict(stub.request("a", "break", model="many"))
    assert [o.status.code for o in response.outputs] == [21313, 21313]
    assert "RuntimeError: all of it" in response.outputs[0].status.details


async def test_items_whose_caller_has_gone_are_left_out(serve: Any) -> None:
    stub = await serve(Many)
    first = asyncio.create_task(result(stub.predict(stub.request("a", model="many"))))
    assert await asyncio.to_thread(Many.entered.wait, 10)
    gone = stub.predict(stub.request("x", model="many"))
    stays = asyncio.create_task(result(stub.predict(stub.request("b", model="many"))))
    await asyncio.sleep(0.2)
    gone.cancel()
    await asyncio.sleep(0.2)
    Many.go.set()
    await first
    assert (await stays).outputs[0].data.text.raw == "b of 1"


async def test_streams_are_batched_and_keep_their_order(serve: Any) -> None:
    Many.go.set()
    stub = await serve(Many)
    call = stub.stream()
    for number in range(40):
        await call.write(stub.request(f"{number}", model="many", ids=f"{number}-"))
    await call.done_writing()
    found = [response.outputs[0] async for response in call]
    assert [o.input.id for o in found] == [f"{n}-0" for n in range(40)]
    assert [o.data.text.raw.split()[0] for o in found] == [f"{n}" for n in range(40)]


class Short:
    """Loses an answer."""

    def predict_many(self, items: Sequence[Item]) -> list[str]:
        return [""] * (len(items) - 1)


class Both:
    """Cannot say what a typed call is."""

    def predict(self, prompt: str) -> str:
        return prompt

    def predict_many(self, items: Sequence[Item]) -> list[str]:
        return []


async def test_a_batch_has_as_many_answers_as_items(serve: Any) -> None:
    stub = await serve(Short)
    response = await stub.predict(stub.request("a", model="short"))
    assert response.status.code == 21313
    assert "returned 0 answers to 1 items" in response.status.details
    with pytest.raises(LoadError, match="must take an item"):
        await serve(Both)
