"""The timeout covers what happens before anything is sent; one slow input holds up neither others nor the program."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace import DeadlineExceeded, Input, Model, codec
from headrace.calls.feeder import MAX_ASIDE
from headrace.sources import from_paths, merge
from headrace.testing import ReceivedInput
from tests.support.rig import WIRES, Wire, rigged
from tests.support.shapes import MANY, SHAPES

pytestmark = pytest.mark.core

if not hasattr(os, "mkfifo"):
    pytest.skip("no named pipes", allow_module_level=True)


class Slow(io.RawIOBase):
    """A file whose reading takes until the test's end."""

    def __init__(self, released: threading.Event) -> None:
        self._released = released

    def read(self, size: int = -1) -> bytes:
        self._released.wait(30)
        return b"late"


@pytest.fixture
def stalled(tmp_path: Path) -> Iterator[dict[str, Callable[[], Any]]]:
    released = threading.Event()
    os.mkfifo(tmp_path / "pipe")
    yield {"named pipe": lambda: tmp_path / "pipe", "slow file": lambda: Slow(released), "release": released.set}
    released.set()


def text(item: ReceivedInput) -> str:
    return item.data.text.raw


async def all_of(check: Callable[..., Coroutine[Any, Any, None]], cases: Iterable[tuple[str, ...]]) -> None:
    """Check all cases at once, as each of them mostly waits; a failure says which it was."""

    async def named(case: tuple[str, ...]) -> None:
        try:
            await check(*case)
        except BaseException as error:
            error.add_note(f"case: {', '.join(case)}")
            raise

    async with asyncio.TaskGroup() as group:
        for case in cases:
            group.create_task(named(case))


async def test_a_stalled_input_times_out_alone(tmp_path: Path, stalled: Any) -> None:
    (tmp_path / "good").write_text("good")

    async def check(shape: str, kind: str) -> None:
        items = [stalled[kind](), tmp_path / "good", "typed", stalled[kind](), "last"]
        async with rigged("memory", tmp_path, text) as rig:
            began = time.monotonic()
            outcomes = await SHAPES[shape](rig.model, items, "text", timeout=1.0)
            assert time.monotonic() - began < 5
        assert [isinstance(outcomes[n], DeadlineExceeded) for n in range(5)] == [True, False, False, True, False]
        assert [outcomes[n].text for n in (1, 2, 4)] == ["good", "typed", "last"]  # type: ignore[union-attr]

    await all_of(check, [(shape, "named pipe") for shape in SHAPES])
    await all_of(check, [("predict each", "slow file"), ("stream", "slow file"), ("map", "slow file")])


async def test_a_list_is_sent_without_an_input_that_is_still_read(tmp_path: Path, stalled: Any) -> None:
    async with rigged("memory", tmp_path, text) as rig:
        call = asyncio.ensure_future(rig.model.predict(["typed", stalled["slow file"]()], "text"))
        await rig.double.received(1)
        assert not call.done()
        stalled["release"]()
        assert [prediction.text for prediction in await call] == ["typed", "late"]


def _fifos(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"stalled{n}" for n in range(count)]
    for path in paths:
        os.mkfifo(path)
    return paths


#: stream or map, by its own settings: (makes the stream of a model, of items; whether it keeps their order)
STREAMS: dict[str, tuple[Callable[..., Any], bool]] = {
    "stream": (lambda model, items, **options: model.stream(items, "text", **options), True),
    "stream_by_filepath": (lambda model, items, **options: model.stream_by_filepath(items, "text", **options), True),
    "stream unordered": (lambda model, items, **options: model.stream(items, "text", ordered=False, **options), False),
    "map": (lambda model, items, **options: model.map(items, input_type="text", on_error="yield", **options), True),
    "map batch unordered": (
        lambda model, items, **options: model.map(
            items, input_type="text", on_error="yield", batch="auto", ordered=False, **options
        ),
        False,
    ),
    "a source of files": (lambda model, items, **options: model.stream(from_paths(items, "text"), **options), True),
    "a source, unordered": (
        lambda model, items, **options: model.stream(from_paths(items, "text", prefetch=2), ordered=False, **options),
        False,
    ),
    "a merged source, unordered map": (
        lambda model, items, **options: model.map(
            merge(from_paths(items, "text")), on_error="yield", ordered=False, **options
        ),
        False,
    ),
}


@pytest.mark.parametrize("wire", WIRES)
async def test_stalled_inputs_do_not_add_up(tmp_path: Path, wire: Wire) -> None:
    items = _fifos(tmp_path, 5)
    for number in range(5):
        items.append(tmp_path / f"good{number}")
        items[-1].write_text(f"good{number}")

    async def check(shape: str) -> None:
        open_, ordered = STREAMS[shape]
        async with rigged(wire, tmp_path, text) as rig:
            began = time.monotonic()
            async with open_(rig.model, items, timeout=1.5) as stream:
                came = [(p.position, time.monotonic() - began, p.error or p.text) async for p in stream]
            stats = stream.stats
        outcomes = {position: outcome for position, _, outcome in came}
        assert all(isinstance(outcomes[n], DeadlineExceeded) for n in range(5))
        assert [outcomes[n] for n in range(5, 10)] == [f"good{n}" for n in range(5)]
        assert (stats.pulled, stats.received, stats.errors) == (10, 5, 5)
        if ordered:
            assert [position for position, _, _ in came] == list(range(10))
        else:
            assert {position for position, _, _ in came[:5]} == set(range(5, 10))
            assert came[4][1] < 1.4
        assert came[-1][1] < 2.9  # not even two timeouts one after another

    shapes = [(shape,) for shape in STREAMS]
    for some in (shapes[::2], shapes[1::2]):  # all of them stall more files than a loop has open at once
        await all_of(check, some)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("shape", STREAMS)
async def test_leaving_while_inputs_stall_ends_their_tasks(tmp_path: Path, wire: Wire, shape: str) -> None:
    (tmp_path / "good").write_text("good")
    open_, ordered = STREAMS[shape]
    items = [tmp_path / "good", *_fifos(tmp_path, 4), tmp_path / "good"]
    async with rigged(wire, tmp_path, text) as rig:
        async with open_(rig.model, items, timeout=60) as stream:
            first = await anext(stream)
            while stream.stats.pulled < 6:
                await asyncio.sleep(0.01)
        assert first.text == "good"
        stats = stream.stats
        assert stats.pulled == stats.received + stats.errors + stats.dropped == 6
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "headrace-prepare"]
    assert ordered or stats.received


async def test_so_many_stalled_inputs_are_set_aside_and_no_more(tmp_path: Path) -> None:
    paths = _fifos(tmp_path, MAX_ASIDE + 5)
    async with rigged("memory", tmp_path, text) as rig:
        async with rig.model.stream(paths, "text", ordered=False, timeout=60) as stream:
            while stream.stats.pulled < MAX_ASIDE:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)
            assert stream.stats.pulled <= MAX_ASIDE + 4  # one more prefetch
        assert stream.stats.dropped == stream.stats.pulled


async def test_a_named_pipe_is_read_within_the_timeout(tmp_path: Path, stalled: Any) -> None:
    async with rigged("memory", tmp_path, text) as rig:
        call = asyncio.create_task(rig.model.predict_by_filepath(tmp_path / "pipe", "text", timeout=20))
        writer = await asyncio.to_thread((tmp_path / "pipe").open, "wb", buffering=0)
        with writer:
            writer.write(b"first, ")
            await asyncio.sleep(0)
            writer.write(b"second")
        assert (await call).text == "first, second"


LOOK_UPS: dict[str, tuple[str, Callable[[Model], Awaitable[object]]]] = {
    "type": ("GetModel", lambda model: model.predict(b"x", timeout=1.0)),
    "user": ("GetUser", lambda model: model.predict("x", deployment_id="d", timeout=1.0)),
    "user of a list": ("GetUser", lambda model: model.predict(["x", "y"], deployment_id="d", timeout=1.0)),
    "type, generate": ("GetModel", lambda model: _read(model.generate(b"x", timeout=1.0))),
    "user, generate": ("GetUser", lambda model: _read(model.generate("x", deployment_id="d", timeout=1.0))),
    "type, stream": ("GetModel", lambda model: _read(model.stream([b"x"] * 20, timeout=1.0, on_error="raise"))),
    "user, stream": ("GetUser", lambda model: _read(model.stream(["x"] * 20, deployment_id="d", timeout=1.0))),
    "user, map": ("GetUser", lambda model: _read(model.map(["x"] * 20, deployment_id="d", timeout=1.0))),
    "type, map": ("GetModel", lambda model: _read(model.map([b"x"] * 20, timeout=1.0))),
}


async def silent(call: Any) -> None:
    await call.read()
    await asyncio.Event().wait()


async def _read(stream: Any) -> None:
    async with stream:
        async for _ in stream:
            pass


async def test_the_timeout_covers_look_ups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLARIFAI_USER_ID", raising=False)

    async def check(wire: Wire, look_up: str) -> None:
        method, call = LOOK_UPS[look_up]
        async with rigged(wire, tmp_path, text) as rig:
            rig.double.server.handlers[codec.SERVICE + method] = silent
            began = time.monotonic()
            with pytest.raises(DeadlineExceeded):
                await call(rig.model)
            assert 0.9 < time.monotonic() - began < 4
            assert [call.method for call in rig.calls].count(codec.SERVICE + method) == 1
            assert not rig.double.inputs

    await all_of(check, [*(("memory", name) for name in LOOK_UPS), ("grpc", "type"), ("grpc", "user, stream")])


async def test_what_cannot_be_looked_up_is_asked_once_and_holds_up_nothing_typed(tmp_path: Path) -> None:
    items = [b"?", "typed", b"?", b"?", Input.from_text("too")]

    async def check(shape: str) -> None:
        async with rigged("memory", tmp_path, text) as rig:
            rig.double.server.handlers[codec.SERVICE + "GetModel"] = silent
            began = time.monotonic()
            outcomes = await MANY[shape](rig.model, items, None, timeout=1.0)
            assert time.monotonic() - began < 5
        kinds = [isinstance(outcomes[n], DeadlineExceeded) for n in range(5)]
        assert kinds == [True, False, True, True, False]
        assert sum(call.method.endswith("GetModel") for call in rig.calls) == 1

    await all_of(check, [(shape,) for shape in MANY])


PROGRAM = """
import asyncio, os, sys, headrace
from headrace.testing import ModelDouble

async def main():
    client = headrace.Client(base_url="http://127.0.0.1:1", transport=ModelDouble(lambda item: "fine"))
    async with client:
        model = client.model("u/a/models/m")
        {body}

asyncio.run(main())
print("ended")
"""

LEFT_BEHIND = {
    "a named pipe": """
        try:
            await model.predict_by_filepath(sys.argv[1] + "/pipe", "text", timeout=0.5)
        except headrace.DeadlineExceeded:
            print("in time")""",
    "a slow file": """
        import io, time
        class Slow(io.RawIOBase):
            def read(self, size=-1):
                time.sleep(60)
        try:
            await asyncio.wait_for(model.predict(Slow(), "text"), 0.5)
        except TimeoutError:
            print("in time")""",
}


@pytest.mark.parametrize("what", LEFT_BEHIND)
def test_no_thread_keeps_the_program_alive(tmp_path: Path, what: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    program = PROGRAM.format(body=LEFT_BEHIND[what].strip())
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=40, check=False
    )
    assert result.stdout.split("\n")[:2] == ["in time", "ended"], result.stderr


MANY_FILES = """
import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        path = sys.argv[1] + "/file"
        texts = await asyncio.gather(*(model.predict_by_filepath(path, "text") for _ in range(400)))
        assert [t.text for t in texts] == ["fine"] * 400
        async with model.stream(headrace.sources.from_paths([path] * 400, "text", prefetch=200)) as stream:
            assert [p.text async for p in stream] == ["fine"] * 400
"""


def test_hundreds_of_files_at_once_need_few_descriptors(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    program = PROGRAM.format(body=MANY_FILES.strip())
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.stdout.strip() == "ended", result.stderr[-2000:]
