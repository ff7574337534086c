"""Inputs: every kind of data, the limits and what their messages say, files, ids, and splitting lists."""

from __future__ import annotations

import array
import copy
import io
import itertools
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clarifai_grpc.grpc.api import resources_pb2 as official
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from headrace import codec
from headrace.config import Limits
from headrace.errors import ConfigError, InputError
from headrace.inputs import Input
from headrace.inputs.checks import check, is_ready, split
from headrace.inputs.loading import load
from headrace.inputs.prepared import Prepared
from headrace.sources.items import failed
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import service_pb2 as rpc

LIMITS = Limits()


def sent(item: Input) -> pb.Input:
    """Tell how it looks on the wire."""
    return rpc.PostModelOutputsRequest.FromString(b"".join(Prepared(item, item.id).encode())).inputs[0]


async def loaded(item: Input, **limits: Any) -> pb.Input:
    return sent(await load(item, Limits(**limits)))


def encoded(width: int, height: int, form: str, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (width, height)).save(buffer, form)
    return buffer.getvalue()


def png(width: int = 2, height: int = 2, mode: str = "RGB") -> bytes:
    return encoded(width, height, "PNG", mode)


# -- kinds of data


@pytest.mark.parametrize(
    "make",
    [
        bytes,
        bytearray,
        memoryview,
        lambda data: memoryview(array.array("B", data)),
        lambda data: memoryview(array.array("i", array.array("i", data).tolist())),
        lambda data: memoryview(bytes(b for pair in zip(data, data, strict=True) for b in pair))[::2],
        lambda data: memoryview(data).cast("B", (4, 2)),
    ],
    ids=["bytes", "bytearray", "memoryview", "array of bytes", "array of ints", "view with gaps", "two axes"],
)
def test_bytes_of_any_kind_are_sent_as_they_are(make: Callable[[bytes], Any]) -> None:
    data = b"\x01\x00\x00\x00\x02\x00\x00\x00"
    item = Input.from_bytes(make(data), "image", id="a")
    assert item.size_bytes == 8
    assert is_ready(item)
    check(item, LIMITS)
    assert sent(item) == pb.Input(id="a", data=pb.Data(image=pb.Image(base64=data)))


def test_the_size_of_a_view_is_in_bytes() -> None:
    item = Input.from_bytes(memoryview(array.array("i", range(6))), "image", id="a")
    with pytest.raises(InputError, match="the image has 24 bytes; the limit is 20"):
        check(item, Limits(input_bytes={"image": 20}))


def test_payloads_are_kept_by_reference() -> None:
    data = bytearray(b"x" * 10_000)
    assert any(part is data for part in Prepared(Input.from_bytes(data, "image"), "a").encode())


@pytest.mark.parametrize("input_type", [None, "text"])
def test_a_str_is_text(input_type: str | None) -> None:
    item = Input.from_bytes("grüß 你", input_type)
    assert (item.type, item.typed) == ("text", True)
    assert sent(item).data.text.raw == "grüß 你"
    assert sent(Input.from_text("x", id="t")) == pb.Input(id="t", data=pb.Data(text=pb.Text(raw="x")))


@pytest.mark.parametrize("make", [Path, str, lambda p: os.fspath(p)])
async def test_files_by_path(make: Callable[[Path], Any], tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF")
    item = Input.from_filepath(make(path), "audio")
    assert not is_ready(item)
    assert (await loaded(item)).data.audio.base64 == b"RIFF"
    assert (await loaded(Input.of(path, "audio"))).data.audio.base64 == b"RIFF"


async def test_open_files(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes("grüß".encode())
    with path.open("rb") as file:
        assert (await loaded(Input.from_bytes(file, "video"))).data.video.base64 == "grüß".encode()
    with path.open(encoding="utf-8") as file:
        assert (await loaded(Input.from_bytes(file, "text"))).data.text.raw == "grüß"
    assert (await loaded(Input.from_bytes(io.BytesIO(b"x"), "image"))).data.image.base64 == b"x"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16", "CMYK", "YCbCr", "HSV", "LAB", "F"])
async def test_pictures_of_any_mode_become_png(mode: str) -> None:
    content = (await loaded(Input.from_bytes(Image.new(mode, (5, 3)), id="p"))).data.image.base64
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.size) == ("PNG", (5, 3))


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 1), (3, 5, 3), (3, 5, 4)])
async def test_arrays_become_png(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, shape, "u1")
    item = Input.from_bytes(pixels)
    assert (item.type, is_ready(item)) == ("image", False)
    with Image.open(io.BytesIO((await loaded(item)).data.image.base64)) as image:
        assert np.array_equal(np.asarray(image), pixels.reshape(shape[:2]) if shape[2:] == (1,) else pixels)


@pytest.mark.parametrize("array_", [np.zeros((2, 2, 7), "u1"), np.zeros((2,), "c16"), np.zeros((2, 2), "O")])
async def test_arrays_that_are_no_picture_fail_with_the_inputs_id(array_: Any) -> None:
    with pytest.raises(InputError, match=r"input p: an array of \w+ and shape") as caught:
        await load(Input.from_bytes(array_, id="p"), LIMITS)
    assert caught.value.input_id == "p"


async def test_what_can_be_saved_but_is_no_picture_is_an_input_error() -> None:
    class Document:
        def save(self) -> None: ...

    with pytest.raises(InputError, match="cannot be encoded"):
        await load(Input.from_bytes(Document()), LIMITS)  # type: ignore[arg-type]


async def test_a_file_that_can_also_be_saved_is_a_file() -> None:
    class Upload(io.BytesIO):
        def save(self) -> None: ...

    assert (await loaded(Input.from_bytes(Upload(b"x"), "video"))).data.video.base64 == b"x"


def test_the_official_packages_message_is_taken_as_it_is() -> None:
    message = official.Input(id="off", data=official.Data(text=official.Text(raw="hi")))
    message.data.metadata.update({"k": 1})
    item = Input.of(message)
    assert (item.id, item.typed, is_ready(item), item.type) == ("off", True, True, "")
    wire = rpc.PostModelOutputsRequest.FromString(b"".join(Prepared(item, item.id).encode())).inputs[0]
    assert official.Input.FromString(wire.SerializeToString()) == message
    assert sent(item.with_id("other")).id == "other"
    assert sent(item.with_id("other")).data.text.raw == "hi"
    assert Input.of(pb.Input(id="x")).id == "x"


@pytest.mark.parametrize("value", [None, 5, 1.5, object(), [b"x"], {"text": "x"}, official.Data()])
def test_other_kinds_are_refused_by_name(value: object) -> None:
    with pytest.raises(ConfigError, match=type(value).__name__):
        Input.of(value)


def test_an_input_is_taken_as_it_is() -> None:
    item = Input.from_text("x")
    assert Input.of(item) is item
    assert Input.of(item, "image") is item  # its type is known


# -- builders


def test_several_parts_make_one_input() -> None:
    item = Input.multimodal(text="what?", image_bytes=b"png", video_url="https://h/v", audio_bytes=bytearray(b"wav"))
    assert (item.type, item.typed) == ("multimodal", True)
    message = sent(item)
    assert (message.data.text.raw, message.data.image.base64) == ("what?", b"png")
    assert (message.data.video.url, message.data.audio.base64) == ("https://h/v", b"wav")
    assert sent(Input.multimodal(text="")).data.text.raw == ""


@pytest.mark.parametrize("type_", ["image", "video", "audio"])
def test_one_part_is_given_once(type_: str) -> None:
    both: dict[str, Any] = {f"{type_}_bytes": b"x", f"{type_}_url": "https://h/x"}
    with pytest.raises(ConfigError, match=f"{type_}_bytes or {type_}_url"):
        Input.multimodal(**both)


def test_an_input_without_parts_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one part"):
        Input.multimodal()


@pytest.mark.parametrize("type_", ["image", "video", "text", "audio"])
def test_urls_of_every_type(type_: str) -> None:
    assert getattr(sent(Input.from_url("https://h/x?y=1", type_)).data, type_).url == "https://h/x?y=1"
    check(Input.from_url("HTTP://h", type_), Limits(input_bytes={"text": 1}))


@pytest.mark.parametrize(
    "url", ["", "ftp://h/x", "file:///etc/passwd", "h/x.jpg", "https://h/a b", "http://h\n", 5, None]
)
def test_what_is_no_web_address_is_refused(url: Any) -> None:
    with pytest.raises(ConfigError, match="not an http"):
        Input.from_url(url, "image")


@pytest.mark.parametrize(
    "make",
    [
        lambda type_: Input.from_bytes(b"x", type_),
        lambda type_: Input.from_url("https://h", type_),
        lambda type_: Input.from_filepath("x", type_),
        lambda type_: Input.from_bytes(b"x").with_type(type_),
    ],
)
def test_an_unknown_type_is_refused_with_those_that_are_known(make: Callable[[str], Input]) -> None:
    with pytest.raises(ConfigError, match="unknown input_type 'picture'; known: image, video, text, audio"):
        make("picture")


def test_a_type_that_contradicts_the_data_is_refused() -> None:
    with pytest.raises(ConfigError, match="a str is text, not image"):
        Input.from_bytes("x", "image")
    with pytest.raises(ConfigError, match="is an image, not video"):
        Input.from_bytes(np.zeros((1, 1), "u1"), "video")


def test_text_that_cannot_be_sent_is_refused() -> None:
    for make in (Input.from_text, Input.from_bytes, lambda text: Input.multimodal(text=text)):
        with pytest.raises(InputError, match="surrogates"):
            make("\ud800")
    with pytest.raises(ConfigError, match="bytes"):
        Input.from_text(b"x")  # type: ignore[arg-type]


def test_an_unknown_type_is_filled_in_later() -> None:
    item = Input.from_bytes(b"x", id="a")
    assert (item.type, item.typed) == ("", False)
    typed = item.with_type("audio")
    assert (typed.type, typed.id) == ("audio", "a")
    assert not item.typed  # the old one stays as it was
    assert typed.with_type("image") is typed


@pytest.mark.parametrize("id_", ["a", "A b", "x" * 256, "ü-1"])
def test_ids(id_: str) -> None:
    assert Input.from_text("x", id=id_).id == id_
    assert sent(Input.from_text("x").with_id(id_)).id == id_


@pytest.mark.parametrize("id_", ["", "x" * 257, "a\nb", "\x00", 5, b"a"])
def test_ids_that_cannot_be_are_refused(id_: Any) -> None:
    with pytest.raises(ConfigError, match="id"):
        Input.from_text("x", id=id_)


def test_no_representation_shows_the_payload() -> None:
    item = Input.multimodal(text="CANARY", image_bytes=b"CANARY", audio_url="https://h/CANARY", id="a")
    assert "CANARY" not in f"{item!r}{item.fields!r}"
    assert repr(item) == "<Input a: image bytes 6 B, audio url, text bytes 6 B>"


def test_inputs_can_be_pickled() -> None:
    item = pickle.loads(pickle.dumps(Input.from_bytes(b"x", "image", id="a")))
    assert sent(item) == pb.Input(id="a", data=pb.Data(image=pb.Image(base64=b"x")))


# -- limits


@pytest.mark.parametrize("type_", ["image", "video", "text", "audio"])
def test_bytes_over_the_limit_are_named_with_limit_size_and_id(type_: str) -> None:
    limits = Limits(input_bytes={type_: 1000})
    check(Input.from_bytes(b"x" * 1000, type_), limits)
    with pytest.raises(InputError) as caught:
        check(Input.from_bytes(b"x" * 1001, type_, id="big"), limits)
    assert str(caught.value) == f"input big: the {type_} has 1,001 bytes; the limit is 1,000"
    assert caught.value.input_id == "big"


def test_a_part_over_its_limit_is_found_in_an_input_with_several() -> None:
    with pytest.raises(InputError, match="the text has 6 bytes"):
        check(Input.multimodal(text="123456", image_bytes=b"x"), Limits(input_bytes={"text": 5}))


@pytest.mark.parametrize(
    "item",
    [
        Input.multimodal(text="x" * 60, image_bytes=b"x" * 60, id="a"),
        Input.of(pb.Input(id="a", data=pb.Data(text=pb.Text(raw="x" * 120)))),
    ],
)
def test_an_input_larger_than_a_request_is_refused(item: Input) -> None:
    with pytest.raises(InputError, match=r"input a has 1\d\d bytes; the limit for a request is 100"):
        check(item, Limits(request_bytes=100))


async def test_pixels_over_the_limit_are_named() -> None:
    limits = Limits(image_pixels=64 * 64)
    pixels = np.random.default_rng(1).integers(0, 255, (64, 64, 3), "u1")
    await load(Input.from_bytes(pixels), limits)
    with pytest.raises(InputError, match=r"input p: the image has 4,160 pixels; the limit is 4,096"):
        await load(Input.from_bytes(np.pad(pixels, ((0, 1), (0, 0), (0, 0))), id="p"), limits)


async def test_a_picture_bomb_is_refused_without_decoding_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    bomb = encoded(64, 64, "BMP")  # of a kind whose header Pillow reads
    with pytest.raises(InputError, match="pixels"):
        await load(Input.from_bytes(bomb, "image"), LIMITS)


async def test_an_unreadable_picture_is_the_servers_to_refuse() -> None:
    await load(Input.from_bytes(b"\xff" * 10_000, "image"), LIMITS)


@pytest.mark.parametrize("type_", ["image", "video", "text", "audio"])
@pytest.mark.parametrize("empty", [b"", bytearray(), memoryview(b""), memoryview(array.array("i"))])
def test_nothing_is_no_input(type_: str, empty: Any) -> None:
    with pytest.raises(InputError, match=f"input e: the {type_} is empty"):
        check(Input.from_bytes(empty, type_, id="e"), LIMITS)


# -- files


async def test_a_missing_file_is_named_with_the_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"input f: cannot read .*gone.jpg: No such file") as caught:
        await load(Input.from_filepath(tmp_path / "gone.jpg", "image", id="f"), LIMITS)
    assert caught.value.input_id == "f"
    assert isinstance(caught.value.__cause__, FileNotFoundError)


@pytest.mark.parametrize("path", ["", ".", "/", "a\0b", "/dev/null", "/proc/self/mem"])
async def test_what_is_no_file_with_content_is_an_input_error(path: str) -> None:
    with pytest.raises(InputError, match=r"^(cannot read|\S+ is empty)"):
        await load(Input.from_filepath(path, "image"), LIMITS)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero")
async def test_a_file_without_end_is_read_no_further_than_the_limit() -> None:
    with pytest.raises(InputError, match="more than 1,000 bytes"):
        await load(Input.from_filepath("/dev/zero", "image"), Limits(input_bytes={"image": 1000}))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="who may read everything cannot be refused")
async def test_an_unreadable_file_is_an_input_error(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(InputError, match="Permission denied"):
        await load(Input.from_filepath(path, "image"), LIMITS)


async def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "f"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match=r"has 1,099,511,627,776 bytes; the limit is 20,971,520"):
        await load(Input.from_filepath(path, "image"), LIMITS)


async def test_open_files_that_cannot_be_read_are_input_errors(tmp_path: Path) -> None:
    closed = io.BytesIO(b"x")
    closed.close()
    with (tmp_path / "w").open("wb") as write_only:
        for file in (closed, write_only):
            with pytest.raises(InputError, match="input f: cannot read the file"):
                await load(Input.from_bytes(file, "image", id="f"), LIMITS)

    class Nothing:
        def read(self) -> None: ...

    with pytest.raises(InputError, match="NoneType"):
        await load(Input.from_bytes(Nothing(), "image"), LIMITS)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="empty"):
        await load(Input.from_bytes(io.BytesIO(), "image"), LIMITS)


async def test_an_input_without_id_is_typed_and_loaded_all_the_same(tmp_path: Path) -> None:
    assert sent(Input.from_bytes(b"x").with_type("video")) == pb.Input(data=pb.Data(video=pb.Video(base64=b"x")))
    assert (await loaded(Input.from_bytes(io.BytesIO(b"x"), "image"))).id == ""


async def test_loading_what_is_there_changes_nothing() -> None:
    item = Input.from_bytes(b"x", "image", id="a")
    assert await load(item, LIMITS) is item


# -- splitting lists


@given(
    st.lists(st.tuples(st.integers(1, 60), st.booleans()), max_size=40),
    st.integers(1, 6),
    st.integers(1, 100),
    st.integers(1, 2),
)
def test_lists_are_split_within_the_limits_and_kept_in_order(
    items: list[tuple[int, bool]], count: int, room: int, videos: int
) -> None:
    limits = Limits(inputs_per_request=count, videos_per_request=videos)
    inputs = [Prepared(Input.from_bytes(b"x" * size, "video" if video else "image"), "a") for size, video in items]
    sizes = [size for size, _ in items]
    groups = split(inputs, limits, sizes, room)
    assert [position for group in groups for position in group] == list(range(len(items)))
    for group in groups:
        assert 1 <= len(group) <= count
        assert len(group) == 1 or sum(sizes[p] for p in group) <= room
        assert len(group) == 1 or sum(items[p][1] for p in group) <= videos
    for group, following in itertools.pairwise(groups):  # none could have held one more
        more = [*group, following[0]]
        assert (
            len(more) > count
            or sum(sizes[p] for p in more) > room
            or (sum(items[p][1] for p in more) > videos and items[following[0]][1])
        )


def test_sizes_on_the_wire_are_what_counts() -> None:
    items = [Prepared(Input.from_bytes(b"x" * 1000, "image"), str(n)) for n in range(10)]
    sizes = [codec.size_of(item.encode()) for item in items]
    groups = split(items, LIMITS, sizes, 3 * sizes[0])
    assert [len(group) for group in groups] == [3, 3, 3, 1]


def test_equal_inputs_are_equal_however_they_were_made(tmp_path: Path) -> None:
    picture = np.zeros((2, 2, 3), np.uint8)
    pairs = [
        (Input.from_text("x"), Input.from_bytes("x")),
        (Input.from_bytes(b"x", "image", id="a"), Input.from_bytes(memoryview(b"x"), "image").with_id("a")),
        (Input.from_url("https://h/a", "image"), Input.from_url("https://h/a").with_type("image")),
        (Input.from_filepath("a.jpg", "image"), Input.of(Path("a.jpg"), "image")),
        (Input.from_bytes(picture), Input.from_bytes(picture)),
        (Input.multimodal(text="x", image_bytes=b"y"), Input.multimodal(raw_text="x", image_bytes=b"y")),
        (Input((), raw=b"x"), Input((), raw=b"x")),
    ]
    for one, other in pairs:
        assert one == other
        assert len({one, other}) == 1
    others = [one for one, _ in pairs]
    others += [
        Input.from_text("x", id="a"),
        Input.from_text("y"),
        Input.from_bytes(picture.copy()),
        Input.from_url("https://h/a"),
    ]
    assert len(set(others)) == len(others)
    assert Input.from_text("x") != "x"


@pytest.mark.parametrize("form", ["memory", "view", "path", "raw", "named"])
def test_inputs_go_through_pickle_and_copies(form: str) -> None:
    item = {
        "memory": Input.from_text("x", id="a"),
        "view": Input.from_bytes(memoryview(b"x"), "image"),
        "path": Input.from_filepath("a.jpg", "image"),
        "raw": Input((), "a", raw=b"x"),
        "named": failed(InputError("bad"), 3, "a.jpg", "id-3"),
    }[form]
    for again in (pickle.loads(pickle.dumps(item)), copy.deepcopy(item)):
        assert again == item or form == "named"
        assert (type(again), again.id, again.source) == (type(item), item.id, item.source)


def test_an_input_knows_where_it_came_from() -> None:
    assert Input.from_filepath(Path("b") / "a.jpg").source == str(Path("b") / "a.jpg")
    assert Input.from_url("https://user:secret@h/a?b=c@d", "image").source == "https://h/a?b=c@d"
    assert Input.from_text("x").source == ""
    assert Input.from_filepath("a.jpg").with_type("image").with_id("a").source == "a.jpg"
