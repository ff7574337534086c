"""Models for tests of OpenAI's HTTP API, and what stands for one that is served."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar

import httpx
import numpy as np
import openai

from headrace import Client
from headrace.server.model import Answer, Card, Item, text
from headrace.server.models._answers import embedding
from headrace.server.models._answers import image as image_answer
from headrace.server.types import method


class Talker:
    """Tell what it was asked, word by word, and how many of its answers are being made."""

    card = Card("talker", "text-to-text", "Talker", "Tells what it was asked.", ("text",), ("text",))
    concurrency = 500
    parameters: ClassVar[dict[str, Any]] = {
        "max_tokens": 1000,
        "temperature": 1.0,
        "top_p": 1.0,
        "seed": int,
        "system_prompt": "",
        "chat_history": list[dict[str, str]],
    }
    running: ClassVar[int] = 0
    begun: ClassVar[int] = 0
    silent: ClassVar[asyncio.Event | None] = None  # set: nothing is said before it

    async def predict(self, item: Item) -> Answer:
        """Answer at once."""
        pieces = [piece async for piece in self.generate(item)]
        return text(
            "".join(piece.data.text.raw for piece in pieces),
            prompt_tokens=sum(piece.prompt_tokens for piece in pieces),
            completion_tokens=sum(piece.completion_tokens for piece in pieces),
        )

    async def generate(self, item: Item) -> AsyncIterator[Answer]:
        """Answer word by word; "forever" goes on until the caller leaves."""
        said = item.text or ""
        Talker.running += 1
        Talker.begun += 1
        try:
            if said == "silence":
                await asyncio.Event().wait()
            while said == "forever":
                await asyncio.sleep(0.001)
                yield text("word ")
            if said == "params":
                said = json.dumps(dict(item.params), sort_keys=True)
            words = said.split(" ")[: int(item.params.get("max_tokens", 1000))]
            for position, word in enumerate(words):
                if word == "FAIL":
                    raise RuntimeError("asked to fail")
                yield text(f" {word}" if position else word)
            yield text("", prompt_tokens=len(said.split()), completion_tokens=len(words))
        finally:
            Talker.running -= 1


class Lengths:
    """Give the length of a text as its vector."""

    card = Card("lengths", "text-embedder", "Lengths", "A vector of lengths.", ("text",), ("embeddings",))

    def predict(self, item: Item) -> Answer:
        """Embed one text."""
        answer = embedding(np.array([float(len(item.text or "")), 0.5], np.float32))
        answer.prompt_tokens = len((item.text or "").split())
        return answer


class Painter:
    """Paint a picture of the size that was asked for."""

    card = Card("painter", "text-to-image", "Painter", "One colour.", ("text",), ("image",))

    def predict(self, item: Item) -> Answer:
        """Paint one."""
        from PIL import Image

        size = (int(item.params.get("width", 8)), int(item.params.get("height", 8)))
        return image_answer(Image.new("RGB", size, "red"))


class Seer:
    """Say how large a picture is, and what was asked about it."""

    card = Card("seer", "multimodal-to-text", "Seer", "Sees sizes.", ("image", "text"), ("text",))

    def predict(self, item: Item) -> str:
        """Look at one."""
        return f"{len(item.image or b'')} bytes: {item.text}"


class Dummy:
    """Answer requests of OpenAI's API itself, as models of the platform may."""

    @method
    def openai_transport(self, msg: str) -> str:
        """Answer one."""
        request = json.loads(msg)
        if request.get("messages", [{}])[-1].get("content") == "fail":
            return json.dumps({"code": 21313, "description": "model failed", "details": "on purpose"})
        choice = {"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": msg}}
        return json.dumps({"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]})

    @method
    def openai_stream_transport(self, msg: str) -> Iterator[str]:
        """Answer one piece by piece."""
        request = json.loads(msg)
        for word in ("a", "b"):
            choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
            chunk = {"object": "chat.completion.chunk", "created": 1, "model": request["model"], "choices": [choice]}
            yield json.dumps({"id": "x", **chunk})


class Door:
    """The API's address, and clients of it."""

    def __init__(self, address: str, client: Client) -> None:
        self.address = address
        self.client = client
        self.http = httpx.AsyncClient(base_url=address, timeout=20)

    def openai(self, **options: Any) -> openai.AsyncOpenAI:
        """Make a client of the real package."""
        options.setdefault("api_key", "none")
        options.setdefault("max_retries", 0)
        return openai.AsyncOpenAI(base_url=f"{self.address}/v1", timeout=20, **options)

    async def post(self, path: str, **fields: Any) -> httpx.Response:
        """Send JSON."""
        return await self.http.post(f"/v1/{path}", json=fields)
