"""Questions and tokens over one WebSocket, with Starlette.

    pip install starlette uvicorn websockets
    python examples/tokens_websocket.py --port 8000
    python -m websockets ws://127.0.0.1:8000/chat

A reader who goes away stops the model.
"""

import argparse
import sys

import headrace
from headrace.web import lifespan, websocket

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocket, WebSocketDisconnect
except ImportError:
    sys.exit("this example needs starlette uvicorn websockets: pip install starlette uvicorn websockets")

client = headrace.Client.local(models=["llm"])  # headrace.Client() for a server
model = client.model(model_id="llm")


async def chat(socket: WebSocket) -> None:
    await socket.accept()
    try:
        while await websocket(model.generate(await socket.receive_text()), socket):
            pass  # the next question
    except WebSocketDisconnect:
        pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A web service that gives tokens as they are made.")
    parser.add_argument("--port", type=int, default=8000)
    app = Starlette(routes=[WebSocketRoute("/chat", chat)], lifespan=lifespan(client))
    uvicorn.run(app, port=parser.parse_args().port)
