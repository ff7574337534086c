"""AsyncOpenAI on the HTTP client that it takes by default, httpx2."""

from __future__ import annotations

from benchmarks.peers.samples import aio, chat
from benchmarks.protocol import cold, main

COLD = "import openai; openai.AsyncOpenAI(api_key='none')"
SHAPES = {**aio.shapes(chat.connect(), *chat.SHAPES), "cold_import": lambda arguments: cold(COLD, arguments.n)}

if __name__ == "__main__":
    main("openai", SHAPES, ["openai", "httpx2", "pydantic"])
