"""A user's program under `python -X dev`: asyncio's own checks and every warning, and nothing to say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.rig import WIRES, Wire

ROOT = Path(__file__).parents[2]
PROGRAM = """
import asyncio, pathlib, sys
from tests.support.rig import rigged

def answer(item):
    return [item.text, "!"] if item.shape == "generate" else item.text

async def main():
    asyncio.get_running_loop().slow_callback_duration = 60.0  # the machine may be busy
    async with rigged(sys.argv[1], pathlib.Path(sys.argv[2]), answer) as rig:
        model = rig.model
        assert (await model.predict_by_bytes("one", "text")).text == "one"
        assert [p.text for p in await model.predict(["one", "two"], "text")] == ["one", "two"]
        assert await model.generate_by_bytes("one", "text").text() == "one!"
        texts = [str(number) for number in range(50)]
        for options in ({}, {"batch": 8}, {"ordered": False}, {"matched": False}):
            assert sorted([p.text async for p in model.stream_by_bytes(texts, "text", **options)]) == sorted(texts)
        assert [p.text async for p in model.map(texts, input_type="text")] == texts
        async with model.stream_by_bytes(texts, "text") as stream:  # left early
            await anext(stream)
        running = asyncio.create_task(model.predict_by_bytes("late", "text"))
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("wire", WIRES)
def test_it_has_nothing_to_say(wire: Wire, tmp_path: Path) -> None:
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", PROGRAM, wire, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
