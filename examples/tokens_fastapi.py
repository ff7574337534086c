"""Tokens in a browser as they are made, with FastAPI.

    pip install fastapi uvicorn
    python examples/tokens_fastapi.py --port 8000
    curl --no-buffer 'http://127.0.0.1:8000/ask?question=What+is+a+river?'

A reader who goes away stops the model.
"""

import argparse
import sys

import headrace
from headrace.web import lifespan, sse

try:
    import uvicorn
    from fastapi import FastAPI
    from fastapi.responses import StreamingResponse
except ImportError:
    sys.exit("this example needs fastapi uvicorn: pip install fastapi uvicorn")

client = headrace.Client.local(models=["llm"])  # headrace.Client() for a server
model = client.model(model_id="llm")
app = FastAPI(lifespan=lifespan(client))


@app.get("/ask")
async def ask(question: str) -> StreamingResponse:
    return StreamingResponse(sse(model.generate(question)), media_type="text/event-stream")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A web service that gives tokens as they are made.")
    parser.add_argument("--port", type=int, default=8000)
    uvicorn.run(app, port=parser.parse_args().port)
