"""Streams that are refused at their opening: waited for as a refused predict is, nothing lost, in order."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headrace import AuthError, DeadlineExceeded, ModelNotReady, RetryPolicy, Throttled, Timeouts
from headrace.events import Throttled as ThrottledEvent
from headrace.events import WarmUp
from headrace.testing import Fail, MemoryServer
from headrace.testing.answers import to_response
from headrace.testing.handlers import STREAM
from headrace.v2 import service_pb2 as rpc
from tests.support.cases import run_together
from tests.support.rig import WIRES, Rig, Wire, rigged, timed

pytestmark = pytest.mark.core

TEXTS = [f"text {n}" for n in range(30)]
QUICK = RetryPolicy(initial=0.001, cap=0.002, warm_up_cap=0.004, budget=None)
WARMING = [21351, 21352, 21354, 21355]
REFUSALS = [*WARMING, 11005, 10030]
SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "unordered": {"ordered": False},
    "small window": {"window": 2},
    "packed": {"batch": 8},
    "no resume": {"resume": False},
    "unmatched": {"matched": False},
}


def refuse(rig: Rig, code: int, times: int, *, after: int = 0, reads: int = 1) -> None:
    """Let the server answer so many streams, each after so many answers, with an envelope alone, and end them."""
    usual = rig.double.server.handlers[STREAM]
    double: Any = rig.double
    refusals = iter(range(times))

    async def handler(call: Any) -> None:
        if next(refusals, None) is None:
            await usual(call)
            return
        for _ in range(after):
            message = await call.read()
            if message is None:
                return
            await call.write((await double._respond(call, message, "stream")).SerializeToString())
        for _ in range(reads):
            await call.read()
        await call.write(to_response([Fail(code, envelope_only=True)], [None], "r").SerializeToString())

    rig.double.server.handlers[STREAM] = handler


@pytest.mark.parametrize("code", REFUSALS)
@pytest.mark.parametrize("wire", WIRES)
async def test_it_is_waited_for_and_nothing_is_lost(wire: Wire, code: int, tmp_path: Path) -> None:
    async def refused(shape: str, reads: int, echo: bool) -> None:
        async with rigged(wire, tmp_path, retry=QUICK, double={"echo_ids": echo}) as rig:
            refuse(rig, code, 3, reads=reads)
            async with asyncio.timeout(20):
                texts = [p.text async for p in rig.model.stream_by_bytes(TEXTS, "text", **SHAPES[shape])]
            assert (sorted(texts) if shape == "unordered" else texts) == (
                sorted(TEXTS) if shape == "unordered" else TEXTS
            )
            waits = [e for e in rig.events if isinstance(e, WarmUp | ThrottledEvent) and e.code == code]
            assert len(waits) == (3 if code != 10030 else 0)

    await run_together({case: refused(*case) for case in itertools.product(SHAPES, (0, 1), (True, False))})


@pytest.mark.parametrize("code", REFUSALS)
@pytest.mark.parametrize("wire", WIRES)
async def test_after_some_answers_the_rest_is_waited_for(wire: Wire, code: int, tmp_path: Path) -> None:
    async def refused(echo: bool) -> None:
        async with rigged(wire, tmp_path, retry=QUICK, double={"echo_ids": echo}) as rig:
            refuse(rig, code, 4, after=3)
            async with asyncio.timeout(20):
                assert [p.text async for p in rig.model.stream_by_bytes(TEXTS, "text")] == TEXTS

    await run_together({f"echo={echo}": refused(echo) for echo in (True, False)})


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("wire", WIRES)
async def test_who_refuses_may_be_another_than_who_answers(wire: Wire, named: bool, tmp_path: Path) -> None:
    """A gateway that refuses the first inputs, with their ids or without, says nothing of how the model answers."""

    async def refused(shape: str, code: int, echo: bool) -> None:
        async with rigged(wire, tmp_path, retry=QUICK, double={"echo_ids": echo}) as rig:
            usual = rig.double.server.handlers[STREAM]

            async def gateway(call: Any) -> None:
                if len(rig.calls) > 3:
                    await usual(call)
                    return
                message = await call.read()
                ids = [item.id if named else None for item in rpc.PostModelOutputsRequest.FromString(message).inputs]
                await call.write(to_response([Fail(code)] * len(ids), ids, "r").SerializeToString())

            rig.double.server.handlers[STREAM] = gateway
            async with asyncio.timeout(20):
                assert [p.text async for p in rig.model.stream_by_bytes(TEXTS, "text", **SHAPES[shape])] == TEXTS

    shapes = ("plain", "small window", "packed")
    await run_together({case: refused(*case) for case in itertools.product(shapes, (21351, 10030), (True, False))})


@pytest.mark.parametrize("wire", WIRES)
async def test_it_is_waited_for_after_a_resume(wire: Wire, tmp_path: Path) -> None:
    async with rigged(wire, tmp_path, retry=QUICK) as rig:
        refuse(rig, 21351, 3)
        double: Any = rig.double
        refusing = rig.double.server.handlers[STREAM]
        calls = 0

        async def first_breaks(call: Any) -> None:
            nonlocal calls
            calls += 1
            if calls > 1:
                await refusing(call)
                return
            message = await call.read()
            await call.write((await double._respond(call, message, "stream")).SerializeToString())
            call.fail("UNAVAILABLE", "going away")

        rig.double.server.handlers[STREAM] = first_breaks
        async with asyncio.timeout(20):
            assert [p.text async for p in rig.model.stream_by_bytes(TEXTS, "text")] == TEXTS
        assert calls == 5


@pytest.mark.parametrize("matched", [True, False])
async def test_a_source_that_is_still_empty_is_no_matter(matched: bool, tmp_path: Path) -> None:
    async with rigged("memory", tmp_path, retry=QUICK) as rig:
        refuse(rig, 21351, 3, reads=0)
        ready = asyncio.Event()

        async def late() -> AsyncIterator[str]:
            await ready.wait()
            for text in TEXTS:
                yield text

        async with rig.model.stream_by_bytes(late(), "text", matched=matched) as stream:
            if not matched:
                await rig.until(lambda: len(rig.calls) >= 4)
            ready.set()
            async with asyncio.timeout(20):
                assert [p.text async for p in stream] == TEXTS


@pytest.mark.parametrize("code", [21351, 11005])
async def test_each_input_has_its_own_timeout_meanwhile(code: int, tmp_path: Path) -> None:
    policy = RetryPolicy(initial=0.001, cap=0.02, warm_up_cap=0.02, throttled_attempts=1000, attempts=1000, budget=None)
    async with rigged("memory", tmp_path, retry=policy) as rig:
        refuse(rig, code, 10**6)
        with timed() as took:
            stream = rig.model.stream_by_bytes(TEXTS, "text", timeout=0.5, window=None, prefetch=64)
            found = [p async for p in stream]
        assert len(found) == 30
        assert all(isinstance(p.error, DeadlineExceeded | ModelNotReady | Throttled) for p in found)
        assert took.wall > 0.4
        assert took.ours < 2


@pytest.mark.parametrize("matched", [True, False])
@pytest.mark.parametrize(("code", "error"), [(21351, ModelNotReady), (11005, Throttled), (11001, AuthError)])
async def test_beyond_the_budget_the_stream_ends_with_that_error(
    matched: bool, code: int, error: type[Exception], tmp_path: Path
) -> None:
    policy = RetryPolicy(initial=0.001, cap=0.002, warm_up_cap=0.004, throttled_attempts=3)
    async with rigged("memory", tmp_path, retry=policy, timeouts=Timeouts(warm_up=0.05)) as rig:
        refuse(rig, code, 10**6)
        stream = rig.model.stream_by_bytes(TEXTS, "text", matched=matched)
        with pytest.raises(error):
            async for _ in stream:
                pass
        assert code != 11001 or len(rig.calls) == 1
        stats = stream.stats
        assert not matched or stats.pulled == stats.received + stats.errors + stats.dropped


@pytest.mark.parametrize("code", [11005, 10030])
async def test_a_refusal_of_one_input_of_a_stream_that_goes_on_is_its_own(code: int, tmp_path: Path) -> None:
    def answer(item: Any) -> Any:
        return Fail(code, envelope_only=True) if item.attempt == 1 else item.text

    async with rigged("memory", tmp_path, answer, retry=QUICK, double={"echo_ids": False}) as rig:

        async def open_until_all_were_sent_twice() -> AsyncIterator[str]:
            for text in TEXTS:
                yield text
            await rig.until(lambda: sum(call.sent_messages for call in rig.calls) >= 2 * len(TEXTS))

        stream = rig.model.stream_by_bytes(open_until_all_were_sent_twice(), "text")
        assert [p.text async for p in stream] == TEXTS
        assert len(rig.calls) == 1


@pytest.mark.parametrize("wire", WIRES)
async def test_an_unmatched_stream_that_is_opened_again_begins_with_all_that_was_sent(
    wire: Wire, tmp_path: Path
) -> None:
    texts = [f"text {n}" for n in range(200)]
    server = MemoryServer(window_bytes=64)
    async with rigged(wire, tmp_path, retry=QUICK, double={"server": server}) as rig:
        usual = server.handlers[STREAM]

        async def first_is_refused(call: Any) -> None:
            if len(rig.calls) > 1:
                await usual(call)
                return
            for _ in range(100):
                await call.read()
            await call.write(to_response([Fail(21351, envelope_only=True)], [None], "r").SerializeToString())

        server.handlers[STREAM] = first_is_refused
        stream = rig.model.stream_by_bytes(texts, "text", matched=False)
        async with asyncio.timeout(30):
            assert [p.text async for p in stream] == texts
