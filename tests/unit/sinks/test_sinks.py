"""Annotated videos and pictures, JSON lines and captions, of frames that are made up."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from headrace import ClosedError, Concept, ConfigError, Prediction, PredictionFailed, Region
from headrace.draw import colour_of, draw_boxes
from headrace.frames import FramePrediction
from headrace.sinks import JsonlSink, PictureSink, VideoSink, WebVttSink
from headrace.v2 import resources_pb2 as pb


def answer(regions: Sequence[Region] = (), text: str = "", concepts: Sequence[Concept] = ()) -> Prediction:
    data = pb.Data(concepts=[pb.Concept(name=c.name, value=c.value) for c in concepts])
    if text:
        data.text.raw = text
    for region in regions:
        corners = pb.BoundingBox(
            top_row=region.top, left_col=region.left, bottom_row=region.bottom, right_col=region.right
        )
        named = pb.Data(concepts=[pb.Concept(name=region.name, value=region.value)])
        data.regions.append(pb.Region(region_info=pb.RegionInfo(bounding_box=corners), data=named, value=region.value))
    return Prediction(b"", [pb.Output(data=data)])


def frame(index: int, time: float, prediction: Prediction, size: tuple[int, int] = (320, 200)) -> FramePrediction:
    buffer = io.BytesIO()
    Image.new("RGB", size, "white").save(buffer, "JPEG")
    return FramePrediction(buffer.getvalue(), prediction, index, time, "clip", 0.01, 0.02)


def cup(left: float) -> Region:
    return Region(0.3, left, 0.8, left + 0.3, 0.9, (Concept("cup", 0.9),))


def failed() -> Prediction:
    return Prediction.failed(PredictionFailed("no"))


def frames_of(path: Path) -> list[tuple[Fraction, Image.Image]]:
    with av.open(str(path)) as container:
        stream: Any = container.streams.video[0]
        return [(f.pts * Fraction(f.time_base), f.to_image()) for f in container.decode(stream)]


def is_colour(pixel: Any, colour: tuple[int, int, int], most: int = 60) -> bool:
    return all(abs(a - b) < most for a, b in zip(pixel, colour, strict=True))


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.webm"])
async def test_a_video_has_the_frames_times_and_boxes(tmp_path: Path, name: str) -> None:
    times = [0.0, 0.04, 0.3, 0.31, 1.0]
    async with VideoSink(tmp_path / name, crf=10) as sink:
        for index, at in enumerate(times):
            await sink.write(frame(index, 5 + at, answer([cup(index / 10)])))
    found = frames_of(tmp_path / name)
    assert [float(at) for at, _ in found] == pytest.approx(times, abs=0.001)
    assert sink.frames == 5
    for index, (_, picture) in enumerate(found):
        left = round(index / 10 * 319)
        assert is_colour(picture.getpixel((left + 1, 120)), colour_of("cup"))
        assert is_colour(picture.getpixel((left + 50, 120)), (255, 255, 255))


async def test_frames_without_times_odd_sizes_failures_and_nothing_at_all(tmp_path: Path) -> None:
    async with VideoSink(tmp_path / "a.avi", fps=5) as sink:
        await sink.write(frame(0, 0, answer([cup(0.2)]), (321, 201)))
        await sink.write(frame(1, 0, failed(), (100, 100)))
        await sink.write(FramePrediction("no picture", failed(), 2, 0, "", 0, 0))
    found = frames_of(tmp_path / "a.avi")
    assert sink.frames == 2
    assert [picture.size for _, picture in found][:2] == [(320, 200)] * 2
    async with VideoSink(tmp_path / "none.mp4"):
        pass
    assert not (tmp_path / "none.mp4").exists()


async def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.mp4"):
        VideoSink(tmp_path / "out.gif")
    with pytest.raises(ConfigError):
        VideoSink(tmp_path / "out.mp4", fps=0)
    for sink in (VideoSink(tmp_path / "no/out.mp4"), JsonlSink(tmp_path / "no/out.jsonl")):
        with pytest.raises(OSError, match="No such file"):
            await sink.write(frame(0, 0, answer()))
        await sink.aclose()
        with pytest.raises(ClosedError):
            await sink.write(frame(0, 0, answer()))


@pytest.mark.parametrize(("name", "make"), [("out.mp4", VideoSink), ("out.mkv", VideoSink), ("out.vtt", WebVttSink)])
async def test_a_file_is_complete_or_not_there(tmp_path: Path, name: str, make: Any) -> None:
    path = tmp_path / name
    path.write_bytes(b"the older one")
    sink = make(path)
    await sink.write(frame(0, 0, answer([cup(0.2)])))
    await sink.write(frame(1, 1, answer()))
    assert path.read_bytes() == b"the older one"
    await sink.aclose()
    assert path.read_bytes()[:13] != b"the older one"
    assert list(tmp_path.iterdir()) == [path]


async def test_a_cancelled_write_is_finished_before_the_next(tmp_path: Path) -> None:
    async with VideoSink(tmp_path / "out.mp4") as sink:
        for index in range(20):
            writing = asyncio.ensure_future(sink.write(frame(index, index / 10, answer([cup(0.1)]))))
            await asyncio.sleep(0)
            if index % 2:
                writing.cancel()
            await asyncio.wait([writing])
    assert len(frames_of(tmp_path / "out.mp4")) >= 10


async def test_pictures(tmp_path: Path) -> None:
    async with PictureSink(tmp_path / "deep/out") as sink:
        await sink.write(frame(7, 0, answer([cup(0.5)])))
        await sink.write(frame(12, 0, answer(concepts=[Concept("cat", 0.8)])))
    assert sorted(path.name for path in (tmp_path / "deep/out").iterdir()) == ["000007.jpg", "000012.jpg"]
    with Image.open(tmp_path / "deep/out/000012.jpg") as picture:
        assert is_colour(picture.getpixel((1, 100)), colour_of("cat"))  # a classified frame is labelled as a whole


async def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    async with JsonlSink(path) as sink:
        await sink.write(frame(3, 0.1, answer([cup(0.5)])))
        assert len(path.read_text().splitlines()) == 1  # at once
        await sink.write(frame(4, 0.2, failed()))
    first, second = map(json.loads, path.read_text().splitlines())
    assert (first["index"], first["time"], first["source"]) == (3, 0.1, "clip")
    assert first["outputs"][0]["data"]["regions"][0]["data"]["concepts"][0]["name"] == "cup"
    assert second["error"]["type"] == "PredictionFailed"


async def test_captions(tmp_path: Path) -> None:
    said = ["a cup", "a cup", "", "a <b>cup</b> --> and\n\na spoon & more", "end"]
    async with WebVttSink(tmp_path / "out.vtt") as sink:
        for index, text in enumerate(said):
            await sink.write(frame(index, 3599.5 + index / 4, answer(text=text)))
        await sink.write(frame(9, 3601, failed()))
    assert (tmp_path / "out.vtt").read_text() == (
        "WEBVTT\n"
        "\n00:59:59.500 --> 01:00:00.000\na cup\n"
        "\n01:00:00.250 --> 01:00:00.500\na &lt;b&gt;cup&lt;/b&gt; --&gt; and\na spoon &amp; more\n"
        "\n01:00:00.500 --> 01:00:01.000\nend\n"
    )
    assert sink.captions == 3
    async with WebVttSink(tmp_path / "boxes.vtt") as sink:
        await sink.write(frame(0, 0, answer([cup(0.1), cup(0.5)])))
    assert (tmp_path / "boxes.vtt").read_text() == "WEBVTT\n\n00:00:00.000 --> 00:00:02.000\ncup\n"
    async with WebVttSink(tmp_path / "empty.vtt"):
        pass
    assert (tmp_path / "empty.vtt").read_text() == "WEBVTT\n"


def test_drawing_is_no_bottleneck() -> None:
    picture = Image.new("RGB", (1920, 1080))
    boxes = [cup(n / 10) for n in range(6)]
    best = 1.0
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(10):
            draw_boxes(picture, boxes)
        best = min(best, (time.perf_counter() - start) / 10)
    assert best < 1 / 60  # twice the rate of a camera, in full HD
