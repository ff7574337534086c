"""What a user sees and mistypes in an editor and at a prompt; the names that the official package has."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

import headrace
from headrace import TLS, ClosedError, Coalesce, ConfigError, Input, KeepAlive, Limits, Model, sources
from headrace.sinks import JsonlSink
from headrace.testing import Fail, ModelDouble
from tests.support.rig import WIRES, Wire, rigged

OFFLINE: dict[str, Any] = {"base_url": "http://127.0.0.1:1"}


@pytest.fixture
def model() -> Model:
    return headrace.Client(**OFFLINE, transport=ModelDouble(lambda item: "fine")).model("u/a/models/m")


@pytest.mark.parametrize(
    "make",
    [
        lambda model: model.generate("x"),
        lambda model: model.stream(["x"]),
        lambda model: model.map(["x"]),
        lambda model: model.stream_frames([b"x"]),
        lambda model: model.call("f"),
        lambda model: sources.from_bytes([b"x"]),
        lambda model: sources.merge(sources.from_bytes([b"x"])),
    ],
)
def test_for_and_with_without_async_are_answered_by_a_sentence(model: Model, make: Any) -> None:
    thing = make(model)
    with pytest.raises(ConfigError, match="`async for`, not `for`"):
        for _ in thing:
            pass
    with pytest.raises(ConfigError, match="`async with`, not `with`"), thing:
        pass


def test_with_a_client_a_model_or_a_sink_as_well(model: Model, tmp_path: Path) -> None:
    things: tuple[Any, ...] = (model, model.client, JsonlSink(tmp_path / "frames.jsonl"))
    for thing in things:
        with pytest.raises(ConfigError, match="`async with`, not `with`"), thing:
            pass


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("predict", "CallOptions"),
        ("generate_by_url", "CallOptions"),
        ("map", "CallOptions"),
        ("stream", "StreamOptions"),
        ("stream_by_filepath", "StreamOptions"),
        ("stream_frames", "FrameOptions"),
    ],
)
def test_signatures_show_every_option(method: str, options: str) -> None:
    signature = inspect.signature(getattr(Model, method))
    assert set(getattr(headrace, options).__optional_keys__) <= set(signature.parameters)
    assert "options" not in signature.parameters


def test_a_client_that_a_model_owns_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ConfigError, match=r"patt.*did you mean pat"):
        Model("u/a/models/m", patt="x")  # type: ignore[call-arg]


def test_the_options_of_a_client_have_the_types_of_its_arguments() -> None:
    arguments = {
        name: parameter.annotation
        for name, parameter in inspect.signature(headrace.Client).parameters.items()
        if name != "_local"
    }
    options = {name: type_.__forward_arg__ for name, type_ in headrace.ClientOptions.__annotations__.items()}
    assert options == arguments


async def test_close_has_two_names() -> None:
    model = Model("u/a/models/m", **OFFLINE)
    await model.close()
    await model.aclose()
    await model.client.close()
    assert "closed" in repr(model.client)


def test_tls_in_one() -> None:
    client = headrace.Client(base_url="https://h", tls=TLS(server_name="other"))
    assert client._calls.channels._transmission.tls.server_name == "other"
    for wrong in ({"root_certificates": b"x"}, {"certificate": b"x", "key": b"y"}):
        with pytest.raises(ConfigError, match="not both"):
            headrace.Client(base_url="https://h", tls=TLS(), **wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="TLS"):
        headrace.Client(tls=True)  # type: ignore[arg-type]


async def test_a_local_client_takes_what_others_take_and_is_closed_after_its_block() -> None:
    client = headrace.Client.local(["echo"], keepalive=KeepAlive(), coalesce=Coalesce())
    model = client.model(model_id="echo")
    with pytest.raises(ConfigError, match="async with"):
        await model.predict("x")
    async with client:
        assert (await model.predict("x")).text == "x"
    with pytest.raises(ClosedError):
        await model.predict("x")


async def test_the_largest_response_is_configurable(tmp_path: Path) -> None:
    for wire in WIRES:
        limits = Limits(response_bytes=100_000)
        async with rigged(wire, tmp_path, lambda item: "x" * 200_000, limits=limits) as rig:
            with pytest.raises(headrace.PayloadTooLarge):
                await rig.model.predict("x")


@pytest.mark.parametrize(
    ("text", "advice"),
    [("https://example.com/cat.jpg", "predict_by_url"), ("cat.jpg", "predict_by_filepath"), ("a cat", None)],
)
async def test_a_name_that_was_sent_as_text_is_advised_where_it_is_refused(
    tmp_path: Path, text: str, advice: str | None
) -> None:
    async with rigged("memory", tmp_path, lambda item: Fail(30300, "unsupported format")) as rig:
        with pytest.raises(headrace.ServerError) as caught:
            await rig.model.predict(text, "text")
    assert ("predict_by" in str(caught.value)) == (advice is not None)
    assert (advice or "") in str(caught.value)


async def test_names_of_the_official_package(tmp_path: Path) -> None:
    (tmp_path / "f.txt").write_text("file")
    path, url = str(tmp_path / "f.txt"), "https://example.com/x"
    async with rigged("memory", tmp_path, lambda item: item.data.text.raw or item.data.text.url) as rig:
        model: Any = rig.model
        assert (await model.predict_by_filepath(filepath=path, input_type="text")).text == "file"
        assert (await model.predict_by_bytes(input_bytes=b"bytes", input_type="text")).text == "bytes"
        assert (await model.predict_by_url(url=url, input_type="text")).text == url
        assert (await model.async_predict(["text"])).text == "text"
        for stream in (
            model.generate_by_filepath(filepath=path, input_type="text"),
            model.generate_by_bytes(input_bytes=b"bytes", input_type="text"),
            model.async_generate("text"),
            model.async_stream(["text"]),
            model.stream_by_url(url_iterator=iter([url]), input_type="text"),
            model.stream_by_bytes(input_bytes_iterator=iter([b"bytes"]), input_type="text"),
            model.stream_by_filepath(filepath=path, input_type="text"),
        ):
            assert [p.text async for p in stream] in ([url], ["file"], ["bytes"], ["text"])
        for wrong in ({}, {"data": b"x", "input_bytes": b"x"}):
            with pytest.raises(ConfigError, match="input_bytes="):
                await model.predict_by_bytes(**wrong)


def test_builders_of_the_official_package() -> None:
    url = "https://example.com/x"
    made = [
        Input.get_input_from_url("a", image_url=url),
        Input.get_input_from_url(input_id="a", text_url=url),
        Input.get_input_from_file("a", video_file="x.mp4"),
        Input.get_input_from_bytes("a", audio_bytes=b"x"),
        Input.get_text_input("a", raw_text="hello"),
        Input.get_multimodal_input("a", raw_text="what?", image_bytes=b"x"),
        Input.get_multimodal_input(input_id="a", text_bytes=b"what?", image_url=url),
    ]
    assert {item.id for item in made} == {"a"}
    assert [item.type for item in made] == ["image", "text", "video", "audio", "text", "multimodal", "multimodal"]
    assert made[5].fields == Input.multimodal(raw_text="what?", image_bytes=b"x").fields
    for wrong in ({}, {"image_url": url, "video_url": url}):
        with pytest.raises(ConfigError, match="give one of"):
            Input.get_input_from_url("a", **wrong)
    assert Input.get_text_input("", "x").id == ""


@pytest.mark.parametrize("wire", WIRES)
async def test_a_prediction_says_which_file_or_url_it_answers(wire: Wire, tmp_path: Path) -> None:
    path, url = tmp_path / "f.txt", "https://user:secret@example.com/x"
    path.write_text("file")
    file, link = str(path), "https://example.com/x"
    async with rigged(wire, tmp_path, lambda item: item.data.text.raw or item.data.text.url) as rig:
        model = rig.model
        assert (await model.predict_by_filepath(path, "text")).source == file
        assert (await model.predict_by_url(url, "text")).source == link
        assert (await model.predict("text")).source == ""
        for stream, source in (
            (model.stream_by_filepath([path], "text"), file),
            (model.stream_by_url([url], "text"), link),
            (model.stream([path], "text", batch="auto"), file),
            (model.map([path], input_type="text"), file),
            (model.map([Input.from_url(url, "text")], batch="auto"), link),
            (model.stream_by_filepath([Path("missing")], "text"), "missing"),
            (model.map([Path("missing")], input_type="text", on_error="yield"), "missing"),
        ):
            assert [p.source async for p in stream] == [source]


def test_folders_become_lists_of_inputs(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg", "c.txt", "d.mp4", "noextension"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "e.png").mkdir()
    pictures = Input.get_image_inputs_from_folder(tmp_path)
    assert [(item.id, item.type, item.source) for item in pictures] == [
        ("a", "image", str(tmp_path / "a.jpg")),
        ("b", "image", str(tmp_path / "b.png")),
    ]
    assert [item.id for item in Input.get_text_inputs_from_folder(str(tmp_path))] == ["c"]
    with pytest.raises(headrace.InputError, match="cannot read the folder"):
        Input.get_image_inputs_from_folder(tmp_path / "missing")


async def test_what_is_entered_without_async_says_so(tmp_path: Path) -> None:
    async with rigged("memory", tmp_path) as rig:
        things: list[Any] = [rig.client, rig.model, rig.model.generate("x"), rig.model.stream(["x"])]
        for thing in [*things, rig.model.call("f")]:
            with pytest.raises(ConfigError, match="`async with`, not `with`"), thing:
                pass
