"""The plugin of the `llm` command with the real package: its command line and its Python API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llm
import llm_headrace
import pytest
from click.testing import CliRunner, Result
from llm.cli import cli
from llm.plugins import pm
from llm_headrace import Entry

from headrace import Client
from headrace.blocking.call import run
from headrace.integrations.connection import Connection
from headrace.testing import Fail, ModelDouble, ReceivedInput
from tests.support import speakers
from tests.support.speakers import OPENAI, calling, openai_model, prompted

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt "

Add = Callable[..., Any]


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of llm's without keys and models, and an environment without credentials."""
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path / "llm"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("CLARIFAI_PAT", "CLARIFAI_SESSION_TOKEN", "CLARIFAI_API_BASE"):
        monkeypatch.delenv(name, raising=False)
    if not pm.is_registered(llm_headrace):
        pm.register(llm_headrace, "headrace")
    if "headrace" not in cli.commands:  # llm asks its plugins for commands once, as it is imported
        llm_headrace.register_commands(cli)
    folder: Path = llm.user_dir()
    return folder


@pytest.fixture
def served(user: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[ModelDouble], None]]:
    """Give a function that puts a double in the place of every server."""
    connections: list[Connection] = []

    def serve(double: ModelDouble) -> None:
        def connect(entry: Entry, key: str | None) -> Connection:
            client = Client(transport=double, base_url="http://127.0.0.1:1", pat=key)
            connections.append(Connection(client, entry.model, {}, {}))
            return connections[-1]

        monkeypatch.setattr(llm_headrace, "connect", connect)

    yield serve
    for connection in connections:
        if not connection.closed:
            run(connection.client.aclose)
        connection.close()


@pytest.fixture
def add(served: Callable[[ModelDouble], None]) -> Add:
    """Give a function that serves a double and registers it under some properties; gives the model."""

    def register(double: ModelDouble, **properties: Any) -> Any:
        served(double)
        entry = Entry("headrace/m", "u/a/models/m", "http://127.0.0.1:1", **properties)
        llm_headrace.save([entry])
        return llm.get_embedding_model("headrace/m") if entry.embeds else llm.get_model("headrace/m")

    return register


def talker() -> ModelDouble:
    return ModelDouble(speakers.words, signatures=prompted("chat_history", "system_prompt", "stop"))


def typed(*words: str, input: str | None = None) -> Result:
    return CliRunner().invoke(cli, list(words), input=input, catch_exceptions=False)


# -- the command line


def test_a_prompt_is_answered_with_options_and_a_system_prompt(add: Add) -> None:
    double = talker()
    add(double, aliases=("em",))
    options = {"max_tokens": "9", "temperature": "0.5", "stop": '["###"]', "params": '{"top_k": 3}'}
    words = [word for name, value in options.items() for word in ("-o", name, value)]
    result = typed("-m", "em", "one two three", "-s", "Be brief.", "--no-log", *words)
    assert result.output == "one two three\n"
    assert double.inputs[-1].params == {
        "system_prompt": "Be brief.",
        "max_tokens": 9,
        "temperature": 0.5,
        "top_k": 3,
        "stop": ["###"],
    }
    assert typed("-m", "em", "one two", "--no-stream", "--no-log").output == "one two\n"


def test_models_are_added_listed_and_removed(served: Callable[[ModelDouble], None]) -> None:
    served(talker())
    added = typed("headrace", "add", "u/a/models/m", "--base-url", "http://127.0.0.1:1", "--alias", "em")
    assert added.output == "headrace/m: takes text; gives text\n"
    served(ModelDouble(lambda item: "fine", signatures=OPENAI))
    assert "takes text, image, audio, tools, schemas" in typed("headrace", "add", "gpt", "--base-url", "[::1]:1").output
    assert (
        typed("headrace", "list").output.splitlines()[0]
        == "headrace/m, em: takes text; gives text (http://127.0.0.1:1)"
    )
    listed = typed("models").output
    assert "headrace/m" in listed
    assert "aliases: em" in listed
    assert [entry.model_id for entry in llm_headrace.entries()] == ["headrace/m", "headrace/gpt"]
    assert typed("headrace", "remove", "em").exit_code == 0
    assert [entry.model_id for entry in llm_headrace.entries()] == ["headrace/gpt"]
    assert typed("headrace", "remove", "em").output == "Error: no model 'em' was added\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("u/a/models/m", "u/a/models/n", "--alias", "x"), "--alias is for a single model"),
        (("u//m",), "malformed model URL"),
        (("u/a/models/m", "--base-url", "ftp://x"), "u/a/models/m: "),
    ],
)
def test_what_cannot_be_added_is_one_sentence(user: Path, words: tuple[str, ...], says: str) -> None:
    result = typed("headrace", "add", *words, "--key", "made-up-key")
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert says in result.output
    assert not llm_headrace.path().exists()


def test_a_model_that_gives_no_text_is_not_added(served: Callable[[ModelDouble], None]) -> None:
    double = ModelDouble(lambda item: "fine", signatures=prompted())
    double.model_type.output_fields.append("image")
    served(double)
    result = typed("headrace", "add", "u/a/models/m", "--base-url", "http://127.0.0.1:1")
    assert "u/a/models/m gives image" in result.output


@pytest.mark.parametrize(
    "content", ["models: {", "models: 7", "models:\n- model: x", "models:\n- {model: x, modle_id: y}"]
)
def test_a_file_that_cannot_be_read_leaves_llm_its_other_models(user: Path, content: str) -> None:
    llm_headrace.path().write_text(content, encoding="utf-8")
    assert "OpenAI" in typed("models").output
    failed = typed("headrace", "list")
    assert (failed.exit_code, "headrace.yaml" in failed.output) == (1, True)


def test_keys_come_from_llms_store(served: Callable[[ModelDouble], None], user: Path) -> None:
    double = talker()
    served(double)
    llm_headrace.save([Entry("headrace/m", "u/a/models/m")])
    with pytest.raises(llm.NeedsKeyException, match=r"llm keys set headrace.*CLARIFAI_PAT"):
        llm.get_model("headrace/m").prompt("Hi").text()
    (user / "keys.json").write_text(json.dumps({"headrace": "made-up-key"}), encoding="utf-8")
    assert llm.get_model("headrace/m").prompt("Hi").text() == "Hi"
    assert double.inputs[-1].metadata["authorization"] == "Key made-up-key"
    assert llm.get_model("headrace/m").prompt("Hi", key="other-key").text() == "Hi"
    assert double.inputs[-1].metadata["authorization"] == "Key other-key"


# -- the Python API


def test_a_conversation_goes_along(add: Add) -> None:
    double = talker()
    conversation = add(double).conversation()
    first = conversation.prompt("Hi there")
    assert first.text() == "Hi there"
    assert (first.usage().input, first.usage().output) == (2, 2)
    assert conversation.prompt("one two").text() == "one two"
    assert double.inputs[-1].params["chat_history"] == [
        {"role": "user", "content": "Hi there"},
        {"role": "assistant", "content": "Hi there"},
    ]


async def test_asynchronous_models_stream(add: Add) -> None:
    double = talker()
    add(double)
    model: Any = llm.get_async_model("headrace/m")
    assert [piece async for piece in model.prompt("one two three")] == ["one", " two", " three"]
    assert await model.prompt("one two", stream=False).text() == "one two"
    await model.connection(None).client.aclose()
    await model.connection(None).aclose()


def test_who_leaves_a_stream_stops_the_model(add: Add) -> None:
    double = ModelDouble(speakers.forever, signatures=prompted())
    pieces = iter(add(double).prompt("x"))
    assert next(pieces) == "word "
    pieces.close()
    run(double.server.until, lambda: double.server.calls[-1].cancelled)


def test_tools_are_called_and_their_results_go_back(add: Add) -> None:
    requests: list[dict[str, Any]] = []

    def answer(request: dict[str, Any]) -> Any:
        requests.append(request)
        last = request["messages"][-1]
        return f"It is {last['content']}." if last["role"] == "tool" else calling("add", {"a": 1, "b": 2})

    def add_numbers(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    model = add(ModelDouble(openai_model(answer), signatures=OPENAI), speaks_openai=True)
    tool = llm.Tool.function(add_numbers, name="add")
    assert model.chain("1 + 2?", tools=[tool]).text() == "It is 3."
    assert requests[0]["tools"][0]["function"]["name"] == "add"
    assert [message["role"] for message in requests[1]["messages"]] == ["user", "assistant", "tool"]
    assert requests[1]["messages"][2]["tool_call_id"] == "call-1"


def test_a_schema_goes_to_the_model(add: Add) -> None:
    requests: list[dict[str, Any]] = []

    def answer(request: dict[str, Any]) -> str:
        requests.append(request)
        return '{"name": "Aare"}'

    model = add(ModelDouble(openai_model(answer), signatures=OPENAI), speaks_openai=True)
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    assert json.loads(model.prompt("A river?", schema=schema).text()) == {"name": "Aare"}
    assert requests[0]["response_format"]["json_schema"]["schema"] == schema


def test_pictures_and_sounds_are_attachments(add: Add) -> None:
    requests: list[dict[str, Any]] = []

    def answer(request: dict[str, Any]) -> str:
        requests.append(request)
        return "A cat."

    openai = ModelDouble(openai_model(answer), signatures=OPENAI)
    attachments = [
        llm.Attachment(type="image/png", content=PNG),
        llm.Attachment(type="image/png", url="https://example.com/cat.png"),
        llm.Attachment(type="audio/mpeg", content=WAV),
    ]
    add(openai, speaks_openai=True, inputs=("image", "audio")).prompt("What?", attachments=attachments).text()
    parts = requests[0]["messages"][0]["content"]
    assert [part["type"] for part in parts] == ["text", "image_url", "image_url", "input_audio"]
    assert parts[2]["image_url"]["url"] == "https://example.com/cat.png"
    assert parts[3]["input_audio"]["format"] == "mp3"

    seeing = ModelDouble(lambda item: f"{len(item.image)} bytes: {item.text}", signatures=prompted())
    seeing.model_type.input_fields[:] = ["image", "text"]
    model = add(seeing, inputs=("image",))
    assert model.prompt("What?", attachments=attachments[:1]).text() == "28 bytes: What?"
    with pytest.raises(ValueError, match="does not support attachments of type 'audio/mpeg'"):
        model.prompt("What?", attachments=attachments[2:])


def test_a_failure_of_the_server_is_one_of_llms_messages(add: Add) -> None:
    add(ModelDouble(lambda item: Fail(21313, details="out of memory"), signatures=prompted()))
    result = typed("-m", "headrace/m", "Hi", "--no-log")
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert "out of memory" in result.output


def test_embeddings_come_in_batches(add: Add) -> None:
    def vector(item: ReceivedInput) -> Any:
        return speakers.vector(float(len(item.text)), 0.5)

    double = ModelDouble(vector, model_type="text-embedder")
    model = add(double, embeds=True)
    assert model.embed("four") == [4.0, 0.5]
    texts = ["x" * (number % 7 + 1) for number in range(1000)]
    assert list(model.embed_multi(texts)) == [[float(len(text)), 0.5] for text in texts]
    assert sum(call.method.endswith("PostModelOutputs") for call in double.server.calls) < 40
    assert json.loads(typed("embed", "-m", "headrace/m", "-c", "four").output) == [4.0, 0.5]
