"""A server that is killed and comes back, again and again, while one stream goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from headrace import Client
from headrace.calls.options import Batch
from headrace.events import Resumed
from tests.support.child import Child, echo_child
from tests.support.rig import MODEL

INPUTS, KILLS = 10_000, 5


async def _through(
    child: Child, socket: Path, inputs: int, kills: int, model_id: str = "m", batch: Batch = None
) -> tuple[list[str], list[int], int]:
    """Send inputs through one stream and kill the server at `kills` evenly spread moments; texts and positions."""
    texts: list[str] = []
    positions: list[int] = []
    resumed: list[object] = []
    at = {inputs * (k + 1) // (kills + 1) for k in range(kills)}
    restarting: asyncio.Task[None] | None = None

    async def restart() -> None:
        await child.kill()
        await child.start()

    async with Client(
        base_url=f"unix:{socket}", on_event=lambda e: resumed.append(e) if isinstance(e, Resumed) else None
    ) as client:
        model = client.model(**{**MODEL, "model_id": model_id})
        source = (f"text {i}" for i in range(inputs))
        async with model.stream_by_bytes(source, "text", window=64, batch=batch) as stream:
            async for prediction in stream:
                texts.append(prediction.text)
                positions.append(prediction.position)
                if len(texts) in at:
                    if restarting is not None:
                        await restarting
                    restarting = asyncio.create_task(restart())
            stats = stream.stats
    if restarting is not None:
        await restarting
    assert stats.pulled == stats.received == inputs
    assert stats.errors == stats.dropped == stats.in_flight == 0
    assert stats.resumed == len(resumed)
    return texts, positions, stats.resumed


@pytest.mark.core
@pytest.mark.parametrize("options", [(), ("--no-ids",)], ids=["by id", "by order"])
async def test_ten_thousand_inputs_survive_five_kills_in_order_and_none_twice(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    socket = tmp_path / "s"
    async with echo_child(socket, *options) as child:
        texts, positions, resumed = await _through(child, socket, INPUTS, KILLS)
        assert child.starts == KILLS + 1
    assert texts == [f"text {i}" for i in range(INPUTS)]
    assert positions == list(range(INPUTS))
    assert resumed >= KILLS


@pytest.mark.core
@pytest.mark.parametrize("options", [(), ("--no-ids",)], ids=["by id", "by order"])
async def test_packed_ones_as_well(tmp_path: Path, options: tuple[str, ...]) -> None:
    async with echo_child(tmp_path / "s", *options) as child:
        texts, positions, resumed = await _through(child, tmp_path / "s", 4_000, 2, batch="auto")
    assert texts == [f"text {i}" for i in range(4_000)]
    assert positions == list(range(4_000))
    assert resumed >= 2


async def test_the_embedded_server_may_be_killed_as_well(tmp_path: Path) -> None:
    pytest.importorskip("grpc_reflection", reason="the embedded server needs its extra")
    socket = tmp_path / "s"
    child = Child(["-m", "headrace.server", "--unix", str(socket), "--models", "echo"], "listening on")
    async with child:
        texts, _, _ = await _through(child, socket, 2_000, 2, "echo")
    assert texts == [f"text {i}" for i in range(2_000)]
