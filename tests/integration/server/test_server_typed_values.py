"""Values of typed methods: what a caller gives reaches the model as it is annotated, and comes back whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pictures

from headrace.methods.signatures import Method
from headrace.server.loading import LoadError
from headrace.server.types import Concept, Frame, Image, Region, method
from headrace.v2 import service_pb2 as pb


@dataclass
class Point:
    x: int
    y: float = 0.5
    names: list[str] = field(default_factory=list)


@dataclass
class Scene:
    picture: Pictures.Image
    points: list[Point]


class Corner(TypedDict):
    point: Point
    label: NotRequired[str]


class Same:
    """Gives back what it was given, and what types it saw."""

    @method
    def pictures(self, value: list[Pictures.Image]) -> list[Pictures.Image]:
        assert all(isinstance(one, Pictures.Image) for one in value), value
        return value

    @method
    def pictures_in_tuples(self, value: list[tuple[str, Pictures.Image]]) -> tuple[str, Pictures.Image]:
        assert all(isinstance(one, Pictures.Image) for _, one in value), value
        return value[0]

    @method
    def optional_picture(self, value: Pictures.Image | None = None) -> str:
        return "none" if value is None else f"{value.size}"

    @method
    def files(self, value: list[Image]) -> list[Image]:
        assert all(isinstance(one, bytes) for one in value)
        return value

    @method
    def point(self, value: Point) -> Point:
        assert isinstance(value, Point), value
        return value

    @method
    def corners(self, value: list[Corner]) -> list[Corner]:
        assert all(isinstance(one, dict) and isinstance(one["point"], Point) for one in value), value
        return value

    @method
    def scene(self, value: Scene) -> list[int]:
        assert isinstance(value.picture, Pictures.Image)
        return [point.x for point in value.points]

    @method
    def array_in_tuple(self, value: tuple[NDArray[np.float32], int]) -> tuple[NDArray[np.float32], int]:
        return value

    @method
    def frame(self, value: Frame) -> Frame:
        assert isinstance(value, Frame), value
        return value

    @method
    def frames(self, value: list[Frame]) -> list[Frame]:
        return value

    @method
    def region(self, value: Region) -> Region:
        return value

    @method
    def large_number(self) -> dict[str, int]:
        return {"n": 2**53 + 1}

    @method
    def whole(self, value: int) -> int:
        return value


RED = Pictures.new("RGB", (6, 4), "red")
REGION = Region(0.0, 0.25, 0.5, 1.0, 0.5, (Concept("cat", 0.5, "c"),), b"png", "said", "t1", "r1", (0.25, 0.5))
FRAME = Frame(3, 1500, (Concept("cat", 0.5, "c"),), (REGION,), b"jpeg", "said")
POINT = {"x": 3, "y": 0.25, "names": ["a", "b"]}


def _as_pixels(value: Any) -> Any:
    """Make pictures and arrays, and encoded pictures, comparable."""
    if isinstance(value, Pictures.Image):
        return value.size, value.convert("RGB").tobytes()
    if isinstance(value, bytes) and value.startswith(b"\x89PNG"):
        import io

        return _as_pixels(Pictures.open(io.BytesIO(value)))
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [_as_pixels(one) for one in value] if isinstance(value, list | tuple) else value


VALUES: dict[str, tuple[Any, Any]] = {
    "pictures": ([RED, RED.rotate(90, expand=True)],) * 2,
    "pictures_in_tuples": ([("a", RED)], ("a", RED)),
    "optional_picture": (RED, "(6, 4)"),
    "files": ([b"one", b"two"],) * 2,
    "point": (POINT,) * 2,
    "corners": ([{"point": POINT, "label": "here"}],) * 2,
    "scene": ({"picture": RED, "points": [POINT]}, [3]),
    "array_in_tuple": ((np.ones((2, 3), np.float32), 4),) * 2,
    "frame": (FRAME,) * 2,
    "frames": ([FRAME, FRAME],) * 2,
    "region": (REGION,) * 2,
    "whole": (2**53 + 1,) * 2,
}


async def _called(stub: Any, name: str, **arguments: Any) -> Any:
    response = await stub.call["GetModelVersion"](pb.GetModelVersionRequest(model_id="same"))
    found = {m.name: Method.of(m) for m in response.model_version.method_signatures}[name]
    wire = pb.PostModelOutputsRequest(model_id="same")
    wire.inputs.add(id="i").data.CopyFrom(found.encode(arguments))
    answer = await stub.predict(wire)
    return found.decode(answer.outputs[0].data) if answer.status.code == 10000 else answer.status


@pytest.mark.parametrize("name", VALUES)
async def test_a_value_arrives_as_annotated_and_comes_back_whole(serve: Any, name: str) -> None:
    stub = await serve(Same)
    given, expected = VALUES[name]
    assert _as_pixels(await _called(stub, name, value=given)) == _as_pixels(expected)


async def test_fields_that_are_left_out_have_their_defaults(serve: Any) -> None:
    stub = await serve(Same)
    wire = pb.PostModelOutputsRequest(model_id="same")
    data = wire.inputs.add(id="i").data
    data.metadata["_method_name"] = "point"
    data.parts.add(id="value").data.parts.add(id="x").data.int_value = 7
    returned = (await stub.predict(wire)).outputs[0].data.parts[0].data.parts
    assert [(part.id, part.data.int_value, part.data.float_value) for part in returned[:2]] == [
        ("x", 7, 0),
        ("y", 0, 0.5),
    ]
    del data.parts[0].data.parts[:]
    status = (await stub.predict(wire)).status
    assert (status.code, status.details) == (11102, "argument value: field x is missing")


async def test_a_whole_number_that_no_json_carries_is_the_models_failure(serve: Any) -> None:
    status = await _called(await serve(Same), "large_number")
    assert status.code == 21313
    assert "whole number over 2**53" in status.details


@pytest.mark.parametrize("name", ["point", "scene"])
async def test_a_number_that_is_not_finite_is_refused_however_deep(serve: Any, name: str) -> None:
    bad = {"x": 1, "y": float("nan"), "names": []}
    status = await _called(await serve(Same), name, value=bad if name == "point" else {"picture": RED, "points": [bad]})
    assert (status.code, "it must be a finite number" in status.details) == (11102, True)


@dataclass
class Endless:
    inner: list[Endless]


class Bottomless:
    def predict(self, value: Endless) -> str:
        return ""


async def test_a_type_that_holds_itself_is_one_clear_line(serve: Any) -> None:
    with pytest.raises(LoadError, match="contains itself"):
        await serve(Bottomless)
