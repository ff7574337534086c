"""Our client on the official model server (ModelServicer): all shapes, methods with signatures, failures."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace import Client, ConfigError, Input, InvalidRequest, Model, PartialFailure, PredictionFailed, StreamBroken
from headrace.config import Timeouts
from tests.interop.conftest import SAMPLES, Outside, nowhere

pytestmark = pytest.mark.timeout(600)  # the first test may have to install the official package

CAT = SAMPLES / "photos" / "cat.jpg"
WORDS = [f"w{n}" for n in range(40)]


@pytest.fixture
async def on(ports: dict[str, int]) -> AsyncIterator[Any]:
    """Give a function from a model's name to our model on its server."""
    clients: list[Client] = []

    def model(name: str, **options: Any) -> Model:
        clients.append(Client(base_url=f"http://127.0.0.1:{ports[name]}", **options))
        return clients[-1].model("u/a/models/m")

    yield model
    for client in clients:
        await client.close()


# --- the plain form


async def test_predict(on: Any) -> None:
    prediction = await on("typed").predict_by_bytes("hi", "text")
    assert prediction.text == "hi hi"
    assert (prediction.usage.prompt_tokens, prediction.usage.completion_tokens) == (1, 2)
    several = await on("typed").predict(inputs=[Input.from_text(word) for word in WORDS])
    assert [one.text for one in several] == [f"{word} {word}" for word in WORDS]


async def test_predict_by_filepath_and_url(on: Any, files: str) -> None:
    model = on("typed")
    path = SAMPLES / "texts" / "question.txt"
    text = path.read_text()
    assert (await model.predict_by_filepath(path, "text")).text == f"{text} {text}"
    assert (await model.predict_by_url(f"{files}/texts/question.txt", "text")).text == f"{text} {text}"


async def test_generate(on: Any) -> None:
    async with on("typed").generate_by_bytes("n", "text") as stream:
        assert [piece.text async for piece in stream] == ["n0", "n1", "n2"]


async def test_stream(on: Any) -> None:
    async with on("typed").stream_by_bytes(WORDS[:16], "text") as stream:
        assert [one.text async for one in stream] == [f"{word}!" for word in WORDS[:16]]


async def test_map(on: Any) -> None:
    found = [one.text async for one in on("typed").map(iter(WORDS), input_type="text")]
    assert found == [f"{word} {word}" for word in WORDS]


# --- it answers a stream only after the last input


async def test_a_stream_of_more_than_the_window_says_how_it_can_be_had(on: Any) -> None:
    model = on("typed", timeouts=Timeouts(first_answer=0.5))
    with pytest.raises(StreamBroken, match=r"window=None.*model\.map") as caught:
        async for _ in model.stream_by_bytes(iter(WORDS), "text"):
            pass
    assert len(caught.value.unanswered) == 16


async def test_such_a_stream_without_a_window(on: Any) -> None:
    async with on("typed").stream_by_bytes(iter(WORDS), "text", window=None) as stream:
        assert [one.text async for one in stream] == [f"{word}!" for word in WORDS]
        assert (stream.stats.sent, stream.stats.resumed) == (40, 0)


# --- methods with signatures


async def test_signatures_are_asked_of_the_model_itself(on: Any) -> None:
    found = {method.name: method for method in await on("typed").methods()}
    assert str(found["predict"]) == "predict(prompt: str, times: int = 2) -> str"
    assert found["predict"].description == "Repeat the prompt."
    assert str(found["stream"]) == "stream(texts: Iterator[Text], suffix: str = !) -> Iterator[str]"
    assert str(found["add"]) == "add(numbers: list[int], data: json) -> json"
    assert str(found["point"]) == "point(point: {x: int, name: str}) -> {x: int, name: str}"
    assert await on("old").methods() == ()


async def test_typed_calls(on: Any) -> None:
    model = on("typed")
    assert await model.call("predict", "hi", times=3) == "hi hi hi"
    assert await model.call("predict", prompt="hi") == "hi hi"
    assert await model.call("add", [1, 2], {"k": [1, "x"]}) == {"sum": 3, "k": [1, "x"]}
    assert await model.call("point", {"x": 1, "name": "n"}) == {"x": 2, "name": "n"}
    concepts = await model.call("label", image=CAT.read_bytes())
    assert [(concept.name, concept.value) for concept in concepts] == [
        (f"{CAT.stat().st_size} bytes", 0.5),
        ("image", 0.25),
    ]


async def test_typed_image_by_url(on: Any, files: str) -> None:
    concepts = await on("typed").call("label", image=f"{files}/photos/cat.jpg")
    assert concepts[0].name == f"{CAT.stat().st_size} bytes"


async def test_typed_streams(on: Any) -> None:
    model = on("typed")
    assert [piece async for piece in model.call("generate", "n", times=2)] == ["n0", "n1"]
    assert [word async for word in model.call("words", iter(WORDS), suffix="?")] == [f"{word}?" for word in WORDS]

    async def texts() -> AsyncIterator[str]:
        for word in ("a", "b"):
            yield word

    assert [word async for word in model.call("stream", texts=texts())] == ["a!", "b!"]


async def test_wrong_arguments_are_found_before_anything_is_sent(on: Any) -> None:
    model = on("typed")
    for arguments in ({}, {"prompt": 3}, {"prompt": "a", "colour": "red"}):
        with pytest.raises(ConfigError, match=r"predict\(prompt: str, times: int = 2\) -> str"):
            await model.call("predict", **arguments)
    with pytest.raises(ConfigError, match="no method 'nope'; it has predict"):
        await model.call("nope")


async def test_their_dummy_model(on: Any) -> None:
    model = on("dummy")
    asked = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
    answer = json.loads(await model.call("openai_transport", json.dumps(asked)))
    assert answer["choices"][0]["message"]["content"] == "Echo: hello"
    told = json.dumps({**asked, "stream": True})
    pieces = [json.loads(piece) async for piece in model.call("openai_stream_transport", told)]
    assert pieces[0]["choices"][0]["delta"]["content"] == "Echo: hello"
    assert pieces[-1]["choices"][0]["finish_reason"] == "stop"


# --- the program that serves a model's folder, as `clarifai model serve --grpc` starts it

MODEL = """
import time
from collections.abc import Iterator

from clarifai.runners.models.model_class import ModelClass


class Served(ModelClass):
    @ModelClass.method
    def predict(self, prompt: str) -> str:
        time.sleep(0.01)  # a model at work, so that calls meet
        return prompt.upper()

    @ModelClass.method
    def stream(self, words: Iterator[str]) -> Iterator[str]:
        for word in words:
            yield word.upper()
"""
CONFIG = {
    "model": {"id": "m", "user_id": "u", "app_id": "a", "model_type_id": "any-to-any"},
    "build_info": {"python_version": "3.12"},
    "inference_compute_info": {"cpu_limit": "1", "cpu_memory": "1Gi", "num_accelerators": 0},
}


@pytest.fixture
def program(clarifai_python: Path, tmp_path: Path) -> Iterator[str]:
    """The program with a model, taking three calls at a time: its address. It asks for packages' versions, in vain."""
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model.py").write_text(MODEL)
    (tmp_path / "config.yaml").write_text(json.dumps(CONFIG))  # JSON is YAML
    (tmp_path / "requirements.txt").write_text("clarifai\n")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    limits = ["--pool_size", "2", "--max_queue_size", "1", "--health_check_port", "-1"]
    command = [str(clarifai_python), "-m", "clarifai.runners.server", "--grpc", "--model_path", str(tmp_path)]
    with nowhere() as outside:
        process = subprocess.Popen(
            [*command, "--port", str(port), *limits],
            env=outside.environment(tmp_path, "http://127.0.0.1:1"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            assert process.stdout is not None
            said = ""
            while "Started server" not in said:
                line = process.stdout.readline()
                assert line, said  # it has ended
                said += line
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.communicate()


async def test_the_program_and_its_refusals_of_too_many_calls(program: str) -> None:
    async with Client(base_url=program) as client:
        model = client.model("u/a/models/m")
        assert await model.call("predict", prompt="hi") == "HI"
        assert [word async for word in model.call("stream", words=["a", "b"])] == ["A", "B"]
        assert [one.text async for one in model.map(iter(WORDS), input_type="text")] == [w.upper() for w in WORDS]
        assert client.stats.retries  # 32 at a time were too many for it


# --- failures


async def test_a_failing_method(on: Any) -> None:
    with pytest.raises(PredictionFailed, match="no tea today") as caught:
        await on("typed").call("fails", prompt="tea")
    assert (caught.value.code, caught.value.details) == (10020, "no tea today")


async def test_a_method_that_fails_after_a_piece(on: Any) -> None:
    call = on("typed").call("fails_later", prompt="tea")
    assert await anext(call) == "tea"
    with pytest.raises(StreamBroken, match="no more tea") as caught:
        await anext(call)
    assert (caught.value.code, caught.value.received) == (10020, 1)


async def test_a_server_that_breaks_tells_why(on: Any) -> None:
    model = on("broken")
    with pytest.raises(PredictionFailed, match="the wrapper broke") as caught:
        await model.predict_by_bytes("a", "text")
    assert caught.value.code == 21313
    with pytest.raises(PredictionFailed, match="the wrapper broke"):
        await model.generate_by_bytes("a", "text").text()
    [failed] = [one async for one in model.stream_by_bytes(["a"], "text")]
    assert failed.error is not None
    assert failed.error.code == 21313


async def test_some_of_a_batch_fail(on: Any) -> None:
    with pytest.raises(PartialFailure) as caught:
        await on("old").predict(inputs=["a", "bad", "c"], input_type="text")
    assert {position: one.text for position, one in caught.value.predictions.items()} == {0: "A", 2: "C"}
    assert {position: error.code for position, error in caught.value.errors.items()} == {1: 30104}


async def test_an_input_that_it_cannot_fetch_is_an_empty_one_to_it(on: Any, files: str) -> None:
    """Its own doing: it logs the failure and calls the model, which has to look itself."""
    concepts = await on("typed").call("label", image=f"{files}/none.jpg")
    assert concepts[0].name == "0 bytes"


async def test_what_it_does_not_serve(on: Any) -> None:
    model = on("typed")
    with pytest.raises(InvalidRequest, match="UNIMPLEMENTED"):
        await model.info()
    with pytest.raises(InvalidRequest, match="UNIMPLEMENTED"):
        await model.client.models()
    with pytest.raises(ConfigError, match="does not say what its models take: give input_type="):
        await model.predict_by_bytes(b"a")


async def test_a_plain_stream_of_strings_which_its_server_cannot_read(on: Any) -> None:
    """It reads the plain form in a stream's first input only, and fails for all with a KeyError: a failure, no hang."""
    texts = [word async for word in on("words").call("stream", WORDS)]
    assert texts == WORDS  # with types it works
    stream = on("words").stream_by_bytes(["a", "b"], "text", on_error="yield")
    found = [one async for one in stream]
    assert len(found) == 2
    assert found[0].text == "a"


def test_it_asks_nobody_else(ports: dict[str, int], outside: Outside) -> None:
    assert outside.asked == []
