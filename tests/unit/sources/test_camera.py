"""Cameras in the network: they are never made to wait, and come back with their numbers going on."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from headrace import SourceError
from headrace.sources import FrameInput, camera
from tests.support.cameras import Camera, MjpegCamera, RtspCamera


@pytest.mark.parametrize("kind", [Camera, RtspCamera])
async def test_a_camera_that_is_unplugged_comes_back_and_numbers_go_on(kind: type[Camera]) -> None:
    async with kind() as served, camera(served.url, timeout=2, overflow="drop_oldest", buffer=60) as source:
        found: list[FrameInput] = []
        async for frame in source:
            assert isinstance(frame, FrameInput)
            found.append(frame)
            if len(found) == 5:
                await served.unplug()
                asyncio.get_running_loop().call_later(0.2, served.plug)
            if served.connections == 2 and source.stats.reconnects and len(found) > 60:
                break
        stats = source.stats
    assert served.connections == 2
    assert stats.reconnects >= 1
    assert [frame.index for frame in found] == list(range(len(found)))
    assert all(later.time > earlier.time for earlier, later in itertools.pairwise(found))
    assert all(frame.source == found[0].source for frame in found)
    assert "hunter2" not in found[0].source
    assert "hunter2" not in repr(source)


async def test_a_camera_whose_stream_has_no_times_gets_those_of_the_clock() -> None:
    async with MjpegCamera(10) as served, camera(served.url, fps=5, overflow="drop_oldest", buffer=30) as source:
        found: list[FrameInput] = []
        async for frame in source:
            assert isinstance(frame, FrameInput)
            found.append(frame)
            if len(found) == 6:
                break
    for earlier, later in itertools.pairwise(found):
        assert later.time - earlier.time == pytest.approx(later.captured - earlier.captured, abs=0.1)
    assert found[-1].time == pytest.approx(found[-1].captured - found[0].captured, abs=0.1)
    assert found[-1].time > 0.8  # every second one of ten frames a second


async def test_one_that_never_comes_back_is_given_up_after_the_outage() -> None:
    async with Camera() as served, camera(served.url, timeout=1, outage=0.5) as source:
        await anext(source)
        await served.unplug()
        with pytest.raises(SourceError, match=r"could not be reopened within 0\.5 s") as caught:
            async for _ in source:
                pass
    assert caught.value.position == source.stats.frames
    assert caught.value.__cause__ is not None
    assert source.stats.frames == source.stats.given + source.stats.dropped


async def test_a_wrong_address_fails_at_once_without_its_password() -> None:
    async with camera("rtsp://admin:hunter2@127.0.0.1:9/live?key=hunter2", timeout=1) as source:
        with pytest.raises(SourceError, match="cannot be opened") as caught:
            await anext(source)
    assert "hunter2" not in f"{caught.value} {caught.value.source} {source!r}"


async def test_a_slow_reader_gets_the_newest_frame_and_the_camera_never_waits() -> None:
    async with Camera() as served, camera(served.url) as source:
        ages = []
        loop = asyncio.get_running_loop()
        for _ in range(8):
            frame = await anext(source)
            assert isinstance(frame, FrameInput)
            ages.append(loop.time() - frame.captured)
            await asyncio.sleep(0.2)  # a reader that is slow
        stats = source.stats
    assert sorted(ages)[3] < 0.2  # read one after the other, they would be more than a second old
    assert stats.drops["latest"] > 8
    assert stats.frames == stats.given + stats.dropped + stats.waiting


async def test_a_silent_camera_is_lost_after_the_timeout_and_closing_does_not_wait_for_ever() -> None:
    class Silent(Camera):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asyncio.Event().wait()

    async with Silent() as served, camera(served.url, timeout=0.5) as source:
        with pytest.raises(SourceError, match="cannot be opened"):
            await anext(source)
    async with Silent() as served:
        source = camera(served.url, timeout=1)
        reading = asyncio.ensure_future(anext(source))
        await asyncio.sleep(0.1)  # the thread is in its read by now
        reading.cancel()
        await asyncio.wait([reading])
        start = asyncio.get_running_loop().time()
        await source.aclose()
        assert asyncio.get_running_loop().time() - start < 2.5
