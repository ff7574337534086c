"""A model that takes several types gets each input as what its first bytes, or its name, show it to be."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from headrace import Client, ConfigError, HeadraceError, Input, InputError
from headrace.testing import ModelDouble, ReceivedInput
from tests.support.shapes import SHAPES

SAMPLES = Path(__file__).parents[3] / "src/headrace/data/samples"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
WAV = b"RIFF\x24\0\0\0WAVEfmt " + bytes(20)
HEIC = b"\0\0\0\x18ftypheic" + bytes(12)


def named(name: str, data: bytes) -> io.BytesIO:
    file = io.BytesIO(data)
    file.name = name
    return file


#: name -> (the input, its type)
SHOWN: dict[str, tuple[Any, str]] = {
    "PNG bytes": (PNG, "image"),
    "PNG bytearray": (bytearray(PNG), "image"),
    "HEIC view": (memoryview(HEIC), "image"),
    "WAV bytes": (WAV, "audio"),
    "MP4 bytes": ((SAMPLES / "videos/photos.mp4").read_bytes(), "video"),
    "photo": (SAMPLES / "photos/cat.jpg", "image"),
    "film": (SAMPLES / "videos/photos.mp4", "video"),
    "sound": (SAMPLES / "sounds/sense-and-sensibility.wav", "audio"),
    "text file": (SAMPLES / "texts/question.txt", "text"),
    "open file with a name": (named("cat.jpg", b"not looked at"), "image"),
    "str": ("https://example.com/cat.jpg", "text"),
    "URL": (Input.from_url("https://example.com/some/CLIP.mp4?size=3"), "video"),
}


#: name -> (the input, what its error says)
NOT_SHOWN: dict[str, tuple[Any, str]] = {
    "bytes of no known kind": (b"\x00\x01\x02", "could be any of them: give input_type="),
    "open file without a name": (io.BytesIO(PNG), "could be any of them"),
    "URL without an extension": (Input.from_url("https://example.com/"), "could be any of them"),
    "missing file": (Path("no-such-file.bin"), "cannot read no-such-file.bin: No such file"),
    "folder": (SAMPLES, "could be any of them"),
}


def kind_received(item: ReceivedInput) -> str:
    return next(kind for kind in ("image", "video", "audio", "text") if item.data.HasField(kind))


@pytest.mark.parametrize("name", SHAPES)
async def test_the_type_is_the_one_that_the_input_shows(name: str) -> None:
    double = ModelDouble(kind_received, input_fields=["image", "text", "video", "audio"])
    items = [value for value, _ in (*SHOWN.values(), *NOT_SHOWN.values())]
    for item in items:
        if isinstance(item, io.BytesIO):
            item.seek(0)
    async with Client(transport=double) as client:
        outcomes = await SHAPES[name](client.model("u/a/models/m"), items, None)
    for position, (case, (_, expected)) in enumerate([*SHOWN.items(), *NOT_SHOWN.items()]):
        outcome = outcomes[position]
        if case in SHOWN:
            assert not isinstance(outcome, HeadraceError), (case, outcome)
            assert outcome.text == expected, case
        else:
            assert isinstance(outcome, ConfigError | InputError), (case, outcome)
            assert expected in str(outcome), case


async def test_a_type_that_the_model_does_not_take_is_refused_before_it_is_sent() -> None:
    double = ModelDouble(kind_received, input_fields=["image", "text"])
    async with Client(transport=double) as client:
        with pytest.raises(ConfigError, match="the input is a sound; u/a/models/m takes image, text"):
            await client.model("u/a/models/m").predict(WAV)
    assert not double.inputs


async def test_a_given_type_is_taken_as_it_is() -> None:
    double = ModelDouble(kind_received, input_fields=["image", "text"])
    async with Client(transport=double) as client:
        assert (await client.model("u/a/models/m").predict(WAV, "image")).text == "image"
