"""Models over HTTP: helpers for web applications, and a server that speaks OpenAI's API.

The helpers (`sse`, `websocket`, `lifespan`) need no web framework and import none. `headrace.web.openai` needs the
extra `web`.
"""
