"""POST /v1/images/generations."""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any

from starlette.responses import JSONResponse, Response

from headrace.inputs import Input
from headrace.web.directory import Served
from headrace.web.failures import Refusal
from headrace.web.openai.requests import Picture


async def pictures(body: Picture, served: Served) -> Response:
    """Make pictures from a text; they are in the response, because no files are kept."""
    served.must("text", "image", "/v1/images/generations")
    params: dict[str, Any] = {}
    if body.size and body.size != "auto":
        width, _, height = body.size.partition("x")
        params = {"width": int(width), "height": int(height)}

    async def one() -> str:
        prediction = await served.model.predict(Input.from_text(body.prompt), inference_params=params)
        if not prediction.image:
            raise Refusal(502, "The model's answer has no picture.", type="server_error", code="bad_answer")
        return base64.b64encode(prediction.image).decode()

    images = await asyncio.gather(*(one() for _ in range(body.n or 1)))
    return JSONResponse({"created": int(time.time()), "data": [{"b64_json": image} for image in images]})
