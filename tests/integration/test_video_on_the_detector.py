"""A real clip through the embedded detector: boxes where the object is, in the answers and in the annotated video."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from headrace import Client, Region
from headrace.model import Model
from headrace.results.views import PixelBox
from headrace.sinks import JsonlSink, VideoSink, WebVttSink
from headrace.sources import video
from tests.support import clips

pytestmark = pytest.mark.models

#: The cup's box in the picture, when the photo's left edge is at 0, in pixels.
CUP = PixelBox(top=113, left=75, bottom=255, right=212)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> clips.Clip:
    return clips.uneven(tmp_path_factory.mktemp("clip") / "cup.mp4", 24)


@pytest.fixture
async def model() -> AsyncIterator[Model]:
    async with Client.local(models=["yolov3-tiny"]) as client:
        yield client.model(model_id="yolov3-tiny")


def overlap(region: Region, left: int) -> float:
    box = region.pixels(*clips.SIZE)
    cup = CUP._replace(left=CUP.left + left, right=CUP.right + left)
    width, height = (
        min(box.right, cup.right) - max(box.left, cup.left),
        min(box.bottom, cup.bottom) - max(box.top, cup.top),
    )
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(one.right - one.left) * (one.bottom - one.top) for one in (box, cup)]
    return width * height / (sum(areas) - width * height)


async def test_every_frame_of_the_annotated_video(tmp_path: Path, model: Model, clip: clips.Clip) -> None:
    found = []
    async with (
        VideoSink(tmp_path / "out.mp4", crf=12) as sink,
        JsonlSink(tmp_path / "out.jsonl") as lines,
        WebVttSink(tmp_path / "out.vtt") as captions,
        model.stream_frames(video(clip.path), window=2, track=True) as stream,
    ):
        async for frame in stream:
            found.append(frame)
            await sink.write(frame)
            await lines.write(frame)
            await captions.write(frame)
    assert [frame.error for frame in found] == [None] * len(clip.times)
    assert [frame.time for frame in found] == pytest.approx([float(time) for time in clip.times], abs=1e-4)

    cups = []
    for frame, left in zip(found, clip.lefts, strict=True):
        best = max(frame.regions, key=lambda region: overlap(region, left))
        assert overlap(best, left) > 0.6, (frame.index, frame.regions)
        assert best.name == "cup"
        cups.append(best)
    assert len({cup.track_id for cup in cups}) == 1  # one object, all along

    with av.open(str(tmp_path / "out.mp4")) as container:
        shown: Any = container.streams.video[0]
        frames = [(f.pts * Fraction(f.time_base), f.to_image()) for f in container.decode(shown)]
    assert [float(time) for time, _ in frames] == pytest.approx([float(time) for time in clip.times], abs=0.001)
    for number, ((_, picture), cup) in enumerate(zip(frames, cups, strict=True)):
        assert clips.number_of(picture) == number
        plain = clips.picture(clip.lefts[number], number)
        top, left, bottom, right = cup.pixels(*clips.SIZE)
        rows, columns = range(top + 8, bottom - 8, 5), range(left + 8, right - 8, 5)
        edges = [
            [[(left + d, y) for d in (-1, 0, 1)] for y in rows],
            [[(right - d, y) for d in (0, 1, 2)] for y in rows],
            [[(x, bottom - d) for d in (0, 1, 2)] for x in columns],
        ]
        for edge in edges:  # each point of it, or one beside it
            drawn = [max(changed(picture, plain, *at) for at in around) > 60 for around in edge]
            assert sum(drawn) > 0.8 * len(drawn), (number, edge[0])
        untouched = ((20, 30), (620, 30), (320, 350))
        assert all(changed(picture, plain, *at) < 60 for at in untouched)

    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["index"] for line in written] == list(range(len(found)))
    assert "cup" in (tmp_path / "out.vtt").read_text()


def changed(picture: Image.Image, plain: Image.Image, x: int, y: int) -> int:
    """How much a pixel differs, the three colours together; the codec itself changes little."""
    one, other = picture.getpixel((x, y)), plain.getpixel((x, y))
    assert isinstance(one, tuple)
    assert isinstance(other, tuple)
    return sum(abs(int(a) - int(b)) for a, b in zip(one, other, strict=True))


async def test_sampled_frames_are_those_of_their_times(model: Model, clip: clips.Clip) -> None:
    step = Fraction(1, 4)
    wanted = sorted({next(t for t in clip.times if t >= n * step) for n in range(int(clip.times[-1] / step) + 1)})
    async with model.stream_frames(video(clip.path, sample_ms=250), mode="unary") as stream:
        found = [frame async for frame in stream]
    assert [round(frame.time * 1000) for frame in found] == [int(time * 1000) for time in wanted]
    for frame, time in zip(found, wanted, strict=True):
        left = clip.lefts[clip.times.index(time)]
        assert max(overlap(region, left) for region in frame.regions) > 0.6
