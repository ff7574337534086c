"""Frames through a model: pairs, order, books that balance, modes, and leaving at any time."""

from __future__ import annotations

import asyncio
import io
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from headrace import (
    AuthError,
    Client,
    ClosedError,
    ConcurrentUse,
    ConfigError,
    Input,
    InputError,
    PredictionFailed,
    RetryPolicy,
    SourceError,
    Timeouts,
)
from headrace.events import Dropped, Event
from headrace.frames import FrameStats, FrameStream, meter
from headrace.sources import video
from headrace.testing import Fail, GrpcFail, MemoryServer, ModelDouble
from headrace.track import Tracker
from headrace.v2 import resources_pb2 as pb
from tests.support import clips

MODEL = "u/a/models/m"
Mode = Literal["stream", "unary"]
MODES: tuple[Mode, ...] = ("stream", "unary")
both = pytest.mark.parametrize("mode", MODES)


def name_of(item: Any) -> str:
    return bytes(item.data.image.base64).decode()


def numbers(count: int, *, log: list[int] | None = None) -> Iterator[Input]:
    for number in range(count):
        if log is not None:
            log.append(number)
        yield Input.from_bytes(f"{number}".encode(), "image")


def balanced(stats: FrameStats) -> bool:
    return stats.frames == stats.predictions + stats.errors + stats.dropped and stats.in_flight == 0


@both
async def test_each_frame_comes_with_its_own_prediction_in_order(mode: Mode) -> None:
    rng = random.Random(3)

    async def answer(item: Any) -> str:
        await asyncio.sleep(rng.random() / 100)
        return name_of(item)

    double = ModelDouble(answer, answering="as_ready")
    start = time.monotonic()
    async with Client(transport=double) as client:
        async with client.model(MODEL).stream_frames(numbers(40), mode=mode) as stream:
            found = [found async for found in stream]
        assert [f.text for f in found] == [f"{n}" for n in range(40)]
        assert [f.index for f in found] == list(range(40))
        assert [bytes(f.frame.fields[0].payload).decode() for f in found] == [f.text for f in found]
        assert all(0 < f.latency <= f.age + 1e-9 for f in found)
        assert all(start <= f.captured <= time.monotonic() for f in found)
        assert stream.stats.mode == mode
        assert balanced(stream.stats)


@both
async def test_unordered_pairs_still_fit(mode: Mode) -> None:
    rng = random.Random(4)

    async def answer(item: Any) -> str:
        await asyncio.sleep(rng.random() / 50)
        return name_of(item)

    double = ModelDouble(answer, answering="as_ready")
    async with Client(transport=double) as client:
        found = [f async for f in client.model(MODEL).stream_frames(numbers(60), mode=mode, ordered=False)]
    assert all(f.text == f"{f.index}" for f in found)
    assert sorted(f.index for f in found) == list(range(60))
    assert [f.index for f in found] != list(range(60))


@both
async def test_frames_leave_their_source_only_when_there_is_room(mode: Mode) -> None:
    log: list[int] = []
    double = ModelDouble(name_of)
    double.hold()
    async with (
        Client(transport=double) as client,
        client.model(MODEL).stream_frames(numbers(50, log=log), window=3, mode=mode) as stream,
    ):
        reading = asyncio.ensure_future(anext(stream))
        await double.received(3)
        for _ in range(50):
            await asyncio.sleep(0)
        assert log == [0, 1, 2]
        assert stream.stats.in_flight == 3
        double.release()
        await reading
        for _ in range(100):  # one was taken: one follows
            await asyncio.sleep(0)
        await double.received(4)
        assert len(log) == 4


async def test_frames_that_have_waited_too_long_are_dropped() -> None:
    async def frames() -> AsyncIterator[Input]:
        for item in numbers(60):
            yield item
            await asyncio.sleep(0.005)

    async def slow(item: Any) -> str:
        await asyncio.sleep(0.05)
        return name_of(item)

    async with Client(transport=ModelDouble(slow)) as client:
        settings: dict[str, Any] = {"window": 1, "overflow": "drop_newest", "max_age": 0.02}
        async with client.model(MODEL).stream_frames(frames(), **settings) as stream:
            waited = [f.age - f.latency async for f in stream]
        assert balanced(stream.stats)
    assert stream.stats.frames == 60
    assert set(stream.stats.drops) == {"drop_newest", "max_age"}
    assert max(waited) < 0.04  # without a most age, up to a service time
    assert stream.stats.predictions >= 4


@pytest.mark.parametrize("kind", ["video", "iterator"])
async def test_every_drop_is_reported(tmp_path: Path, kind: str) -> None:
    async def slow(item: Any) -> str:
        await asyncio.sleep(0.03)
        return "ok"

    told: list[Dropped] = []
    source: Any = numbers(200)
    if kind == "video":
        source = video(clips.steady(tmp_path / "a.mp4", 2).path)

    def note(event: Event) -> None:
        if isinstance(event, Dropped):
            told.append(event)

    async with Client(transport=ModelDouble(slow), on_event=note) as client:
        async with client.model(MODEL).stream_frames(source, window=1, overflow="latest") as stream:
            async for found in stream:
                if found.index > 30:
                    break
        await asyncio.sleep(0)
        assert balanced(stream.stats)
        counted = {cause: number for cause, number in stream.stats.drops.items() if cause != "closed"}
        assert Counter(event.cause for event in told if event.cause != "closed") == counted
        positions = [event.position for event in told if event.cause == "latest"]
        assert positions == sorted(set(positions))
        assert len(positions) > 5


@both
async def test_a_bad_frame_ends_nothing(mode: Mode) -> None:
    double = ModelDouble(lambda item: 21313 if name_of(item) in ("2", "5") else name_of(item))
    retry = RetryPolicy(attempts=1, ambiguous_attempts=1)
    async with Client(transport=double, retry=retry) as client:
        model = client.model(MODEL)
        async with model.stream_frames(numbers(8), mode=mode) as stream:
            found = [(f.index, f.error is None) async for f in stream]
        assert [index for index, good in found if not good] == [2, 5]
        assert (stream.stats.predictions, stream.stats.errors) == (6, 2)
        assert balanced(stream.stats)
        async with model.stream_frames(numbers(8), mode=mode, on_error="raise") as stream:
            assert (await anext(stream)).text == "0"
            await anext(stream)
            with pytest.raises(PredictionFailed):
                await anext(stream)
            assert (await anext(stream)).text == "3"  # and it goes on
        assert balanced(stream.stats)


@both
async def test_leaving_early_closes_the_source_and_balances(mode: Mode) -> None:
    closed = asyncio.Event()

    async def frames() -> AsyncIterator[Input]:
        try:
            for item in numbers(1000):
                yield item
        finally:
            closed.set()

    double = ModelDouble(name_of)
    async with Client(transport=double) as client:
        async with client.model(MODEL).stream_frames(frames(), mode=mode) as stream:
            async for found in stream:
                if found.index == 5:
                    break
        assert closed.is_set()
        assert stream.stats.frames < 20
        assert balanced(stream.stats)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        await double.server.until(lambda: all(call.finished for call in double.server.calls))


@both
async def test_a_source_that_fails_gives_what_was_in_flight_first(mode: Mode) -> None:
    async def frames() -> AsyncIterator[Input]:
        for item in numbers(5):
            yield item
        raise SourceError("unplugged", source="camera", position=5)

    async def answer(item: Any) -> str:
        await asyncio.sleep(0.01)
        return name_of(item)

    async with Client(transport=ModelDouble(answer)) as client:
        stream = client.model(MODEL).stream_frames(frames(), mode=mode)
        found = []
        with pytest.raises(SourceError, match="unplugged"):
            async for f in stream:
                found += [f.text]
    assert found == ["0", "1", "2", "3", "4"]
    assert balanced(stream.stats)


@both
async def test_what_the_users_iterator_raises_is_raised_as_it_is(mode: Mode) -> None:
    def frames() -> Iterator[Input]:
        yield from numbers(3)
        raise ZeroDivisionError("mine")

    for overflow in ("block", "drop_oldest"):
        async with Client(transport=ModelDouble(name_of)) as client:
            stream = client.model(MODEL).stream_frames(frames(), mode=mode, overflow=overflow)
            with pytest.raises(ZeroDivisionError, match="mine"):
                async for _ in stream:
                    pass
        assert balanced(stream.stats)


@both
async def test_a_server_that_refuses_ends_it(mode: Mode) -> None:
    double = ModelDouble(lambda item: Fail(11009, "no such key", envelope_only=True))
    async with Client(transport=double) as client:
        stream = client.model(MODEL).stream_frames(numbers(5), mode=mode)
        with pytest.raises(AuthError):
            async for _ in stream:
                pass
        assert balanced(stream.stats)
    assert len({call.method for call in double.server.calls}) == 1


async def test_a_server_without_streaming_is_used_by_unary_calls() -> None:
    double = ModelDouble(name_of)
    del double.server.handlers["/clarifai.api.V2/StreamModelOutputs"]
    log: list[int] = []
    async with Client(transport=double) as client:
        async with client.model(MODEL).stream_frames(numbers(30, log=log)) as stream:
            found = [f.text async for f in stream]
        assert found == [f"{n}" for n in range(30)]
        assert log == list(range(30))  # none was pulled twice
        assert stream.stats.mode == "unary"
        assert stream.stats.predictions == 30
        assert balanced(stream.stats)


@pytest.mark.parametrize("input_timeout", [60.0, 0.1])
async def test_a_server_that_answers_after_the_last_input_only_is_used_by_unary_calls(input_timeout: float) -> None:
    double = ModelDouble(name_of, answering="at_end")
    async with Client(transport=double, timeouts=Timeouts(first_answer=0.2, input=input_timeout)) as client:
        async with client.model(MODEL).stream_frames(numbers(30)) as stream:
            found = [f.text async for f in stream]
        assert found == [f"{n}" for n in range(30)]
        assert stream.stats.mode == "unary"
        assert balanced(stream.stats)


async def test_what_failed_before_a_change_of_mode_stays_in_the_books() -> None:
    double = ModelDouble(name_of)
    del double.server.handlers["/clarifai.api.V2/StreamModelOutputs"]
    async with Client(transport=double) as client:
        async with client.model(MODEL).stream_frames(iter([object(), *numbers(5)])) as stream:  # type: ignore[arg-type]
            found = [f.error is None async for f in stream]
        assert found == [False, *[True] * 5]
        assert stream.stats.mode == "unary"
        assert (stream.stats.frames, stream.stats.predictions, stream.stats.errors) == (6, 5, 1)
        assert balanced(stream.stats)


@both
@pytest.mark.parametrize("overflow", ["block", "latest"])
async def test_a_stream_that_is_forgotten_warns_and_ends_all_it_began(mode: Mode, overflow: Any) -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[Input]:
        try:
            while True:
                yield Input.from_bytes(b"x", "image")
                await asyncio.sleep(0)
        finally:
            closed.set()

    async def forget(client: Client) -> None:
        async for _ in client.model(MODEL).stream_frames(endless(), mode=mode, overflow=overflow):
            break

    before = asyncio.all_tasks()
    async with Client(transport=ModelDouble(name_of)) as client:
        with pytest.warns(ResourceWarning, match="unclosed <FrameStream"):
            await forget(client)
        await asyncio.wait_for(closed.wait(), 5)
    left = {task for task in asyncio.all_tasks() - before if "headrace" in task.get_name()}
    if left:
        await asyncio.wait(left, timeout=5)
    assert all(task.done() for task in left)


async def test_stream_mode_says_that_there_is_no_streaming() -> None:
    double = ModelDouble(lambda item: GrpcFail("UNIMPLEMENTED", "no streams here"))
    async with Client(transport=double) as client:
        with pytest.raises(Exception, match="no streams here"):
            async for _ in client.model(MODEL).stream_frames(numbers(3), mode="stream"):
                pass


async def test_a_cancelled_read_loses_no_prediction() -> None:
    double = ModelDouble(name_of)
    found: list[str] = []
    async with Client(transport=double) as client:
        async with client.model(MODEL).stream_frames(numbers(60), window=4) as stream:
            rng = random.Random(1)
            while True:
                reading = asyncio.ensure_future(anext(stream))
                for _ in range(rng.randrange(6)):
                    await asyncio.sleep(0)
                reading.cancel()
                await asyncio.wait([reading])
                if reading.cancelled():
                    continue
                try:
                    found.append(reading.result().text)
                except StopAsyncIteration:
                    break
        assert balanced(stream.stats)
    assert found == [f"{n}" for n in range(60)]


@pytest.mark.parametrize("mode", ["auto", "stream", "unary"])
async def test_closing_while_another_task_reads(mode: Any) -> None:
    double = ModelDouble(name_of)
    double.hold()
    async with Client(transport=double) as client:
        stream = client.model(MODEL).stream_frames(numbers(5), mode=mode)
        reading = asyncio.ensure_future(anext(stream))
        await double.received(1)
        await stream.aclose()
        with pytest.raises(ClosedError, match="while it was read"):
            await reading
        assert balanced(stream.stats)
        double.release()


async def test_a_second_reader_is_refused_and_hurts_nobody() -> None:
    double = ModelDouble(name_of)
    double.hold()
    async with Client(transport=double) as client, client.model(MODEL).stream_frames(numbers(2)) as stream:
        first = asyncio.ensure_future(anext(stream))
        await double.received(1)
        with pytest.raises(ConcurrentUse):
            await anext(stream)
        double.release()
        assert (await first).text == "0"


async def test_pictures_and_arrays_are_sent_as_jpeg_and_nonsense_fails_alone() -> None:
    array = np.zeros((40, 60, 3), np.uint8)
    array[..., 0] = 250
    seen: list[tuple[str | None, tuple[int, int]]] = []

    def answer(item: Any) -> str:
        with Image.open(io.BytesIO(item.data.image.base64)) as picture:
            seen.append((picture.format, picture.size))
        return "ok"

    frames = [array, Image.new("RGBA", (10, 20)), np.zeros((3, 4, 5), np.uint8), Image.new("L", (8, 8))]
    async with Client(transport=ModelDouble(answer)) as client:
        found = [f async for f in client.model(MODEL).stream_frames(frames)]  # type: ignore[arg-type]
    assert [f.error is None for f in found] == [True, True, False, True]
    assert isinstance(found[2].error, InputError)
    assert seen == [("JPEG", (60, 40)), ("JPEG", (10, 20)), ("JPEG", (8, 8))]


async def test_one_video_of_several_that_fails_is_one_error(tmp_path: Path) -> None:
    good = clips.steady(tmp_path / "good.mp4", 0.5)
    whole = clips.steady(tmp_path / "whole.mp4", 2, index_first=True).path.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    videos = [video(good.path), video(tmp_path / "nope.mp4"), video(tmp_path / "cut.mp4")]
    async with Client(transport=ModelDouble(lambda item: "ok")) as client:
        async with client.model(MODEL).stream_frames(videos) as stream:
            found = [f async for f in stream]
        assert balanced(stream.stats)
        assert stream.stats.errors == 2
        assert sum(f.source == str(good.path) and f.error is None for f in found) == 15
        assert all(isinstance(f.error, SourceError) for f in found if f.error is not None)
        stream = client.model(MODEL).stream_frames([video(tmp_path / "nope.mp4"), video(tmp_path / "no.mp4")])
        with pytest.raises(SourceError, match="No such file"):
            async for _ in stream:
                pass
        assert balanced(stream.stats)


async def test_tracked_objects_and_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(item: Any) -> pb.Data:
        left = int(name_of(item)) / 100
        corners = pb.BoundingBox(top_row=0.1, left_col=left, bottom_row=0.4, right_col=left + 0.3)
        return pb.Data(regions=[pb.Region(region_info=pb.RegionInfo(bounding_box=corners))])

    async with Client(transport=ModelDouble(answer)) as client:
        model = client.model(MODEL)
        found = [f async for f in model.stream_frames(numbers(20), track=True)]
        assert {region.track_id for f in found for region in f.regions} == {"1"}
        assert all(f.prediction.regions[0].track_id == "" for f in found)  # the answers stay as they came
        found = [f async for f in model.stream_frames(numbers(20), track=Tracker(overlap=1))]
        assert len({region.track_id for f in found for region in f.regions}) == 20
        with pytest.raises(ConfigError, match="ordered"):
            model.stream_frames(numbers(1), track=True, ordered=False)
        monkeypatch.setitem(sys.modules, "scipy.optimize", None)
        with pytest.raises(ConfigError, match="scipy"):
            await anext(model.stream_frames(numbers(1), track=True))


async def test_a_video_whose_beginning_was_read_already(tmp_path: Path) -> None:
    source = video(clips.steady(tmp_path / "a.mp4", 0.5).path)
    await anext(source)
    async with Client(transport=ModelDouble(lambda item: "ok")) as client:
        found = [f.index async for f in client.model(MODEL).stream_frames(source)]
    assert found == list(range(1, 15))


def test_wrong_settings() -> None:
    model = Client(transport=ModelDouble(name_of)).model(MODEL)
    for settings in (
        {"window": 0},
        {"window": None},
        {"target_latency": 0},
        {"mode": "quick"},
        {"overflow": "spill"},
        {"max_age": 1.0},
        {"on_error": "ignore"},
        {"windows": 3},
    ):
        with pytest.raises(ConfigError):
            model.stream_frames(numbers(1), **settings)


async def test_books_balance_whatever_fails_and_whenever_one_leaves() -> None:
    for seed in range(60):
        rng = random.Random(seed)

        async def answer(item: Any, rng: random.Random = rng) -> Any:
            await asyncio.sleep(rng.random() / 300)
            return rng.choice([21313, 30300, name_of(item), name_of(item), name_of(item)])

        double = ModelDouble(answer, server=MemoryServer(keep=False), answering=rng.choice(["in_order", "as_ready"]))
        count, leave = rng.randrange(1, 60), rng.randrange(1, 60)
        settings: dict[str, Any] = {
            "mode": rng.choice(MODES),
            "window": rng.randrange(1, 9),
            "ordered": rng.random() < 0.5,
            "overflow": rng.choice([None, "latest", "drop_oldest", "drop_newest"]),
            "target_latency": rng.choice([None, 0.002, 1.0]),
        }
        retry = RetryPolicy(attempts=2, ambiguous_attempts=2, initial=0.001)
        async with Client(transport=double, retry=retry) as client:
            taken = 0
            async with client.model(MODEL).stream_frames(numbers(count), **settings) as stream:
                async for _ in stream:
                    taken += 1
                    if taken == leave:
                        break
            assert balanced(stream.stats), (seed, settings, stream.stats)
            if taken < leave:
                assert stream.stats.frames == count
                assert taken == stream.stats.predictions + stream.stats.errors


def test_the_meter_is_one_line_with_every_number_that_matters() -> None:
    stats = FrameStats(
        frames=100,
        predictions=60,
        errors=2,
        dropped=30,
        drops={"latest": 28, "closed": 2},
        in_flight=7,
        queued=1,
        window=8,
        fps_in=29.97,
        fps_out=18.04,
        age=0.1234,
        reconnects=3,
    )
    assert meter(stats) == (
        "30.0 fps in, 18.0 out, 7/8 in flight, 1 queued, 30 dropped (closed 2, latest 28), 2 errors, age 123 ms, "
        "3 reconnects"
    )
    assert "\n" not in meter(FrameStats())


async def test_a_stream_says_what_it_is_doing() -> None:
    async with Client(transport=ModelDouble(name_of)) as client:
        stream = client.model(MODEL).stream_frames(numbers(3))
        assert isinstance(stream, FrameStream)
        assert [f.text async for f in stream] == ["0", "1", "2"]
        assert repr(stream) == "<FrameStream stream: 3 frames, 3 predictions, 0 errors, 0 dropped, 0 in flight>"
