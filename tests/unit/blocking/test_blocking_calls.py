"""What calls from code without async give, how they end, and what the server sees of it."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import itertools
import signal
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import headrace
from headrace import ClosedError, ConcurrentUse, ConfigError, DeadlineExceeded, Prediction
from headrace.blocking import Client, Model, thread
from headrace.testing import Fail
from headrace.v2 import resources_pb2 as pb
from tests.support.blocking import BlockingRig, blocking_rig
from tests.support.rig import WIRES, Wire

STR, INT = pb.ModelTypeField.STR, pb.ModelTypeField.INT


def signature(name: str, method_type: Any, *, streamed: bool = False) -> pb.MethodSignature:
    made = pb.MethodSignature(name=name, method_type=method_type)
    made.input_fields.add(name="text", type=STR, required=True, iterator=streamed)
    made.output_fields.add(name="return", type=STR, iterator=method_type != 1)
    return made


METHODS = [signature("shout", 1), signature("spell", 2), signature("echo", 4, streamed=True)]


def answer(item: Any) -> Any:
    """Answer texts in letters, typed calls with their argument."""
    parts = {part.id: part.data.string_value for part in item.data.parts}
    if "text" not in parts:
        return list(item.text) if item.shape == "generate" else item.text or "-"
    text = parts["text"]
    data = [pb.Data(parts=[pb.Part(id="return", data=pb.Data(string_value=word))]) for word in (text, *text)]
    return data[1:] if item.shape == "generate" else data[0]


def letters() -> Iterator[str]:
    yield from "abc"


async def async_letters() -> AsyncIterator[str]:
    for letter in "abc":
        yield letter


TEXT: Any = "text"
SHAPES: dict[str, tuple[Callable[[Model], Any], Any]] = {
    "predict": (lambda model: model.predict("abc", TEXT).text, "abc"),
    "predict a list": (lambda model: [p.text for p in model.predict(["a", "b"], TEXT)], ["a", "b"]),
    "predict_by_bytes": (lambda model: model.predict_by_bytes(b"abc", TEXT).text, "abc"),
    "predict of the model's own": (lambda model: model.call("shout", "abc"), "abc"),
    "generate": (lambda model: [p.text for p in model.generate("abc", TEXT)], ["a", "b", "c"]),
    "generate, joined": (lambda model: model.generate_by_bytes("abc", TEXT).text(), "abc"),
    "generate of the model's own": (lambda model: list(model.call("spell", "abc")), ["a", "b", "c"]),
    "stream": (lambda model: [p.text for p in model.stream(letters(), TEXT)], ["a", "b", "c"]),
    "stream of a list": (lambda model: [p.text for p in model.stream(["a", "b"], TEXT)], ["a", "b"]),
    "stream of an async iterator": (lambda model: [p.text for p in model.stream(async_letters(), TEXT)], [*"abc"]),
    "stream of the model's own": (lambda model: list(model.call("echo", letters())), ["a", "b", "c"]),
    "map": (lambda model: [p.text for p in model.map(letters(), input_type=TEXT)], ["a", "b", "c"]),
    "frames": (
        lambda model: [f.prediction.text for f in model.stream_frames([b"\xff\xd8\xff1", b"\xff\xd8\xff2"])],
        ["-", "-"],
    ),
    "methods": (lambda model: [method.name for method in model.methods()], ["shout", "spell", "echo"]),
    "input_type": (lambda model: model.input_type(), "text"),
    "info": (lambda model: model.info().input_fields, ("text",)),
    "models": (lambda model: len(model.client.models(user_id="u", app_id="a")), 1),
    "default_model": (lambda model: model.client.default_model("text").id, "double"),
}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_call(wire: Wire, shape: str, tmp_path: Path) -> None:
    call, expected = SHAPES[shape]
    with blocking_rig(wire, tmp_path, answer, double={"signatures": METHODS}) as rig:
        assert call(rig.model) == expected


STREAMS: dict[str, Callable[[Model], Any]] = {
    "generate": lambda model: model.generate("abc" * 1000, TEXT),
    "generate of the model's own": lambda model: model.call("spell", "abc" * 1000),
    "stream": lambda model: model.stream(map(str, itertools.count()), TEXT),
    "stream of the model's own": lambda model: model.call("echo", map(str, itertools.count())),
    "map": lambda model: model.map(map(str, itertools.count()), input_type=TEXT),
    "frames": lambda model: model.stream_frames(itertools.repeat(b"\xff\xd8\xff")),
}


def leave_by_break(stream: Any) -> None:
    for _ in stream:
        break


def leave_by_raising(stream: Any) -> None:
    for _ in stream:
        raise ZeroDivisionError


def leave_by_with(stream: Any) -> None:
    with stream:
        next(stream)
    with pytest.raises(ClosedError):
        stream.__enter__()


def leave_by_closing(stream: Any) -> None:
    next(stream)
    stream.close()
    stream.close()
    assert list(stream) == []


def leave_in_a_generator(stream: Any) -> None:
    numbered = (pair for pair in enumerate(stream))
    next(numbered)
    numbered.close()


WAYS = [leave_by_break, leave_by_raising, leave_by_with, leave_by_closing, leave_in_a_generator]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("shape", STREAMS)
def test_leaving_a_stream_ends_its_calls_on_the_server(wire: Wire, shape: str, tmp_path: Path) -> None:
    with blocking_rig(wire, tmp_path, answer, double={"signatures": METHODS}) as rig:
        for way in WAYS:
            before = len(rig.calls)
            try:
                way(STREAMS[shape](rig.model))
            except ZeroDivisionError:
                pass
            made = rig.calls[before:]
            assert made
            rig.until(lambda: all(call.finished for call in rig.calls))
            if shape != "map":  # whose calls are short, and over
                assert made[-1].cancelled, way.__name__


@pytest.mark.parametrize("shape", ["stream", "map"])
def test_a_source_is_pulled_in_a_thread_and_no_further_than_answers_are_taken(shape: str, tmp_path: Path) -> None:
    pulled: list[str] = []

    def source() -> Iterator[str]:
        for number in itertools.count():
            pulled.append(threading.current_thread().name)
            yield str(number)

    with blocking_rig("memory", tmp_path) as rig:
        model = rig.model
        window: Any = {"window": 3} if shape == "stream" else {"concurrency": 3, "input_type": "text"}
        with getattr(model, shape)(source(), *(["text"] if shape == "stream" else []), **window) as stream:
            for taken, prediction in enumerate(itertools.islice(stream, 50)):
                assert prediction.text == str(taken)
                assert len(pulled) <= taken + 40
        assert set(pulled) == {"headrace-source"}
        assert stream.stats.pulled == len(pulled)


def test_one_model_feeds_another(tmp_path: Path) -> None:
    with blocking_rig("memory", tmp_path) as rig:
        first = (p.text + "!" for p in rig.model.stream(letters(), "text"))
        assert [p.text for p in rig.model.stream(first, "text")] == ["a!", "b!", "c!"]


# --- interrupts


class Interrupt(BaseException):
    pass


@pytest.fixture
def interrupting() -> Iterator[Callable[[Callable[[], object]], threading.Thread]]:
    """Interrupt the main thread when something has happened, as a signal's handler does."""
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals come to the main thread only")
    main = threading.main_thread().ident
    assert main is not None

    def handler(number: int, frame: object) -> None:
        raise Interrupt

    before = signal.signal(signal.SIGUSR1, handler)
    threads = []

    def when(happened: Callable[[], object]) -> threading.Thread:
        def work() -> None:
            happened()
            signal.pthread_kill(main, signal.SIGUSR1)

        threads.append(threading.Thread(target=work))
        threads[-1].start()
        return threads[-1]

    yield when
    for one in threads:
        one.join()
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("shape", ["predict", "call", "generate", "stream", "map", "text"])
def test_an_interrupt_cancels_the_call_on_the_server(
    wire: Wire, shape: str, tmp_path: Path, interrupting: Callable[[Callable[[], object]], threading.Thread]
) -> None:
    calls: dict[str, Callable[[Model], object]] = {
        "predict": lambda model: model.predict("a", "text"),
        "call": lambda model: model.call("shout", "a"),
        "generate": lambda model: list(model.generate("a", "text")),
        "stream": lambda model: list(model.stream(letters(), "text")),
        "map": lambda model: list(model.map(letters(), input_type="text")),
        "text": lambda model: model.generate("a", "text").text(),
    }
    with blocking_rig(wire, tmp_path, answer, double={"signatures": METHODS}) as rig:
        rig.model.methods()
        rig.double.hold()
        interrupting(lambda: rig.until(lambda: rig.double.held))
        with pytest.raises(Interrupt):
            calls[shape](rig.model)
        rig.until(lambda: rig.calls[-1].cancelled)
        rig.double.release()
        assert rig.model.predict("b", "text").text == "b"  # the client works on


# --- errors


def test_an_error_shows_the_line_of_the_user(tmp_path: Path) -> None:
    def failing(item: Any) -> Any:
        return Fail(21200, "no such thing") if item.text == "x" else "fine"

    def source() -> Iterator[str]:
        yield "a"
        raise ZeroDivisionError("of the source")

    with blocking_rig("memory", tmp_path, failing) as rig:
        model = rig.model
        calls: list[tuple[type[Exception], Callable[[], object]]] = [
            (headrace.ServerError, lambda: model.predict("x", "text")),  # line of the user
            (headrace.ServerError, lambda: list(model.generate("x", "text"))),  # line of the user
            (headrace.ServerError, lambda: list(model.map(["x"], input_type="text"))),  # line of the user
            (ZeroDivisionError, lambda: list(model.stream(source(), "text"))),  # line of the user
            (ConfigError, lambda: model.stream(["x"], "text", window=0)),  # line of the user
            (ConfigError, lambda: model.predict("x", "text", timeout=-1)),  # line of the user
            (DeadlineExceeded, lambda: held(rig)),
        ]

        def held(rig: BlockingRig) -> Prediction:
            rig.double.hold()
            return rig.model.predict("x", "text", timeout=0.05)  # line of the user

        for kind, call in calls:
            with pytest.raises(kind) as caught:
                call()
            text = "".join(traceback.format_exception(caught.value))
            assert "# line of the user" in text
            assert __file__ in text


def test_an_error_keeps_nothing_alive(tmp_path: Path) -> None:
    with blocking_rig("memory", tmp_path, lambda item: Fail(21200)) as rig:
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                with pytest.raises(headrace.ServerError):
                    rig.model.predict("x", "text")
            assert not [one for one in gc.get_objects() if isinstance(one, headrace.ServerError)]
        finally:
            gc.enable()


# --- threads, loops, contexts


@pytest.mark.parametrize("wire", WIRES)
def test_threads_share_a_client(wire: Wire, tmp_path: Path) -> None:
    with blocking_rig(wire, tmp_path) as rig, ThreadPoolExecutor(8) as pool:

        def work(number: int) -> list[str]:
            model = rig.client.model(user_id="u", app_id="a", model_id="m")
            texts = [model.predict(f"{number}", "text").text]
            texts += [p.text for p in model.stream((f"{number}{i}" for i in range(5)), "text")]
            return texts

        for number, texts in enumerate(pool.map(work, range(32))):
            assert texts == [str(number), *(f"{number}{i}" for i in range(5))]
        assert rig.client.stats.running == 0


def test_two_threads_cannot_read_one_stream(tmp_path: Path) -> None:
    with blocking_rig("memory", tmp_path) as rig, ThreadPoolExecutor(1) as pool:
        rig.double.hold()
        stream = rig.model.stream(["a"], "text")
        reading = pool.submit(lambda: [p.text for p in stream])
        rig.until(lambda: rig.double.held)
        with pytest.raises(ConcurrentUse):
            next(stream)
        rig.double.release()
        assert reading.result() == ["a"]


def test_inside_a_running_loop_it_works(tmp_path: Path) -> None:
    async def cell() -> str:
        with blocking_rig("memory", tmp_path) as rig:
            return "".join(p.text for p in rig.model.stream([rig.model.predict("a", "text").text, "b"], "text"))

    assert asyncio.run(cell()) == "ab"


def test_inside_its_own_thread_it_says_why_not(tmp_path: Path) -> None:
    problems: list[str] = []

    async def source() -> AsyncIterator[str]:
        yield "a"
        with pytest.raises(ConfigError) as caught:
            rig.model.predict("b", "text")
        problems.append(str(caught.value))
        assert "<Client" in repr(rig.client)  # what only reads is fine
        assert rig.client.stats.calls == 1

    with blocking_rig("memory", tmp_path) as rig:
        assert [p.text for p in rig.model.stream(source(), "text")] == ["a"]
    assert "headrace's own thread" in problems[0]


SPAN: contextvars.ContextVar[str] = contextvars.ContextVar("span", default="none")


def test_context_variables_pass_through(tmp_path: Path) -> None:
    seen: dict[str, str] = {}

    def source() -> Iterator[str]:
        seen["iterator"] = SPAN.get()
        yield "a"

    async def async_source() -> AsyncIterator[str]:
        seen["async iterator"] = SPAN.get()
        yield "a"

    def hear(event: object) -> None:
        if isinstance(event, headrace.events.RetryScheduled):
            seen["event"] = SPAN.get()

    flaky: Any = lambda item: "fine" if item.attempt > 1 else Fail(11005)  # noqa: E731
    quick = headrace.RetryPolicy(initial=0.001, cap=0.001)
    with blocking_rig("memory", tmp_path, flaky, on_event=hear, retry=quick) as rig:
        token = SPAN.set("mine")
        rig.model.predict("x", "text")
        list(rig.model.stream(source(), "text"))
        list(rig.model.stream(async_source(), "text"))
        SPAN.reset(token)
    assert seen == {"iterator": "mine", "async iterator": "mine", "event": "mine"}


# --- the end


def test_after_close_everything_says_so(tmp_path: Path) -> None:
    with blocking_rig("memory", tmp_path) as rig, Client(base_url="http://127.0.0.1:1", transport=rig.double) as client:
        model = client.model("u/a/models/m")
        stream = model.stream(map(str, itertools.count()), "text")
        next(stream)
        client.close()
        client.close()
        for call in (
            lambda: model.predict("x", "text"),
            lambda: list(model.generate("x", "text")),
            lambda: model.info(),
        ):
            with pytest.raises(ClosedError):
                call()
        with pytest.raises(headrace.HeadraceError):
            for _ in stream:
                pass
        assert "closed" in repr(client)


def test_the_thread_ends_with_the_last_client(tmp_path: Path) -> None:
    def threads() -> list[str]:
        return [one.name for one in threading.enumerate() if one.name == "headrace-blocking"]

    first, second = (Client(base_url="http://127.0.0.1:1") for _ in range(2))
    assert threads() == []
    with pytest.raises(headrace.TransportError):
        first.model("u/a/models/m").predict("x", "text", timeout=1.0)
    stream = second.model("u/a/models/m").stream(["x"], "text")
    first.close()
    assert threads() != []
    second.close()
    assert threads() == []
    calls: list[Callable[[], object]] = [
        lambda: next(stream),
        lambda: first.model("u/a/models/m").predict("x", "text"),
    ]
    for call in calls:
        with pytest.raises(ClosedError):
            call()
    stream.close()
    assert "closed" in repr(second)
    assert second.stats.calls == 0


def test_closing_ends_the_calls_of_other_threads(tmp_path: Path) -> None:
    with blocking_rig("memory", tmp_path) as rig, ThreadPoolExecutor(2) as pool:
        client = Client(base_url="http://127.0.0.1:1", transport=rig.double, timeouts=headrace.Timeouts(close=0.0))
        model = client.model("u/a/models/m")
        rig.double.hold()
        waiting: list[Future[Any]] = [
            pool.submit(lambda: model.predict("x", "text")),
            pool.submit(lambda: list(model.stream(["x"], "text"))),
        ]
        rig.until(lambda: len(rig.double.held) == 2)
        client.close()
        for one in waiting:
            with pytest.raises(headrace.HeadraceError):
                one.result(timeout=10)


def test_a_forgotten_client_is_closed_and_one_that_shares_its_connections_keeps_it(tmp_path: Path) -> None:
    with blocking_rig("memory", tmp_path) as rig:
        server = rig.double.server
        shared = Client(base_url="http://127.0.0.1:1", transport=rig.double).with_options(timeout=10.0)
        gc.collect()
        assert shared.model("u/a/models/m").predict("x", "text").text == "x"
        shared.close()
        assert shared.model("u/a/models/m").predict("x", "text").text == "x"
        assert server.connections == 1
        del shared
        gc.collect()
        rig.until(lambda: server.connections == 0)
        pieces = Client(base_url="http://127.0.0.1:1", transport=rig.double).model("u/a/models/m").stream("abc", "text")
        gc.collect()
        assert [p.text for p in pieces] == ["abc"]


def test_a_model_owns_its_client(tmp_path: Path) -> None:
    with blocking_rig("memory", tmp_path) as rig:
        options: headrace.ClientOptions = {"base_url": "http://127.0.0.1:1", "transport": rig.double}
        with Model("u/a/models/m", **options) as model:
            assert model.predict("x", "text").text == "x"
            assert model.ref.model_id == model.id == "m"
        assert rig.double.server.connections == 0
        with Model("u/a/models/m", client=rig.client) as model:
            pass
        assert model.predict("x", "text").text == "x"
        with pytest.raises(ConfigError, match="did you mean pat"):
            Model("u/a/models/m", patt="x")  # type: ignore[call-arg]
        with pytest.raises(AttributeError, match=r'model\.call\("shout", \.\.\.\)'):
            model.shout("x")  # type: ignore[attr-defined]


def test_leaving_while_an_iterator_of_inputs_blocks_takes_no_longer_than_the_time_to_close(tmp_path: Path) -> None:
    blocked = threading.Event()

    def source() -> Iterator[str]:
        yield "a"
        blocked.wait(30)

    with blocking_rig("memory", tmp_path) as rig:
        started = time.monotonic()
        for prediction in rig.model.stream(source(), "text"):
            assert prediction.text == "a"
            break
        rig.until(lambda: rig.calls[-1].finished)
        assert time.monotonic() - started < 20
        blocked.set()


def test_the_thread_takes_no_work_after_its_end() -> None:
    one = thread.LoopThread()
    one.end()
    assert one.loop.is_closed()
    with pytest.raises(ClosedError):
        one.post(print)
