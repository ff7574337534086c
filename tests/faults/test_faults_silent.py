"""Servers that stop reading, fall silent or cannot be reached, and a loop that stands still: inputs end in time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from h2.settings import SettingCodes

from headrace import Client, DeadlineExceeded, KeepAlive, Limits, PayloadTooLarge, RetryPolicy, StreamBroken, Timeouts
from headrace.events import Connected
from headrace.model import Model
from headrace.results import Prediction
from headrace.testing import Fail, MemoryServer
from headrace.testing.answers import to_response
from headrace.testing.handlers import STREAM
from tests.support.cases import best_of_three
from tests.support.child import echo_child
from tests.support.rig import MODEL, SOCKET_WIRES, WIRES, Wire, rigged, timed
from tests.support.scripted import Peer, ScriptedServer

pytestmark = pytest.mark.core

TEXTS = [f"text {n}" for n in range(30)]


@pytest.mark.parametrize("answers", [0, 2])
@pytest.mark.parametrize("options", [{}, {"ordered": False}, {"batch": 4}, {"window": None}], ids=str)
@pytest.mark.parametrize("wire", WIRES)
async def test_a_server_that_stops_reading(wire: Wire, options: dict[str, Any], answers: int, tmp_path: Path) -> None:
    async with rigged(wire, tmp_path, timeouts=Timeouts(first_answer=1, close=0.5)) as rig:
        double: Any = rig.double

        async def stops(call: Any) -> None:
            for _ in range(answers):
                await call.write((await double._respond(call, await call.read(), "stream")).SerializeToString())
            await asyncio.Event().wait()

        double.server.handlers[STREAM] = stops
        found: list[Any] = []
        with timed() as took, contextlib.suppress(StreamBroken):  # "it does not answer"
            stream = rig.model.stream_by_bytes([b"i" * 1_000_000] * 20, "text", timeout=0.3, **options)
            async with asyncio.timeout(15):
                async for prediction in stream:
                    found.append(prediction)  # noqa: PERF401 - kept when it breaks
            assert len(found) == 20
        assert all(isinstance(p.error, DeadlineExceeded | None) for p in found)
        assert took.ours < 6
        stats = stream.stats
        assert stats.pulled == stats.received + stats.errors + stats.dropped


async def test_live_inputs_do_not_stand_still_without_a_word(tmp_path: Path) -> None:
    server = MemoryServer(window_bytes=64)
    async with rigged("memory", tmp_path, double={"server": server}) as rig:

        async def stops(call: Any) -> None:
            await asyncio.Event().wait()

        server.handlers[STREAM] = stops

        async def camera() -> AsyncIterator[bytes]:
            while True:
                yield b"f" * 100
                await asyncio.sleep(0.01)

        stream = rig.model.stream_by_bytes(camera(), "image", overflow="latest", timeout=0.2)
        found: list[Any] = []
        with pytest.raises(StreamBroken, match="not answered"):
            async with asyncio.timeout(10), stream:
                async for prediction in stream:
                    found.append(prediction)  # noqa: PERF401 - kept when it breaks
        assert found
        assert all(isinstance(p.error, DeadlineExceeded) for p in found)


@pytest.mark.parametrize("fault", ["no connection", "no stream"])
async def test_inputs_time_out_while_no_call_can_be_made(fault: str, tmp_path: Path) -> None:
    server = MemoryServer(streams_per_connection=0) if fault == "no stream" else MemoryServer()
    async with rigged("memory", tmp_path, double={"server": server}, timeouts=Timeouts(connect=5)) as rig:
        silence = server.silent() if fault == "no connection" else contextlib.nullcontext()
        with timed() as took, silence:
            async with asyncio.timeout(10), rig.model.stream_by_bytes(TEXTS[:5], "text", timeout=0.3) as stream:
                found = [p async for p in stream]
        assert [type(p.error) for p in found] == [DeadlineExceeded] * 5
        assert took.ours < 3


async def test_an_input_that_comes_later_has_its_own_time_while_no_stream_is_free(tmp_path: Path) -> None:
    async def source() -> AsyncIterator[str]:
        yield "first"
        await asyncio.sleep(0.2)  # the wait for a stream, which the first began, is over before the second's time is
        yield "second"

    full = {"server": MemoryServer(streams_per_connection=0)}
    async with asyncio.timeout(10), rigged("memory", tmp_path, double=full) as rig:
        stream = rig.model.stream_by_bytes(source(), "text", timeout=0.3)
        found = [p async for p in stream]
    assert [(p.position, type(p.error)) for p in found] == [(0, DeadlineExceeded), (1, DeadlineExceeded)]
    assert stream.stats.pulled == stream.stats.errors == 2


async def predicted(model: Model, **options: Any) -> None:
    await model.predict_by_bytes("text", "text", **options)


async def listed(model: Model, **options: Any) -> None:
    await model.predict(["text", "text"], "text", **options)


async def generated(model: Model, **options: Any) -> None:
    await model.generate_by_bytes("text", "text", **options).text()


async def streamed(model: Model, **options: Any) -> None:
    async for prediction in model.stream_by_bytes(TEXTS, "text", on_error="raise", **options):
        assert prediction


async def mapped(model: Model, **options: Any) -> None:
    async for prediction in model.map(TEXTS, input_type="text", on_error="raise", **options):
        assert prediction


@pytest.mark.parametrize("shape", [predicted, listed, generated, streamed, mapped])
@pytest.mark.parametrize("setting", [SettingCodes.INITIAL_WINDOW_SIZE, SettingCodes.MAX_CONCURRENT_STREAMS])
async def test_a_server_that_allows_no_bytes_or_no_streams(
    setting: SettingCodes, shape: Callable[..., Awaitable[None]]
) -> None:
    def never(peer: Peer, stream: int) -> None:
        raise AssertionError("a request arrived whole")

    async with ScriptedServer(never, {setting: 0}) as server, Client(base_url=server.address) as client:
        with timed() as took, pytest.raises((DeadlineExceeded, StreamBroken)):
            async with asyncio.timeout(10):
                await shape(client.model(**MODEL), timeout=0.3)
        assert took.ours < 5


@pytest.mark.parametrize("wire", WIRES)
async def test_a_server_without_ids_that_falls_silent(wire: Wire, tmp_path: Path) -> None:
    async with rigged(wire, tmp_path, double={"echo_ids": False}, timeouts=Timeouts(first_answer=1.5)) as rig:
        rig.double.hold()
        rig.double.release_next(3)
        found: list[Any] = []
        with timed() as took, pytest.raises(StreamBroken, match=r"not.*answered.*any more") as caught:
            async with asyncio.timeout(10):
                async for prediction in rig.model.stream_by_bytes(TEXTS, "text", window=8, timeout=1.0):
                    found.append(prediction)  # noqa: PERF401 - kept when it breaks
        assert [p.error is None for p in found] == [True] * 3 + [False] * 8
        assert caught.value.received == 3
        assert took.ours < 6


LIMIT = 0.5  # seconds for an answer, which the server needs on a busy machine, and for which our loop stands still


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("wire", WIRES)
async def test_answers_that_came_while_the_loop_stood_still_are_delivered(
    wire: Wire, ordered: bool, tmp_path: Path
) -> None:
    async def answer(item: Any) -> str:
        await asyncio.sleep(0.005)
        return str(item.text)

    async def stands_still() -> None:
        async with rigged(wire, tmp_path, answer, timeouts=Timeouts(first_answer=LIMIT)) as rig:
            texts = [str(n) for n in range(60)]
            stream = rig.model.stream_by_bytes(texts, "text", timeout=LIMIT, ordered=ordered)
            found = []
            async for prediction in stream:
                found.append(prediction)
                if len(found) == 20:
                    time.sleep(1.2 * LIMIT)
            assert [p.error for p in found if p.error is not None] == []
            assert sorted(p.text for p in found) == sorted(texts)

    await best_of_three(stands_still)


async def stream_answers(model: Model) -> AsyncIterator[Prediction]:
    async for prediction in model.stream_by_bytes(TEXTS * 2, "text", timeout=LIMIT):
        yield prediction


async def map_answers(model: Model) -> AsyncIterator[Prediction]:
    async for prediction in model.map(TEXTS * 2, input_type="text", timeout=LIMIT, on_error="yield"):
        yield prediction


async def packed_answers(model: Model) -> AsyncIterator[Prediction]:
    async for prediction in model.map(TEXTS * 2, input_type="text", timeout=LIMIT, on_error="yield", batch=4):
        yield prediction


async def predict_answers(model: Model) -> AsyncIterator[Prediction]:
    calls = [asyncio.ensure_future(model.predict_by_bytes(text, "text", timeout=LIMIT)) for text in TEXTS * 2]
    for call in calls:
        yield await call


@pytest.mark.parametrize(
    ("answers", "coalesce"),
    [
        (stream_answers, False),
        (map_answers, False),
        (packed_answers, False),
        (predict_answers, False),
        (predict_answers, True),
    ],
)
async def test_answers_of_another_process_that_came_meanwhile_are_delivered(
    answers: Callable[[Model], AsyncIterator[Prediction]], coalesce: bool, tmp_path: Path
) -> None:
    socket = tmp_path / "socket"

    async def stands_still() -> None:
        async with Client(base_url=f"unix:{socket}", coalesce=coalesce) as client:
            model = client.model(**MODEL)
            await model.predict_by_bytes("connected", "text")
            found: list[Prediction] = []
            async for prediction in answers(model):
                found.append(prediction)
                if len(found) == 20:
                    time.sleep(1.2 * LIMIT)
            assert [p.error for p in found if p.error is not None] == []
            assert [p.text for p in found] == TEXTS * 2

    async with echo_child(socket):
        await best_of_three(stands_still)


@pytest.mark.parametrize("at", [0, 7, 29])
@pytest.mark.parametrize("options", [{}, {"ordered": False}, {"batch": 4}], ids=str)
@pytest.mark.parametrize("echo", [True, False])
@pytest.mark.parametrize("wire", WIRES)
async def test_one_answer_over_the_receive_limit_is_its_inputs_alone(
    wire: Wire, echo: bool, options: dict[str, Any], at: int, tmp_path: Path
) -> None:
    def answer(item: Any) -> str:
        return "x" * 200_000 if item.text == TEXTS[at] else str(item.text)

    if options.get("ordered") is False and not echo:
        pytest.skip("such answers cannot be resumed")
    limits, retry = Limits(response_bytes=100_000), RetryPolicy(initial=0.001)
    async with rigged(wire, tmp_path, answer, double={"echo_ids": echo}, limits=limits, retry=retry) as rig:
        async with asyncio.timeout(20), rig.model.stream_by_bytes(TEXTS, "text", **options) as stream:
            found = sorted([p async for p in stream], key=lambda p: p.position)
        assert [p.position for p in found if p.error is not None] == [at]
        assert isinstance(found[at].error, PayloadTooLarge)
        assert [p.text for p in found if p.error is None] == [text for n, text in enumerate(TEXTS) if n != at]


@pytest.mark.parametrize("wire", WIRES)
async def test_what_the_server_said_is_in_the_error(wire: Wire, tmp_path: Path) -> None:
    async with rigged(wire, tmp_path) as rig:
        double: Any = rig.double

        async def falls_off(call: Any) -> None:
            messages = [await call.read() for _ in range(5)]
            for message in messages[:2]:
                await call.write((await double._respond(call, message, "stream")).SerializeToString())
            fail = Fail(21400, "the GPU fell off", envelope_only=True)
            await call.write(to_response([fail], [None], "r-17").SerializeToString())
            await asyncio.Event().wait()

        double.server.handlers[STREAM] = falls_off
        with pytest.raises(StreamBroken, match="the GPU fell off") as caught:
            async for _ in rig.model.stream_by_bytes(TEXTS, "text"):
                pass
        assert caught.value.code == 21400
        assert caught.value.__cause__.code == 21400  # type: ignore[union-attr]
        assert caught.value.received == 3


@pytest.mark.parametrize("transport", SOCKET_WIRES)
async def test_pings_to_a_server_that_works_for_long_end_nothing(transport: Any, tmp_path: Path) -> None:
    """gRPC's servers end a connection that pings them more often than they like while they say nothing."""

    async def slow(item: Any) -> str:
        await asyncio.sleep(2.5)
        return str(item.text)

    once: dict[str, Any] = {"retry": RetryPolicy(attempts=1, unprocessed=0), "keepalive": KeepAlive(0.05, 0.4)}
    async with rigged(transport, tmp_path, slow, **once) as rig, asyncio.timeout(20):
        answers = await asyncio.gather(*(rig.model.predict(text, "text") for text in TEXTS))
        assert [answer.text for answer in answers] == TEXTS
        assert len([event for event in rig.events if isinstance(event, Connected)]) == 1
