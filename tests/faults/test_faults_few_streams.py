"""Servers that allow few calls on a connection."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from headrace import Limits
from headrace.testing import MemoryServer
from tests.support.rig import WIRES, Wire, rigged

pytestmark = pytest.mark.core

FOUR = (("grpc.max_concurrent_streams", 4),)


async def brief(item: Any) -> str:
    await asyncio.sleep(0.002)  # a model that takes its time, so that calls pile up
    return str(item.text)


def _four(wire: Wire, over_limit: Any = "queue") -> dict[str, Any]:
    return {
        "double": {"server": MemoryServer(streams_per_connection=4, over_limit=over_limit)} if wire == "memory" else {},
        "grpc_options": FOUR,
    }


@pytest.mark.parametrize(
    "limits", [Limits(), Limits(streams_per_connection=4, connections=2)], ids=["assumed", "known"]
)
@pytest.mark.parametrize("wire", WIRES)
async def test_a_thousand_calls_at_once_do_not_fail(wire: Wire, limits: Limits, tmp_path: Path) -> None:
    async with rigged(wire, tmp_path, brief, limits=limits, **_four(wire)) as rig:
        found = await asyncio.gather(*(rig.model.predict_by_bytes(f"text {n}", "text") for n in range(1000)))
        assert [p.text for p in found] == [f"text {n}" for n in range(1000)]
        assert rig.client.stats.failures == 0
        assert rig.client.stats.running == 0
        assert rig.client.stats.connections <= limits.connections
        if wire == "memory":
            assert max(rig.double.attempts.values()) == 1


async def test_a_limit_that_the_server_announces_is_kept(tmp_path: Path) -> None:
    async with rigged("memory", tmp_path, brief, **_four("memory", "refuse")) as rig:
        found = await asyncio.gather(*(rig.model.predict_by_bytes(f"text {n}", "text") for n in range(300)))
        assert [p.text for p in found] == [f"text {n}" for n in range(300)]
        assert rig.double.server.refused_streams == 0
        assert rig.double.attempts.total() == 300  # the model saw each once


async def test_a_server_that_refused_for_a_while_gets_all_calls_at_once_again(tmp_path: Path) -> None:
    async with rigged("memory", tmp_path, brief, limits=Limits(connections=1)) as rig:
        predict = rig.model.predict_by_bytes
        await predict("first", "text")
        rig.double.server.fail_next("UNAVAILABLE", unprocessed=True, times=3)
        await asyncio.gather(*(predict(str(n), "text") for n in range(4)))
        for n in range(40):
            await predict(str(n), "text")
        rig.double.hold()
        before = len(rig.calls)
        calls = asyncio.gather(*(predict(str(n), "text") for n in range(8)))
        await rig.until(lambda: len(rig.calls) == before + 8)
        rig.double.release()
        await calls


async def test_streams_and_calls_share_few_connections(tmp_path: Path) -> None:
    async with rigged("grpc", tmp_path, brief, grpc_options=FOUR, limits=Limits(streams_per_connection=4)) as rig:

        async def one(number: int) -> list[str]:
            async with rig.model.stream_by_bytes([f"{number}-{n}" for n in range(20)], "text") as stream:
                return [p.text async for p in stream]

        calls = asyncio.gather(*(rig.model.predict_by_bytes("text", "text") for _ in range(50)))
        found = await asyncio.gather(*(one(number) for number in range(60)))
        await calls
        assert found == [[f"{number}-{n}" for n in range(20)] for number in range(60)]
        assert rig.client.stats.connections <= 8
        assert rig.client.stats.failures == 0
