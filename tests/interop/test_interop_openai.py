"""OpenAI's API on the embedded server, and in front of other V2 servers, as other people's programs use it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.interop import install
from tests.interop.conftest import HERE, Outcomes, drive, needed, started
from tests.support.commands import running
from tests.support.weights import need

pytestmark = [pytest.mark.timeout(600), pytest.mark.models]  # the first test may have to install the programs

SAYS = "OpenAI's API at "
MODELS = "echo,minilm-l6-v2,shapes-to-image,hibari-tts,whisper-tiny-en"

WORKS: dict[str, Any] = {
    "llm_streams": "one two three",
    "llm_waits": "one two three",
    "llm_lists": True,
    "langchain_invokes": ["one two three", 3],
    "langchain_streams": ["one", " two", " three"],
    "langchain_streams_async": ["one", " two", " three"],
    "langchain_batches": ["a b", "c d", "e f"],
    "langchain_embeds": [384, 384],
    "litellm_completes": ["one two three", 3],
    "litellm_streams": "one two three",
    "litellm_completes_async": "one two three",
    "litellm_text_completes": "one two",
    "litellm_responds": "one two",
    "litellm_embeds": [384, 384],
    "litellm_paints": "89504e47",
    "litellm_speaks_and_hears": "The house is red.",
    "litellm_is_refused": "The model 'nobody' does not exist",
}


@contextlib.contextmanager
def told(front: str, steps: str, folder: Path) -> Iterator[Outcomes]:
    """What the programs were told by the embedded server, or through a proxy by another one.

    Args:
        steps: how the names of the steps begin that run.
    """
    need("minilm-l6-v2", "minilm-l6-v2-tokenizer", "whisper-tiny-en")
    python = needed("openai-tools", install.openai_tools)
    with contextlib.ExitStack() as stack:
        if front == "serve":
            base = stack.enter_context(running("serve", "--openai", "--models", MODELS, says=SAYS))
        else:
            command = [sys.executable, "-m", "headrace.server", "--watch-stdin", "--models", MODELS]
            server = stack.enter_context(started(command))
            base = stack.enter_context(running("proxy", "--base_url", server, says=SAYS))
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        driver = [str(python), str(HERE / "drivers" / "openai_tools.py")]
        yield drive(driver, environment, {"base": base, "folder": str(folder), "steps": steps})


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcomes]:
    with told("serve", "", tmp_path_factory.mktemp("tools")) as outcomes:
        yield outcomes


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcomes]:
    with told("proxy", "litellm_", tmp_path_factory.mktemp("tools")) as outcomes:
        yield outcomes


def check(name: str, value: Any) -> None:
    if name == "llm_waits":
        value = value.splitlines()[0]
    if name == "litellm_is_refused":  # the text of the error that the program knows
        assert WORKS[name] in value
    else:
        assert value == WORKS[name]


@pytest.mark.parametrize("name", WORKS)
def test_other_peoples_programs_work(served: Outcomes, name: str) -> None:
    check(name, served(name).must())


@pytest.mark.parametrize("name", [name for name in WORKS if name.startswith("litellm_")])
def test_one_of_them_has_every_kind_of_answer_through_a_proxy(proxied: Outcomes, name: str) -> None:
    check(name, proxied(name).must())


@pytest.fixture(scope="module")
def official_base(ports: dict[str, int]) -> Iterator[str]:
    """The API's address in front of the official model server's own model that speaks OpenAI."""
    aliases = ("--model", "gpt=https://clarifai.com/u/a/models/m")
    with running("proxy", "--base_url", f"http://127.0.0.1:{ports['dummy']}", *aliases, says=SAYS) as base:
        yield base


@pytest.fixture
def official(official_base: str) -> Iterator[openai.OpenAI]:
    """A client of it."""
    with openai.OpenAI(base_url=official_base, api_key="none", max_retries=0) as client:
        yield client


def test_the_official_model_gets_requests_as_they_are(official: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "Hello"}]
    tools: Any = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
    answer = official.chat.completions.create(model="gpt", messages=messages, tools=tools)
    assert (answer.id, answer.choices[0].message.content) == ("dummy-completion-id", "Echo: Hello")
    chunks = list(official.chat.completions.create(model="gpt", messages=messages, stream=True))
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["Echo: Hello", ""]
    response = official.responses.create(model="gpt", input="Hello")
    assert response.id == "dummy-response-id"
    events = list(official.responses.create(model="gpt", input="Hello", stream=True))
    assert [event.type for event in events][::4] == ["response.created", "response.completed"]
    assert official.embeddings.create(model="gpt", input="a", encoding_format="float").data[0].embedding == [
        0.1,
        0.2,
        0.3,
    ]
    images = official.images.generate(model="gpt", prompt="a")
    assert images.data is not None
    assert images.data[0].url == "https://example.com/image.png"


def test_its_failures_are_failures(official: openai.OpenAI) -> None:
    for stream in (False, True):
        with pytest.raises(openai.APIStatusError, match="'int' object") as failed:
            official.chat.completions.create(model="gpt", messages=7, stream=stream)
        assert failed.value.status_code == 502
