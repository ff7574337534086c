"""What OpenAI's API answers to what it cannot do: a status, the field that is meant, and a code."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import openai
import pytest

from headrace.web.door import Bounds
from tests.support.door import Door, Talker

HI = [{"role": "user", "content": "Hi"}]
CHAT = {"model": "talker", "messages": HI}


CHATS = "chat/completions"
INVALID, MISSING, UNSUPPORTED = "invalid_value", "missing_required_parameter", "unsupported_parameter"


@pytest.mark.parametrize(
    ("path", "fields", "status", "param", "code"),
    [
        (CHATS, {"messages": HI}, 400, "model", MISSING),
        (CHATS, {"model": 7, "messages": HI}, 400, "model", MISSING),
        (CHATS, {"model": "nobody", "messages": HI}, 404, "model", "model_not_found"),
        (CHATS, {"model": "a/b/models", "messages": HI}, 404, "model", "model_not_found"),
        (CHATS, {"model": "talker"}, 400, "messages", MISSING),
        (CHATS, {"model": "talker", "messages": []}, 400, "messages", INVALID),
        (CHATS, {"model": "talker", "messages": [{"role": "boss"}]}, 400, "messages.0.role", INVALID),
        (CHATS, {**CHAT, "messages": [*HI, {"role": "assistant", "content": "x"}]}, 400, "messages.1.role", None),
        (CHATS, {**CHAT, "temperature": 3}, 400, "temperature", INVALID),
        (CHATS, {**CHAT, "temperature": "hot"}, 400, "temperature", INVALID),
        (CHATS, {**CHAT, "max_tokens": 0}, 400, "max_tokens", INVALID),
        (CHATS, {**CHAT, "stop": ["a"] * 5}, 400, "stop", INVALID),
        (CHATS, {**CHAT, "colour": 1}, 400, "colour", "unknown_parameter"),
        (CHATS, {**CHAT, "n": 2}, 400, "n", UNSUPPORTED),
        (CHATS, {**CHAT, "tools": [{"type": "function"}]}, 400, "tools", UNSUPPORTED),
        (CHATS, {**CHAT, "response_format": {"type": "json_object"}}, 400, "response_format", UNSUPPORTED),
        (CHATS, {"model": "painter", "messages": HI}, 400, "model", "unsupported_model"),
        (CHATS, {**CHAT, "messages": [{"role": "user", "content": "FAIL"}]}, 500, None, None),
        ("completions", {"model": "talker", "prompt": ["a", "b"], "stream": True}, 400, "prompt", None),
        ("embeddings", {"model": "lengths", "input": [[1, 2]]}, 400, "input", INVALID),
        ("embeddings", {"model": "lengths", "input": ["a", ""]}, 400, "input.1", INVALID),
        ("embeddings", {"model": "talker", "input": "a"}, 400, "model", "unsupported_model"),
        ("images/generations", {"model": "painter", "prompt": "x", "size": "large"}, 400, "size", INVALID),
        (
            "images/generations",
            {"model": "painter", "prompt": "x", "response_format": "url"},
            400,
            "response_format",
            UNSUPPORTED,
        ),
        (
            "responses",
            {"model": "talker", "input": "x", "previous_response_id": "r"},
            400,
            "previous_response_id",
            UNSUPPORTED,
        ),
        ("audio/speech", {"model": "talker", "input": "x"}, 400, "model", "unsupported_model"),
        ("nothing", {}, 404, None, "unknown_url"),
    ],
)
async def test_a_bad_request_is_told_by_status_field_and_code(
    door: Door, path: str, fields: dict[str, Any], status: int, param: str | None, code: str | None
) -> None:
    answer = await door.post(path, **fields)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (status, param, code), error
    assert error["message"]
    assert answer.headers["x-request-id"].startswith("req_")


async def test_fields_that_change_nothing_are_ignored_and_harmless_values_accepted(door: Door) -> None:
    fields = {
        "user": "u", "metadata": {"a": "b"}, "store": False, "n": 1, "tools": [], "tool_choice": "auto",
        "response_format": {"type": "text"}, "presence_penalty": 0, "logprobs": False, "logit_bias": {},
        "parallel_tool_calls": True, "service_tier": "auto", "reasoning_effort": "low", "stop": None,
    }  # fmt: skip
    answer = await door.post("chat/completions", **CHAT, **fields)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "invalid_json"),
        (b"\xff", "application/json", 400, "invalid_json"),
        (b"[1]", "application/json", 400, "invalid_json"),
        (b"[" * 100_000, "application/json", 400, "invalid_json"),
        (b"{}", "text/plain", 415, "unsupported_media_type"),
    ],
)
async def test_a_body_that_is_no_json_object_is_refused(
    door: Door, content: bytes, kind: str, status: int, code: str
) -> None:
    answer = await door.http.post("/v1/chat/completions", content=content, headers={"content-type": kind})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_an_upload_over_the_limit_is_refused_and_the_answer_can_be_read(open_door: Any) -> None:
    door: Door = await open_door(Talker, bounds=Bounds(body_bytes=1 << 20))

    async def pieces() -> Any:
        for _ in range(3):
            yield b"x" * (1 << 20)

    announced = await door.post("chat/completions", **CHAT, user="x" * (3 << 20))
    chunked = await door.http.post(
        "/v1/chat/completions", content=pieces(), headers={"content-type": "application/json"}
    )
    for answer in (announced, chunked):
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
    assert (await door.post("chat/completions", **CHAT)).status_code == 200


async def test_bodies_together_stay_under_their_bound(open_door: Any) -> None:
    door: Door = await open_door(Talker, bounds=Bounds(all_bytes=1 << 20))
    half = "x" * (700 << 10)
    waiting = asyncio.create_task(
        door.post("chat/completions", model="talker", user=half, messages=[{"role": "user", "content": "silence"}])
    )
    while not Talker.running:
        await asyncio.sleep(0.001)
    refused = await door.post("chat/completions", **CHAT, user=half)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    answer = refused
    while answer.status_code == 503:  # the bytes are free when the request has ended, soon after its model
        answer = await door.post("chat/completions", **CHAT, user=half)
    assert answer.status_code == 200


async def test_a_body_that_stalls_is_given_up(open_door: Any) -> None:
    door: Door = await open_door(Talker, bounds=Bounds(body_seconds=0.05))
    port = int(door.address.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
        b"content-type: application/json\r\ncontent-length: 100\r\n\r\n{"
    )
    async with asyncio.timeout(10):
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
    writer.close()
    await writer.wait_closed()


async def test_the_key_is_asked_for_but_not_by_the_health_check(open_door: Any) -> None:
    door: Door = await open_door(Talker, api_key="right")
    async with door.openai(api_key="wrong") as wrong, door.openai(api_key="right") as right:
        with pytest.raises(openai.AuthenticationError) as refused:
            await wrong.models.list()
        assert [model.id async for model in right.models.list()] == ["talker", "echo"]
    assert refused.value.code == "invalid_api_key"
    assert (await door.http.get("/metrics")).status_code == 401
    assert (await door.http.get("/healthz")).json() == {"status": "ok"}


async def test_pages_of_other_origins_and_foreign_names_of_this_machine_are_kept_out(open_door: Any) -> None:
    door: Door = await open_door(Talker)
    asked = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in (await door.http.options("/v1/chat/completions", headers=asked)).headers
    assert (await door.http.get("/v1/models", headers={"host": "evil.example"})).status_code == 400
    open_: Door = await open_door(Talker, origins=["https://page.example"])
    allowed = await open_.http.options("/v1/chat/completions", headers={**asked, "origin": "https://page.example"})
    assert allowed.headers["access-control-allow-origin"] == "https://page.example"


async def test_a_failure_in_mid_stream_is_the_last_event(door: Door) -> None:
    async with door.openai() as client:
        stream = await client.chat.completions.create(
            model="talker", messages=[{"role": "user", "content": "one FAIL"}], stream=True
        )
        pieces: list[str | None] = []
        with pytest.raises(openai.APIError, match="asked to fail"):
            async for chunk in stream:
                pieces += [chunk.choices[0].delta.content]
    assert pieces == ["", "one"]


async def test_metrics_count_requests_by_route_and_status(door: Door) -> None:
    await door.post("chat/completions", **CHAT)
    await door.post("chat/completions", **CHAT, n=2)
    text = (await door.http.get("/metrics")).text
    assert 'headrace_http_requests_total{route="chat/completions",status="200"} 1.0' in text
    assert 'headrace_http_requests_total{route="chat/completions",status="400"} 1.0' in text
    assert "headrace_client_calls" in text
