"""What may come when on a stream that is replayed, and what is said where the code goes another way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import headrace
from headrace import Input, RetryPolicy
from headrace.testing import GrpcFail, ModelDouble, ReceivedInput, Tape, TapeMismatch
from tests.support.rig import MODEL
from tests.support.tapes import NOBODY, Log, recording, replaying

pytestmark = pytest.mark.core


def shout(item: ReceivedInput) -> str:
    return item.text.upper()


def texts(count: int) -> list[str]:
    return [f"text {number}" for number in range(count)]


class Source:
    """Gives inputs when the test says so."""

    def __init__(self, inputs: list[str]) -> None:
        self.inputs = inputs
        self.allowed = asyncio.Semaphore(0)

    async def __aiter__(self) -> AsyncIterator[str]:
        for text in self.inputs:
            await self.allowed.acquire()
            yield text

    def let(self, count: int = 1) -> None:
        for _ in range(count):
            self.allowed.release()


async def test_an_answer_does_not_come_before_the_inputs_that_were_sent_before_it(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    double = ModelDouble(shout)
    double.hold()
    async with (
        recording(path, "memory", double) as client,
        client.model(**MODEL).stream(texts(3), input_type="text") as stream,
    ):
        await double.received(3)
        double.release()
        assert len([p async for p in stream]) == 3
    source = Source(texts(3))
    async with replaying(path) as client, client.model(**MODEL).stream(source, input_type="text") as stream:
        answer = asyncio.ensure_future(anext(stream))
        for _ in range(2):
            source.let()
            await asyncio.sleep(0.05)
            assert not answer.done()
        source.let()
        assert (await answer).text == "TEXT 0"
        assert [p.text async for p in stream] == ["TEXT 1", "TEXT 2"]


async def test_code_that_sends_an_input_after_it_saw_an_answer_is_replayed(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"

    async def live(client: headrace.Client) -> list[str]:
        seen: list[str] = []
        source = Source(texts(4))
        async with client.model(**MODEL).stream(source, input_type="text") as stream:
            source.let()
            async for prediction in stream:
                seen.append(prediction.text)
                source.let()
        return seen

    async with recording(path, "memory", ModelDouble(shout)) as client:
        recorded = await live(client)
    async with replaying(path) as client:
        assert await live(client) == recorded


@pytest.mark.parametrize("ids", [True, False], ids=["ids", "no ids"])
@pytest.mark.parametrize(("then", "now"), [(10, 3), (3, 10), (1, 10), (10, 1), (7, 4)])
async def test_inputs_may_travel_in_other_requests_than_when_they_were_recorded(
    ids: bool, then: int, now: int, tmp_path: Path
) -> None:
    path = tmp_path / "t.jsonl"

    def some_fail(item: ReceivedInput) -> Any:
        return 30300 if item.text.endswith("5") else item.text

    async def live(client: headrace.Client, batch: int) -> list[str]:
        async with client.model(**MODEL).stream(texts(60), input_type="text", batch=batch) as stream:
            return [str(p.error and p.error.code) + (p.text if p.error is None else "") async for p in stream]

    async with recording(path, "memory", ModelDouble(some_fail, echo_ids=ids)) as client:
        recorded = await live(client, then)
    async with replaying(path) as client:
        assert await live(client, now) == recorded
        tape: Any = client._calls.channels._factory
        tape.check(unused=True)


@pytest.mark.parametrize("ids", [True, False], ids=["ids", "no ids"])
@pytest.mark.parametrize("batch", [None, 1, 3, 4])
@pytest.mark.parametrize("order", ["cab", "acb", "dcba", "badc", "abcdfe"])
async def test_inputs_may_come_in_another_order_than_when_they_were_recorded(
    order: str, batch: int | None, ids: bool, tmp_path: Path
) -> None:
    """As those do that are sent again after a pause."""
    path = tmp_path / "t.jsonl"

    async def live(client: headrace.Client, inputs: str) -> list[str]:
        async with client.model(**MODEL).stream(list(inputs), input_type="text", batch=batch) as stream:
            return [p.text async for p in stream]

    async with recording(path, "memory", ModelDouble(shout, echo_ids=ids)) as client:
        assert await live(client, "".join(sorted(order))) == sorted(order.upper())
    async with replaying(path) as client:
        assert await live(client, order) == list(order.upper())


@pytest.mark.parametrize(("then", "now"), [(10, 3), (3, 10), (1, 7), (10, 1)])
async def test_lists_may_travel_in_other_requests_than_when_they_were_recorded(
    then: int, now: int, tmp_path: Path
) -> None:
    path = tmp_path / "t.jsonl"

    def some_fail(item: ReceivedInput) -> Any:
        return 30300 if item.text.endswith("5") else item.text

    async def live(client: headrace.Client, batch: int) -> list[Any]:
        answers = client.model(**MODEL).map(texts(30), input_type="text", batch=batch, on_error="yield")
        return [p.error.code if p.error is not None else p.text async for p in answers]

    async with recording(path, "memory", ModelDouble(some_fail)) as client:
        recorded = await live(client, then)
    async with replaying(path) as client:
        assert await live(client, now) == recorded
        tape: Any = client._calls.channels._factory
        tape.check(unused=True)


async def test_a_smaller_window_than_the_recorded_one_does_not_stand_still(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    double = ModelDouble(shout)
    double.hold()
    async with (
        recording(path, "memory", double) as client,
        client.model(**MODEL).stream(texts(8), input_type="text", window=8) as stream,
    ):
        await double.received(8)
        double.release()
        recorded = [p.text async for p in stream]
    async with replaying(path) as client, client.model(**MODEL).stream(texts(8), input_type="text", window=4) as stream:
        assert [p.text async for p in stream] == recorded


async def test_the_ids_of_now_come_back_whatever_they_were(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    double = ModelDouble(lambda item: f"seen {item.id}", answering="as_ready")

    async def live(client: headrace.Client, prefix: str) -> dict[str, str]:
        inputs = [Input.from_bytes(name, input_type="text", id=f"{prefix}{name}" if prefix else None) for name in "abc"]
        async with client.model(**MODEL).stream(inputs, ordered=False) as stream:
            return {p.input_id: p.text async for p in stream}

    async with recording(path, "memory", double) as client:
        await live(client, "then-")
        assert (await client.model(**MODEL).predict("x", input_type="text")).text.startswith("seen h")
    async with replaying(path) as client:
        assert set(await live(client, "now-")) == {"now-a", "now-b", "now-c"}
        prediction = await client.model(**MODEL).predict("x", input_type="text")
        assert prediction.text == f"seen {prediction.input_id}"


async def test_streams_that_begin_alike_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    lists = [["same", "a"], ["same", "b"], ["same"], ["same", "a", "c"]]
    async with recording(path, "memory", ModelDouble(shout)) as client:
        for inputs in lists:
            await Log(client).stream(inputs)
    async with replaying(path) as client:
        for inputs in reversed(lists):
            log = Log(client)
            await log.stream(inputs)
            assert [line[1] for line in log.lines if isinstance(line, tuple)] == [text.upper() for text in inputs]
        tape: Any = client._calls.channels._factory
        tape.check(unused=True)


# -- mismatches


async def one_of_each(client: headrace.Client, text: str = "hello", **options: Any) -> None:
    await client.model(**MODEL).predict(text, input_type="text", **options)


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    path = tmp_path / "t.jsonl"
    async with recording(path, "memory", ModelDouble(shout)) as client:
        log = Log(client)
        await log.predict("hello", inference_params={"temperature": 0.5}, metadata=[("tenant", "blue")])
        await log.predict("something else entirely")
        await log.generate("go")
        await log.stream(["a", "b", "c"])
    return path


MISMATCHES: dict[str, tuple[str, list[str], tuple[str, Any, Any]]] = {
    "text": (
        'predict("hallo", inference_params={"temperature": 0.5}, metadata=[("tenant", "blue")])',
        ["call 1 (line 2)", "recorded: 'hello'", "now:      'hallo'", "record it again with mode="],
        ("inputs[0].data.text.raw", "hello", "hallo"),
    ),
    "parameter": (
        'predict("hello", inference_params={"temperature": 0.7}, metadata=[("tenant", "blue")])',
        ["call 1 (line 2)", "recorded: 0.5", "now:      0.7"],
        ("model.model_version.output_info.params.temperature", 0.5, 0.7),
    ),
    "a parameter more": (
        'predict("hello", inference_params={"temperature": 0.5, "top_k": 3}, metadata=[("tenant", "blue")])',
        ["recorded: (not there)", "now:      3"],
        ("model.model_version.output_info.params.top_k", None, 3),
    ),
    "metadata": (
        'predict("hello", inference_params={"temperature": 0.5}, metadata=[("tenant", "green")])',
        ["metadata 'tenant'"],
        ("metadata 'tenant'", "blue", "green"),
    ),
    "shape": ('generate("hello")', ["recorded: 'go'"], ("inputs[0].data.text.raw", "go", "hello")),
    "an input of a stream": (
        'stream(["a", "x", "c"])',
        ["StreamModelOutputs, call 4", "recorded: 'b'", "now:      'x'"],
        ("inputs[1].data.text.raw", "b", "x"),
    ),
    "the first input of a stream": (
        'stream(["x", "b", "c"])',
        ["no recorded StreamModelOutputs", "call 4"],
        ("inputs[0].data.text.raw", "a", "x"),
    ),
    "an input more": ('stream(["a", "b", "c", "d"])', ["3 inputs were recorded, and one more"], ("", None, None)),
    "an input less": ('stream(["a", "b"])', ["3 inputs were recorded, and 2 are sent", '"c"'], ("", None, None)),
    "look-up": (
        "info()",
        ["no call of GetModel (unary)", "2 x PostModelOutputs (unary), 1 x GenerateModelOutputs (server stream)"],
        ("", None, None),
    ),
}


@pytest.mark.parametrize("case", MISMATCHES)
async def test_a_mismatch_names_the_field_and_both_values_and_is_no_failure_of_a_model(case: str, path: Path) -> None:
    code, words, field = MISMATCHES[case]
    async with replaying(path) as client:
        model = client.model(**MODEL)

        async def run() -> None:
            name, _, rest = code.partition("(")
            arguments = eval(f"dict(args=lambda *a, **k: (a, k))['args']({rest}")
            options = {} if name == "info" else {"input_type": "text"}
            result = getattr(model, name)(*arguments[0], **options, **arguments[1])
            if name in ("generate", "stream"):
                async with result as stream:
                    async for _ in stream:
                        pass
            else:
                await result

        with pytest.raises(TapeMismatch) as caught:
            try:
                await run()
            except headrace.HeadraceError as error:  # as code does that has a fallback
                pytest.fail(f"taken for a failure of the model: {error!r}")
        for word in (*words, str(path)):
            assert word in str(caught.value)
        assert (caught.value.field, caught.value.recorded, caught.value.actual) == field
        tape: Any = client._calls.channels._factory
        assert tape.mismatches == [caught.value]
        with pytest.raises(TapeMismatch):
            tape.check()


async def test_a_call_too_many_says_so(path: Path) -> None:
    async with replaying(path) as client:
        await client.model(**MODEL).predict("something else entirely", input_type="text")
        with pytest.raises(TapeMismatch, match=r"was recorded once \(call 2 .* and is made once more"):
            await client.model(**MODEL).predict("something else entirely", input_type="text")


@pytest.mark.parametrize("shape", ["predict", "map", "coalesce", "list"])
async def test_a_mismatch_is_raised_out_of_every_way_to_predict(shape: str, path: Path) -> None:
    async with replaying(path, coalesce=shape == "coalesce") as client:
        model = client.model(**MODEL)
        with pytest.raises(TapeMismatch):
            if shape == "map":
                [p async for p in model.map(["x", "y"], input_type="text", on_error="yield")]
            elif shape == "list":
                await model.predict(["x", "y"], input_type="text")
            else:
                await model.predict("x", input_type="text")


async def test_code_that_reads_on_where_the_recorded_one_left_is_told(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    async with recording(path, "memory", ModelDouble(lambda item: ["a", "b", "c"])) as client:
        tape: Any = client._calls.channels._factory
        double: ModelDouble = tape._factory
        double.server.window_bytes = 1
        await Log(client).generate("go", leave_after=1)
    async with replaying(path) as client:
        with pytest.raises(TapeMismatch, match=r"went away after . answers; the code reads on"):
            await client.model(**MODEL).generate("go", input_type="text").text()


async def test_the_client_needs_no_credential_and_no_server(path: Path) -> None:
    async with headrace.Client(transport=Tape(path)) as client:  # of the hosted API, as in production
        assert (await client.model(**MODEL).predict("something else entirely", input_type="text")).text


async def test_a_recording_of_the_hosted_api_needs_a_credential_as_without_a_tape(tmp_path: Path) -> None:
    async with headrace.Client(transport=Tape(tmp_path / "t.jsonl", "record")) as client:
        with pytest.raises(headrace.ConfigError, match="no credential for"):
            await client.model(**MODEL).predict("x", input_type="text")


async def test_retries_end_with_the_last_recorded_failure(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    retry = RetryPolicy(attempts=3, initial=0.001, cap=0.001)
    double = ModelDouble(lambda item: GrpcFail("UNAVAILABLE", f"down {item.attempt}"))
    async with recording(path, "memory", double, retry=retry) as client:
        with pytest.raises(headrace.ConnectionLost, match="down 3"):
            await client.model(**MODEL).predict("x", input_type="text")
    async with headrace.Client(base_url=NOBODY, transport=Tape(path), retry=retry) as client:
        with pytest.raises(headrace.ConnectionLost, match="down 3") as caught:
            await client.model(**MODEL).predict("x", input_type="text")
        assert caught.value.attempt == 3
