"""One converter: whatever a picture is handed in as, in whatever call, the model sees the same pixels."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headrace import InputError, media
from headrace.media import encoding, pictures
from headrace.server.model import ModelError
from headrace.server.models._images import decode
from tests.support.rig import rigged

SIZE = (24, 16)  # width, height
GREYS = np.linspace(0, 255, 24 * 16).astype(np.uint8).reshape(16, 24)
COLOURS = np.stack([GREYS, GREYS[::-1], 255 - GREYS], axis=2)
Make = Callable[[], Any]


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(Image.fromarray(COLOURS), exif=exif)


def seen_by_pillow(data: bytes) -> Any:
    """What Pillow alone says of upright bytes."""
    from PIL import ImageOps

    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))


def grey(values: Any) -> np.ndarray[Any, Any]:
    return np.repeat(np.asarray(values, np.uint8)[:, :, None], 3, axis=2)


def on_white(colours: Any, alpha: int) -> Any:
    return np.round(colours * (alpha / 255) + 255 - alpha).astype(np.uint8)


def translucent() -> np.ndarray[Any, Any]:
    return np.dstack([COLOURS, np.full((16, 24), 51, np.uint8)])


def palette() -> Image.Image:
    """A picture with a palette, one colour of which is transparent."""
    image = Image.new("P", SIZE, 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(0, (0, 0, 12, 16))
    image.info["transparency"] = 0
    return image


HALVES = np.concatenate([np.full((16, 12, 3), 255), np.tile([0, 0, 255], (16, 12, 1))], axis=1)

#: What is handed in -> the pixels that the model must see.
CASES: dict[str, tuple[Make, Any]] = {
    "uint8 grey": (lambda: GREYS, grey(GREYS)),
    "uint8 grey, one channel": (lambda: GREYS[:, :, None], grey(GREYS)),
    "uint8 RGB": (lambda: COLOURS, COLOURS),
    "uint8 RGB, a view with gaps": (lambda: np.repeat(COLOURS, 2, axis=1)[:, ::2], COLOURS),
    "uint8 RGBA": (translucent, on_white(COLOURS, 51)),
    "uint8 grey and alpha": (lambda: np.dstack([GREYS, np.full_like(GREYS, 51)]), on_white(grey(GREYS), 51)),
    "bool": (lambda: GREYS > 100, grey((GREYS > 100) * 255)),
    "uint16 grey": (lambda: GREYS.astype(np.uint16) * 257, grey(GREYS)),
    "uint16 of the other byte order": (lambda: (GREYS.astype(np.uint16) * 257).astype(">u2"), grey(GREYS)),
    "uint16 RGB": (lambda: COLOURS.astype(np.uint16) * 257, COLOURS),
    "uint16 that is dark": (lambda: np.full((16, 24), 257, np.uint16), grey(np.full((16, 24), 1))),
    "float32 from 0 to 1": (lambda: (COLOURS / 255).astype(np.float32), COLOURS),
    "float16 grey": (lambda: np.full((16, 24), 0.5, np.float16), grey(np.full((16, 24), 128))),
    "float64 from 0 to 255": (lambda: COLOURS.astype(np.float64), COLOURS),
    "float32 RGBA": (lambda: (translucent() / 255).astype(np.float32), on_white(COLOURS, 51)),
    "PIL 1": (lambda: Image.fromarray(GREYS > 100), grey((GREYS > 100) * 255)),
    "PIL L": (lambda: Image.fromarray(GREYS), grey(GREYS)),
    "PIL RGBA": (lambda: Image.fromarray(translucent()), on_white(COLOURS, 51)),
    "PIL P, transparent": (palette, HALVES),
    "PIL I;16": (lambda: Image.fromarray(GREYS.astype(np.uint16) * 257), grey(GREYS)),
    "PIL I": (lambda: Image.fromarray(GREYS.astype(np.int32) * 257), grey(GREYS)),
    "PIL F from 0 to 1": (lambda: Image.fromarray((GREYS / 255).astype(np.float32)), grey(GREYS)),
    "PIL F from 0 to 255": (lambda: Image.fromarray(GREYS.astype(np.float32)), grey(GREYS)),
    "TIFF of floats": (lambda: encoded(Image.fromarray((GREYS * 0.5).astype(np.float32)), "TIFF"), grey(GREYS * 0.5)),
    "PNG of 16 bits": (lambda: encoded(Image.fromarray(GREYS.astype(np.uint16) * 257)), grey(GREYS)),
    "PNG with alpha": (lambda: encoded(Image.fromarray(translucent())), on_white(COLOURS, 51)),
    "GIF, transparent": (lambda: encoded(palette(), "GIF", transparency=0), HALVES),
}
for number in range(1, 9):
    data = turned(number)
    CASES[f"bytes, orientation {number}"] = (partial(bytes, data), seen_by_pillow(data))
    CASES[f"PIL, orientation {number}"] = (
        partial(lambda data: Image.open(io.BytesIO(data)), data),
        seen_by_pillow(data),
    )


def close(a: Any, b: Any, tolerance: float) -> bool:
    return a.shape == np.asarray(b).shape and bool(np.abs(a.astype(int) - np.asarray(b, int)).max() <= tolerance)


@pytest.mark.parametrize(("make", "pixels"), CASES.values(), ids=CASES)
async def test_the_model_sees_the_same_pixels_in_every_call(make: Make, pixels: Any, tmp_path: Path) -> None:
    got: list[Any] = []

    def model(item: Any) -> str:
        got.append(np.asarray(decode(bytes(item.data.image.base64))))
        return "seen"

    async with rigged("memory", tmp_path, model) as rig:
        await rig.model.predict(make(), input_type="image")
        await rig.model.predict([make()], input_type="image")
        async with rig.model.stream([make()], input_type="image") as stream:
            assert [prediction.text async for prediction in stream] == ["seen"]
        for seen in got:
            assert close(seen, pixels, 1)
        async with rig.model.stream_frames([make()]) as frames:
            [frame] = [frame async for frame in frames]
        assert close(got[-1], pixels, 12)  # a JPEG
        assert close(np.asarray(frame.picture()), got[-1], 1)
    data = make()
    image = media.decode(data) if isinstance(data, bytes) else data
    assert close(np.asarray(pictures.upright(encoding.image_of(image))), pixels, 1)


REFUSED: dict[str, tuple[Make, str]] = {
    "int32": (lambda: np.full((6, 9), 128, np.int32), r"int32 and shape \(6, 9\)"),
    "int64 RGB": (lambda: np.full((6, 9, 3), 128), r"int64 and shape \(6, 9, 3\)"),
    "floats above 255": (lambda: np.full((6, 9), 256.0), r"float64 and shape \(6, 9\).* 256 to 256"),
    "floats below 0": (lambda: np.full((6, 9), -0.1, np.float32), r"float32 and shape \(6, 9\)"),
    "not a number": (lambda: np.full((6, 9), np.nan), r"float64 and shape \(6, 9\)"),
    "channels first": (lambda: np.zeros((3, 6, 9), np.uint8), r"uint8 and shape \(3, 6, 9\)"),
    "a vector": (lambda: np.zeros(9, np.uint8), r"uint8 and shape \(9,\)"),
    "nothing": (lambda: np.zeros((0, 9), np.uint8), r"uint8 and shape \(0, 9\)"),
    "complex": (lambda: np.zeros((6, 9), np.complex64), r"complex64 and shape \(6, 9\)"),
    "PIL I beyond 16 bits": (lambda: Image.fromarray(np.full((6, 9), 70000, np.int32)), "70000"),
    "PIL F beyond 255": (lambda: Image.fromarray(np.full((6, 9), 1000, np.float32)), "1000"),
}


@pytest.mark.parametrize(("make", "words"), REFUSED.values(), ids=REFUSED)
async def test_what_cannot_be_sent_truly_is_refused(make: Make, words: str, tmp_path: Path) -> None:
    async with rigged("memory", tmp_path, lambda item: "seen") as rig:
        with pytest.raises(InputError, match=words):
            await rig.model.predict(make(), input_type="image")
        async with rig.model.stream_frames([make(), COLOURS]) as frames:
            bad, good = [frame async for frame in frames]
        assert isinstance(bad.error, InputError)
        assert good.text == "seen"
        with pytest.raises(InputError, match=words):
            raise bad.error


def with_chunks(*chunks: tuple[bytes, bytes], last: bool = False) -> bytes:
    """A PNG with more chunks, before its pixels or after them."""
    data = encoded(Image.fromarray(COLOURS))
    parts = [struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks]
    at = data.index(b"IEND") - 4 if last else data.index(b"IDAT") - 4
    return data[:at] + b"".join(parts) + data[at:]


def packed(size: int) -> bytes:
    packer = zlib.compressobj(1)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()


TEXTS = {
    "zTXt": [(b"zTXt", b"a\0\0" + packed(2 << 20))],
    "iTXt": [(b"iTXt", b"a\0\x01\0en\0a\0" + packed(2 << 20))],
    "iTXt that is plain": [(b"iTXt", b"a\0\0\0en\0a\0" + b"x" * (2 << 20))],
    "tEXt": [(b"tEXt", b"a\0" + b"x" * (2 << 20))],
    "iCCP": [(b"iCCP", b"a\0\0" + packed(2 << 20))],
    "several": [(b"zTXt", b"a\0\0" + packed(2 << 20)), (b"iCCP", b"a\0\0" + packed(2 << 20))],
}


@pytest.mark.parametrize("last", [False, True], ids=["in front", "at the end"])
@pytest.mark.parametrize("chunks", TEXTS.values(), ids=TEXTS)
def test_pictures_with_much_text_are_decoded(chunks: list[tuple[bytes, bytes]], last: bool) -> None:
    data = with_chunks(*chunks, last=last)
    assert (np.asarray(decode(data)) == COLOURS).all()
    assert (np.asarray(media.decode(data)) == COLOURS).all()


def test_a_text_that_is_a_bomb_is_refused() -> None:
    data = with_chunks((b"zTXt", b"a\0\0" + packed(300 << 20)))
    with pytest.raises(ModelError) as caught:
        decode(data)
    assert caught.value.code == 30300
    with pytest.raises(media.BadPicture):
        media.decode(data)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC cannot be decoded as a picture here; convert it to JPEG"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL cannot be decoded"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", "MP4 cannot be decoded as a picture here, which is a video"),
    ],
)
def test_a_format_that_cannot_be_decoded_is_named(head: bytes, words: str) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        decode(head + bytes(200))
    assert caught.value.code == 30101
