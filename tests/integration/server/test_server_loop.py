"""The event loop stays free while typed values are encoded and decoded, whatever the method's kind."""

from __future__ import annotations

import io
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from PIL import Image as Pictures

from headrace.media import encoding
from headrace.methods.signatures import Method
from headrace.server.models import _images
from headrace.server.types import method
from headrace.v2 import service_pb2 as pb

Picture = Pictures.Image


class Plain:
    """Runs in threads."""

    def predict(self, picture: Picture) -> Picture:
        return picture

    def generate(self, picture: Picture) -> Iterator[Picture]:
        yield from (picture, picture)

    def stream(self, pictures: Iterator[Picture]) -> Iterator[Picture]:
        yield from pictures


class OnLoop:
    """Runs on the loop."""

    async def predict(self, picture: Picture) -> Picture:
        return picture

    async def generate(self, picture: Picture) -> AsyncIterator[Picture]:
        yield picture
        yield picture

    async def stream(self, pictures: AsyncIterator[Picture]) -> AsyncIterator[Picture]:
        async for picture in pictures:
            yield picture

    @method
    async def size(self, picture: Picture) -> int:
        return picture.width


def jpeg() -> bytes:
    file = io.BytesIO()
    Pictures.new("RGB", (8, 6)).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Give the kinds of work that were done, each with "loop" where it was done on the loop."""
    found: set[str] = set()
    loop = threading.current_thread()

    def spy(room: Any, name: str) -> None:
        original = getattr(room, name)

        def noted(*arguments: Any) -> Any:
            found.add(f"{name} {'on the loop' if threading.current_thread() is loop else 'in a thread'}")
            return original(*arguments)

        monkeypatch.setattr(room, name, noted)

    spy(encoding, "png")
    spy(_images, "decode")
    return found


async def found(stub: Any, model: str) -> dict[str, Method]:
    response = await stub.call["GetModelVersion"](pb.GetModelVersionRequest(model_id=model))
    return {m.name: Method.of(m) for m in response.model_version.method_signatures}


def request(made: Method, model: str, **arguments: Any) -> pb.PostModelOutputsRequest:
    wire = pb.PostModelOutputsRequest(model_id=model)
    wire.inputs.add(id="i").data.CopyFrom(made.encode(arguments))
    return wire


BOTH = {"png in a thread", "decode in a thread"}


@pytest.mark.parametrize("cls", [Plain, OnLoop])
@pytest.mark.parametrize("shape", ["predict", "generate", "stream"])
async def test_pictures_are_opened_and_encoded_in_threads(serve: Any, threads: set[str], cls: type, shape: str) -> None:
    model = "plain" if cls is Plain else "on-loop"
    stub = await serve(cls)
    made = (await found(stub, model))[shape]
    wire = request(made, model, **{"pictures" if shape == "stream" else "picture": jpeg()})
    if shape == "predict":
        answers = [await stub.predict(wire)]
    elif shape == "generate":
        answers = [answer async for answer in stub.generate(wire)]
    else:
        answers = [answer async for answer in stub.stream(iter([wire, wire]))]
    assert len(answers) == (1 if shape == "predict" else 2)
    for answer in answers:
        assert Pictures.open(io.BytesIO(made.decode(answer.outputs[0].data))).size == (8, 6)
        assert answer.outputs[0].input.id in ("i", "")
    assert threads == BOTH


async def test_a_bad_picture_is_refused_from_the_thread_too(serve: Any, threads: set[str]) -> None:
    stub = await serve(OnLoop)
    made = (await found(stub, "on-loop"))["size"]
    assert made.decode((await stub.predict(request(made, "on-loop", picture=jpeg()))).outputs[0].data) == 8
    assert (await stub.predict(request(made, "on-loop", picture=b"none"))).outputs[0].status.code == 30101
    assert threads == {"decode in a thread"}
