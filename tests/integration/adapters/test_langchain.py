"""The LangChain adapter with the real package: what a model behind it gets, and what LangChain gets back."""

from __future__ import annotations

import asyncio
import base64
import functools
import operator
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core import exceptions as langchain_errors
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, ValidationError

from headrace import Client, errors
from headrace.blocking.call import run
from headrace.chat import ConversationError
from headrace.integrations.langchain import ChatHeadrace, HeadraceEmbeddings
from headrace.testing import Fail, GrpcFail, ModelDouble, ReceivedInput
from tests.support import speakers
from tests.support.rig import WIRES, Wire, rigged
from tests.support.speakers import OPENAI, calling, openai_model, prompted

URL = "u/a/models/m"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
PICTURE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}

ClientOf = Callable[..., Client]


class Recorder:
    """A model that speaks OpenAI's API, gives one answer, and keeps the requests."""

    def __init__(self, *answers: Any) -> None:
        self.requests: list[dict[str, Any]] = []
        self.answers = list(answers)
        self.double = ModelDouble(openai_model(self), signatures=OPENAI)

    def __call__(self, request: dict[str, Any]) -> Any:
        self.requests.append(request)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def talker(**options: Any) -> ModelDouble:
    return ModelDouble(speakers.words, signatures=prompted("chat_history", "system_prompt", "stop"), **options)


def joined(chunks: list[Any]) -> AIMessage:
    """Put the chunks of an answer together, as LangChain's users do."""
    whole: AIMessage = functools.reduce(operator.add, chunks)
    return whole


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class River(BaseModel):
    """A river."""

    name: str
    km: int


# -- models with a prompt


async def test_a_conversation_goes_into_the_models_own_parameters(client_of: ClientOf) -> None:
    double = talker()
    llm = ChatHeadrace(model=URL, client=client_of(double), temperature=0.5, max_tokens=9, seed=7)
    messages = [SystemMessage("Be brief."), HumanMessage("Hi"), AIMessage("Hello"), HumanMessage("one two three")]
    message = await llm.ainvoke(messages, stop=["###"])
    assert (message.content, message.response_metadata["finish_reason"]) == ("one two three", "stop")
    assert isinstance(message, AIMessage)
    assert message.usage_metadata == {"input_tokens": 3, "output_tokens": 3, "total_tokens": 6}
    assert double.inputs[-1].params == {
        "chat_history": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}],
        "system_prompt": "Be brief.",
        "temperature": 0.5,
        "max_tokens": 9,
        "seed": 7,
        "stop": ["###"],
    }


async def test_a_stream_comes_as_it_is_made_and_ends_at_a_stop_text(client_of: ClientOf) -> None:
    llm = ChatHeadrace(model=URL, client=client_of(talker()), stop="ree f")
    chunks = [chunk async for chunk in llm.astream("one two three four")]
    assert [chunk.content for chunk in chunks if chunk.content] == ["one", " two", " th"]
    whole = joined(chunks)
    assert whole.response_metadata == {"model_provider": "headrace", "model_name": "m", "finish_reason": "stop"}


async def test_it_is_a_step_of_a_chain(client_of: ClientOf) -> None:
    prompt = ChatPromptTemplate.from_messages([("human", "{a} and {b}")])
    chain = prompt | ChatHeadrace(model=URL, client=client_of(talker()))
    answers = await chain.abatch([{"a": "x", "b": str(number)} for number in range(20)])
    assert [answer.content for answer in answers] == [f"x and {number}" for number in range(20)]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("leave", ["break", "cancel"])
async def test_who_leaves_a_stream_stops_the_model(wire: Wire, tmp_path: Path, leave: str) -> None:
    async with rigged(wire, tmp_path, speakers.forever, double={"signatures": prompted()}) as rig:
        llm = ChatHeadrace(model=URL, client=rig.client)
        begun = asyncio.Event()

        async def read() -> None:
            async for _ in llm.astream("x"):
                begun.set()
                if leave == "break":
                    break

        reading = asyncio.create_task(read())
        await begun.wait()
        if leave == "cancel":
            reading.cancel()
        await asyncio.wait([reading])
        await rig.until(lambda: rig.calls[-1].cancelled)


async def test_a_picture_goes_to_a_model_that_takes_pictures(client_of: ClientOf) -> None:
    seeing = ModelDouble(lambda item: f"{len(item.image)} bytes: {item.text}", signatures=prompted())
    seeing.model_type.input_fields[:] = ["image", "text"]
    llm = ChatHeadrace(model=URL, client=client_of(seeing))
    parts: list[Any] = [{"type": "text", "text": "What?"}, PICTURE]
    assert (await llm.ainvoke([HumanMessage(parts)])).content == "8 bytes: What?"
    block = {"type": "image", "base64": PNG, "mime_type": "image/png"}  # LangChain's own form
    assert (await llm.ainvoke([HumanMessage([parts[0], block])])).content == "8 bytes: What?"


REFUSED: dict[str, tuple[list[Any], str]] = {
    "no messages": ([], "no messages"),
    "a system message alone": ([SystemMessage("Be brief.")], "last message must be the user's"),
    "an answer last": ([HumanMessage("Hi"), AIMessage("Hello")], "last message must be the user's"),
    "a picture": ([HumanMessage([PICTURE])], "'m' takes no pictures"),
    "a sound": ([HumanMessage([{"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"}])], "takes no sounds"),
    "an earlier picture": ([HumanMessage([PICTURE]), HumanMessage("What?")], "Only the last message may hold pictures"),
    "an unknown part": ([HumanMessage([{"type": "hologram", "x": 1}])], "messages.0.content.0 is a part of type 'hol"),
    "a part without content": ([HumanMessage([{"type": "image_url"}])], "missing expected key"),
    "a picture that is no URL": (
        [HumanMessage([{"type": "image_url", "image_url": {"url": "cat.png"}}])],
        "takes no pictures",
    ),
    "a tool's result": ([HumanMessage("Hi"), ToolMessage("3", tool_call_id="1")], "the model takes no tools"),
    "a tool's call": (
        [AIMessage("", tool_calls=[{"name": "add", "args": {}, "id": "1"}]), HumanMessage("Go on")],
        "the model takes no tools",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_what_the_model_cannot_be_given_is_refused(client_of: ClientOf, case: str, streamed: bool) -> None:
    messages, said = REFUSED[case]
    double = talker()
    llm = ChatHeadrace(model=URL, client=client_of(double))
    with pytest.raises(ConversationError, match=said):
        if streamed:
            [chunk async for chunk in llm.astream(messages)]
        else:
            await llm.ainvoke(messages)
    assert not double.inputs


async def test_tools_and_schemas_are_refused_with_what_would_take_them(client_of: ClientOf) -> None:
    llm = ChatHeadrace(model=URL, client=client_of(talker()))
    runnables: list[Any] = [
        llm.bind_tools([add]),
        llm.with_structured_output(River),
        llm.with_structured_output(River, method="json_schema"),
        llm.with_structured_output(None, method="json_mode"),
    ]
    for runnable in runnables:
        with pytest.raises(ConversationError, match=r"u/a/models/m takes no (tools|response_format).*openai_transport"):
            await runnable.ainvoke("Hi")


# -- models that speak OpenAI's API


async def test_tools_go_to_the_model_and_their_calls_come_back(client_of: ClientOf) -> None:
    model = Recorder(calling("add", {"a": 1, "b": 2}), "3")
    llm = ChatHeadrace(model=URL, client=client_of(model.double), temperature=0)
    asked = await llm.bind_tools([add], tool_choice="add").ainvoke("1 + 2?")
    assert asked.tool_calls == [{"name": "add", "args": {"a": 1, "b": 2}, "id": "call-1", "type": "tool_call"}]
    assert asked.response_metadata["finish_reason"] == "tool_calls"
    answer = await llm.ainvoke([HumanMessage("1 + 2?"), asked, ToolMessage("3", tool_call_id="call-1")])
    assert answer.content == "3"
    first, second = model.requests
    assert first["tools"][0]["function"]["name"] == "add"
    assert first["tool_choice"] == {"type": "function", "function": {"name": "add"}}
    assert (first["model"], first["temperature"], first["openai_endpoint"]) == ("m", 0.0, "/chat/completions")
    assert [message["role"] for message in second["messages"]] == ["user", "assistant", "tool"]
    assert second["messages"][1]["tool_calls"][0]["id"] == "call-1"


async def test_a_tools_call_comes_in_pieces(client_of: ClientOf) -> None:
    head = {"index": 0, "id": "call-1", "function": {"name": "add", "arguments": ""}}
    rest = [{"index": 0, "function": {"arguments": text}} for text in ('{"a": 1,', ' "b": 2}')]
    model = Recorder([{"tool_calls": [part]} for part in (head, *rest)])
    llm = ChatHeadrace(model=URL, client=client_of(model.double)).bind_tools([add])
    chunks = [chunk async for chunk in llm.astream("1 + 2?")]
    whole = joined(chunks)
    assert whole.tool_calls == [{"name": "add", "args": {"a": 1, "b": 2}, "id": "call-1", "type": "tool_call"}]
    assert whole.usage_metadata == {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
    assert model.requests[0]["stream_options"] == {"include_usage": True}


async def test_arguments_that_are_no_json_are_told(client_of: ClientOf) -> None:
    model = Recorder(calling("add", '{"a": '))
    message = await ChatHeadrace(model=URL, client=client_of(model.double)).bind_tools([add]).ainvoke("?")
    assert message.tool_calls == []
    assert message.invalid_tool_calls[0]["args"] == '{"a": '


@pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
@pytest.mark.parametrize("include_raw", [False, True])
async def test_answers_come_in_the_form_of_a_schema(client_of: ClientOf, method: Any, include_raw: bool) -> None:
    content = '{"name": "Aare", "km": 288}'
    model = Recorder(calling("River", content) if method == "function_calling" else content)
    llm = ChatHeadrace(model=URL, client=client_of(model.double))
    answer = await llm.with_structured_output(River, method=method, include_raw=include_raw).ainvoke("A river?")
    river = answer["parsed"] if include_raw else answer
    assert river == River(name="Aare", km=288)
    [request] = model.requests
    if method == "json_schema":
        assert request["response_format"]["json_schema"]["schema"]["required"] == ["name", "km"]
    assert (request.get("tool_choice") == "required") == (method == "function_calling")


async def test_an_answer_that_does_not_fit_is_raised_or_told(client_of: ClientOf) -> None:
    llm = ChatHeadrace(model=URL, client=client_of(Recorder("no JSON").double))
    shaped = llm.with_structured_output(River, method="json_schema")
    with pytest.raises(langchain_errors.OutputParserException):
        await shaped.ainvoke("A river?")
    told = await llm.with_structured_output(River, method="json_schema", include_raw=True).ainvoke("A river?")
    assert isinstance(told["parsing_error"], langchain_errors.OutputParserException)
    with pytest.raises(ConversationError, match="method='guess'"):
        llm.with_structured_output(River, method="guess")  # type: ignore[arg-type]
    with pytest.raises(ConversationError, match="the tools are add"):
        llm.bind_tools([add], tool_choice="subtract")


async def test_content_goes_through_as_it_is(client_of: ClientOf) -> None:
    model = Recorder({"content": "A cat.", "reasoning_content": "Whiskers."})
    llm = ChatHeadrace(model=URL, client=client_of(model.double))
    sound = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    thought = AIMessage([{"type": "reasoning", "reasoning": "..."}, {"type": "text", "text": "A dog."}])
    message = await llm.ainvoke([SystemMessage("Look."), thought, HumanMessage([PICTURE, sound])])
    assert message.additional_kwargs == {"reasoning_content": "Whiskers."}
    sent = model.requests[0]["messages"]
    assert [part["type"] for part in sent[2]["content"]] == ["image_url", "input_audio"]
    assert sent[1]["content"] == "A dog."


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_a_failure_that_comes_as_an_answer_is_one(client_of: ClientOf, streamed: bool) -> None:
    failed = {"error": {"message": "out of memory"}}
    double = ModelDouble(lambda item: speakers.data(failed), signatures=OPENAI)
    llm = ChatHeadrace(model=URL, client=client_of(double))
    with pytest.raises(errors.PredictionFailed, match="out of memory"):
        await (anext(llm.astream("Hi")) if streamed else llm.ainvoke("Hi"))


# -- errors, closing, settings

FAILURES: dict[str, tuple[Any, type[errors.HeadraceError], type[Exception]]] = {
    "bad key": (Fail(11009), errors.AuthError, langchain_errors.ModelAuthenticationError),
    "throttled": (Fail(11005), errors.Throttled, langchain_errors.ModelRateLimitError),
    "too long": (Fail(30105), errors.HeadraceError, langchain_errors.ContextOverflowError),
    "failed": (Fail(21313), errors.PredictionFailed, langchain_errors.ModelAPIError),
    "no server": (GrpcFail("UNAVAILABLE"), errors.TransportError, langchain_errors.ModelConnectionError),
}


@pytest.mark.parametrize("case", FAILURES)
async def test_failures_are_errors_of_both(client_of: ClientOf, case: str) -> None:
    answer, ours, theirs = FAILURES[case]
    double = ModelDouble(lambda item: answer, signatures=prompted())
    client = client_of(double, retry=speakers.NO_RETRY)
    with pytest.raises(ours) as failed:
        await ChatHeadrace(model=URL, client=client).ainvoke("Hi")
    assert isinstance(failed.value, theirs)
    again = pickle.loads(pickle.dumps(failed.value))
    assert (type(again), again.code, str(again)) == (type(failed.value), failed.value.code, str(failed.value))


async def test_a_client_that_was_given_stays_open(client_of: ClientOf) -> None:
    client = client_of(talker())
    llm = ChatHeadrace(model=URL, client=client)
    await llm.aclose()
    assert (await ChatHeadrace(model=URL, client=client).ainvoke("Hi")).content == "Hi"
    with pytest.raises(errors.ConfigError, match="give client=, or base_url, max_retries, not both"):
        ChatHeadrace(model=URL, client=client, base_url="http://127.0.0.1:1", max_retries=1)


async def test_a_closed_model_says_so() -> None:
    llm = ChatHeadrace(model=URL, base_url="http://127.0.0.1:1")
    await llm.aclose()
    await llm.aclose()
    with pytest.raises(errors.ClosedError):
        await llm.ainvoke("Hi")


async def test_nothing_shows_the_credential() -> None:
    llm = ChatHeadrace(model=URL, api_key="made-up-secret", temperature=0.5)  # type: ignore[arg-type]
    assert "made-up-secret" not in f"{llm!r}{llm!s}{llm.asdict()}{llm._get_llm_string()}"
    again = pickle.loads(pickle.dumps(llm))
    assert (again.model, again.temperature, again.api_key.get_secret_value()) == (URL, 0.5, "made-up-secret")
    wrong: list[tuple[type[Exception], dict[str, Any]]] = [
        (errors.ConfigError, {"model": "u//m"}),
        (errors.ConfigError, {"base_url": "ftp://x"}),
        (ValidationError, {"temprature": 0.5}),
        (ValidationError, {"timeout": -1}),
    ]
    for error, fields in wrong:
        with pytest.raises(error) as failed:
            ChatHeadrace(**{"model": URL, "api_key": "made-up-secret", **fields})
        assert "made-up-secret" not in str(failed.value)
    for one in (llm, again):
        await one.aclose()


# -- from synchronous code


def test_synchronous_methods_work_beside_a_loop() -> None:
    double = talker()

    async def inside() -> str:
        return str(llm.invoke("from a loop").content)  # blocks this loop; the work is in another one

    client = Client(transport=double, base_url="http://127.0.0.1:1")
    llm = ChatHeadrace(model=URL, client=client)
    assert llm.invoke("one two").content == "one two"
    assert [chunk.content for chunk in llm.stream("one two") if chunk.content] == ["one", " two"]
    assert [answer.content for answer in llm.batch(["a", "b", "c"])] == ["a", "b", "c"]
    assert asyncio.run(inside()) == "from a loop"
    run(client.aclose)
    llm.close()


def test_who_leaves_a_synchronous_stream_stops_the_model() -> None:
    double = ModelDouble(speakers.forever, signatures=prompted())
    client = Client(transport=double, base_url="http://127.0.0.1:1")
    llm = ChatHeadrace(model=URL, client=client)
    stream = llm.stream("x")
    assert next(stream).content == "word "
    stream.close()  # type: ignore[attr-defined]
    run(double.server.until, lambda: double.server.calls[-1].cancelled)
    run(client.aclose)
    llm.close()


# -- embeddings


def vector(item: ReceivedInput) -> Any:
    return speakers.vector(float(len(item.text)), 0.5) if item.text else Fail(30104)


async def test_documents_share_requests(client_of: ClientOf) -> None:
    double = ModelDouble(vector, model_type="text-embedder")
    embeddings = HeadraceEmbeddings(model=URL, client=client_of(double))
    texts = ["x" * (number % 7 + 1) for number in range(3000)]
    assert await embeddings.aembed_documents(texts) == [[float(len(text)), 0.5] for text in texts]
    assert sum(call.method.endswith("PostModelOutputs") for call in double.server.calls) < 100
    assert await embeddings.aembed_query("four") == [4.0, 0.5]
    assert await embeddings.aembed_documents([]) == []
    with pytest.raises(errors.HeadraceError):
        await embeddings.aembed_documents(["a", ""])


async def test_embeddings_of_a_model_that_speaks_openai_come_in_order(client_of: ClientOf) -> None:
    def answer(request: dict[str, Any]) -> dict[str, Any]:
        data = [{"index": index, "embedding": [len(text)]} for index, text in enumerate(request["input"])]
        return {"data": data[::-1], "choices": []}

    double = ModelDouble(openai_model(answer), signatures=OPENAI)
    embeddings = HeadraceEmbeddings(model=URL, client=client_of(double))
    assert await embeddings.aembed_documents(["a", "bb", "ccc"]) == [[1], [2], [3]]


async def test_a_model_without_vectors_is_refused(client_of: ClientOf) -> None:
    embeddings = HeadraceEmbeddings(model=URL, client=client_of(talker()))
    with pytest.raises(errors.PredictionFailed, match="without an embedding"):
        await embeddings.aembed_documents(["a"])
