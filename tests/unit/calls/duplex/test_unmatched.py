"""Free duplex streams: any number of answers, failures as themselves, made again only before the first answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from headrace import AuthError, Client, ModelNotReady, RetryPolicy, StreamBroken, Timeouts
from headrace.events import WarmUp
from headrace.testing import Fail, ModelDouble

pytestmark = pytest.mark.core

QUICK = RetryPolicy(initial=0.001, cap=0.002, warm_up_cap=0.002)


def free(client: Client, items: Any, **options: Any) -> Any:
    return client.model("u/a/models/m").stream_by_bytes(items, "text", matched=False, on_error="raise", **options)


async def texts(stream: Any) -> list[str]:
    return [prediction.text async for prediction in stream]


async def test_a_refused_credential_comes_out_as_itself() -> None:
    double = ModelDouble(lambda received: 11008)
    async with Client(transport=double.server, retry=QUICK) as client:
        with pytest.raises(AuthError):
            await texts(free(client, ["a", "b"]))
    assert sum(call.method.endswith("StreamModelOutputs") for call in double.server.calls) == 1


async def test_a_deploying_model_is_waited_for_and_gets_what_was_sent() -> None:
    events: list[Any] = []

    def answer(received: Any) -> Any:
        return 21351 if len(double.server.calls) <= 2 else received.text.upper()  # the third call finds it ready

    double = ModelDouble(answer)
    async with Client(transport=double.server, retry=QUICK, on_event=events.append) as client:
        assert await texts(free(client, ["a", "b", "c"])) == ["A", "B", "C"]
    assert sum(isinstance(event, WarmUp) for event in events) == 2


async def test_a_model_that_stays_away_is_not_waited_for_beyond_the_budget() -> None:
    double = ModelDouble(lambda received: 21351)
    async with Client(transport=double.server, retry=QUICK, timeouts=Timeouts(warm_up=0.02)) as client:
        with pytest.raises(ModelNotReady):
            await texts(free(client, ["a"]))


async def test_after_the_first_answer_a_failure_breaks_the_stream() -> None:
    double = ModelDouble(lambda received: received.text if received.text != "b" else Fail(10030))
    async with Client(transport=double.server, retry=QUICK) as client:
        with pytest.raises(StreamBroken) as caught:
            await texts(free(client, ["a", "b", "c"]))
    assert caught.value.received == 1
    assert caught.value.code == 10030


async def test_one_bad_item_is_its_own_failure() -> None:
    double = ModelDouble(lambda received: received.text)

    async def items() -> AsyncIterator[Any]:
        yield "a"
        yield None
        yield "b"

    async with Client(transport=double.server) as client:
        model = client.model("u/a/models/m")
        async with model.stream_by_bytes(items(), "text", matched=False) as stream:
            found = [prediction async for prediction in stream]
    assert sorted(p.text for p in found if p.error is None) == ["a", "b"]
    assert [p.position for p in found if p.error is not None] == [1]
    assert stream.stats.errors == 1


@pytest.mark.parametrize("items", [["a", None, "b"], ["a", 5, "b"]])
async def test_one_bad_item_never_ends_a_matched_stream_a_map_or_a_list(items: list[Any]) -> None:
    double = ModelDouble(lambda received: received.text)
    async with Client(transport=double.server) as client:
        model = client.model("u/a/models/m")
        async with model.stream_by_bytes(items, "text") as stream:
            found = [prediction async for prediction in stream]
        assert [p.error is None for p in found] == [True, False, True]
        found = [p async for p in model.map(items, input_type="text", on_error="yield")]
        assert [p.error is None for p in found] == [True, False, True]
        with pytest.raises(Exception, match="1 of 3 inputs failed, the first at position 1"):
            await model.predict(items, "text")


async def test_urls_of_a_stream_fail_alone() -> None:
    double = ModelDouble(lambda received: "seen")
    async with Client(transport=double.server) as client:
        stream = client.model("u/a/models/m").stream_by_url(["ftp://x", "https://example.com/a.jpg"], "image")
        found = [prediction async for prediction in stream]
    assert [p.error is None for p in found] == [False, True]
