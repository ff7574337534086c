"""Frames of video files: exact times, what is sampled, what is dropped, and every way in which a file can be bad."""

from __future__ import annotations

import asyncio
import io
import math
import sys
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from headrace import ConfigError, SourceError
from headrace.sources import FrameInput, VideoSource, camera, merge, video
from tests.support import clips


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def steady(folder: Path) -> clips.Clip:
    return clips.steady(folder / "steady.mp4", 2)


@pytest.fixture(scope="module")
def uneven(folder: Path) -> clips.Clip:
    return clips.uneven(folder / "uneven.mp4")


async def frames(source: VideoSource) -> list[Any]:
    async with source:
        return [frame async for frame in source]


@pytest.mark.parametrize("name", ["uneven.mp4", "uneven.mkv"])
async def test_times_are_presentation_times(folder: Path, name: str) -> None:
    clip = clips.uneven(folder / name)
    found = await frames(video(clip.path))
    assert [frame.time for frame in found] == pytest.approx([float(time) for time in clip.times], abs=0.0006)
    assert [frame.index for frame in found] == list(range(len(clip.times)))


@pytest.mark.parametrize("step_ms", [40, 100, 250, 333, 1000])
@pytest.mark.parametrize("name", ["uneven.mp4", "uneven.mkv"])
async def test_sampling_a_varying_rate_is_exact_to_the_frame(folder: Path, name: str, step_ms: int) -> None:
    clip = clips.uneven(folder / name)
    step = Fraction(step_ms, 1000)
    wanted = sorted({next(t for t in clip.times if t >= n * step) for n in range(int(clip.times[-1] / step) + 1)})
    found = await frames(video(clip.path, sample_ms=step_ms))
    assert [round(frame.time * 1000) for frame in found] == [int(time * 1000) for time in wanted]
    shown = [clips.number_of(frame.picture()) for frame in found]
    assert shown == [clip.times.index(time) for time in wanted]  # and they are the pictures of those times


async def test_start_end_and_rate(steady: clips.Clip) -> None:
    found = await frames(video(steady.path, fps=5, start=0.5, end=1.5))
    assert [round(frame.time, 4) for frame in found] == [0.5, 0.7, 0.9, 1.1, 1.3]


async def test_keyframes_only(steady: clips.Clip) -> None:
    found = await frames(video(steady.path, keyframes=True))
    assert [round(frame.time * 30) for frame in found] == [0, 10, 20, 30, 40, 50]


async def test_size_and_quality(steady: clips.Clip) -> None:
    (large,) = await frames(video(steady.path, end=0.01))
    (small,) = await frames(video(steady.path, end=0.01, resize=100, quality=40))
    (square,) = await frames(video(steady.path, end=0.01, resize=(64, 64)))
    assert (large.size, small.size, square.size) == ((640, 400), (100, 62), (64, 64))
    for frame in (large, small, square):
        with Image.open(io.BytesIO(frame.jpeg)) as picture:
            assert (picture.format, picture.size) == ("JPEG", frame.size)
    assert len(small.jpeg) < len(large.jpeg) / 10


async def test_a_file_waits_for_its_reader_and_can_be_read_again(steady: clips.Clip) -> None:
    async with video(steady.path) as source:
        first = await anext(source)
        assert source.stats.frames <= 4  # nothing runs ahead but the buffer
        assert len([frame async for frame in source]) == 59
        assert (source.stats.given, source.stats.dropped) == (60, 0)
        await source.restart()
        again = await anext(source)
        assert isinstance(first, FrameInput)
        assert isinstance(again, FrameInput)
        assert (first.id, first.time, first.jpeg) == (again.id, again.time, again.jpeg)


async def test_what_is_dropped_was_never_encoded(steady: clips.Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["headrace.sources.videos"]
    encoded = 0
    encode = module._jpeg

    def counted(*arguments: Any) -> Any:
        nonlocal encoded
        encoded += 1
        return encode(*arguments)

    monkeypatch.setattr(module, "_jpeg", counted)
    source = video(steady.path, overflow="latest")
    async with source:
        await anext(source)
        while source.stats.frames < 60:
            await asyncio.sleep(0.005)
        last = await anext(source)
        assert isinstance(last, FrameInput)
        assert last.index == 59
        with pytest.raises(StopAsyncIteration):
            await anext(source)
    stats = source.stats
    assert encoded == stats.given == 2
    assert (stats.frames, stats.drops) == (60, {"latest": 58})


async def test_a_paced_file_comes_at_its_times(steady: clips.Clip) -> None:
    earliest = -math.inf
    for _ in range(3):  # a first frame that a busy machine holds up makes the others look early
        frames = []
        async with video(steady.path, paced=True, end=1.0, overflow="drop_oldest", buffer=30) as source:
            async for frame in source:
                assert isinstance(frame, FrameInput)
                frames.append(frame)
        assert len(frames) == 30
        earliest = max(earliest, min(frame.captured - frames[0].captured - frame.time for frame in frames))
        if earliest > -0.02:
            return
    raise AssertionError(f"a frame came {-earliest:.3f} s before its time")


async def test_closing_early_leaves_no_thread_and_counts_what_was_inside(steady: clips.Clip) -> None:
    source = video(steady.path, buffer=4)
    await anext(source)
    while not source.stats.waiting:
        await asyncio.sleep(0.001)
    await source.aclose()
    await source.aclose()
    assert not [thread for thread in threading.enumerate() if thread.name == "headrace-video"]
    stats = source.stats
    assert stats.frames == stats.given + stats.dropped
    with pytest.raises(StopAsyncIteration):
        await anext(source)


async def test_a_forgotten_source_ends_its_thread(steady: clips.Clip) -> None:
    source = video(steady.path)
    await anext(source)
    del source
    threads = [thread for thread in threading.enumerate() if thread.name == "headrace-video"]
    for thread in threads:
        await asyncio.to_thread(thread.join, 5)
        assert not thread.is_alive()


async def test_a_cancelled_read_loses_no_frame(steady: clips.Clip) -> None:
    found = []
    async with video(steady.path, end=0.5) as source:
        cancelled = 0
        while True:
            reading = asyncio.ensure_future(anext(source))
            if cancelled < 10:
                await asyncio.wait([reading], timeout=0.002)
                if not reading.done():
                    cancelled += 1
                    reading.cancel()
                    await asyncio.wait([reading])
                    if reading.cancelled():
                        continue
            try:
                found.append((await reading).position)
            except StopAsyncIteration:
                break
    assert found == list(range(15))
    assert cancelled


# --- bad input


async def refused(source: VideoSource) -> tuple[SourceError, int]:
    count = 0
    async with source:
        with pytest.raises(SourceError) as caught:
            async for _ in source:
                count += 1
    assert caught.value.source
    assert caught.value.position is not None
    return caught.value, count


async def test_no_such_file_or_device(tmp_path: Path) -> None:
    assert "No such file" in str((await refused(video(tmp_path / "nope.mp4")))[0])
    assert "no such camera: /dev/video97" in str((await refused(camera(97)))[0])
    assert "is a folder" in str((await refused(video(tmp_path)))[0])


async def test_a_file_without_bytes_or_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    assert "0 bytes" in str((await refused(video(tmp_path / "empty.mp4")))[0])
    (tmp_path / "text.mp4").write_text("hello " * 1000)
    assert "cannot be opened" in str((await refused(video(tmp_path / "text.mp4")))[0])


async def test_only_sound(tmp_path: Path) -> None:
    assert "only sound" in str((await refused(video(clips.sound_only(tmp_path / "a.mp4"))))[0])


async def test_a_codec_that_cannot_be_read(folder: Path, steady: clips.Clip) -> None:
    data = steady.path.read_bytes().replace(b"avc1", b"zzz9")
    (folder / "codec.mp4").write_bytes(data)
    assert "codec cannot be read" in str((await refused(video(folder / "codec.mp4")))[0])


async def test_no_frames(tmp_path: Path) -> None:
    path = tmp_path / "zero.mkv"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        container.start_encoding()
    error, count = await refused(video(path))
    assert (count, error.position) == (0, 0)


@pytest.mark.parametrize("name", ["cut.mkv", "cut.mp4"])
async def test_a_video_that_ends_in_the_middle_gives_what_there_is_first(folder: Path, name: str) -> None:
    whole = clips.uneven(folder / f"whole-{name}", index_first=name.endswith(".mp4")).path
    data = whole.read_bytes()
    (folder / name).write_bytes(data[: len(data) // 2])
    error, count = await refused(video(folder / name))
    assert "ends in the middle" in str(error)
    assert 10 < count < 50
    assert error.position == count
    (folder / f"broken-{name}").write_bytes(data[:60])
    await refused(video(folder / f"broken-{name}"))


async def test_broken_packets_are_counted_and_the_rest_is_read(folder: Path) -> None:
    clip = clips.steady(folder / "intra.mp4", 1, gop=1)
    with av.open(str(clip.path)) as container:
        places = [packet.pos for packet in container.demux(container.streams.video[0]) if packet.pos is not None]
    data = bytearray(clip.path.read_bytes())
    for number in (7, 20):
        data[places[number] : places[number] + 8] = b"\xff" * 8
    (folder / "scratched.mp4").write_bytes(data)
    source = video(folder / "scratched.mp4")
    shown = [clips.number_of(frame.picture()) for frame in await frames(source)]
    assert shown == [number for number in range(30) if number not in (7, 20)]
    assert source.stats.broken == 2


async def test_frames_that_are_too_large_to_decode(steady: clips.Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.media.MAX_PIXELS", 640 * 400 - 1)
    error, _ = await refused(video(steady.path))
    assert "640 x 400 pixels" in str(error)


async def test_a_start_behind_the_end(steady: clips.Clip) -> None:
    assert "no frame from 50 s on" in str((await refused(video(steady.path, start=50)))[0])


async def test_without_what_decodes_it_says_what_to_install(
    steady: clips.Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    for missing in ("av", "PIL"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, missing, None)
            async with video(steady.path) as source:
                with pytest.raises(ConfigError, match=r"\S*\[video\]"):
                    await anext(source)


def test_wrong_settings(steady: clips.Clip) -> None:
    for settings in (
        {"fps": 5, "sample_ms": 200},
        {"fps": 0},
        {"sample_ms": 0.2},
        {"start": -1},
        {"start": 2, "end": 1},
        {"resize": 0},
        {"quality": 101},
        {"buffer": 0},
    ):
        with pytest.raises(ConfigError):
            video(steady.path, **settings)
    with pytest.raises(ConfigError, match="cannot open gopher"):
        video("gopher://x/y")
    with pytest.raises(ConfigError, match="cannot wait"):
        camera(0, overflow="block")
    with pytest.raises(ConfigError, match="paced=True"):
        camera("clip.mp4")
    with pytest.raises(ConfigError, match="no start or end"):
        video("rtsp://camera/1", start=3)
    assert video("rtsp://camera/1").live
    assert not video("http://host/clip.mp4").live


async def test_merged_videos_take_turns(steady: clips.Clip) -> None:
    async with merge(video(steady.path), video(steady.path)) as source:
        found = [frame async for frame in source]
    assert len(found) == 120
    for prefix in {frame.id.rpartition("-")[0] for frame in found}:
        own = [frame.position for frame in found if frame.id.startswith(prefix)]
        assert own == list(range(60))
    halves = [sum(frame.id.startswith(found[0].id[:-1]) for frame in found[at : at + 20]) for at in range(0, 120, 20)]
    assert all(5 <= half <= 15 for half in halves)
