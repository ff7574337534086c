"""AsyncOpenAI on aiohttp, which the section "With aiohttp" of its README recommends for many calls at once."""

from __future__ import annotations

from openai import DefaultAioHttpClient

from benchmarks.peers.samples import aio, chat
from benchmarks.protocol import main

if __name__ == "__main__":
    shapes = aio.shapes(chat.connect(http_client=DefaultAioHttpClient), *chat.SHAPES)
    main("openai-aiohttp", shapes, ["openai", "httpx2", "aiohttp", "pydantic"])
