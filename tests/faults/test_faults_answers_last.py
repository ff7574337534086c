"""A server that answers a stream only after its last input: never a hang, and the error names the ways out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from headrace import StreamBroken, Timeouts
from tests.support.rig import WIRES, Wire, rigged, timed

pytestmark = pytest.mark.core

AT_END = {"answering": "at_end", "echo_ids": False}
QUICK = Timeouts(first_answer=0.3)


@pytest.mark.parametrize("options", [{}, {"ordered": False}, {"batch": 4}, {"window": 1}], ids=str)
@pytest.mark.parametrize("wire", WIRES)
async def test_a_full_window_that_never_moves_is_a_typed_error(
    wire: Wire, options: dict[str, Any], tmp_path: Path
) -> None:
    async with rigged(wire, tmp_path, double=AT_END, timeouts=QUICK) as rig:
        with timed() as took, pytest.raises(StreamBroken, match=r"window=None.*model\.map") as caught:
            async with rig.model.stream_by_bytes((f"text {n}" for n in range(100)), "text", **options) as stream:
                async for _ in stream:
                    pass
        assert took.wall >= 0.3
        assert took.ours < 5  # not the 60 s of the other limits
        window = options.get("window", 16)
        assert len(caught.value.unanswered) == window
        assert caught.value.received == 0
        assert rig.double.attempts.total() == window  # it was not tried again
        stats = stream.stats
        assert stats.pulled == stats.errors + stats.dropped
        await rig.until(lambda: rig.calls[0].finished)
        assert rig.calls[0].cancelled


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("wire", WIRES)
async def test_without_a_window_of_inputs_it_works(wire: Wire, ordered: bool, tmp_path: Path) -> None:
    async with rigged(wire, tmp_path, double=AT_END, timeouts=QUICK) as rig:
        async with rig.model.stream_by_bytes(
            (f"text {n}" for n in range(300)), "text", window=None, ordered=ordered
        ) as stream:
            assert [p.text async for p in stream] == [f"text {n}" for n in range(300)]
        assert rig.double.attempts.total() == 300


@pytest.mark.parametrize("wire", WIRES)
async def test_map_works(wire: Wire, tmp_path: Path) -> None:
    async with rigged(wire, tmp_path, double=AT_END, timeouts=QUICK) as rig:
        texts = [f"text {n}" for n in range(100)]
        assert [p.text async for p in rig.model.map(texts, input_type="text")] == texts


@pytest.mark.parametrize("wire", WIRES)
async def test_as_many_inputs_as_the_window_holds_need_no_way_out(wire: Wire, tmp_path: Path) -> None:
    async with rigged(wire, tmp_path, double=AT_END, timeouts=QUICK) as rig:
        texts = [f"text {n}" for n in range(16)]
        async with rig.model.stream_by_bytes(texts, "text") as stream:
            assert [p.text async for p in stream] == texts


async def test_a_slow_consumer_is_not_taken_for_such_a_server(tmp_path: Path) -> None:
    async with (
        rigged("memory", tmp_path, timeouts=Timeouts(first_answer=0.5, input=0.5)) as rig,
        rig.model.stream_by_bytes((f"text {n}" for n in range(50)), "text", window=4) as stream,
    ):
        first = await anext(stream)
        await rig.until(lambda: rig.double.answered >= 5)
        await asyncio.sleep(0.8)  # longer than any of the timeouts: nothing is to happen
        assert [first.text, *[p.text async for p in stream]] == [f"text {n}" for n in range(50)]


async def test_the_timeout_of_an_input_that_comes_first_says_the_same(tmp_path: Path) -> None:
    timeouts = Timeouts(first_answer=10, input=0.2)
    async with rigged("memory", tmp_path, double=AT_END, timeouts=timeouts) as rig:
        with pytest.raises(StreamBroken, match="window=None"):
            async for _ in rig.model.stream_by_bytes((f"text {n}" for n in range(100)), "text"):
                pass
