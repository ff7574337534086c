"""Tokens in a browser as they are made, with aiohttp.

    pip install aiohttp
    python examples/tokens_aiohttp.py --port 8000
    curl --no-buffer 'http://127.0.0.1:8000/ask?question=What+is+a+river?'

A reader who goes away stops the model.
"""

import argparse
import contextlib
import sys

import headrace
from headrace.web import lifespan, sse

try:
    from aiohttp import web
except ImportError:
    sys.exit("this example needs aiohttp: pip install aiohttp")

client = headrace.Client.local(models=["llm"])  # headrace.Client() for a server
model = client.model(model_id="llm")


async def ask(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    async with contextlib.aclosing(sse(model.generate(request.query["question"]))) as events:
        async for event in events:
            await response.write(event.encode())
    return response


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A web service that gives tokens as they are made.")
    parser.add_argument("--port", type=int, default=8000)
    app = web.Application()
    app.cleanup_ctx.append(lifespan(client))
    app.router.add_get("/ask", ask)
    web.run_app(app, host="127.0.0.1", port=parser.parse_args().port, handler_cancellation=True)
