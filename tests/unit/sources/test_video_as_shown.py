"""What comes of a film is what a player shows, from the client's source and in the embedded server alike."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from PIL.Image import Transpose

from headrace import ConfigError, SourceError
from headrace.server.model import ModelError
from headrace.server.models import _media
from headrace.sources import video, videos

RED, GREEN, BLUE, WHITE = (220, 30, 30), (30, 200, 40), (40, 40, 220), (240, 240, 240)
ONE = 1 << 16
#: Display matrix (a, b, c, d) -> how the coded picture is shown.
ORIENTATIONS: dict[str, tuple[tuple[int, int, int, int], Transpose | None]] = {
    "upright": ((1, 0, 0, 1), None),
    "flipped horizontally": ((-1, 0, 0, 1), Transpose.FLIP_LEFT_RIGHT),
    "flipped vertically": ((1, 0, 0, -1), Transpose.FLIP_TOP_BOTTOM),
    "half a turn": ((-1, 0, 0, -1), Transpose.ROTATE_180),
    "a quarter clockwise": ((0, 1, -1, 0), Transpose.ROTATE_270),
    "a quarter counterclockwise": ((0, -1, 1, 0), Transpose.ROTATE_90),
    "transposed": ((0, 1, 1, 0), Transpose.TRANSPOSE),
    "transversed": ((0, -1, -1, 0), Transpose.TRANSVERSE),
}


def corners(width: int = 96, height: int = 64) -> Image.Image:
    """A picture whose four quarters have colours of their own."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    image.paste(WHITE, (width // 2, height // 2, width, height))
    return image


def quarters(image: Image.Image) -> list[Any]:
    width, height = image.size
    places = [(width // 4, height // 4), (width * 3 // 4, height // 4)]
    places += [(x, height * 3 // 4) for x, _ in places]
    return [image.getpixel(place) for place in places]


def alike(image: Image.Image, expected: Image.Image, tolerance: int = 16) -> bool:
    pairs = zip(quarters(image), quarters(expected), strict=True)
    return all(abs(a - b) <= tolerance for one, other in pairs for a, b in zip(one, other, strict=True))


def film(
    path: Path,
    codec: str = "mpeg4",
    *,
    times: list[float] | None = None,
    picture: Image.Image | None = None,
    setup: Callable[[Any], None] = lambda stream: None,
    convert: Callable[[Any], Any] = lambda frame: frame,
    numbered: bool = False,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a film of these times; `numbered` frames tell their number by their brightness."""
    times = times or [number / 10 for number in range(10)]
    picture = picture or corners()
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=10, options=options or {})
        stream.width, stream.height = picture.size
        stream.pix_fmt = {"gif": "rgb8", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
        setup(stream)
        for number, time in enumerate(times):
            image = Image.new("RGB", picture.size, (number % 10 * 25,) * 3) if numbered else picture
            frame = convert(av.VideoFrame.from_image(image))
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            for packet in stream.encode(frame):
                container.mux(packet)
        container.mux(stream.encode(None))
    return path


async def by_source(path: Path, **options: Any) -> list[Any]:
    async with video(path, **options) as source:
        return [frame async for frame in source]


def by_server(path: Path, step_ms: int = 100, side: int = 4096) -> list[tuple[int, int, Image.Image]]:
    return list(_media.frames(path.read_bytes(), step_ms, side, threading.Event()))


@pytest.mark.parametrize(("matrix", "turn"), ORIENTATIONS.values(), ids=ORIENTATIONS)
async def test_films_are_upright_and_not_mirrored(tmp_path: Path, matrix: Any, turn: Transpose | None) -> None:
    a, b, c, d = (value * ONE for value in matrix)
    path = film(tmp_path / "a.mp4", setup=lambda s: s.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30]))
    expected = corners() if turn is None else corners().transpose(turn)
    for resize, size in ((None, expected.size), (48, tuple(n // 2 for n in expected.size)), ((80, 40), (80, 40))):
        frame = (await by_source(path, resize=resize))[0]
        assert frame.size == frame.picture().size == size
        assert alike(frame.picture(), expected)
    shown = by_server(path)[0][2]
    assert shown.size == expected.size
    assert alike(shown, expected)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "ts", "avi"])
@pytest.mark.parametrize(
    ("size", "aspect", "wide"), [((144, 116), "16/15", 154), ((144, 96), "8/9", 128), ((144, 96), "32/27", 171)]
)
async def test_pixels_that_are_not_square(
    tmp_path: Path, suffix: str, size: tuple[int, int], aspect: str, wide: int
) -> None:
    def setup(stream: Any) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(aspect)

    path = film(tmp_path / f"a.{suffix}", picture=corners(*size), setup=setup)
    frame = (await by_source(path))[0]
    assert frame.size == (wide, size[1])
    assert (await by_source(path, resize=64))[0].size == (64, round(size[1] * 64 / wide))
    assert (await by_source(path, resize=(50, 40)))[0].size == (50, 40)
    if suffix != "ts":
        assert by_server(path)[0][2].size == (wide, size[1])


@pytest.mark.parametrize("matrix", ["ITU709", "ITU601"])
@pytest.mark.parametrize("levels", ["MPEG", "JPEG"])
async def test_colours_are_those_that_were_filmed(tmp_path: Path, matrix: str, levels: str) -> None:
    from av.video.reformatter import ColorRange, Colorspace

    def setup(stream: Any) -> None:
        stream.codec_context.colorspace = 1 if matrix == "ITU709" else 6  # as the file says it
        stream.codec_context.color_range = ColorRange[levels].value

    def convert(frame: Any) -> Any:
        return frame.reformat(format="yuv420p", dst_colorspace=Colorspace[matrix], dst_color_range=ColorRange[levels])

    path = film(tmp_path / "a.mp4", "libx264", setup=setup, convert=convert, options={"crf": "5"})
    assert alike((await by_source(path, quality=95))[0].picture(), corners(), 8)
    assert alike(by_server(path)[0][2], corners(), 8)


@pytest.mark.parametrize(("suffix", "codec"), [("gif", "gif"), ("mp4", "libx264"), ("mkv", "libx264")])
@pytest.mark.parametrize("gap", [0.5, 3.0, 20.0])
async def test_frames_that_stand_long_are_no_early_end(tmp_path: Path, suffix: str, codec: str, gap: float) -> None:
    path = film(tmp_path / f"a.{suffix}", codec, times=[0, 0.1, 0.2, 0.2 + gap, 0.2 + 2 * gap])
    assert len(await by_source(path)) == 5


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        ("mp4", "libx264"), ("mov", "libx264"), ("mkv", "libx264"), ("ts", "libx264"), ("ts", "mpeg2video"),
        ("h264", "libx264"), ("webm", "libvpx-vp9"), ("gif", "gif"), ("avi", "mpeg4"), ("mpg", "mpeg2video"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("start", [0.3, 2.5, 5.9])
async def test_start_loses_no_frame(tmp_path: Path, suffix: str, codec: str, start: float) -> None:
    options = {"libx264": {"bf": "2", "g": "250", "preset": "veryfast"}}.get(codec, {"g": "250"})
    options = {} if codec == "gif" else options
    with av.open(str(tmp_path / f"a.{suffix}"), "w") as container:
        stream: Any = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "rgb8" if codec == "gif" else "yuv420p"
        for number in range(150):
            container.mux(stream.encode(av.VideoFrame.from_image(Image.new("RGB", (96, 64), (number,) * 3))))
        container.mux(stream.encode(None))
    path = tmp_path / f"a.{suffix}"
    everything = await by_source(path)
    got = await by_source(path, start=start)
    expected = [frame for frame in everything if frame.time >= start - 0.001]
    assert len(everything) == 150
    assert [round(frame.time, 3) for frame in got] == [round(frame.time, 3) for frame in expected]
    assert [frame.jpeg for frame in got] == [frame.jpeg for frame in expected]


def damaged(path: Path, which: int) -> Path:
    """Zero one packet of a film where it lies."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        at, size = packets[which].pos, packets[which].size
    assert at is not None
    data = bytearray(path.read_bytes())
    data[at : at + size] = bytes(size)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [("mp4", "mjpeg"), ("mp4", "libx264"), ("mp4", "mpeg4"), ("mp4", "libvpx-vp9"), ("avi", "mpeg4")],
)
@pytest.mark.parametrize("which", [0, 15])
async def test_damaged_packets_cost_their_frames_only(tmp_path: Path, suffix: str, codec: str, which: int) -> None:
    times = [number / 10 for number in range(30)]
    options = {} if codec == "mjpeg" else {"g": "5"}
    path = damaged(film(tmp_path / f"a.{suffix}", codec, times=times, options=options), which)
    got = await by_source(path)
    assert len(got) >= 23
    assert len(by_server(path)) >= 23


async def test_a_film_without_one_good_packet_says_so(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", "mjpeg", times=[0, 0.1, 0.2])
    for number in range(3):
        damaged(path, number)
    with pytest.raises(SourceError, match="none of its 3 packets"):
        await by_source(path)
    with pytest.raises(ModelError, match="none of the video's 3 packets") as caught:
        by_server(path)
    assert caught.value.code == 31300


def covered(path: Path, *, with_film: bool) -> Path:
    """Write a sound with a cover picture, and a film after them."""
    from av.stream import Disposition

    cover = io.BytesIO()
    corners().save(cover, "JPEG")
    with av.open(str(path), "w", format="mp4") as container:
        picture: Any = container.add_stream("mjpeg", rate=1)
        picture.width, picture.height, picture.pix_fmt = 96, 64, "yuvj420p"
        picture.disposition = Disposition.attached_pic
        sound: Any = container.add_stream("aac", rate=16_000, layout="mono")
        films: Any = container.add_stream("mpeg4", rate=10) if with_film else None
        if films is not None:
            films.width, films.height, films.pix_fmt = 64, 64, "yuv420p"
        container.mux(picture.encode(av.VideoFrame.from_image(corners())))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 16_000
        container.mux(sound.encode(silence))
        container.mux(sound.encode(None))
        for _ in range(5 if films is not None else 0):
            container.mux(films.encode(av.VideoFrame.from_image(Image.new("RGB", (64, 64), BLUE))))
        for stream in (picture, films):
            container.mux(stream.encode(None) if stream is not None else [])
    return path


async def test_a_cover_picture_is_no_film(tmp_path: Path) -> None:
    path = covered(tmp_path / "a.m4a", with_film=False)
    with pytest.raises(SourceError, match="only sound"):
        await by_source(path)
    with pytest.raises(ModelError, match="only sound") as caught:
        by_server(path)
    assert caught.value.code == 31300


async def test_a_cover_that_comes_first_is_passed_over(tmp_path: Path) -> None:
    path = covered(tmp_path / "a.mp4", with_film=True)
    assert [frame.size for frame in await by_source(path)] == [(64, 64)] * 5
    assert [image.size for _, _, image in by_server(path)] == [(64, 64)] * 5


@pytest.mark.parametrize(
    ("times", "step", "expected"),
    [
        ([n / 10 for n in range(60)], 2000, [(10, 1000), (30, 3000), (50, 5000)]),
        ([n / 10 for n in range(45)], 2000, [(10, 1000), (30, 3000), (44, 5000)]),
        ([n / 10 for n in range(5)], 1000, [(4, 500)]),
        ([0, 3.0, 3.1], 1000, [(0, 500), (0, 1500), (0, 2500), (2, 3500)]),
        ([5.0 + n / 10 for n in range(20)], 1000, [(5, 500), (15, 1500)]),
    ],
)
def test_the_server_looks_at_the_middle_of_each_span(
    tmp_path: Path, times: list[float], step: int, expected: list[tuple[int, int]]
) -> None:
    path = film(tmp_path / "a.mkv", "libx264", times=times, options={"bf": "0"})
    assert [(number, time) for number, time, _ in by_server(path, step)] == expected


async def test_closing_ends_the_thread_although_a_frame_cannot_be_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, release = threading.Event(), threading.Event()

    def encode(*_: Any) -> Any:
        begun.set()
        release.wait(30)
        raise ConfigError("frames of videos need Pillow")

    monkeypatch.setattr(videos, "_jpeg", encode)
    source = video(film(tmp_path / "a.mp4"))
    dropped: list[str] = []
    source.on_drop(lambda id, number, cause: dropped.append(cause))
    reading = asyncio.ensure_future(anext(source))
    await asyncio.to_thread(begun.wait, 30)
    reading.cancel()
    await asyncio.wait([reading])
    release.set()
    await source.aclose()
    assert not any(thread.name == "headrace-video" for thread in threading.enumerate())


@pytest.mark.parametrize("count", [None, bytes(4), b"\xff" * 4], ids=["right", "none", "endless"])
async def test_an_ivf_file_gives_its_frames_whatever_count_its_header_has(tmp_path: Path, count: bytes | None) -> None:
    """A recorder that is stopped does not write the number of frames."""
    path = film(tmp_path / "a.ivf", "libvpx", times=[number / 10 for number in range(20)])
    data = path.read_bytes()
    path.write_bytes(data if count is None else data[:24] + count + data[28:])
    frames = await by_source(path)
    assert [round(frame.time, 3) for frame in frames] == [number / 10 for number in range(20)]
    with pytest.raises(ModelError, match=r"known format .* but IVF") as refused:  # the server names what it is
        by_server(path)
    assert refused.value.code == 31101
