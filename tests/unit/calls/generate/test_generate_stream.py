"""Token streams: pieces as they come, timeouts for the first and between, endings, and what is never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

import headrace
from headrace import Input, RetryPolicy, Timeouts, errors, events
from headrace.codec import GENERATE
from headrace.testing import Fail, GrpcFail, MemoryServer, ModelDouble, ReceivedInput, ServerCall, prediction_handlers
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import service_pb2 as rpc
from headrace.v2 import status_pb2
from tests.support.bridge import GrpcServer
from tests.support.rig import WIRES, Wire, rigged

pytestmark = pytest.mark.core

Connect = Callable[..., headrace.Model]
PIECES = ["one ", "two ", "three"]


class Paced:
    """A model whose pieces a test lets out one at a time."""

    def __init__(self, pieces: list[Any]) -> None:
        self.pieces = pieces
        self.turn = asyncio.Semaphore(0)
        self.closed = False

    async def __call__(self, item: ReceivedInput) -> AsyncIterator[Any]:
        return self._pieces()

    async def _pieces(self) -> AsyncIterator[Any]:
        try:
            for piece in self.pieces:
                await self.turn.acquire()
                yield piece
        finally:
            self.closed = True


async def test_pieces_come_one_at_a_time_and_know_their_input(connect: Connect) -> None:
    model = connect(ModelDouble(lambda item: PIECES))
    async with model.generate([Input.from_text("x", id="a")]) as stream:
        found = [p async for p in stream]
    assert [(p.text, p.position, p.input_id) for p in found] == [(t, n, "a") for n, t in enumerate(PIECES)]
    assert stream.received == 3
    assert await model.generate_by_bytes("x").text() == "one two three"


async def test_nothing_is_sent_before_it_is_entered_or_read(connect: Connect) -> None:
    double = ModelDouble(lambda item: PIECES)
    stream = connect(double).generate_by_bytes("x")
    await asyncio.sleep(0)
    assert not double.server.calls
    assert repr(stream) == "<TokenStream new: 0 received>"
    async for _ in stream:
        pass
    assert len(double.server.calls) == 1
    assert repr(stream) == "<TokenStream closed: 3 received>"


async def test_a_piece_is_there_before_the_next_one_is_made(connect: Connect) -> None:
    paced = Paced(PIECES)
    async with connect(ModelDouble(paced)).generate_by_bytes("x") as stream:
        for piece in PIECES:
            paced.turn.release()
            assert (await anext(stream)).text == piece


@pytest.mark.parametrize("way", ["break", "aclose", "error", "cancel"])
async def test_leaving_early_ends_the_call_on_the_server(connect: Connect, way: str) -> None:
    paced = Paced(PIECES)
    double = ModelDouble(paced)
    stream = connect(double).generate_by_bytes("x")
    paced.turn.release()

    async def use() -> None:
        async with stream:
            await anext(stream)
            if way == "error":
                raise RuntimeError("mine")
            if way == "aclose":
                await stream.aclose()
                await stream.aclose()
            if way == "cancel":
                await anext(stream)

    task = asyncio.create_task(use())
    if way == "cancel":
        await double.server.until(lambda: double.server.calls and double.server.calls[0].sent_messages == 1)
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
    found = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(found[0], {"error": RuntimeError, "cancel": asyncio.CancelledError}.get(way, type(None)))
    await double.server.until(lambda: double.server.calls[0].cancelled and paced.closed)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    with pytest.raises(errors.ClosedError):
        await stream.__aenter__()


async def test_leaving_at_once_waits_for_nothing(connect: Connect) -> None:
    double = ModelDouble(lambda item: PIECES)
    model = connect(double, timeouts=Timeouts(close=60))
    async with asyncio.timeout(5):
        async with model.generate_by_bytes("x") as stream:
            pass
        assert not stream._reader.running
    assert not double.server.calls


async def test_a_cancelled_read_loses_no_piece(connect: Connect) -> None:
    paced = Paced(PIECES)
    async with connect(ModelDouble(paced)).generate_by_bytes("x") as stream:
        for _ in range(3):
            reading = asyncio.create_task(anext(stream))
            await asyncio.sleep(0)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        for _ in PIECES:
            paced.turn.release()
        assert [p.text async for p in stream] == PIECES


async def test_a_second_reader_is_refused(connect: Connect) -> None:
    paced = Paced(PIECES)
    async with connect(ModelDouble(paced)).generate_by_bytes("x") as stream:
        reading = asyncio.create_task(anext(stream))
        await asyncio.sleep(0)
        with pytest.raises(errors.ConcurrentUse):
            await anext(stream)
        paced.turn.release()
        assert (await reading).text == "one "


# -- time


async def test_the_first_piece_has_a_timeout(connect: Connect) -> None:
    double = ModelDouble(lambda item: PIECES)
    double.hold()
    with pytest.raises(errors.DeadlineExceeded, match=r"the first answer .* longer than 0\.05 s"):
        await connect(double).generate_by_bytes("x", timeout=0.05).text()
    await double.server.until(lambda: double.server.calls[0].cancelled)


async def test_silence_between_pieces_has_another_and_keeps_the_text(connect: Connect) -> None:
    paced = Paced(PIECES)
    double = ModelDouble(paced)
    stream = connect(double, timeouts=Timeouts(idle=0.05)).generate_by_bytes("x")
    paced.turn.release()
    paced.turn.release()
    with pytest.raises(errors.StreamBroken, match=r"the stream gave no answer for 0\.05 s \(idle") as caught:
        await stream.text()
    assert (caught.value.text, caught.value.received) == ("one two ", 2)
    assert isinstance(caught.value.__cause__, errors.DeadlineExceeded)
    await double.server.until(lambda: double.server.calls[0].cancelled)


async def test_a_slow_reader_is_no_idle_server(connect: Connect) -> None:
    paced = Paced([f"{n:0100000d}" for n in range(20)])  # more than waits for a reader
    for _ in paced.pieces:
        paced.turn.release()
    async with connect(ModelDouble(paced), timeouts=Timeouts(idle=0.03)).generate_by_bytes("x") as stream:
        await anext(stream)
        await asyncio.sleep(0.1)
        assert len([p async for p in stream]) == 19


async def test_the_timeout_is_for_the_first_piece_alone(connect: Connect) -> None:
    paced = Paced(PIECES)
    async with connect(ModelDouble(paced)).generate_by_bytes("x", timeout=0.1) as stream:
        paced.turn.release()
        await anext(stream)
        await asyncio.sleep(0.15)
        paced.turn.release()
        assert (await anext(stream)).text == "two "


async def test_waiting_for_a_model_has_a_budget_of_its_own(connect: Connect) -> None:
    got: list[events.Event] = []
    double = ModelDouble(lambda item: [Fail(21351)] if item.attempt < 12 else PIECES)
    model = connect(
        double, timeouts=Timeouts(first_answer=0.5), retry=RetryPolicy(warm_up_cap=0.1), on_event=got.append
    )
    assert await model.generate_by_bytes("x").text() == "one two three"
    waits = [event.delay for event in got if isinstance(event, events.WarmUp)]
    assert len(waits) == 11
    assert sum(waits) > 0.5


# -- failures


@pytest.mark.parametrize("failure", [Fail(10030), GrpcFail("UNAVAILABLE", "Socket closed"), Fail(11005)])
async def test_a_failure_before_the_first_piece_is_tried_again(connect: Connect, failure: Any) -> None:
    double = ModelDouble(lambda item: [failure] if item.attempt == 1 else PIECES)
    assert await connect(double).generate_by_bytes("x").text() == "one two three"
    assert double.attempts.total() == 2


@pytest.mark.parametrize("failure", [Fail(10030), GrpcFail("UNAVAILABLE", "Socket closed"), Fail(11001)])
async def test_a_failure_after_it_is_a_broken_stream_with_the_text_so_far(connect: Connect, failure: Any) -> None:
    double = ModelDouble(lambda item: ["one ", "two ", failure])
    got = []
    with pytest.raises(errors.StreamBroken, match="broke after 2 answers") as caught:
        async with connect(double).generate_by_bytes("x") as stream:
            async for piece in stream:
                got += [piece.text]
    assert got == ["one ", "two "]
    assert caught.value.text == "one two "
    assert caught.value.code == (failure.code if isinstance(failure, Fail) else None)
    assert double.attempts.total() == 1


async def until_ended(stream: headrace.TokenStream) -> None:
    await asyncio.wait_for(stream._reader.ended(), 5)
    assert not stream._reader.running


async def test_leaving_raises_what_nobody_read(connect: Connect) -> None:
    with pytest.raises(errors.AuthError):
        async with connect(ModelDouble(lambda item: [Fail(11001)])).generate_by_bytes("x") as stream:
            await until_ended(stream)
    model = connect(ModelDouble(lambda item: ["one ", "two ", Fail(11001)]))
    with pytest.raises(errors.StreamBroken, match="broke after 2 answers"):
        async with model.generate_by_bytes("x") as stream:
            await anext(stream)
            await anext(stream)
            await until_ended(stream)


async def test_leaving_is_quiet_before_the_failure_and_after_one_was_raised(connect: Connect) -> None:
    model = connect(ModelDouble(lambda item: ["one ", "two ", Fail(11001)]))
    async with model.generate_by_bytes("x") as stream:
        await until_ended(stream)
        assert (await anext(stream)).text == "one "  # the second is not wanted, nor what comes after it
    with pytest.raises(ZeroDivisionError):
        async with model.generate_by_bytes("x") as stream:
            [await anext(stream), await anext(stream)]
            await until_ended(stream)
            raise ZeroDivisionError
    async with model.generate_by_bytes("x") as stream:
        with pytest.raises(errors.StreamBroken):
            await stream.text()


async def test_a_local_failure_is_reported_as_itself(connect: Connect) -> None:
    double = ModelDouble(lambda item: PIECES)
    with pytest.raises(errors.InputError, match="empty"):
        await connect(double).generate_by_bytes(b"", input_type="image").text()
    assert not double.server.calls


async def test_a_stream_without_any_piece_is_empty(connect: Connect) -> None:
    assert await connect(ModelDouble(lambda item: iter(()))).generate_by_bytes("x").text() == ""


async def test_markers_are_no_pieces() -> None:
    def answer(request: rpc.PostModelOutputsRequest) -> list[rpc.MultiOutputResponse]:
        start, end = [status_pb2.Status(code=code) for code in (25605, 25606)]  # type: ignore[arg-type]
        ok = status_pb2.Status(code=10000)  # type: ignore[arg-type]
        output = pb.Output(data=pb.Data(text=pb.Text(raw="x")))
        return [
            rpc.MultiOutputResponse(status=start),
            rpc.MultiOutputResponse(status=ok, outputs=[output]),
            rpc.MultiOutputResponse(status=end),
        ]

    server = MemoryServer(prediction_handlers(answer))
    async with headrace.Client(base_url="http://localhost:1", transport=server) as client:
        assert [p.text async for p in client.model("u/a/models/m").generate_by_bytes("x")] == ["x"]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("pieces", [1, 2, 700])
@pytest.mark.parametrize(
    "last", [b"\xff", b"\x0a\x04\x08\xf9\xf1\x01", b""], ids=["no message", "failure", "no status"]
)
async def test_pieces_that_came_together_with_a_failure_come_before_it(
    wire: Wire, pieces: int, last: bytes, tmp_path: Path
) -> None:
    """One receive of the connection can hold all of them, also the first piece and the failure."""
    status = status_pb2.Status(code=status_pb2.SUCCESS)
    answers = [
        rpc.MultiOutputResponse(status=status, outputs=[pb.Output(data=pb.Data(text=pb.Text(raw=f"{n} ")))])
        for n in range(pieces)
    ]

    async def generate(call: ServerCall) -> None:
        await call.read()
        for answer in answers:
            await call.write(answer.SerializeToString())
        await call.write(last)
        await call.write(answers[0].SerializeToString())

    server = MemoryServer({GENERATE: generate})
    texts = [f"{n} " for n in range(pieces)]
    async with contextlib.AsyncExitStack() as stack:
        options: dict[str, Any] = {"base_url": "http://localhost:1", "transport": server}
        if wire != "memory":
            served = await stack.enter_async_context(GrpcServer(server, f"unix:{tmp_path}/s"))
            options = {"base_url": served.address, "transport": wire}
        client = await stack.enter_async_context(headrace.Client(**options))
        for pause in (False, True):
            read: list[str] = []
            stream = client.model("u/a/models/m").generate_by_bytes("x")
            with pytest.raises(errors.StreamBroken) as caught:
                async for piece in stream:
                    read.append(piece.text)
                    assert piece.position == len(read) - 1
                    if pause:
                        await asyncio.sleep(0)
            assert read == texts
            assert (caught.value.received, caught.value.text) == (pieces, "".join(texts))
        assert len(server.calls) == 2


async def test_nothing_is_read_after_closing_though_pieces_were_there(connect: Connect) -> None:
    stream = connect(ModelDouble(lambda item: PIECES)).generate_by_bytes("x")
    assert (await anext(stream)).text == "one "
    await until_ended(stream)
    await stream.aclose()
    assert [piece async for piece in stream] == []


async def test_one_input_is_taken(connect: Connect) -> None:
    with pytest.raises(errors.ConfigError, match="one input, not 2"):
        connect(ModelDouble(lambda item: PIECES)).generate(["a", "b"])


async def test_closing_the_client_ends_it_with_a_typed_error(connect: Connect) -> None:
    paced = Paced(PIECES)
    model = connect(ModelDouble(paced), timeouts=Timeouts(close=0.02))
    paced.turn.release()
    async with model.generate_by_bytes("x") as stream:
        await anext(stream)
        await model.client.close()
        with pytest.raises(errors.StreamBroken) as caught:
            await anext(stream)
    assert caught.value.text == "one "


# -- nothing left behind


async def test_a_reader_that_is_slow_stops_the_server(connect: Connect) -> None:
    paced = Paced(["x" * 100_000] * 100)
    double = ModelDouble(paced)
    for _ in paced.pieces:
        paced.turn.release()
    async with connect(double).generate_by_bytes("x") as stream:
        await anext(stream)
        for _ in range(500):
            await asyncio.sleep(0)
        assert double.server.calls[0].sent_messages < 20


@pytest.mark.parametrize("read", [0, 1, 600])
async def test_pieces_are_read_ahead_up_to_a_number(connect: Connect, read: int) -> None:
    """Those that were handed over together and those that wait count alike."""
    pieces = [f"{n} " for n in range(5_000)]
    async with connect(ModelDouble(lambda item: pieces)).generate_by_bytes("x") as stream:
        texts = [(await anext(stream)).text for _ in range(read)]
        before = -1
        while before < stream.received:
            before = stream.received
            for _ in range(100):
                await asyncio.sleep(0)
        assert read + 500 <= stream.received <= read + 1_024
        assert texts + [piece.text async for piece in stream] == pieces


async def test_a_forgotten_stream_warns_and_ends_its_call(connect: Connect) -> None:
    paced = Paced(PIECES)
    double = ModelDouble(paced)
    model = connect(double)
    paced.turn.release()
    streams = [model.generate_by_bytes("x")]
    await anext(streams[0])
    with pytest.warns(ResourceWarning, match="unclosed <TokenStream open: 1 received>"):
        streams.clear()
    await double.server.until(lambda: double.server.calls[0].cancelled)


async def test_a_stream_that_was_never_begun_warns_of_nothing(connect: Connect) -> None:
    stream = connect(ModelDouble(lambda item: PIECES)).generate_by_bytes("x")
    del stream
    gc.collect()


async def test_places_are_given_back(connect: Connect) -> None:
    model = connect(ModelDouble(lambda item: PIECES))
    await model.generate_by_bytes("x").text()
    async with model.generate_by_bytes("x") as stream:
        await anext(stream)
        assert model.client.stats.running <= 1
    assert model.client.stats.running == 0
    assert model.client.stats.calls == 2


# -- what only some streams are


async def test_a_loop_that_stands_still_throws_no_piece_away(connect: Connect) -> None:
    paced = Paced(PIECES)
    double = ModelDouble(paced)
    async with connect(double, timeouts=Timeouts(idle=0.1)).generate_by_bytes("x") as stream:
        paced.turn.release()
        assert (await anext(stream)).text == "one "
        for _ in range(3):  # whatever looks are left of the idle timeout
            await asyncio.sleep(0.03)
            time.sleep(0.3)
            if len(paced.pieces) > stream.received:
                paced.turn.release()
        assert [p.text async for p in stream] == ["two ", "three"]


async def test_a_large_first_piece_does_not_hide_an_idle_server(connect: Connect) -> None:
    paced = Paced(["x" * 2_000_000, "two"])
    async with connect(ModelDouble(paced), timeouts=Timeouts(idle=0.05)).generate_by_bytes("x") as stream:
        paced.turn.release()
        assert len((await anext(stream)).text) == 2_000_000
        with pytest.raises(errors.StreamBroken, match="idle timeout"):
            await asyncio.wait_for(anext(stream), 10)


async def test_the_text_that_is_kept_for_an_error_has_a_bound(connect: Connect) -> None:
    pieces = [f"{number:0100000d}" for number in range(30)]
    model = connect(ModelDouble(lambda item: [*pieces, GrpcFail("INTERNAL")]))
    with pytest.raises(errors.StreamBroken) as caught:
        await model.generate_by_bytes("x").text()
    assert "".join(pieces).endswith(caught.value.text)
    assert (900_000 < len(caught.value.text) <= 1 << 20, caught.value.received) == (True, 30)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("code", [21351, 21352, 21354, 21355, 11005, 10030])
async def test_what_refuses_a_stream_at_its_opening_is_waited_for(wire: Wire, code: int, tmp_path: Path) -> None:
    retry = RetryPolicy(initial=0.001, cap=0.002, warm_up_cap=0.002)

    def answer(item: ReceivedInput) -> Any:
        return Fail(code, envelope_only=True) if item.attempt <= 3 else PIECES

    async with rigged(wire, tmp_path, answer, retry=retry) as rig:
        assert await rig.model.generate_by_bytes("x").text() == "one two three"
        seen = [type(event) for event in rig.events]
        waits = events.WarmUp if code // 100 == 213 else events.RetryScheduled
        assert (seen.count(waits), rig.double.attempts.total()) == (3, 4)
    late = [*PIECES, Fail(code, envelope_only=True)]
    async with rigged(wire, tmp_path, lambda item: late, retry=retry) as rig:
        with pytest.raises(errors.StreamBroken) as caught:
            await rig.model.generate_by_bytes("x").text()
        assert (caught.value.text, caught.value.code, rig.double.attempts.total()) == ("one two three", code, 1)
