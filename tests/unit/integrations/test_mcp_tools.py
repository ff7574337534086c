"""Models as tools of an MCP server, called by the client of the `mcp` package, in memory."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import mcp
import numpy as np
import pytest
from PIL import Image

from headrace.integrations.mcp import arguments, content, mcp_server
from headrace.testing import Fail, GrpcFail, ReceivedInput
from headrace.v2 import resources_pb2 as pb
from tests.support.rig import WIRES, Rig, Wire, rigged

CANARY = "canary-0123456789abcdef"
_Type = pb.ModelTypeField


def argument(name: str, type_: int, **more: Any) -> pb.ModelTypeField:
    return pb.ModelTypeField(name=name, type=type_, **more)  # type: ignore[arg-type]


def signature(name: str, takes: list[pb.ModelTypeField], gives: int, shape: int = 1, **more: Any) -> pb.MethodSignature:
    result = argument("return", gives, iterator=shape > 1)
    return pb.MethodSignature(name=name, method_type=shape, input_fields=takes, output_fields=[result], **more)  # type: ignore[arg-type]


PROMPT = argument("prompt", _Type.STR, required=True, description="What to say")
LIMIT = argument("max_tokens", _Type.INT, default="256")
TALKER = [
    signature("predict", [PROMPT, LIMIT], _Type.STR),
    signature("generate", [PROMPT, LIMIT], _Type.STR, 2, description="Says it"),
    signature("stream", [argument("prompt", _Type.STR, iterator=True)], _Type.STR, 4),
    signature("look", [argument("image", _Type.IMAGE, required=True)], _Type.STR),
    signature("count", [], _Type.JSON_DATA),
]


@contextlib.asynccontextmanager
async def tools(
    folder: Path,
    function: Callable[[ReceivedInput], Any],
    signatures: list[pb.MethodSignature] | None = None,
    *,
    wire: Wire = "memory",
    mode: str = "auto",
    allow: list[Path] | None = None,
    **double: Any,
) -> AsyncIterator[tuple[mcp.Client, Rig]]:
    """Give a client of a server whose only model is a double, called "m"."""
    settings = {"signatures": signatures or [], **double}
    async with rigged(wire, folder, function, double=settings, pat=CANARY) as rig:
        server = mcp_server({"m": rig.model}, allow_paths=allow or [])
        async with mcp.Client(server, mode=mode) as client:
            yield client, rig


def text_of(result: Any) -> str:
    return "\n".join(block.text for block in result.content if block.type == "text")


def parts(item: ReceivedInput) -> dict[str, pb.Data]:
    return {part.id: part.data for part in item.data.parts}


# -- what tools there are


async def test_each_method_is_a_tool_with_the_schema_of_its_arguments(tmp_path: Path) -> None:
    async with tools(tmp_path, lambda item: "", TALKER) as (client, _):
        listed = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert list(listed) == ["m", "m_look", "m_count"]  # `predict` is `generate`; a stream of inputs is for programs
    assert listed["m"].input_schema == {
        "type": "object",
        "properties": {
            "prompt": {"type": "string", "description": "What to say."},
            "max_tokens": {"type": "integer", "default": 256},
        },
        "required": ["prompt"],
        "additionalProperties": False,
    }
    assert "base64" in listed["m_look"].input_schema["properties"]["image"]["description"]
    assert str(listed["m"].description).startswith("Says it.")


@pytest.mark.parametrize(
    ("field", "schema"),
    [
        (argument("a", _Type.FLOAT), {"type": "number"}),
        (argument("a", _Type.BOOL, default="true"), {"type": "boolean", "default": True}),
        (argument("a", _Type.STR, default="3"), {"type": "string", "default": "3"}),
        (argument("a", _Type.INT, default="many"), {"type": "integer", "default": "many"}),
        (
            argument("a", _Type.LIST, type_args=[argument("", _Type.STR)]),
            {"type": "array", "items": {"type": "string"}},
        ),
        (
            argument("a", _Type.TUPLE, type_args=[argument("", _Type.INT), argument("", _Type.STR)]),
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2},
        ),
        (
            argument("a", _Type.NAMED_FIELDS, type_args=[argument("x", _Type.INT)]),
            {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]},
        ),
        (argument("a", _Type.REGION), {"description": "A value of the type Region."}),
    ],
)
async def test_types_become_json_schema(field: Any, schema: dict[str, Any], tmp_path: Path) -> None:
    async with tools(tmp_path, lambda item: "", [signature("predict", [field], _Type.STR)]) as (client, _):
        (tool,) = (await client.list_tools()).tools
    assert tool.input_schema["properties"]["a"] == schema


async def test_a_model_without_methods_takes_its_inputs_and_parameters(tmp_path: Path) -> None:
    seen: list[Any] = []

    def answer(item: ReceivedInput) -> str:
        seen.append((item.text, item.image, dict(item.params)))
        return "fine"

    async with tools(tmp_path, answer, input_fields=("text", "image")) as (client, _):
        (tool,) = (await client.list_tools()).tools
        assert list(tool.input_schema["properties"]) == ["text", "image", "params"]
        arguments = {"text": "what?", "image": as_base64(PNG), "params": {"top_k": 3}}
        assert text_of(await client.call_tool("m", arguments)) == "fine"
        cases: list[tuple[dict[str, Any], str]] = [
            ({}, "no input"),
            ({"prompt": "x"}, "no argument prompt"),
            ({"text": "x", "params": 3}, "object"),
        ]
        for wrong, words in cases:
            result = await client.call_tool("m", wrong)
            assert result.is_error
            assert words in text_of(result)
    assert seen[1:] == [("what?", PNG, {"top_k": 3})]  # before that it was asked for its methods, and said "fine"


async def test_a_model_that_cannot_be_looked_up_is_listed_and_its_call_says_why(tmp_path: Path) -> None:
    async with tools(tmp_path, lambda item: "") as (client, rig):
        rig.double.reply("GetModelVersion", Fail(21200, "Model does not exist"))
        rig.double.reply("GetModel", Fail(21200, "Model does not exist"))
        rig.double.function = lambda item: Fail(21200, "Model does not exist")
        (tool,) = (await client.list_tools()).tools
        assert set(tool.input_schema["properties"]) == {"text", "image", "audio", "video", "params"}
        result = await client.call_tool("m", {"text": "x"})
        assert result.is_error
        assert "does not exist" in text_of(result)


async def test_names_fit_every_client_and_differ(tmp_path: Path) -> None:
    async with rigged("memory", tmp_path) as rig:
        names = ["a/b c", "a.b.c", "x" * 90, "x" * 91, "é"]
        async with mcp.Client(mcp_server(dict.fromkeys(names, rig.model))) as client:
            listed = [tool.name for tool in (await client.list_tools()).tools]
    assert listed == ["a_b_c", "a_b_c_2", "x" * 64, f"{'x' * 62}_2", "model"]


# -- calls


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("wire", WIRES)
async def test_text_comes_with_notes_of_progress(wire: Wire, mode: str, tmp_path: Path) -> None:
    notes: list[tuple[float, str]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        notes.append((progress, message or ""))

    async def answer(item: ReceivedInput) -> AsyncIterator[str]:
        for word in ("one ", "two ", "three"):
            yield word
            await asyncio.sleep(0)

    async with tools(tmp_path, answer, TALKER, wire=wire, mode=mode) as (client, rig):
        result = await client.call_tool("m", {"prompt": "hi", "max_tokens": 3.0}, progress_callback=note)
        assert (text_of(result), result.structured_content) == ("one two three", {"text": "one two three"})
        (item,) = rig.double.inputs
        assert (parts(item)["prompt"].string_value, parts(item)["max_tokens"].int_value) == ("hi", 3)
    assert "".join(message for _, message in notes) == "one two three"
    assert [progress for progress, _ in notes] == sorted({progress for progress, _ in notes})


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("tool", ["m", "m_count"])
async def test_a_call_that_the_client_cancels_ends_on_the_server(
    tool: str, wire: Wire, mode: str, tmp_path: Path
) -> None:
    async def answer(item: ReceivedInput) -> AsyncIterator[str]:
        yield "one "
        await asyncio.Event().wait()

    async def silent(item: ReceivedInput) -> str:
        await asyncio.Event().wait()
        return ""

    function = answer if tool == "m" else silent
    async with tools(tmp_path, function, TALKER, wire=wire, mode=mode) as (client, rig):
        await client.list_tools()
        call = asyncio.create_task(client.call_tool(tool, {"prompt": "hi"} if tool == "m" else {}))
        await rig.until(lambda: len(rig.double.inputs) == 1)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await rig.until(lambda: rig.calls[-1].cancelled)
        rig.double.function = lambda item: "again"
        assert text_of(await client.call_tool(tool, {"prompt": "hi"} if tool == "m" else {})) == "again"


FAILURES = [
    (Fail(30300, "Invalid bytes"), "Invalid bytes"),
    (Fail(11102, "Invalid key"), "Invalid key"),
    (GrpcFail("PERMISSION_DENIED", f"not with {CANARY}"), "not with"),
]


@pytest.mark.parametrize(("failure", "words"), FAILURES)
@pytest.mark.parametrize("tool", ["m", "m_count"])
async def test_failures_are_errors_of_the_tool_without_the_credential(
    failure: Any, words: str, tool: str, tmp_path: Path
) -> None:
    async with tools(tmp_path, lambda item: failure, TALKER) as (client, _):
        result = await client.call_tool(tool, {"prompt": "hi"} if tool == "m" else {})
        assert result.is_error
        assert words in text_of(result)
        assert CANARY not in result.model_dump_json()
        assert "Traceback" not in text_of(result)


@pytest.mark.parametrize(
    ("given", "words"),
    [({}, "prompt missing"), ({"prompt": 3}, "expected str"), ({"prompt": "x", "color": 1}, "no argument color")],
)
async def test_wrong_arguments_are_named(given: dict[str, Any], words: str, tmp_path: Path) -> None:
    async with tools(tmp_path, lambda item: "", TALKER) as (client, rig):
        result = await client.call_tool("m", given)
        assert result.is_error
        assert words in text_of(result)
        assert not rig.double.inputs


async def test_a_tool_that_there_is_not_is_refused(tmp_path: Path) -> None:
    async with tools(tmp_path, lambda item: "", TALKER) as (client, _):
        with pytest.raises(mcp.MCPError, match="no tool 'other'; there are: m, m_look, m_count"):
            await client.call_tool("other", {})


async def test_a_fault_of_ours_is_no_stack_of_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "add", lambda *_: 1 / 0)
    async with tools(tmp_path, lambda item: "x", TALKER) as (client, _):
        result = await client.call_tool("m_count", {})
        assert result.is_error
        assert text_of(result) == "the tool failed with a ZeroDivisionError; the server's log says more"


# -- pictures and sounds in


def encoded(picture: Image.Image, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form)
    return buffer.getvalue()


def as_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


PNG = encoded(Image.new("RGB", (8, 4), "red"))
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(28)
JPEG = encoded(Image.new("RGB", (8, 8)), "JPEG")  # its base64 begins with a slash, as a path does


@pytest.mark.parametrize(
    ("given", "received"),
    [
        (as_base64(PNG), PNG),
        (as_base64(JPEG), JPEG),
        (as_base64(PNG).rstrip("="), PNG),
        (base64.urlsafe_b64encode(JPEG).decode(), JPEG),
        (f"data:image/png;base64,{as_base64(PNG)}", PNG),
        ({"type": "image", "data": as_base64(PNG), "mimeType": "image/png"}, PNG),
        ("https://example.com/a.png?x=1", "https://example.com/a.png?x=1"),
        ("{folder}/a.png", PNG),
        ("a.png", PNG),
        ("./a.png", PNG),
        ("file://{folder}/a.png", PNG),
        ("file://{folder}/with%20blank", PNG),
        ("inner/link.png", PNG),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, str) else type(value).__name__,
)
async def test_pictures_come_in_every_form(given: Any, received: bytes | str, tmp_path: Path) -> None:
    folder = tmp_path / "allowed"
    (folder / "inner").mkdir(parents=True)
    for name in ("a.png", "with blank"):
        (folder / name).write_bytes(PNG)
    (folder / "inner" / "link.png").symlink_to(folder / "a.png")
    if isinstance(given, str):
        given = given.replace("{folder}", str(folder))
    async with tools(tmp_path, lambda item: "seen", TALKER, allow=[folder]) as (client, rig):
        assert text_of(await client.call_tool("m_look", {"image": given})) == "seen"
        image = parts(rig.double.inputs[0])["image"].image
        assert (image.base64 or image.url) == received


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("{folder}/../secret.png", "file"),
        ("../secret.png", "file"),
        ("{outside}/secret.png", "file"),
        ("file://{outside}/secret.png", "file"),
        ("link.png", "file"),
        ("folder.png", "file"),
        ("pipe.png", "file"),
        ("missing.png", "file"),
        ("~/a.png", "file"),
        ("/etc/passwd", "files are not read|no file"),
        ("x" * 5000, "base64"),
        ("no base64!", "neither base64"),
        (as_base64(b"just text, which is no picture"), "no picture"),
        (as_base64(WAV), "must be image"),
        ("data:image/png;base64,???", "base64"),
        ("data:image/png", "comma"),
        ("http://", "URL"),
        ("", "must be base64"),
        (3, "must be base64"),
        ("a\0b.png", "base64"),
    ],
    ids=lambda value: str(value)[:20].replace("\0", ""),
)
async def test_what_is_no_picture_or_may_not_be_read_is_refused(
    allowed: bool, given: Any, words: str, tmp_path: Path
) -> None:
    folder = tmp_path / "allowed"
    (folder / "folder.png").mkdir(parents=True)
    (tmp_path / "secret.png").write_bytes(PNG)
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    os.mkfifo(folder / "pipe.png")
    if isinstance(given, str):
        given = given.replace("{folder}", str(folder)).replace("{outside}", str(tmp_path))
    async with tools(tmp_path, lambda item: "seen", TALKER, allow=[folder] if allowed else []) as (client, rig):
        result = await client.call_tool("m_look", {"image": given})
        assert result.is_error
        assert any(word in text_of(result) for word in words.split("|")), text_of(result)
        assert text_of(result).startswith("image")
        assert not rig.double.inputs


async def test_large_ones_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arguments, "MAX_BYTES", 100)
    noise = encoded(Image.fromarray(np.random.default_rng(1).integers(0, 255, (30, 30, 3), np.uint8)))
    (tmp_path / "noise.png").write_bytes(noise)
    async with tools(tmp_path, lambda item: "seen", TALKER, allow=[tmp_path]) as (client, rig):
        for given in (as_base64(noise), f"data:image/png;base64,{as_base64(noise)}", "noise.png"):
            result = await client.call_tool("m_look", {"image": given})
            assert result.is_error
            assert "larger than" in text_of(result)
        assert not rig.double.inputs


# -- pictures, sounds and everything else out

ANY = [signature("predict", [argument("image", _Type.IMAGE)], _Type.IMAGE)]


def region(name: str = "cup", mask: bytes | None = None) -> pb.Region:
    one = pb.Region(data=pb.Data(concepts=[pb.Concept(name=name, value=0.5)]))
    if mask:
        one.region_info.mask.image.base64 = mask
    else:
        one.region_info.bounding_box.bottom_row = one.region_info.bounding_box.right_col = 0.5
    return one


async def call(tmp_path: Path, answer: pb.Data, given: Any = None, signatures: Any = None) -> Any:
    async with tools(tmp_path, lambda item: answer, signatures) as (client, _):
        key = "image" if given else "text"
        return await client.call_tool("m", {key: given or "x"})


async def test_pictures_and_sounds_go_out(tmp_path: Path) -> None:
    result = await call(tmp_path, pb.Data(image=pb.Image(base64=PNG), audio=pb.Audio(base64=WAV)))
    picture, sound = result.content
    assert (picture.type, picture.mime_type, base64.b64decode(picture.data)) == ("image", "image/png", PNG)
    assert (sound.type, sound.mime_type, base64.b64decode(sound.data)) == ("audio", "audio/wav", WAV)


async def test_large_pictures_are_made_smaller_and_large_sounds_left_out(tmp_path: Path, monkeypatch: Any) -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (900, 900, 3), np.uint8))
    monkeypatch.setattr(content, "MAX_SOUND", 10)
    result = await call(tmp_path, pb.Data(image=pb.Image(base64=encoded(noise)), audio=pb.Audio(base64=WAV)))
    picture, sound = result.content
    assert picture.mime_type == "image/jpeg"
    assert len(base64.b64decode(picture.data)) <= content.MAX_PICTURE
    assert "too large" in sound.text
    broken = await call(tmp_path, pb.Data(image=pb.Image(base64=PNG[:8] + bytes(2 << 20))))
    assert "too large to show" in text_of(broken)


async def test_boxes_and_masks_are_told_and_drawn_for_people(tmp_path: Path) -> None:
    result = await call(tmp_path, pb.Data(regions=[region()]), as_base64(PNG))
    text, picture = result.content
    assert text.text == "cup 0.5000: top 0.000, left 0.000, bottom 0.500, right 0.500"
    assert Image.open(io.BytesIO(base64.b64decode(picture.data))).size == (8, 4)
    assert picture.annotations.audience == ["user"]
    assert result.structured_content["regions"][0]["name"] == "cup"
    mask = encoded(Image.new("L", (4, 4), 255))
    by_url = await call(tmp_path, pb.Data(regions=[region(mask=mask)]), "https://example.com/a.png")
    assert [block.type for block in by_url.content] == ["text", "image"]
    broken = await call(tmp_path, pb.Data(regions=[region(mask=b"no picture")]), as_base64(PNG))
    assert [block.type for block in broken.content] == ["text"]


async def test_lists_and_texts_are_bounded(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(content, "MAX_TEXT", 100)
    many = [pb.Concept(name=f"c{n}", value=0.5) for n in range(content.MAX_THINGS + 5)]
    result = await call(tmp_path, pb.Data(concepts=many[: content.MAX_THINGS + 5], text=pb.Text(raw="y" * 1000)))
    assert len(result.structured_content["concepts"]) == content.MAX_THINGS
    assert all(len(block.text) < 200 for block in result.content)
    assert "cut off: it has 1,000 characters" in text_of(result)


async def test_vectors_values_and_nothing(tmp_path: Path) -> None:
    vector = await call(tmp_path, pb.Data(embeddings=[pb.Embedding(vector=[0.5, 0.25])]))
    assert vector.structured_content == {"embedding": [0.5, 0.25]}
    assert text_of(vector).startswith("a vector of 2 numbers: 0.5000")
    assert text_of(await call(tmp_path, pb.Data())) == "The model found nothing."
    answer = pb.Data(parts=[pb.Part(id="return")])
    answer.parts[0].data.struct_value.update({"cups": 2.0})
    async with tools(tmp_path, lambda item: answer, TALKER) as (client, _):
        value = await client.call_tool("m_count", {})
        assert value.structured_content == {"value": {"cups": 2.0}}
        assert text_of(value) == '{"cups": 2.0}'
