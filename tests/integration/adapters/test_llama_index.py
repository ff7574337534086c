"""The LlamaIndex adapter with the real package: what a model behind it gets, and what LlamaIndex gets back."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    CitableBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ToolCallBlock,
)
from llama_index.core.schema import TextNode
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from headrace import Client, errors
from headrace.blocking.call import run
from headrace.chat import ConversationError
from headrace.integrations.llama_index import HeadraceEmbedding, HeadraceLLM
from headrace.testing import Fail, ModelDouble, ReceivedInput
from tests.support import speakers
from tests.support.speakers import OPENAI, calling, openai_model, prompted

URL = "u/a/models/m"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)

ClientOf = Callable[..., Client]


def talker(**options: Any) -> ModelDouble:
    return ModelDouble(speakers.words, signatures=prompted("chat_history", "system_prompt", "stop"), **options)


def said(*texts: str) -> list[ChatMessage]:
    roles = (MessageRole.USER, MessageRole.ASSISTANT)
    return [ChatMessage(role=roles[position % 2], content=text) for position, text in enumerate(texts)]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


ADD = FunctionTool.from_defaults(add)


class River(BaseModel):
    """A river."""

    name: str
    km: int


async def test_a_conversation_goes_into_the_models_own_parameters(client_of: ClientOf) -> None:
    double = talker()
    llm = HeadraceLLM(model=URL, client=client_of(double), temperature=0.5, max_tokens=9, stop=["###"])
    system = ChatMessage(role=MessageRole.SYSTEM, content="Be brief.")
    response = await llm.achat([system, *said("Hi", "Hello", "one two three")], seed=7)
    assert response.message.content == "one two three"
    assert response.additional_kwargs == {
        "finish_reason": "stop",
        "prompt_tokens": 3,
        "completion_tokens": 3,
        "total_tokens": 6,
    }
    assert double.inputs[-1].params == {
        "chat_history": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}],
        "system_prompt": "Be brief.",
        "temperature": 0.5,
        "max_tokens": 9,
        "seed": 7,
        "stop": ["###"],
    }


async def test_answers_come_whole_and_in_pieces(client_of: ClientOf) -> None:
    llm = HeadraceLLM(model=URL, client=client_of(talker()), stop=["ree f"])
    assert (await llm.acomplete("one two")).text == "one two"
    pieces = [(piece.delta, piece.text) async for piece in await llm.astream_complete("one two three four")]
    assert pieces[:2] == [("one", "one"), (" two", "one two")]
    assert pieces[-1][1] == "one two th"
    chat = [piece async for piece in await llm.astream_chat(said("one two"))]
    assert "".join(piece.delta or "" for piece in chat) == chat[-1].message.content == "one two"


def test_synchronous_methods_work_beside_a_loop() -> None:
    client = Client(transport=talker(), base_url="http://127.0.0.1:1")
    llm = HeadraceLLM(model=URL, client=client)

    async def inside() -> str:
        return str(llm.complete("from a loop"))  # blocks this loop; the work is in another one

    assert llm.complete("one two").text == "one two"
    assert llm.chat(said("one two")).message.content == "one two"
    assert [piece.delta for piece in llm.stream_complete("one two")][:2] == ["one", " two"]
    assert [piece.delta for piece in llm.stream_chat(said("one two"))][:2] == ["one", " two"]
    assert asyncio.run(inside()) == "from a loop"
    assert not llm.metadata.is_function_calling_model
    assert llm.metadata.is_chat_model
    assert llm.metadata.model_name == URL
    run(client.aclose)
    llm.close()


@pytest.mark.parametrize("leave", ["break", "cancel"])
async def test_who_leaves_a_stream_stops_the_model(client_of: ClientOf, leave: str) -> None:
    double = ModelDouble(speakers.forever, signatures=prompted())
    llm = HeadraceLLM(model=URL, client=client_of(double))
    begun = asyncio.Event()

    async def read() -> None:
        async for _ in await llm.astream_complete("x"):
            begun.set()
            if leave == "break":
                break

    reading = asyncio.create_task(read())
    await begun.wait()
    if leave == "cancel":
        reading.cancel()
    await asyncio.wait([reading])
    await double.server.until(lambda: double.server.calls[-1].cancelled)


REFUSED: dict[str, tuple[list[ChatMessage], str]] = {
    "no messages": ([], "no messages"),
    "a system message alone": ([ChatMessage(role=MessageRole.SYSTEM, content="Be")], "last message must be the user's"),
    "an answer last": (said("Hi", "Hello"), "last message must be the user's"),
    "a picture": ([ChatMessage(blocks=[ImageBlock(image=PNG)])], "takes no pictures"),
    "a sound": ([ChatMessage(blocks=[AudioBlock(audio=b"RIFF\x00", format="wav")])], "takes no sounds"),
    "a document": ([ChatMessage(blocks=[DocumentBlock(data=b"%PDF-1.4")])], "is a part of type 'file'"),
    "an unknown block": (
        [ChatMessage(blocks=[CitableBlock(title="t", source="s", content=[TextBlock(text="x")])])],
        "messages.0.content.0: a block of type 'citable'",
    ),
    "an empty picture": ([ChatMessage(blocks=[ImageBlock()])], "messages.0.content.0: "),
    "a tool's result": (
        [*said("Hi"), ChatMessage(role=MessageRole.TOOL, content="3", additional_kwargs={"tool_call_id": "1"})],
        "the model takes no tools",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_what_the_model_cannot_be_given_is_refused(client_of: ClientOf, case: str, streamed: bool) -> None:
    messages, words = REFUSED[case]
    double = talker()
    llm = HeadraceLLM(model=URL, client=client_of(double))
    with pytest.raises(ConversationError, match=words):
        if streamed:
            [piece async for piece in await llm.astream_chat(messages)]
        else:
            await llm.achat(messages)
    assert not double.inputs


async def test_content_goes_through_as_it_is(client_of: ClientOf, tmp_path: Path) -> None:
    requests: list[dict[str, Any]] = []

    def answer(request: dict[str, Any]) -> str:
        requests.append(request)
        return "A cat."

    picture = tmp_path / "cat.png"
    picture.write_bytes(PNG)
    blocks = [
        TextBlock(text="What?"),
        ImageBlock(path=picture),
        ImageBlock(url="https://example.com/cat.png"),
        AudioBlock(audio=b"RIFF\x00", format="wav"),
        DocumentBlock(data=b"%PDF-1.4", document_mimetype="application/pdf"),
    ]
    llm = HeadraceLLM(model=URL, client=client_of(ModelDouble(openai_model(answer), signatures=OPENAI)))
    await llm.achat([ChatMessage(blocks=blocks)])
    parts = requests[0]["messages"][0]["content"]
    assert [part["type"] for part in parts] == ["text", "image_url", "image_url", "input_audio", "file"]
    assert parts[1]["image_url"]["url"].startswith("data:image/png;base64,iVBOR")
    assert parts[2]["image_url"]["url"] == "https://example.com/cat.png"
    assert parts[3]["input_audio"] == {"data": "UklGRgA=", "format": "wav"}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_tools_go_to_the_model_and_their_calls_come_back(client_of: ClientOf, streamed: bool) -> None:
    requests: list[dict[str, Any]] = []

    def answer(request: dict[str, Any]) -> Any:
        requests.append(request)
        return calling("add", {"a": 1, "b": 2}) if request["messages"][-1]["role"] == "user" else "3"

    llm = HeadraceLLM(model=URL, client=client_of(ModelDouble(openai_model(answer), signatures=OPENAI)))
    if streamed:
        stream = await llm.astream_chat_with_tools([ADD], user_msg="1 + 2?", tool_required=True)
        response = [piece async for piece in stream][-1]
    else:
        response = await llm.achat_with_tools([ADD], user_msg="1 + 2?", tool_required=True)
    [call] = llm.get_tool_calls_from_response(response)
    assert (call.tool_id, call.tool_name, call.tool_kwargs) == ("call-1", "add", {"a": 1, "b": 2})
    assert (requests[0]["tool_choice"], requests[0]["parallel_tool_calls"]) == ("required", False)
    result = ChatMessage(role=MessageRole.TOOL, content="3", additional_kwargs={"tool_call_id": "call-1"})
    final = await llm.achat([*said("1 + 2?"), response.message, result])
    assert final.message.content == "3"
    assert requests[1]["messages"][1]["tool_calls"][0]["function"]["name"] == "add"
    assert requests[1]["messages"][2] == {"role": "tool", "content": "3", "tool_call_id": "call-1"}
    with pytest.raises(ValueError, match="at least one tool call"):
        llm.get_tool_calls_from_response(final)


def test_llama_index_itself_asks_for_tools_and_schemas() -> None:
    def answer(request: dict[str, Any]) -> Any:
        name = request["tools"][0]["function"]["name"]
        return calling(name, {"name": "Aare", "km": 288} if name == "River" else {"a": 1, "b": 2})

    client = Client(transport=ModelDouble(openai_model(answer), signatures=OPENAI), base_url="http://127.0.0.1:1")
    llm = HeadraceLLM(model=URL, client=client)
    assert llm.metadata.is_function_calling_model
    assert llm.as_structured_llm(River).complete("A river?").raw == River(name="Aare", km=288)
    assert llm.predict_and_call([ADD], user_msg="1 + 2?").response == "3"
    run(client.aclose)
    llm.close()


async def test_several_calls_where_one_is_wanted_and_arguments_that_are_no_json(client_of: ClientOf) -> None:
    calls = [calling("add", "{", f"call-{number}")["tool_calls"][0] | {"index": number} for number in (1, 2)]
    double = ModelDouble(openai_model(lambda request: {"content": None, "tool_calls": calls}), signatures=OPENAI)
    llm = HeadraceLLM(model=URL, client=client_of(double))
    response = await llm.achat_with_tools([ADD], user_msg="?")
    [block] = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
    assert (block.tool_call_id, block.tool_kwargs) == ("call-1", "{")
    assert llm.get_tool_calls_from_response(response)[0].tool_kwargs == {}
    both = await llm.achat_with_tools([ADD], user_msg="?", allow_parallel_tool_calls=True)
    assert len(llm.get_tool_calls_from_response(both)) == 2


async def test_tools_are_refused_with_what_would_take_them(client_of: ClientOf) -> None:
    llm = HeadraceLLM(model=URL, client=client_of(talker()))
    with pytest.raises(ConversationError, match=r"u/a/models/m takes no tools.*openai_transport"):
        await llm.achat_with_tools([ADD], user_msg="1 + 2?")


async def test_a_closed_model_says_so_and_nothing_shows_the_credential() -> None:
    llm = HeadraceLLM(model=URL, api_key="made-up-secret", base_url="http://127.0.0.1:1")  # type: ignore[arg-type]
    assert "made-up-secret" not in f"{llm!r}{llm!s}{llm.to_dict()}"
    again = pickle.loads(pickle.dumps(llm))
    assert again.api_key.get_secret_value() == "made-up-secret"
    for one in (llm, again):
        await one.aclose()
        with pytest.raises(errors.ClosedError):
            await one.acomplete("Hi")


def vector(item: ReceivedInput) -> Any:
    return speakers.vector(float(len(item.text)), 0.5) if item.text else Fail(30104)


async def test_texts_share_requests(client_of: ClientOf) -> None:
    double = ModelDouble(vector, model_type="text-embedder")
    embedding = HeadraceEmbedding(model=URL, client=client_of(double))
    texts = ["x" * (number % 7 + 1) for number in range(1500)]
    assert await embedding.aget_text_embedding_batch(texts) == [[float(len(text)), 0.5] for text in texts]
    assert sum(call.method.endswith("PostModelOutputs") for call in double.server.calls) < 100
    assert await embedding.aget_query_embedding("four") == [4.0, 0.5]
    nodes = await embedding.acall([TextNode(text="ab")])
    assert nodes[0].get_content() == "ab"
    assert (embedding.model_name, await embedding.aget_text_embedding_batch([])) == (URL, [])
    with pytest.raises(errors.HeadraceError):
        await embedding.aget_text_embedding_batch(["a", ""])


def test_texts_are_embedded_from_synchronous_code() -> None:
    client = Client(transport=ModelDouble(vector, model_type="text-embedder"), base_url="http://127.0.0.1:1")
    embedding = HeadraceEmbedding(model=URL, client=client)
    assert embedding.get_text_embedding("four") == [4.0, 0.5]
    assert embedding.get_text_embedding_batch(["a", "bb"]) == [[1.0, 0.5], [2.0, 0.5]]
    assert embedding.get_query_embedding("abc") == [3.0, 0.5]
    run(client.aclose)
    embedding.close()
