"""Models that are made ready in the background: what callers are told meanwhile, and of a failure."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from headrace.server import hosted as hosted_module
from headrace.server.hosted import Hosted
from headrace.server.loading import card_of
from headrace.server.methods import methods_of
from headrace.server.model import Card, Item, ModelError
from headrace.server.registry import Registry


class Shout:
    """A model with weights."""

    card = Card("shout", "text-to-text", "Shout", "", ("text",), ("text",), weights=("tiny",))

    def predict(self, item: Item) -> str:
        return str(item.text).upper()


class Fetch:
    """Stands for the fetching: goes on until it is let go."""

    def __init__(self) -> None:
        self.runs = 0
        self.go_on = threading.Event()
        self.error: ModelError | None = None

    def __call__(self, card: Card, report: Callable[[str, int, int], None]) -> None:
        self.runs += 1
        report("tiny", 10, 100)
        assert self.go_on.wait(10)
        if self.error is not None:
            raise self.error


def made(fetch: Fetch) -> Hosted:
    card = card_of(Shout)
    return Hosted(Shout, card, methods_of(Shout, card), fetch)


async def refused(hosted: Hosted) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await hosted.ready()
    return caught.value


async def test_callers_learn_how_far_it_is_and_a_later_one_is_served() -> None:
    hosted = made(fetch := Fetch())
    for _ in range(2):
        error = await refused(hosted)
        assert (error.code, getattr(error, "percent", None)) == (21351, 10)
    fetch.go_on.set()
    while hosted._loading is not None:
        await asyncio.sleep(0)
    await hosted.ready()
    assert (fetch.runs, hosted.loaded) == (1, True)
    await hosted.close()


async def test_a_failed_fetch_is_reported_to_all_who_were_asked_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    hosted = made(fetch := Fetch())
    fetch.error = ModelError(21350, "no package index can be reached")
    assert (await refused(hosted)).code == 21351
    fetch.go_on.set()
    while hosted._loading is not None:
        await asyncio.sleep(0)
    for _ in range(3):
        error = await refused(hosted)
        assert error.code == 21350
        assert "no package index" in error.description
    assert fetch.runs == 1
    monkeypatch.setattr(hosted_module, "FAILURE_SECONDS", 0.0)  # later
    fetch.error = None
    fetch.go_on.clear()
    assert (await refused(hosted)).code == 21351
    fetch.go_on.set()
    while hosted._loading is not None:
        await asyncio.sleep(0)
    await hosted.ready()
    assert fetch.runs == 2
    await hosted.close()


async def test_a_missing_package_is_found_before_anything_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    class Needy(Shout):
        card = Card(
            "needy",
            "text-to-text",
            "",
            "",
            ("text",),
            ("text",),
            weights=("tiny",),
            packages=("json", "no_such_module"),
        )

    fetched: list[str] = []
    monkeypatch.setattr("headrace.server.weights.need", lambda name, report: fetched.append(name))
    registry = Registry([])
    error = await refused(registry.add(Needy))
    assert "the package no_such_module is not installed" in error.description
    assert not fetched
    await registry.close()
