"""Calls of typed methods: one reader at a time, and wrong arguments before anything is sent."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from headrace import errors
from headrace.testing import ReceivedInput
from headrace.v2 import resources_pb2 as pb
from tests.support.rig import WIRES, Wire, rigged

pytestmark = pytest.mark.core

T = pb.ModelTypeField
TEXT = T(name="text", type="STR", required=True)
TEXTS = T(name="texts", type="STR", required=True, iterator=True)
RETURN = T(name="return", type="STR", iterator=True)
SIGNATURES = [
    pb.MethodSignature(name="say", method_type=2, input_fields=[TEXT], output_fields=[RETURN]),  # type: ignore[arg-type]
    pb.MethodSignature(name="echo", method_type=4, input_fields=[TEXTS], output_fields=[RETURN]),  # type: ignore[arg-type]
]


def answer(item: ReceivedInput) -> list[pb.Data]:
    return [pb.Data(string_value=part) for part in ("one", "two")]


@pytest.mark.parametrize("wire", WIRES)
async def test_two_readers_open_one_stream(wire: Wire, tmp_path: Path) -> None:
    async with rigged(wire, tmp_path, answer, double={"signatures": SIGNATURES}) as rig:
        call = rig.model.call("say", "x")
        ended = await asyncio.gather(anext(call), anext(call), return_exceptions=True)
        assert ended[0] == "one"
        assert isinstance(ended[1], errors.ConcurrentUse)
        assert await anext(call) == "two"
        await call.aclose()
        assert [c.method.rpartition("/")[2] for c in rig.calls].count("GenerateModelOutputs") == 1


@pytest.mark.parametrize("wire", WIRES)
async def test_a_call_that_is_closed_while_it_opens_sends_nothing(wire: Wire, tmp_path: Path) -> None:
    async with rigged(wire, tmp_path, answer, double={"signatures": SIGNATURES}) as rig:
        call = rig.model.call("say", "x")
        reading = asyncio.create_task(anext(call))
        await asyncio.sleep(0)
        await call.aclose()
        with pytest.raises(errors.ClosedError):
            await reading
        assert "GenerateModelOutputs" not in {c.method.rpartition("/")[2] for c in rig.calls}


@pytest.mark.parametrize(("name", "value"), [("say", 3), ("echo", 3), ("say", None), ("echo", [1])])
async def test_a_wrong_argument_is_told_with_the_signature(name: str, value: Any, tmp_path: Path) -> None:
    async with rigged("memory", tmp_path, answer, double={"signatures": SIGNATURES}) as rig:
        with pytest.raises(errors.HeadraceError, match=rf"{name}\(text") as caught:
            async for _ in rig.model.call(name, value):
                pass
        assert isinstance(caught.value, errors.ConfigError)
        assert not rig.double.inputs
