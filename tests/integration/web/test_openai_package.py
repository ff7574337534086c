"""The real `openai` package gets what it expects from every route."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from typing import Any

import openai
import pytest

from headrace.web import directory
from tests.support.door import Door, Talker


async def test_a_conversation_is_answered_whole_and_in_pieces(door: Door) -> None:
    async with door.openai() as client:
        messages: Any = [{"role": "user", "content": "one two three"}]
        whole = await client.chat.completions.create(model="talker", messages=messages)
        stream = await client.chat.completions.create(
            model="talker", messages=messages, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert whole.choices[0].message.content == "one two three"
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage is not None
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens, whole.usage.total_tokens) == (3, 3, 6)
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert pieces == ["", "one", " two", " three", None]
    assert [c.choices[0].finish_reason for c in chunks if c.choices] == [None, None, None, None, "stop"]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == [6]
    assert len({chunk.id for chunk in chunks}) == 1


def in_a_thread(door: Door) -> tuple[str, list[str]]:
    with openai.OpenAI(base_url=f"{door.address}/v1", api_key="none", max_retries=0) as client:
        messages: Any = [{"role": "user", "content": "a b"}]
        whole = client.chat.completions.create(model="talker", messages=messages)
        stream = client.chat.completions.create(model="talker", messages=messages, stream=True)
        return whole.choices[0].message.content or "", [c.choices[0].delta.content or "" for c in stream]


async def test_the_synchronous_client_works_too(door: Door) -> None:
    assert await asyncio.to_thread(in_a_thread, door) == ("a b", ["", "a", " b", ""])


async def test_history_and_system_prompt_reach_the_model_as_parameters(door: Door) -> None:
    async with door.openai() as client:
        answer = await client.chat.completions.create(
            model="talker",
            messages=[
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello"},
                {"role": "user", "content": [{"type": "text", "text": "params"}]},
            ],
            temperature=0.5,
            top_p=0.25,
            seed=7,
            max_completion_tokens=50,
        )
    assert json.loads(answer.choices[0].message.content or "") == {
        "chat_history": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}],
        "max_tokens": 50,
        "seed": 7,
        "system_prompt": "Be brief.",
        "temperature": 0.5,
        "top_p": 0.25,
    }


async def test_a_model_without_a_history_gets_the_conversation_as_text(door: Door) -> None:
    async with door.openai() as client:
        answer = await client.chat.completions.create(
            model="echo",
            messages=[{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        )
    assert answer.choices[0].message.content == "System: Be brief.\nUser: Hi\nAssistant:"


async def test_the_answer_ends_at_a_stop_text_or_at_the_limit(door: Door) -> None:
    async with door.openai() as client:
        messages: Any = [{"role": "user", "content": "one two three four"}]
        stopped = await client.chat.completions.create(model="talker", messages=messages, stop=["wo th", "four"])
        cut = await client.chat.completions.create(model="talker", messages=messages, max_tokens=2)
    assert (stopped.choices[0].message.content, stopped.choices[0].finish_reason) == ("one t", "stop")
    assert (cut.choices[0].message.content, cut.choices[0].finish_reason) == ("one two", "length")


async def test_completions_go_on_with_one_text_or_several(door: Door) -> None:
    async with door.openai() as client:
        several = await client.completions.create(model="talker", prompt=["a b", "c"])
        stream = await client.completions.create(model="talker", prompt="a b", stream=True)
        pieces = [chunk.choices[0].text async for chunk in stream]
    assert [choice.text for choice in several.choices] == ["a b", "c"]
    assert several.usage is not None
    assert several.usage.completion_tokens == 3
    assert pieces == ["a", " b", ""]


async def test_responses_come_whole_and_as_events(door: Door) -> None:
    async with door.openai() as client:
        whole = await client.responses.create(model="talker", input="one two", instructions="Be kind.")
        stream = await client.responses.create(
            model="talker", input=[{"role": "user", "content": "a b"}], max_output_tokens=1, stream=True
        )
        events = [event async for event in stream]
    assert whole.output_text == "one two"
    assert whole.status == "completed"
    assert whole.usage is not None
    assert whole.usage.output_tokens == 2
    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ]
    assert [event.sequence_number for event in events] == list(range(9))
    last = events[-1]
    assert last.type == "response.incomplete"
    assert last.response.output_text == "a"
    assert last.response.incomplete_details is not None
    assert last.response.incomplete_details.reason == "max_output_tokens"


async def test_embeddings_are_in_order_and_the_same_in_both_encodings(door: Door) -> None:
    texts = ["x" * size for size in range(1, 200)]
    async with door.openai() as client:
        packed = await client.embeddings.create(model="lengths", input=texts)  # asks for base64 by itself
        floats = await client.embeddings.create(model="lengths", input=texts, encoding_format="float")
    assert [data.embedding for data in packed.data] == [[float(len(text)), 0.5] for text in texts]
    assert [data.embedding for data in floats.data] == [data.embedding for data in packed.data]
    assert [data.index for data in packed.data] == list(range(199))
    assert packed.usage.prompt_tokens == 199


async def test_pictures_are_made_in_the_size_asked_for(door: Door) -> None:
    from PIL import Image

    async with door.openai() as client:
        answer = await client.images.generate(model="painter", prompt="red", n=2, size="256x256")
    assert answer.data is not None
    sizes = [Image.open(io.BytesIO(base64.b64decode(one.b64_json or ""))).size for one in answer.data]
    assert sizes == [(256, 256), (256, 256)]


async def test_a_picture_in_a_message_reaches_the_model(door: Door) -> None:
    url = "data:image/png;base64," + base64.b64encode(b"12345").decode()
    async with door.openai() as client:
        answer = await client.chat.completions.create(
            model="seer",
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "How large?"},
                        {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
                    ],
                }
            ],
        )
    assert answer.choices[0].message.content == "5 bytes: How large?"


async def test_a_model_that_speaks_openai_itself_gets_the_request_as_it_is(door: Door) -> None:
    tools: Any = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    async with door.openai() as client:
        answer = await client.chat.completions.create(
            model="dummy",
            messages=[{"role": "user", "content": "Hi"}],
            tools=tools,
            presence_penalty=1,
            extra_body={"z": 1},
        )
        stream = await client.chat.completions.create(
            model="dummy", messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        pieces = [chunk.choices[0].delta.content async for chunk in stream]
        with pytest.raises(openai.APIStatusError, match="model failed: on purpose") as failed:
            await client.chat.completions.create(model="dummy", messages=[{"role": "user", "content": "fail"}])
    assert json.loads(answer.choices[0].message.content or "") == {
        "model": "dummy",
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": tools,
        "presence_penalty": 1,
        "z": 1,
        "openai_endpoint": "/chat/completions",
    }
    assert answer.choices[0].finish_reason == "tool_calls"
    assert pieces == ["a", "b"]
    assert failed.value.status_code == 502


async def test_models_are_listed_and_found_by_alias_and_id(open_door: Any) -> None:
    door: Door = await open_door(Talker, aliases={"gpt-4o": "talker"})
    async with door.openai() as client:
        names = [model.id async for model in client.models.list()]
        one = await client.models.retrieve("gpt-4o")
        answer = await client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hi"}])
        with pytest.raises(openai.NotFoundError, match="did you mean 'talker'") as missing:
            await client.models.retrieve("talkr")
    assert names == ["gpt-4o", "talker", "echo"]
    assert one.id == answer.model == "gpt-4o"
    assert missing.value.code == "model_not_found"


async def test_a_model_named_in_ever_new_ways_is_not_remembered_for_each(
    open_door: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "MAX_KEPT", 3)
    door: Door = await open_door(Talker)
    one = directory.Directory(door.client)
    for number in range(10):
        await one.find(f"headrace/local/models/talker?{number}")
        assert len(one._served) <= 3
