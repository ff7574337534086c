"""POST /v1/embeddings: all texts of a request packed into as few calls as they fit into."""

from __future__ import annotations

import array
import base64
import sys
from typing import Any

from starlette.responses import JSONResponse, Response

from headrace.inputs import Input
from headrace.web.directory import Served
from headrace.web.failures import Refusal
from headrace.web.openai.requests import Embedding


async def embeddings(body: Embedding, served: Served) -> Response:
    """Return the vector of each text."""
    served.must("text", "embeddings", "/v1/embeddings")
    texts = [body.input] if isinstance(body.input, str) else body.input
    for index, text in enumerate(texts):
        if not text:
            param = "input" if isinstance(body.input, str) else f"input.{index}"
            raise Refusal(400, "An input text must not be empty.", param=param, code="invalid_value")
    tokens = 0
    data: list[dict[str, Any]] = []
    async with served.model.map([Input.from_text(text) for text in texts], batch="auto") as predictions:
        async for prediction in predictions:
            tokens += prediction.usage.prompt_tokens
            vector = prediction.embedding
            value = _base64(vector) if body.encoding_format == "base64" else list(vector)
            data.append({"object": "embedding", "index": len(data), "embedding": value})
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return JSONResponse({"object": "list", "data": data, "model": body.model, "usage": usage})


def _base64(vector: memoryview[float]) -> str:
    """Write a vector as little-endian float32."""
    values = array.array("f", vector)
    if sys.byteorder == "big":
        values.byteswap()
    return base64.b64encode(values.tobytes()).decode()
