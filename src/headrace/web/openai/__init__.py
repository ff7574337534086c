"""OpenAI's HTTP API in front of a V2 server: `headrace serve --openai` and `headrace proxy`. Needs the extra `web`."""
