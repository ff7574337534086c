"""Live frames through servers that are fast enough, or are not: rates, ages, fairness, memory, the event loop.

Times are the best of three: other programs may be using the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import psutil
import pytest

from headrace.frames import FrameStats
from headrace.media import encoding
from headrace.model import Model
from headrace.sources import video
from headrace.testing import MemoryServer
from tests.support import clips
from tests.support.rig import rigged

logger = logging.getLogger(__name__)

Mode = Literal["stream", "unary"]
SERVICE = 0.1  # seconds a frame
FRAME = encoding.jpeg(clips.picture(100))
SOAK_SECONDS = float(os.environ.get("HEADRACE_SOAK_SECONDS", "2"))


class Server:
    """Takes so many frames at once, 100 ms each."""

    def __init__(self, together: int) -> None:
        self._room = asyncio.Semaphore(together)

    async def __call__(self, item: Any) -> str:
        async with self._room:
            await asyncio.sleep(SERVICE)
        return "seen"


async def best(attempt: Callable[[], Awaitable[float]], least: float) -> float:
    """Give the best of three, or the first that does."""
    found = 0.0
    for _ in range(3):
        found = max(found, await attempt())
        if found >= least:
            break
    return found


async def unpaced(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield FRAME


async def camera(fps: float, seconds: float) -> AsyncIterator[bytes]:
    """Give a frame when it is due; a late one at once."""
    start = time.monotonic()
    for number in range(round(fps * seconds)):
        await asyncio.sleep(max(0.0, start + number / fps - time.monotonic()))
        yield FRAME


def balanced(stats: FrameStats) -> bool:
    return stats.frames == stats.predictions + stats.errors + stats.dropped


def quiet() -> dict[str, Any]:
    return {"server": MemoryServer(keep=False)}


@pytest.mark.parametrize("mode", ["stream", "unary"])
async def test_a_window_of_8_gives_7_5_times_the_frames_of_1(tmp_path: Path, mode: Mode) -> None:
    async def rate(model: Model, window: int, count: int) -> float:
        start = time.monotonic()
        async with model.stream_frames(unpaced(count), window=window, mode=mode) as stream:
            found = [f async for f in stream]
        assert [f.index for f in found] == list(range(count))
        assert balanced(stream.stats)
        return count / (time.monotonic() - start)

    async def attempt() -> float:
        async with rigged("grpc", tmp_path, Server(8), double=quiet()) as rig:
            await rate(rig.model, 1, 1)  # connects
            return await rate(rig.model, 8, 240) / await rate(rig.model, 1, 30)

    assert await best(attempt, 7.5) >= 7.5


@pytest.mark.parametrize("mode", ["stream", "unary"])
async def test_every_frame_of_a_camera_is_answered_at_its_rate(tmp_path: Path, mode: Mode) -> None:
    async def attempt() -> float:
        async with rigged("grpc", tmp_path, Server(8), double=quiet()) as rig:
            start = time.monotonic()
            async with rig.model.stream_frames(camera(30, 3), mode=mode) as stream:
                found = [f async for f in stream]
            assert [f.index for f in found] == list(range(90))
            assert (stream.stats.predictions, stream.stats.dropped, stream.stats.errors) == (90, 0, 0)
            return 90 / (time.monotonic() - start - SERVICE)  # the last answer takes its time

    assert await best(attempt, 28) >= 28


@pytest.mark.alone
@pytest.mark.parametrize("mode", ["stream", "unary"])
@pytest.mark.parametrize("settings", [{"window": 1}, {"window": 8, "target_latency": 0.15}])
async def test_a_server_slower_than_the_camera_gets_the_newest_frames(
    tmp_path: Path, settings: dict[str, Any], mode: Mode
) -> None:
    async def attempt() -> float:
        async with rigged("grpc", tmp_path, Server(1), double=quiet()) as rig:
            source = camera(30, 1.5)
            async with rig.model.stream_frames(source, overflow="latest", mode=mode, **settings) as stream:
                ages = [f.age async for f in stream]
            stats = stream.stats
        assert stats.frames == 45
        assert balanced(stats)
        assert set(stats.drops) == {"latest"}
        kept_busy = stats.predictions >= 12  # of the 15 that it can do in 1.5 s
        # The first five find the window. One of the others may be late; had frames queued, the last would be 1 s old.
        return 1 / sorted(ages[5:])[-2] if kept_busy else 0.0

    assert await best(attempt, 1 / 0.2) > 1 / 0.2


@pytest.mark.alone
async def test_a_real_video_at_its_pace_stays_fresh_and_balanced(tmp_path: Path) -> None:
    clip = clips.steady(tmp_path / "a.mp4", 2)

    async def attempt() -> float:
        async with rigged("grpc", tmp_path, Server(1), double=quiet()) as rig:
            async with rig.model.stream_frames(video(clip.path, paced=True), window=1) as stream:
                ages = sorted([f.age async for f in stream])
            stats = stream.stats
        assert stats.frames == 60
        assert balanced(stats)
        return 1 / ages[int(len(ages) * 0.95)]

    assert await best(attempt, 1 / 0.2) > 1 / 0.2


@contextlib.asynccontextmanager
async def heartbeat() -> AsyncIterator[list[float]]:
    """Give a list that gets the longest time for which the loop was held, in seconds."""
    longest = [0.0]

    async def beat() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.005)
            longest[0] = max(longest[0], time.monotonic() - before - 0.005)

    task = asyncio.create_task(beat())
    try:
        yield longest
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.alone
@pytest.mark.timeout(3 * SOAK_SECONDS + 110)
async def test_four_cameras_on_one_client_are_served_alike(tmp_path: Path) -> None:
    """With HEADRACE_SOAK_SECONDS=60 this is the long run."""
    process = psutil.Process()

    async def attempt() -> set[str]:
        """Tell what of it holds."""
        answers = [0] * 4
        async with rigged("grpc", tmp_path, Server(8), double=quiet()) as rig, heartbeat() as longest:

            async def one(number: int) -> FrameStats:
                source = camera(30, SOAK_SECONDS)
                async with rig.model.stream_frames(source, window=4, overflow="latest") as stream:
                    async for _ in stream:
                        answers[number] += 1
                return stream.stats

            tasks = [asyncio.create_task(one(number)) for number in range(4)]
            await asyncio.sleep(SOAK_SECONDS * 0.4)
            gc.collect()
            early = process.memory_info().rss
            stats = await asyncio.gather(*tasks)
            gc.collect()
            grown = process.memory_info().rss - early
        assert all(balanced(s) and s.frames == round(30 * SOAK_SECONDS) for s in stats)
        held = f"loop held {longest[0] * 1000:.0f} ms at most"
        logger.info("%d s: answers %s, %s, memory grew by %.1f MB", SOAK_SECONDS, answers, held, grown / 1e6)
        found = {
            "fair": min(answers) / max(answers) >= 0.9,
            "busy": sum(answers) >= 0.85 * 80 * SOAK_SECONDS,  # of the 80 a second that the server can do
            "loop free": longest[0] < 0.05,
            "memory flat": grown < 8e6,
        }
        return {name for name, holds in found.items() if holds}

    seen: set[str] = set()
    gc.collect()
    gc.freeze()  # what thousands of tests before this one left alive is not to be looked through while we measure
    for _ in range(3):  # each the best of three: other programs of this machine may hold us as well
        seen |= await attempt()
        if len(seen) == 4:
            break
    assert seen == {"fair", "busy", "loop free", "memory flat"}


@pytest.mark.alone
async def test_four_videos_share_one_stream_and_stay_fresh(tmp_path: Path) -> None:
    paths = [clips.steady(tmp_path / f"{n}.mp4", 2).path for n in range(4)]

    async def attempt() -> float:
        counts = dict.fromkeys(map(str, paths), 0)
        ages = []
        async with rigged("grpc", tmp_path, Server(8), double=quiet()) as rig:
            sources = [video(path, paced=True) for path in paths]
            async with rig.model.stream_frames(sources, window=4) as stream:
                async for found in stream:
                    counts[found.source] += 1
                    ages.append(found.age)
            stats = stream.stats
        assert stats.frames == 4 * 60
        assert balanced(stats)
        fair = min(counts.values()) / max(counts.values()) > 0.75  # twenty or so each: one more or less is much
        kept_busy = sum(counts.values()) > 0.8 * 40 * 2
        return 1 / sorted(ages)[int(len(ages) * 0.95)] if fair and kept_busy else 0.0

    assert await best(attempt, 1 / 0.2) > 1 / 0.2


async def test_minutes_of_a_camera_before_a_slow_server_pile_nothing_up(tmp_path: Path) -> None:
    """10,800 frames, as fast as they can be made, and a server that gets to a few of them."""
    most_queued = 0
    frames = 30 * 360

    async def minutes() -> AsyncIterator[bytes]:
        for number in range(frames):
            yield b"%d" % number

    async def slow(item: Any) -> str:
        await asyncio.sleep(0.02)
        return bytes(item.data.image.base64).decode()

    async with (
        rigged("memory", tmp_path, slow, double=quiet(), on_event=None) as rig,
        rig.model.stream_frames(minutes(), window=2, overflow="latest") as stream,
    ):
        answers = [int((await anext(stream)).text)]
        tracemalloc.start()
        async for found in stream:
            answers.append(int(found.text))
            most_queued = max(most_queued, stream.stats.queued)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    stats = stream.stats
    assert stats.frames == frames
    assert balanced(stats)
    assert answers == sorted(answers)
    assert answers[-1] == frames - 1
    assert most_queued <= 1
    assert peak < 2_000_000
