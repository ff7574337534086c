"""What a server sends is counted before objects are made of it, and each status stays its own, in every call shape."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from headrace import Input, Prediction, RetryPolicy, errors
from headrace.model import Model
from headrace.testing import ReceivedInput
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import service_pb2 as rpc
from headrace.v2 import status_pb2
from tests.support.rig import WIRES, Wire, rigged

pytestmark = pytest.mark.core

TEXTS = ("good", "bad", "fine")


def inputs() -> list[Input]:
    return [Input.from_text(text, id=text) for text in TEXTS]


async def arrived(source: AsyncIterator[Prediction]) -> list[Any]:
    return [p if p.error is None else p.error async for p in source]


async def listed(model: Model) -> list[Any]:
    try:
        return list(await model.predict(inputs()))
    except errors.PartialFailure as failure:
        return list(failure.predictions.values())


async def single(model: Model) -> list[Any]:
    return [await model.predict(inputs()[0])]


#: Ways to send three inputs in one request.
PACKED: dict[str, Callable[[Model], Awaitable[list[Any]]]] = {
    "predict": listed,
    "map": lambda model: arrived(model.map(inputs(), batch=3, batch_wait=5.0, on_error="yield")),
    "stream": lambda model: arrived(model.stream(inputs(), batch=3, batch_wait=5.0)),
    "coalesced": lambda model: asyncio.gather(*map(model.predict, inputs()), return_exceptions=True),
}
#: Ways to send one.
SINGLE: dict[str, Callable[[Model], Awaitable[list[Any]]]] = {
    "predict": single,
    "generate": lambda model: arrived(model.generate(inputs()[0])),
    "stream": lambda model: arrived(model.stream(inputs()[:1])),
    "map": lambda model: arrived(model.map(inputs()[:1])),
}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("way", PACKED)
async def test_a_good_input_of_a_mixed_response_has_its_own_status(way: str, wire: Wire, tmp_path: Path) -> None:
    def answer(item: ReceivedInput) -> str | int:
        return 30101 if item.text == "bad" else item.text

    async with rigged(wire, tmp_path, answer, coalesce=way == "coalesced") as rig:
        found = await PACKED[way](rig.model)
        assert len(rig.calls) == 1
    good = [p for p in found if isinstance(p, Prediction)]
    assert [(p.text, p.status.code) for p in good] == [("good", 10000), ("fine", 10000)]
    assert all(p.request_id for p in good)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("way", SINGLE)
@pytest.mark.parametrize(("envelope", "own", "seen"), [(10000, 10000, 10000), (10010, 10000, 10000), (10000, 0, 10000)])
async def test_one_input_has_its_outputs_status(
    way: str, wire: Wire, envelope: int, own: int, seen: int, tmp_path: Path
) -> None:
    response = rpc.MultiOutputResponse(status=status_pb2.Status(code=envelope, req_id="r1"))  # type: ignore[arg-type]
    output = response.outputs.add(data=pb.Data(string_value="x"))
    if own:
        output.status.CopyFrom(status_pb2.Status(code=own, description="its own"))  # type: ignore[arg-type]
    async with answering(wire, tmp_path, response.SerializeToString()) as model:
        (found,) = await SINGLE[way](model)
    assert (found.status.code, found.status.description) == (seen, "its own" if own else "")
    assert (found.request_id, found[0].status) == ("r1", found.status)


async def test_several_inputs_have_the_status_of_the_whole_and_each_its_own() -> None:
    status = status_pb2.Status(code=10010, req_id="r1")  # type: ignore[arg-type]
    outputs = [pb.Output(status=status_pb2.Status(code=code)) for code in (10000, 10000)]  # type: ignore[arg-type]
    batch = Prediction(b"", outputs, status=status)
    assert [batch.status.code, batch[0].status.code, batch[1].status.code] == [10010, 10000, 10000]
    assert {batch.request_id, batch[0].request_id, batch[1].request_id} == {"r1"}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("way", [*SINGLE, "predict a list", "packed map", "packed stream", "coalesced"])
@pytest.mark.parametrize(("number", "text"), [(2_000_000, "more than 1024 outputs"), (1100, "1100 outputs")])
async def test_too_many_outputs_are_one_error(number: int, text: str, way: str, wire: Wire, tmp_path: Path) -> None:
    bomb = b"\x0a\x03\x08\x90\x4e" + b"\x12\x00" * number  # status 10000, and outputs of two bytes
    run = SINGLE.get(way) or PACKED.get(way) or PACKED[{"predict a list": "predict"}.get(way, way.partition(" ")[2])]
    async with answering(wire, tmp_path, bomb, coalesce=way == "coalesced") as model:
        try:
            found = await run(model)
        except errors.HeadraceError as error:
            found = [error]
    assert found
    assert all(isinstance(error, errors.PredictionFailed | errors.StreamBroken) for error in found), found
    assert all(text in str(error) for error in found), found


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("code", [10000, 10010])
async def test_a_message_without_outputs_breaks_a_token_stream(code: int, wire: Wire, tmp_path: Path) -> None:
    piece = rpc.MultiOutputResponse(status=status_pb2.Status(code=10000))  # type: ignore[arg-type]
    piece.outputs.add(data=pb.Data(text=pb.Text(raw="so far")))
    empty = rpc.MultiOutputResponse(status=status_pb2.Status(code=code))  # type: ignore[arg-type]
    async with answering(wire, tmp_path, piece.SerializeToString(), empty.SerializeToString()) as model:
        with pytest.raises(errors.StreamBroken, match="has no output") as caught:
            await model.generate_by_bytes("x").text()
        assert (caught.value.text, caught.value.received) == ("so far", 1)
    async with answering(wire, tmp_path, empty.SerializeToString()) as model:
        with pytest.raises(errors.PredictionFailed, match="has no output"):
            await model.generate_by_bytes("x").text()


class answering:
    """A model whose server sends these messages for each request, whatever the call's shape."""

    def __init__(self, wire: Wire, folder: Path, *messages: bytes, **options: Any) -> None:
        options.setdefault("retry", RetryPolicy(attempts=1))
        self.messages = messages
        self.rigged = rigged(wire, folder, **options)

    async def __aenter__(self) -> Model:
        rig = await self.rigged.__aenter__()

        async def handler(call: Any) -> None:
            while await call.read() is not None:
                for message in self.messages:
                    await call.write(message)
                if not call.method.endswith("StreamModelOutputs"):
                    return

        for method in ("PostModelOutputs", "GenerateModelOutputs", "StreamModelOutputs"):
            rig.double.server.handlers[f"/clarifai.api.V2/{method}"] = handler
        return rig.model

    async def __aexit__(self, *error: Any) -> None:
        await self.rigged.__aexit__(*error)
