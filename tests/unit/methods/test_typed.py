"""Calls of typed methods: one reader at a time, and wrong arguments before anything is sent."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from headrace import codec, errors
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
async def test_a_wrong_argument_is_reported_with_the_signature(name: str, value: Any, tmp_path: Path) -> None:
    async with rigged("memory", tmp_path, answer, double={"signatures": SIGNATURES}) as rig:
        with pytest.raises(errors.HeadraceError, match=rf"{name}\(text") as caught:
            async for _ in rig.model.call(name, value):
                pass
        assert isinstance(caught.value, errors.ConfigError)
        assert not rig.double.inputs


@pytest.mark.parametrize("wire", WIRES)
async def test_a_call_has_a_timeout_and_metadata_of_its_own(wire: Wire, tmp_path: Path) -> None:
    async with rigged(wire, tmp_path, answer, double={"signatures": SIGNATURES}) as rig:
        call = rig.model.call("say", "x", timeout=20, metadata=[("x-mine", "yes")])
        assert [part async for part in call] == ["one", "two"]
        [made] = [c for c in rig.calls if c.method.endswith("GenerateModelOutputs")]
        assert ("x-mine", "yes") in [tuple(pair) for pair in made.metadata]
        call = rig.model.call("echo", [], timeout=20, metadata=[("x-mine", "yes")])
        assert [part async for part in call] == []
        with pytest.raises(errors.ConfigError, match="positive seconds"):
            async for _ in rig.model.call("say", "x", timeout="soon"):
                pass


@pytest.mark.parametrize("wire", WIRES)
async def test_the_timeout_of_a_call_covers_looking_its_method_up(wire: Wire, tmp_path: Path) -> None:
    async def silent(call: Any) -> None:
        await call.read()
        await asyncio.Event().wait()

    async with rigged(wire, tmp_path, answer) as rig:
        rig.double.server.handlers[codec.SERVICE + "GetModelVersion"] = silent
        for awaited in (rig.model.call("say", "x", timeout=0.3), anext(rig.model.call("say", "x", timeout=0.3))):
            began = time.monotonic()
            with pytest.raises(errors.DeadlineExceeded, match="looking up the methods"):
                await awaited
            assert time.monotonic() - began < 3


async def test_an_argument_of_the_method_comes_before_an_option_of_the_call(tmp_path: Path) -> None:
    field = T(name="timeout", type="INT", required=True)
    returned = [T(name="return", type="STR")]
    signature = pb.MethodSignature(name="wait", method_type=1, input_fields=[field], output_fields=returned)  # type: ignore[arg-type]

    def echo(item: ReceivedInput) -> pb.Data:
        [part] = item.data.parts
        return pb.Data(string_value=f"{part.id}={part.data.int_value}")

    async with rigged("memory", tmp_path, echo, double={"signatures": [signature]}) as rig:
        assert await rig.model.call("wait", timeout=7) == "timeout=7"
