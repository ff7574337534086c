"""The model's methods: which call each of them makes, with what in it."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image

import headrace
from headrace import ConfigError, Input, errors
from headrace.testing import ModelDouble, ReceivedInput

URL = "https://example.com/x.jpg"


def describe(item: ReceivedInput) -> str:
    """What came in: form and content."""
    for type_ in ("image", "video", "audio"):
        part = getattr(item.data, type_)
        if part.url:
            return f"{type_} url {part.url}"
        if part.base64:
            return f"{type_} bytes {part.base64.decode()}"
    return f"text url {item.data.text.url}" if item.data.text.url else f"text {item.data.text.raw}"


@pytest.fixture
async def double() -> ModelDouble:
    return ModelDouble(describe)


@pytest.fixture
async def model(double: ModelDouble) -> AsyncIterator[headrace.Model]:
    async with headrace.Client(base_url="http://localhost:1", transport=double) as client:
        yield client.model("u/a/models/m/versions/v")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "f.jpg"
    path.write_bytes(b"content")
    return path


async def first(source: Any) -> str:
    async with source:
        async for prediction in source:
            return str(prediction.text)
    raise AssertionError("nothing came")


Method = Callable[..., Any]


@pytest.mark.parametrize("shape", ["predict", "generate", "stream"])
@pytest.mark.parametrize(
    ("how", "argument", "input_type", "expected"),
    [
        ("_by_url", URL, "image", f"image url {URL}"),
        ("_by_bytes", b"data", "audio", "audio bytes data"),
        ("_by_bytes", "words", "text", "text words"),
        ("_by_bytes", "words", None, "text words"),
        ("_by_bytes", bytearray(b"words"), "text", "text words"),
        ("_by_filepath", "file", "video", "video bytes content"),
        ("", Input.from_bytes(b"data", "image"), None, "image bytes data"),
        ("", "words", None, "text words"),
        ("", b"data", "image", "image bytes data"),
        ("", b"words", None, "text words"),  # what the model takes
    ],
)
async def test_the_twelve_methods(
    model: headrace.Model,
    double: ModelDouble,
    file: Path,
    shape: str,
    how: str,
    argument: Any,
    input_type: str | None,
    expected: str,
) -> None:
    method: Method = getattr(model, shape + how)
    given = str(file) if argument == "file" else argument
    if shape == "predict":
        assert (await method(given, input_type)).text == expected
    else:
        assert await first(method(given, input_type)) == expected
    [item] = double.inputs
    assert item.shape == shape
    assert (item.request.user_app_id.user_id, item.request.user_app_id.app_id) == ("u", "a")
    assert (item.request.model_id, item.request.version_id) == ("m", "v")


@pytest.mark.parametrize("shape", ["predict", "generate", "stream", "map"])
async def test_parameters_config_routing_and_metadata_go_along(
    model: headrace.Model, double: ModelDouble, shape: str
) -> None:
    options: dict[str, Any] = {
        "inference_params": {"temperature": 0.5, "stop": ["a"]},
        "output_config": {"max_concepts": 3},
        "deployment_id": "d",
        "user_id": "du",
        "metadata": [("x-trace", "t")],
        "timeout": 5.0,
    }
    method: Method = getattr(model, shape)
    if shape == "predict":
        await method("x", **options)
    else:
        await first(method(["x"], **options))
    [item] = double.inputs
    assert item.params == {"temperature": 0.5, "stop": ["a"]}
    assert item.output_config.max_concepts == 3
    deployment = item.request.runner_selector.deployment
    assert (deployment.id, deployment.user_id) == ("d", "du")
    assert item.metadata["x-trace"] == "t"


@pytest.mark.parametrize("shape", ["predict", "generate", "stream", "map"])
@pytest.mark.parametrize(
    "wrong",
    [
        {"inference_params": {"a": float("nan")}},
        {"inference_params": ["a"]},
        {"output_config": {"nope": 1}},
        {"timeout": 0},
        {"timeout": "5"},
        {"deployment_id": "d", "nodepool_id": "n"},
        {"metadata": [("authorization", "x")]},
        {"temperature": 0.5},
        {"input_type": "picture"},
    ],
)
async def test_wrong_arguments_are_refused_before_anything_is_sent(
    model: headrace.Model, double: ModelDouble, shape: str, wrong: dict[str, Any]
) -> None:
    method: Method = getattr(model, shape)
    with pytest.raises(ConfigError):
        if shape == "predict":
            await method(b"x", **wrong)
        else:
            await first(method([b"x"], **wrong))
    assert not double.inputs


async def test_several_inputs_of_all_kinds(model: headrace.Model, file: Path) -> None:
    found = await model.predict(
        [
            "words",
            Input.from_url(URL, "image"),
            Input.from_filepath(file, "audio"),
            Input.multimodal(text="what?", image_bytes=b"data"),
        ]
    )
    assert [p.text for p in found] == ["text words", f"image url {URL}", "audio bytes content", "image bytes data"]


async def test_typed_parts_keep_their_type(model: headrace.Model) -> None:
    found = await model.predict([Input.from_bytes(b"data", "image"), b"rest"], input_type="video")
    assert [p.text for p in found] == ["image bytes data", "video bytes rest"]


async def test_the_callers_inputs_are_not_changed(model: headrace.Model, double: ModelDouble) -> None:
    item = Input.from_bytes(b"data")
    await model.predict(item, "image")
    await model.predict(item, "audio")
    assert (item.id, item.type) == ("", "")
    assert [describe(i) for i in double.inputs] == ["image bytes data", "audio bytes data"]


async def test_a_missing_file_is_reported_by_name(model: headrace.Model, double: ModelDouble) -> None:
    with pytest.raises(errors.InputError, match="no-such-file"):
        await model.predict_by_filepath("no-such-file.jpg", "image")
    stream = model.stream_by_filepath(["no-such-file.jpg"], "image")
    [prediction] = [p async for p in stream]
    assert isinstance(prediction.error, errors.InputError)
    assert not double.inputs


@pytest.mark.parametrize("shape", ["stream", "map"])
@pytest.mark.parametrize("bad", [5, None, b"", "\ud800", object()], ids=["int", "None", "empty", "surrogate", "object"])
async def test_an_item_that_is_no_input_fails_alone(model: headrace.Model, shape: str, bad: object) -> None:
    method: Method = getattr(model, shape)
    async with method(["a", bad, "b"], input_type="text", on_error="yield") as stream:
        found = [p async for p in stream]
    assert [p.position for p in found] == [0, 1, 2]
    assert [type(p.error) for p in found] == [type(None), errors.InputError, type(None)]
    assert [p.text for p in found[::2]] == ["text a", "text b"]


async def test_a_url_that_is_none_fails_alone(model: headrace.Model) -> None:
    found = [p async for p in model.stream_by_url([URL, "ftp://h/x", URL], "image")]
    assert [p.error is None for p in found] == [True, False, True]


def test_a_model_says_what_it_is() -> None:
    client = headrace.Client(base_url="http://localhost:1")
    model = client.model("u/a/models/m/versions/v")
    assert repr(model) == "<Model u/a/models/m v>"
    assert (model.id, model.client) == ("m", client)
    assert repr(client.model(user_id="u", app_id="a", model_id="m")) == "<Model u/a/models/m>"


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"url": "non/sense"},
        {"url": "u/a/models/m", "model_id": "m"},
        {"model_id": "m m"},
        {"url": "u/a/models/m", "deployment_id": "d", "nodepool_id": "n"},
        {"url": "u/a/models/m", "nodepool_id": "n"},
    ],
)
def test_a_model_that_cannot_be_named_is_refused_without_any_call(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        headrace.Client(base_url="http://localhost:1").model(**wrong)


ONE: dict[str, Callable[[Path], Any]] = {
    "array": lambda file: numpy.zeros((6, 9, 3), numpy.uint8),
    "open file": lambda file: io.BytesIO(b"\x89PNG..."),
    "file of the system": lambda file: file.open("rb"),
    "picture": lambda file: Image.new("RGB", (6, 9)),
    "path": lambda file: file,
    "bytes": lambda file: b"\x89PNG...",
    "Input": lambda file: Input.from_bytes(b"\x89PNG...", "image"),
}


@pytest.mark.parametrize("kind", ONE)
async def test_what_is_one_input_for_predict_is_one_everywhere(
    model: headrace.Model, double: ModelDouble, file: Path, kind: str
) -> None:
    opened: list[Any] = []
    double.function = lambda item: "ok"

    def one() -> Any:
        opened.append(ONE[kind](file))
        return opened[-1]

    await model.predict(one(), "image")
    for stream in (
        model.stream(one(), "image"),
        model.stream(one(), "image", matched=False),
        model.stream_by_bytes(one(), "image"),
        model.map(one(), input_type="image"),
        model.stream_frames(one()),
    ):
        assert len([answer async for answer in stream]) == 1
    assert len(double.inputs) == 6
    assert all(item.data.image.base64 for item in double.inputs)
    for thing in opened:
        if hasattr(thing, "close"):
            thing.close()


async def test_an_open_list_of_names_is_many(model: headrace.Model, tmp_path: Path) -> None:
    (tmp_path / "urls").write_text(f"{URL}\n\n{URL}\n")
    with (tmp_path / "urls").open() as file:
        assert len([p async for p in model.stream_by_url(file, "image")]) == 2
