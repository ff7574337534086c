"""Streams that break at every place where they can: what is sent again, what is not, and what is said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import pytest

from headrace import Client, KeepAlive, RetryPolicy, StreamBroken, Timeouts
from headrace.calls.options import Batch
from headrace.errors import ConnectFailed, ConnectionLost
from headrace.events import Resumed
from headrace.testing import ConnectionFaults, FaultProxy, GrpcFail, MemoryServer, ModelDouble
from tests.support.bridge import GrpcServer
from tests.support.rig import MODEL, SOCKET_WIRES, WIRES, Wire, read, rigged, timed

pytestmark = pytest.mark.core

Transport = Literal["grpc", "h2"]
#: Older gRPC (up to 1.78 at least) does not see some resets right behind an answer until it sends something.
PINGS = KeepAlive(1.0, 1.0)
SMALL = 12
TEXTS = [f"text {n}" for n in range(SMALL)]


@pytest.mark.parametrize("transport", SOCKET_WIRES)
@pytest.mark.parametrize(
    ("direction", "echo", "batch"),
    [
        ("to_client", True, None),
        ("to_client", False, None),
        ("to_server", True, None),
        ("to_server", False, None),
        ("to_client", False, 3),
        ("to_client", True, 7),
        ("to_server", False, "auto"),
    ],
)
async def test_a_reset_at_any_message_loses_and_doubles_nothing(
    direction: Any, echo: bool, batch: Batch, transport: Transport, tmp_path: Path
) -> None:
    double = ModelDouble(lambda item: item.text, echo_ids=echo)
    async with GrpcServer(double) as server:
        for number in range(1, SMALL + 2):
            faults = ConnectionFaults(reset_at_message=number, direction=direction)
            async with (
                FaultProxy(server.address, script=[faults]) as proxy,
                Client(base_url=proxy.address, transport=transport, keepalive=PINGS) as client,
            ):
                model = client.model(**MODEL)
                async with model.stream_by_bytes(TEXTS, "text", window=4, prefetch=4, batch=batch) as stream:
                    found = [p.text async for p in stream]
                assert found == TEXTS, number
                stats = stream.stats
                assert stats.received == stats.pulled == SMALL
                assert stats.resumed == proxy.stats.resets
                if batch is None:
                    assert stats.resumed == (number <= SMALL)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("number", range(1, SMALL + 2))
async def test_in_memory_as_well_and_also_out_of_order(number: int, ordered: bool, tmp_path: Path) -> None:
    async with rigged("memory", tmp_path) as rig:
        rig.double.server.break_after(number)
        async with rig.model.stream_by_bytes(TEXTS, "text", window=4, ordered=ordered) as stream:
            found = [p.text async for p in stream]
        assert (found if ordered else sorted(found, key=TEXTS.index)) == TEXTS


@pytest.mark.parametrize("number", [1, 5, SMALL - 1])
async def test_unordered_answers_without_ids_cannot_be_resumed(number: int, tmp_path: Path) -> None:
    async with rigged("memory", tmp_path, double={"echo_ids": False}) as rig:
        rig.double.server.break_after(number)
        texts: list[str] = []
        with pytest.raises(StreamBroken, match="ordered=True") as caught:
            async with rig.model.stream_by_bytes(TEXTS, "text", window=4, ordered=False) as stream:
                await read(stream, texts)
        assert caught.value.received == number == len(texts)
        sent = [item.id for item in rig.double.inputs]
        assert set(sent[number:]) <= set(caught.value.unanswered)
        assert isinstance(caught.value.__cause__, ConnectionLost)


@pytest.mark.parametrize("number", [1, 5, SMALL - 1])
@pytest.mark.parametrize("wire", WIRES)
async def test_without_resume_it_says_what_is_missing(wire: Wire, number: int, tmp_path: Path) -> None:
    double = ModelDouble(lambda item: item.text)
    faults = ConnectionFaults(reset_at_message=number + 1)
    async with GrpcServer(double) as server, FaultProxy(server.address, script=[faults]) as proxy:
        transport: Any = double if wire == "memory" else wire
        if wire == "memory":
            double.server.break_after(number)
        async with Client(base_url=proxy.address, transport=transport) as client:
            texts: list[str] = []
            with pytest.raises(StreamBroken, match="resume is off") as caught:
                async with client.model(**MODEL).stream_by_bytes(TEXTS, "text", window=4, resume=False) as stream:
                    await read(stream, texts)
            assert texts == TEXTS[: caught.value.received]
            assert len(texts) == number if wire == "memory" else len(texts) <= number  # a reset may overtake answers
            answered_or_not = len(caught.value.unanswered) + caught.value.received
            assert answered_or_not <= number + 4
            assert client.stats.resumes == 0
            stats = stream.stats
            assert stats.pulled == stats.received + stats.errors + stats.dropped


@pytest.mark.parametrize("number", [1, 5])
@pytest.mark.parametrize("wire", WIRES)
async def test_a_free_stream_is_not_resumed(wire: Wire, number: int, tmp_path: Path) -> None:
    double = ModelDouble(lambda item: item.text)
    async with GrpcServer(double) as server, FaultProxy(server.address) as proxy:
        transport: Any = double if wire == "memory" else wire
        async with Client(base_url=proxy.address, transport=transport, keepalive=PINGS) as client:
            double.hold()
            double.release_next(number)
            async with client.model(**MODEL).stream_by_bytes(TEXTS, "text", matched=False) as stream:
                assert [(await anext(stream)).text for _ in range(number)] == TEXTS[:number]
                (double.server.break_connections if wire == "memory" else proxy.reset)()
                with pytest.raises(StreamBroken) as caught:
                    await anext(stream)
            assert caught.value.received == number
            assert isinstance(caught.value.__cause__, ConnectionLost)


# -- token streams

TOKENS = ["one ", "two ", "three ", "four "]


@pytest.mark.parametrize("tokens", range(1, len(TOKENS) + 1))
@pytest.mark.parametrize("wire", WIRES)
async def test_a_token_stream_that_breaks_after_any_token_keeps_the_text(
    wire: Wire, tokens: int, tmp_path: Path
) -> None:
    async def model_function(_: Any) -> AsyncIterator[str]:
        for token in TOKENS[:tokens]:
            yield token
        await asyncio.Event().wait()

    double = ModelDouble(model_function)
    async with GrpcServer(double) as server, FaultProxy(server.address) as proxy:
        transport: Any = double if wire == "memory" else wire
        async with Client(base_url=proxy.address, transport=transport, keepalive=PINGS) as client:
            async with client.model(**MODEL).generate_by_bytes("go", "text") as stream:
                for token in TOKENS[:tokens]:
                    assert (await anext(stream)).text == token
                (double.server.break_connections if wire == "memory" else proxy.reset)()
                with pytest.raises(StreamBroken) as caught:
                    await anext(stream)
            assert caught.value.text == "".join(TOKENS[:tokens])
            assert caught.value.received == tokens
            assert isinstance(caught.value.__cause__, ConnectionLost)
            assert client.stats.attempts == 1


@pytest.mark.parametrize("wire", WIRES)
async def test_a_token_stream_that_breaks_before_its_first_token_is_tried_again(wire: Wire, tmp_path: Path) -> None:
    double = ModelDouble(lambda _: TOKENS)
    faults = ConnectionFaults(reset_at_message=1)
    async with GrpcServer(double) as server, FaultProxy(server.address, script=[faults]) as proxy:
        transport: Any = double if wire == "memory" else wire
        double.server.fail_next("UNAVAILABLE")  # in memory only
        async with Client(base_url=proxy.address, transport=transport) as client:
            assert await client.model(**MODEL).generate_by_bytes("go", "text").text() == "".join(TOKENS)
            assert client.stats.attempts == 2


@pytest.mark.parametrize(
    "failure", [GrpcFail("UNAVAILABLE"), GrpcFail("INTERNAL"), 21351, 11005, 10020, 11008], ids=str
)
@pytest.mark.parametrize("wire", WIRES)
async def test_any_failure_after_a_token_is_a_broken_stream_with_the_text(
    wire: Wire, failure: Any, tmp_path: Path
) -> None:
    async with rigged(wire, tmp_path, lambda _: ["one ", "two ", failure]) as rig:
        with pytest.raises(StreamBroken) as caught:
            await rig.model.generate_by_bytes("go", "text").text()
        assert (caught.value.text, caught.value.received) == ("one two ", 2)
        assert caught.value.code == (failure if isinstance(failure, int) else None)
        assert len(rig.calls) == 1


@pytest.mark.parametrize("failure", [GrpcFail("UNAVAILABLE"), 11005, 10030, 10020], ids=str)
@pytest.mark.parametrize("wire", WIRES)
async def test_a_failure_before_the_first_token_is_tried_again(wire: Wire, failure: Any, tmp_path: Path) -> None:
    async with rigged(
        wire, tmp_path, lambda item: failure if item.attempt == 1 else TOKENS, retry=RetryPolicy(initial=0.01)
    ) as rig:
        assert await rig.model.generate_by_bytes("go", "text").text() == "".join(TOKENS)
        assert len(rig.calls) == 2


# -- servers that go away in order

AGE = (("grpc.max_connection_age_ms", 100), ("grpc.max_connection_age_grace_ms", 50))


async def _slowly(item: Any) -> str:
    await asyncio.sleep(0.01)
    return str(item.text)


@pytest.mark.parametrize("echo", [True, False], ids=["by id", "by order"])
async def test_a_long_stream_outlives_the_age_of_its_connections(echo: bool, tmp_path: Path) -> None:
    async with rigged("grpc", tmp_path, _slowly, double={"echo_ids": echo}, grpc_options=AGE, tcp=True) as rig:
        texts = [f"text {n}" for n in range(400)]
        async with rig.model.stream_by_bytes(texts, "text", window=4) as stream:
            assert [p.text async for p in stream] == texts
        assert stream.stats.resumed >= 2
        assert stream.stats.resumed == sum(isinstance(event, Resumed) for event in rig.events)


async def test_unary_calls_do_not_notice_the_age_of_their_connections(tmp_path: Path) -> None:
    options = (AGE[0], ("grpc.max_connection_age_grace_ms", 5000))  # no call is cut off, also on a busy machine
    async with rigged("grpc", tmp_path, grpc_options=options, tcp=True) as rig:
        for start in range(0, 600, 20):
            texts = [f"text {n}" for n in range(start, start + 20)]
            found = await asyncio.gather(*(rig.model.predict_by_bytes(text, "text") for text in texts))
            assert [p.text for p in found] == texts
            await asyncio.sleep(0.01)  # let the connections age
        assert rig.client.stats.failures == 0


async def test_a_goaway_in_memory(tmp_path: Path) -> None:
    async with rigged("memory", tmp_path) as rig:
        server = rig.double.server

        async def source() -> AsyncIterator[str]:
            for number, text in enumerate(TEXTS):
                if number == 10:  # more than window and pipe hold: the call is open by then
                    server.go_away()
                yield text

        async with rig.model.stream_by_bytes(source(), "text", window=2) as stream:
            assert [p.text async for p in stream] == TEXTS
        assert (await rig.model.predict_by_bytes("after", "text")).text == "after"
        assert server.connects == 2


# -- bad lines

BAD_LINES = {
    "latency": ConnectionFaults(latency=0.02, jitter=0.01),
    "slices": ConnectionFaults(slice_bytes=7),
    "bandwidth": ConnectionFaults(bandwidth=200_000),
}


@pytest.mark.parametrize("transport", SOCKET_WIRES)
@pytest.mark.parametrize("name", BAD_LINES)
async def test_a_bad_line_changes_nothing_but_the_time(name: str, transport: Transport, tmp_path: Path) -> None:
    double = ModelDouble(lambda item: item.text)
    async with (
        GrpcServer(double) as server,
        FaultProxy(server.address, BAD_LINES[name], seed=1) as proxy,
        Client(base_url=proxy.address, transport=transport) as client,
    ):
        model = client.model(**MODEL)
        assert (await model.predict_by_bytes("x" * 10_000, "text")).text == "x" * 10_000
        texts = [f"{n} " + "x" * 200 for n in range(100)]
        async with model.stream_by_bytes(texts, "text") as stream:
            assert [p.text async for p in stream] == texts
        assert await model.generate_by_bytes("one two", "text").text() == "one two"
        assert client.stats.failures == 0


@pytest.mark.parametrize("transport", SOCKET_WIRES)
async def test_resets_again_and_again_under_load(transport: Transport, tmp_path: Path) -> None:
    double = ModelDouble(lambda item: item.text, server=MemoryServer(keep=False))
    async with (
        GrpcServer(double) as server,
        FaultProxy(server.address, ConnectionFaults(reset_after_bytes=20_000)) as proxy,
        Client(base_url=proxy.address, transport=transport, keepalive=PINGS) as client,
    ):
        texts = [f"{n} " + "x" * 100 for n in range(1000)]
        async with client.model(**MODEL).stream_by_bytes(iter(texts), "text") as stream:
            assert [p.text async for p in stream] == texts
        assert proxy.stats.resets >= 5
        assert stream.stats.resumed >= 5


@pytest.mark.parametrize("transport", SOCKET_WIRES)
@pytest.mark.parametrize("direction", ["to_client", "to_server"])
async def test_a_half_open_connection_is_noticed_by_pings_and_the_stream_goes_on(
    direction: Any, transport: Transport, tmp_path: Path
) -> None:
    double = ModelDouble(lambda item: item.text)
    faults = ConnectionFaults(half_open_after_bytes=1500, direction=direction)
    events: list[Any] = []
    async with (
        GrpcServer(double) as server,
        FaultProxy(server.address, script=[faults]) as proxy,
        # The second connection is sound: only a machine that stands still for all of this could end it.
        Client(
            base_url=proxy.address, transport=transport, keepalive=KeepAlive(0.3, 1.0), on_event=events.append
        ) as client,
    ):
        texts = [f"text {n}" for n in range(100)]
        async with client.model(**MODEL).stream_by_bytes(iter(texts), "text") as stream:
            with timed() as took:
                assert [p.text async for p in stream] == texts
        assert took.ours < 5
        (resumed,) = (event for event in events if isinstance(event, Resumed))
        assert stream.stats.resumed == 1
        assert proxy.stats.connections == len(double.server.calls) == 2
        twice = double.attempts.total() - 100
        assert twice == resumed.unanswered if direction == "to_client" else twice <= resumed.unanswered
        assert set(double.attempts.values()) <= {1, 2}


@pytest.mark.parametrize("shape", ["predict", "generate", "stream", "free", "map"])
@pytest.mark.parametrize("wire", WIRES)
async def test_a_black_hole_ends_with_the_connect_timeout(wire: Wire, shape: str, tmp_path: Path) -> None:
    double = ModelDouble(lambda item: item.text)
    async with (
        GrpcServer(double) as server,
        FaultProxy(server.address, ConnectionFaults(blackhole=True)) as proxy,
        Client(
            base_url=proxy.address,
            timeouts=Timeouts(connect=0.2),
            retry=RetryPolicy(attempts=1),
            transport=double if wire == "memory" else wire,
        ) as client,
    ):
        model = client.model(**MODEL)
        with (
            double.server.silent(),
            timed() as took,
            pytest.raises(ConnectFailed, match=r"no connection within 0\.2 s"),
        ):
            if shape == "predict":
                await model.predict_by_bytes("text", "text")
            elif shape == "generate":
                await model.generate_by_bytes("text", "text").text()
            elif shape == "map":
                await anext(model.map(["text"], input_type="text"))
            else:
                await anext(model.stream_by_bytes(["text"], "text", matched=shape == "stream"))
        assert took.wall > 0.15
        assert took.ours < 0.6
        assert client.stats.attempts == 0  # nothing was sent
        assert client.stats.running == 0


@pytest.mark.parametrize("transport", SOCKET_WIRES)
async def test_an_unreachable_server_is_reported_after_all_attempts_with_their_number(
    transport: Transport, tmp_path: Path
) -> None:
    retry = RetryPolicy(attempts=3, initial=0.01)
    async with Client(base_url=f"unix:{tmp_path}/nobody", transport=transport, retry=retry) as client:
        model = client.model(**MODEL)
        for call in (
            model.predict_by_bytes("text", "text"),
            model.generate_by_bytes("text", "text").text(),
            anext(model.stream_by_bytes(["text"], "text")),
        ):
            with timed() as took, pytest.raises(ConnectFailed) as caught:
                await call
            assert caught.value.attempt == 3
            assert took.ours < 1
