"""Models over HTTP: helpers for web applications, and a server with OpenAI's API.

`sse` and `websocket` hand a stream on to a browser: pieces as they come, no faster than they are read, and the model
stops when the browser leaves. `lifespan` opens and closes a client with the application. They work with Starlette,
FastAPI and aiohttp, and import none of them. `headrace.web.openai` needs the extra `web`.
"""

from headrace.web.events import sse
from headrace.web.lifespan import lifespan
from headrace.web.sockets import websocket

__all__ = ["lifespan", "sse", "websocket"]
