"""Typed methods: signatures published, arguments by name, answers in types, the plain form on the side."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from types import MappingProxyType
from typing import Any

import grpc.aio
import numpy as np
import pytest
from google.protobuf.json_format import ParseDict
from numpy.typing import NDArray
from PIL import Image as Pictures

from headrace.methods.signatures import Method as ClientMethod
from headrace.server.loading import LoadError
from headrace.server.model import Answer, Card, Item, concepts
from headrace.server.types import Concept, Image, method
from headrace.v2 import resources_pb2
from headrace.v2 import service_pb2 as pb


class Typed:
    """Has annotated arguments."""

    def predict(self, prompt: str, times: int = 2, loud: bool = False, scale: float = 1.0) -> str:
        """Say it several times.

        More about it.
        """
        said = " ".join([prompt] * times)
        return f"{said.upper() if loud else said} x{scale:g}"

    async def generate(self, prompt: str) -> AsyncIterator[str]:
        for word in prompt.split():
            yield word

    def stream(self, numbers: Iterator[int], start: int = 0) -> Iterator[int]:
        for number in numbers:
            start += number
            yield start

    @method
    def shape(self, picture: Pictures.Image, array: NDArray[np.float32]) -> dict[str, list[int]]:
        return {"picture": list(picture.size), "array": list(array.shape)}

    @method
    def label(self, image: Image) -> list[Concept]:
        return [Concept(f"{len(image)} bytes", 0.5)]

    @method
    def lies(self) -> int:
        return "three"  # type: ignore[return-value]

    def helper(self, value: int) -> int:
        """Nobody can call this."""
        return value


class Running:
    """A stream on the loop."""

    async def stream(self, words: AsyncIterator[str]) -> AsyncIterator[str]:
        async for word in words:
            yield word[::-1]


async def signatures(stub: Any, model: str) -> dict[str, ClientMethod]:
    response = await stub.call["GetModelVersion"](pb.GetModelVersionRequest(model_id=model))
    assert response.status.code == 10000
    return {m.name: ClientMethod.of(m) for m in response.model_version.method_signatures}


def request(made: ClientMethod, model: str, **arguments: Any) -> pb.PostModelOutputsRequest:
    wire = pb.PostModelOutputsRequest(model_id=model)
    wire.inputs.add(id="i").data.CopyFrom(made.encode(arguments))
    return wire


async def test_signatures_are_published_in_every_place_where_clients_look(serve: Any) -> None:
    stub = await serve(Typed)
    found = await signatures(stub, "typed")
    assert {name: str(m) for name, m in found.items()} == {
        "predict": "predict(prompt: str, times: int = 2, loud: bool = false, scale: float = 1.0) -> str",
        "generate": "generate(prompt: str) -> Iterator[str]",
        "stream": "stream(numbers: Iterator[int], start: int = 0) -> Iterator[int]",
        "shape": "shape(picture: Image, array: ndarray) -> json",
        "label": "label(image: Image) -> list[Concept]",
        "lies": "lies() -> int",
    }
    assert {name: m.shape for name, m in found.items() if m.shape != "unary"} == {
        "generate": "server stream",
        "stream": "duplex",
    }
    assert found["predict"].description == "Say it several times.\n\nMore about it."
    model = (await stub.call["GetModel"](pb.GetModelRequest(model_id="typed"))).model
    assert {m.name for m in model.model_version.method_signatures} == set(found)
    asked = pb.PostModelOutputsRequest(model_id="typed")
    data = asked.inputs.add().data
    data.parts.add()
    data.metadata["_method_name"] = "_GET_SIGNATURES"
    told = json.loads((await stub.predict(asked)).outputs[0].data.text.raw)
    assert {name: ClientMethod.of(ParseDict(m, resources_pb2.MethodSignature())) for name, m in told.items()} == found


async def test_arguments_arrive_by_name_and_defaults_stay(serve: Any) -> None:
    stub = await serve(Typed)
    predict = (await signatures(stub, "typed"))["predict"]
    response = await stub.predict(request(predict, "typed", prompt="hi", loud=True, scale=2))
    assert response.outputs[0].input.id == "i"
    assert response.outputs[0].data.parts[0].id == "return"
    assert predict.decode(response.outputs[0].data) == "HI HI x2"


async def test_pictures_arrays_and_dicts_cross(serve: Any) -> None:
    stub = await serve(Typed)
    found = await signatures(stub, "typed")
    picture, array = Pictures.new("RGB", (6, 4)), np.zeros((2, 3), np.float32)
    response = await stub.predict(request(found["shape"], "typed", picture=picture, array=array))
    assert found["shape"].decode(response.outputs[0].data) == {"picture": [6, 4], "array": [2, 3]}
    response = await stub.predict(request(found["label"], "typed", image=b"12345"))
    assert found["label"].decode(response.outputs[0].data)[0].name == "5 bytes"


async def test_a_url_argument_is_fetched_as_any_other(serve: Any) -> None:
    stub = await serve(Typed)
    label = (await signatures(stub, "typed"))["label"]
    response = await stub.predict(request(label, "typed", image="http://127.0.0.1:1/cat.jpg"))
    assert response.status.code == 30106
    assert "loopback" in response.status.details


async def test_typed_generate_and_streams(serve: Any) -> None:
    stub = await serve(Typed, Running)
    found = await signatures(stub, "typed")
    call = stub.generate(request(found["generate"], "typed", prompt="one two"))
    assert [found["generate"].decode(r.outputs[0].data) async for r in call] == ["one", "two"]
    for model, name, values, rest, expected in (
        ("typed", "numbers", [1, 2, 3], {"start": 10}, [11, 13, 16]),
        ("running", "words", ["abc", "de"], {}, ["cba", "ed"]),
    ):
        stream = (await signatures(stub, model))["stream"]
        call = stub.stream()
        answers = []
        for value in values:
            await call.write(request(stream, model, **{name: value}, **rest))
            rest = {}
            answers.append(stream.decode((await call.read()).outputs[0].data))
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert answers == expected


async def test_the_plain_form_reaches_typed_methods_too(serve: Any) -> None:
    stub = await serve(Typed, Running)
    response = await stub.predict(stub.request("hi", model="typed", times=3, scale=2))
    assert response.outputs[0].data.text.raw == "hi hi hi x2"
    call = stub.generate(stub.request("one two", model="typed"))
    assert [r.outputs[0].data.text.raw async for r in call] == ["one", "two"]
    response = await stub.predict(stub.request("hi", model="running"))  # a stream of one
    assert response.outputs[0].data.text.raw == "ih"
    response = await stub.predict(stub.request("hi", model="typed", times="many"))
    assert response.status.code == 11102
    assert "argument times: expected int, got 'many'" in response.status.details


async def test_wrong_calls_name_what_there_is(serve: Any) -> None:
    stub = await serve(Typed)
    found = await signatures(stub, "typed")

    async def refused(wire: Any) -> str:
        response = await stub.predict(wire)
        assert response.status.code == 11102
        return str(response.status.details)

    assert "parameter scale is nan" in await refused(request(found["predict"], "typed", prompt="a", scale=float("nan")))
    wire = request(found["predict"], "typed")
    assert "argument prompt is missing" in await refused(wire)
    wire.inputs[0].data.metadata["_method_name"] = "helper"
    assert "no method 'helper'; it has: predict, generate, stream, label, lies, shape" in await refused(wire)
    wire.inputs[0].data.metadata["_method_name"] = "generate"
    assert "call method generate of model typed as generate, not as predict" in await refused(wire)
    assert (await stub.predict(request(found["lies"], "typed"))).status.code == 21313


class Plain:
    """Takes items, and is called with types."""

    card = Card("plain", "text-to-text", "Plain", "", ("text",), ("text",))
    parameters = MappingProxyType({"max_tokens": 256, "system_prompt": ""})

    def predict(self, item: Item) -> str:
        return f"{item.text} {sorted(item.params.items())}"

    def generate(self, item: Item) -> Iterator[str]:
        yield from (item.text or "").split()


class Pictured:
    """Takes pictures as items."""

    card = Card("pictured", "visual-classifier", "Pictured", "", ("image",), ("concepts",))

    def predict(self, item: Item) -> Answer:
        return concepts([(f"{len(item.image or b'')} bytes", 0.5)])


async def test_models_that_take_items_are_called_with_types_as_well(serve: Any) -> None:
    stub = await serve(Plain, Pictured)
    plain, pictured = await signatures(stub, "plain"), await signatures(stub, "pictured")
    assert str(plain["predict"]) == "predict(prompt: str, max_tokens: int = 256, system_prompt: str) -> str"
    assert str(pictured["predict"]) == "predict(image: Image, params: json = {}) -> list[Concept]"
    response = await stub.predict(request(plain["predict"], "plain", prompt="hi", max_tokens=5))
    assert plain["predict"].decode(response.outputs[0].data) == "hi [('max_tokens', 5)]"
    call = stub.generate(request(plain["generate"], "plain", prompt="one two"))
    assert [plain["generate"].decode(r.outputs[0].data) async for r in call] == ["one", "two"]
    response = await stub.predict(request(pictured["predict"], "pictured", image=b"123", params={"a": 1}))
    assert [c.name for c in pictured["predict"].decode(response.outputs[0].data)] == ["3 bytes"]
    assert (await stub.predict(stub.request("hi", model="plain"))).outputs[0].data.text.raw == "hi []"


class Unanswered:
    def predict(self, prompt: str):  # type: ignore[no-untyped-def]
        return prompt


class Unknown:
    def predict(self, prompt: set[str]) -> str:
        return ""


class Unfitting:
    def stream(self, prompts: Iterator[str]) -> str:
        return ""


class Unnamed:
    def predict(self, prompt: str, times) -> str:  # type: ignore[no-untyped-def]
        return ""


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (Unanswered, "Unanswered.predict needs a return annotation"),
        (Unknown, r"argument prompt has the type set\[str\]"),
        (Unfitting, "must yield"),
        (Unnamed, "argument times needs an annotation"),
    ],
)
async def test_annotations_that_cannot_be_a_signature_are_one_clear_line(serve: Any, cls: type, message: str) -> None:
    with pytest.raises(LoadError, match=message):
        await serve(cls)
