"""Loading inputs: a file becomes its request without a copy, and is read once; pictures are looked at in place."""

from __future__ import annotations

import io
import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from headrace import codec
from headrace.config import Limits
from headrace.errors import InputError
from headrace.inputs import Input, reading
from headrace.inputs.checks import check
from headrace.inputs.loading import prepare
from headrace.testing import GrpcFail
from headrace.v2 import service_pb2 as rpc
from tests.support.rig import rigged

LIMITS = Limits()
HEAD = rpc.PostModelOutputsRequest(model_id="m").SerializeToString()
MiB = 1 << 20


def file(folder: Path, size: int) -> Path:
    path = folder / "file"
    path.write_bytes(os.urandom(size))
    return path


@given(
    st.text(max_size=200),
    st.sampled_from(["image", "video", "text", "audio"]),
    st.integers(1, 300) | st.integers(16_200, 16_500) | st.integers(2_097_000, 2_097_300),
)
def test_what_goes_before_a_payload_is_what_encoding_puts_there(id: str, type_: str, size: int) -> None:
    payload = bytes(size)
    encoded = b"".join(codec.encode_input(id, [(type_, "bytes", payload)]))
    assert codec.before_payload(id, type_, size) + payload == encoded


@pytest.mark.parametrize("size", [1, 100, 5000, MiB])
@pytest.mark.parametrize("opened", [False, True])
async def test_a_file_is_one_request(tmp_path: Path, size: int, opened: bool) -> None:
    path = file(tmp_path, size)
    with path.open("rb") as stream:
        given_ = Input.from_bytes(stream, "video", id="v") if opened else Input.from_filepath(path, "video", id="v")
        item = await prepare(given_, LIMITS, HEAD)
    assert item.size_bytes == size
    parts = item.request(HEAD)
    assert len(parts) == 1
    request = rpc.PostModelOutputsRequest.FromString(bytes(parts[0]))
    assert request.model_id == "m"
    assert request.inputs[0].id == "v"
    assert request.inputs[0].data.video.base64 == path.read_bytes()
    assert b"".join([HEAD, *item.encode()]) == parts[0]


async def test_another_template_or_id_is_encoded_anew(tmp_path: Path) -> None:
    item = await prepare(Input.from_filepath(file(tmp_path, 5000), "video", id="v"), LIMITS, HEAD)
    other = rpc.PostModelOutputsRequest.FromString(b"".join(item.request(b"")))
    assert other.model_id == ""
    assert other.inputs[0].data.video.base64 == item.input.fields[0].payload
    named = rpc.PostModelOutputsRequest.FromString(b"".join(item.named("w").request(HEAD)))
    assert named.inputs[0].id == "w"
    assert named.inputs[0].data.video.base64 == item.input.fields[0].payload


async def test_files_among_other_parts_are_parts(tmp_path: Path) -> None:
    path = file(tmp_path, 5000)
    with path.open("rb") as stream:
        item = await prepare(Input.multimodal(text="t", video_bytes=stream, id="v"), LIMITS, HEAD)
    assert item.whole(HEAD) is None
    found = rpc.PostModelOutputsRequest.FromString(b"".join(item.request(HEAD))).inputs[0].data
    assert (found.text.raw, found.video.base64) == ("t", path.read_bytes())


async def test_a_file_takes_memory_once(tmp_path: Path) -> None:
    path = file(tmp_path, 4 * MiB)
    await prepare(Input.from_filepath(path, "video", id="v"), LIMITS, HEAD)  # what it imports
    tracemalloc.start()
    try:
        item = await prepare(Input.from_filepath(path, "video", id="v"), LIMITS, HEAD)
        parts = item.request(HEAD)
        assert tracemalloc.get_traced_memory()[1] < 4.2 * MiB
    finally:
        tracemalloc.stop()
    assert len(parts) == 1


@pytest.mark.parametrize("change", [-1, 1])
async def test_a_file_that_changes_while_it_is_read_is_sent_as_it_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: int
) -> None:
    path = file(tmp_path, 5000)
    monkeypatch.setattr(reading, "plain_size", lambda _: 5000 - change)
    item = await prepare(Input.from_filepath(path, "video", id="v"), LIMITS, HEAD)
    request = rpc.PostModelOutputsRequest.FromString(b"".join(item.request(HEAD)))
    assert request.inputs[0].data.video.base64 == path.read_bytes()


async def test_a_file_that_grows_over_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file(tmp_path, 5000)
    monkeypatch.setattr(reading, "plain_size", lambda _: 1000)
    with pytest.raises(InputError, match="more than 1,000 bytes, the limit"):
        await prepare(Input.from_filepath(path, "video"), Limits(input_bytes={"video": 1000}), HEAD)


async def test_a_file_is_read_once_however_often_it_is_sent(tmp_path: Path) -> None:
    path = file(tmp_path, 5000)
    content = path.read_bytes()
    sent: list[bytes] = []

    def answer(item: object) -> object:
        sent.append(item.data.video.base64)  # type: ignore[attr-defined]
        path.unlink(missing_ok=True)
        return GrpcFail("UNAVAILABLE") if len(sent) < 3 else "fine"

    async with rigged("memory", tmp_path, answer) as rig:
        assert (await rig.model.predict_by_filepath(path, "video")).text == "fine"
    assert sent == [content] * 3


@pytest.mark.parametrize("way", ["predict", "generate", "stream", "free", "map", "batch"])
async def test_every_call_sends_files(tmp_path: Path, way: str) -> None:
    path = file(tmp_path, 5000)
    paths = [path, path, path]

    async with rigged("memory", tmp_path, lambda item: str(len(item.data.video.base64))) as rig:
        model = rig.model
        if way == "predict":
            texts = [(await model.predict_by_filepath(path, "video")).text]
        elif way == "generate":
            texts = [p.text async for p in model.generate_by_filepath(path, "video")]
        elif way in ("stream", "free"):
            stream = model.stream_by_filepath(paths, "video", matched=way == "stream")
            texts = [p.text async for p in stream]
        else:
            batch = 3 if way == "batch" else None
            texts = [p.text async for p in model.map(paths, input_type="video", batch=batch)]
        assert set(texts) == {"5000"}
        for item in rig.double.inputs:
            assert item.data.video.base64 == path.read_bytes()
        assert {call.method.rpartition("/")[2] for call in rig.calls} <= {
            "PostModelOutputs",
            "GenerateModelOutputs",
            "StreamModelOutputs",
        }


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_pixels_are_counted_without_copying_the_picture(kind: type) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (1000, 1000)).save(buffer, "BMP")
    item = Input.from_bytes(kind(buffer.getvalue()), "image", id="p")
    Image.open(io.BytesIO(buffer.getvalue())).close()  # what it imports
    tracemalloc.start()
    try:
        check(item, LIMITS)
        assert tracemalloc.get_traced_memory()[1] < MiB
    finally:
        tracemalloc.stop()
    with pytest.raises(InputError, match="1,000,000 pixels"):
        check(item, Limits(image_pixels=999_999))
