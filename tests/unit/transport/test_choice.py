"""Which transport a client takes, and how it goes over to the other one."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from headrace import Client, Limits, RetryPolicy, errors
from headrace.config import Target, Transmission
from headrace.events import TransportChanged
from headrace.model import Model
from headrace.testing import ModelDouble
from headrace.transport.choice import choose
from tests.support.bridge import GrpcServer
from tests.support.rig import MODEL
from tests.support.violations import VIOLATIONS, ViolatingRelay

pytestmark = pytest.mark.core

TEXTS = [f"text {n}" for n in range(60)]


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let "auto" mean what it means by itself."""
    monkeypatch.delenv("HEADRACE_TRANSPORT", raising=False)


@pytest.mark.parametrize(
    ("argument", "variable", "expected"),
    [
        ("h2", None, "H2Transport"),
        ("h2", "grpc", "H2Transport"),
        ("auto", "h2", "H2Transport"),
        ("auto", "grpc", "GrpcTransport"),
        ("auto", "", "FallbackTransport"),
        ("auto", "auto", "FallbackTransport"),
        ("auto", None, "FallbackTransport"),
        ("grpc", "h2", "GrpcTransport"),
        ("grpc", None, "GrpcTransport"),
    ],
)
def test_which_transport_a_client_takes(
    argument: Any, variable: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable is not None:
        monkeypatch.setenv("HEADRACE_TRANSPORT", variable)
    transport = choose(argument, print)(Target.parse("http://localhost:1"), Transmission())
    assert type(transport).__name__ == expected


def test_a_transport_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_TRANSPORT", "quic")
    with pytest.raises(errors.ConfigError, match=r"HEADRACE_TRANSPORT must be .*not 'quic'"):
        Client(base_url="http://localhost:1")
    with pytest.raises(errors.ConfigError, match=r"transport must be .*not 'h3'"):
        Client(base_url="http://localhost:1", transport="h3")  # type: ignore[arg-type]


# -- how "auto" goes over to gRPC


async def stream(model: Model) -> list[str]:
    return [p.text async for p in model.stream_by_bytes(TEXTS, "text", window=4)]


async def packed(model: Model) -> list[str]:
    return [p.text async for p in model.stream_by_bytes(TEXTS, "text", batch=4, window=16)]


async def mapped(model: Model) -> list[str]:
    return [p.text async for p in model.map(TEXTS, input_type="text", concurrency=4)]


async def together(model: Model) -> list[str]:
    return [p.text for p in await asyncio.gather(*(model.predict_by_bytes(text, "text") for text in TEXTS))]


async def one_by_one(model: Model) -> list[str]:
    return [(await model.predict_by_bytes(text, "text")).text for text in TEXTS]


PATIENT = RetryPolicy(initial=0.001, budget=1000)  # all calls of a connection break at once, twice
ONE_CALL_EACH = Limits(connections=2, streams_per_connection=1)
SHAPES: dict[str, Callable[[Model], Awaitable[list[str]]]] = {
    "stream": stream,
    "packed": packed,
    "map": mapped,
    "together": together,
    "one by one": one_by_one,
}


@pytest.mark.parametrize(
    ("violation", "shape", "early"),
    [
        *[("short ping", shape, early) for shape in SHAPES for early in (False, True)],
        *[(violation, "together", False) for violation in VIOLATIONS],
    ],
)
async def test_two_violations_in_a_row_and_the_calls_go_on_over_grpc(
    violation: str, shape: str, early: bool, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[Any] = []
    async with (
        GrpcServer(ModelDouble(lambda item: item.text)) as server,
        ViolatingRelay(server.address, VIOLATIONS[violation], early=early) as relay,
        Client(base_url=relay.address, on_event=events.append, retry=PATIENT) as client,
    ):
        with caplog.at_level(logging.WARNING, "headrace"):
            assert await SHAPES[shape](client.model(**MODEL)) == TEXTS
            assert await SHAPES[shape](client.model(**MODEL)) == TEXTS
        (changed,) = [event for event in events if isinstance(event, TransportChanged)]
        assert changed.transport == "grpc"
        assert changed.target == relay.address
        assert "HTTP/2" in changed.reason or "GOAWAY (PROTOCOL_ERROR: you did it)" in changed.reason
        (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
        assert "calls go over grpc from now on" in record.getMessage()
        assert relay.lean == (0 if early else 2)


async def test_tokens_go_on_over_grpc() -> None:
    events: list[Any] = []
    async with (
        GrpcServer(ModelDouble(lambda item: [f"{word} " for word in item.text.split(" ")])) as server,
        ViolatingRelay(server.address, VIOLATIONS["short ping"]) as relay,
        Client(base_url=relay.address, on_event=events.append) as client,
    ):
        model = client.model(**MODEL)
        text = "".join(f"{number} " for number in range(60))
        for _ in range(2):  # a stream of tokens that broke cannot go on, and says so
            with pytest.raises(errors.StreamBroken) as broken:
                await model.generate_by_bytes(text.strip(), "text").text()
            assert text.startswith(broken.value.text)
        assert await model.generate_by_bytes(text.strip(), "text").text() == text
        assert [type(event) for event in events if isinstance(event, TransportChanged)] == [TransportChanged]


async def test_a_connection_that_ends_in_peace_between_two_violations_is_forgiven() -> None:
    events: list[Any] = []
    server = GrpcServer(ModelDouble(lambda item: item.text))
    async with (
        server,
        ViolatingRelay(server.address, VIOLATIONS["short ping"], spare=lambda number: number % 2 == 1) as relay,
        Client(base_url=relay.address, on_event=events.append) as client,
    ):
        model = client.model(**MODEL)
        for _ in range(3):
            assert await stream(model) == TEXTS  # the first connection of a round breaks, the second one is spared
            await server.stop(1.0)
            await server.start()
        assert relay.lean == 6
        assert relay.others == 0
        assert not [event for event in events if isinstance(event, TransportChanged)]


async def test_all_connections_of_the_client_go_over_and_running_calls_end_where_they_are() -> None:
    """Of two connections one violates the protocol twice; a call on the other one is not disturbed."""
    events: list[Any] = []
    double = ModelDouble(lambda item: item.text)
    async with (
        GrpcServer(double) as server,
        ViolatingRelay(server.address, VIOLATIONS["short ping"], spare=lambda number: number == 0) as relay,
        Client(base_url=relay.address, on_event=events.append, limits=ONE_CALL_EACH) as client,
    ):
        model = client.model(**MODEL)
        sent: asyncio.Queue[str | None] = asyncio.Queue()

        async def slowly() -> Any:
            while (text := await sent.get()) is not None:
                yield text

        async with model.stream_by_bytes(slowly(), "text") as long:
            sent.put_nowait("before")
            assert (await anext(long)).text == "before"
            assert await stream(model) == TEXTS
            assert relay.lean == 3
            assert [type(event) for event in events if isinstance(event, TransportChanged)] == [TransportChanged]
            sent.put_nowait("after")
            assert (await anext(long)).text == "after"
            sent.put_nowait(None)
            assert [p async for p in long] == []
            assert long.stats.resumed == 0
        async with asyncio.timeout(10):
            while relay.lean_open:  # the connection is closed with its last call
                await asyncio.sleep(0.01)
        assert await together(model) == TEXTS
        assert relay.lean == 3


@pytest.mark.parametrize("transport", ["h2", "grpc"])
async def test_who_names_a_transport_keeps_it(transport: Any) -> None:
    events: list[Any] = []
    async with (
        GrpcServer(ModelDouble(lambda item: item.text)) as server,
        ViolatingRelay(server.address, VIOLATIONS["short ping"]) as relay,
        Client(base_url=relay.address, on_event=events.append, transport=transport) as client,
    ):
        assert await one_by_one(client.model(**MODEL)) == TEXTS
        assert not [event for event in events if isinstance(event, TransportChanged)]
        assert (relay.lean > 2) is (transport == "h2")


FIRST_CALL = """
import asyncio, json, sys
from headrace import Client

async def main():
    async with Client(base_url=sys.argv[1]) as client:
        return (await client.model(user_id="u", app_id="a", model_id="m").predict_by_bytes("hello", "text")).text

text = asyncio.run(main())
print(json.dumps([text, sorted(name for name in sys.modules if name.split(".")[0] == "grpc")]))
"""


async def test_a_first_call_imports_no_grpc() -> None:
    async with GrpcServer(ModelDouble(lambda item: item.text)) as server:
        run = await asyncio.create_subprocess_exec(
            sys.executable, "-c", FIRST_CALL, server.address, stdout=subprocess.PIPE
        )
        output, _ = await asyncio.wait_for(run.communicate(), 60)
    assert json.loads(output) == ["hello", []]
