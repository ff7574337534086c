"""The page's files, what it asks for once, and one call by plain HTTP."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from headrace.web.directory import Directory
from headrace.web.failures import Refusal
from headrace.web.sending import answered
from headrace.web.studio import camera, live, run
from headrace.web.studio.inputs import KINDS, as_input

_TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
#: Nothing but the page's own files, its own server, and what it made itself.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob: data:;"
    " media-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",  # the address may have the token in it
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(self), geolocation=()",
}


def studio_routes(directory: Directory) -> list[BaseRoute]:
    """Return the routes of Studio in front of the models of a directory."""
    return [
        Route("/", page),
        Route("/assets/{name}", asset),
        Route("/api/models", _models(directory)),
        Route("/api/models/{name:path}", _model(directory)),
        Route("/api/predict/{name:path}", _predict(directory), methods=["POST"]),
        WebSocketRoute("/api/run", run.endpoint(directory)),
        WebSocketRoute("/api/camera", camera.endpoint(directory)),
        WebSocketRoute("/api/live", live.endpoint),
    ]


async def page(_request: Request) -> Response:
    """Return the page itself."""
    return _file("index.html", "no-cache")


async def asset(request: Request) -> Response:
    """Return one of the page's files; their names change with what is in them."""
    return _file(f"assets/{request.path_params['name']}", "public, max-age=31536000, immutable")


def _file(name: str, cache: str) -> Response:
    folder = resources.files("headrace.web.studio") / "dist"
    suffix = name[name.rfind(".") :]
    place = folder.joinpath(*name.split("/"))
    if ".." in name or suffix not in _TYPES or not place.is_file():
        raise Refusal(404, f"There is no file {name[:100]}.", code="unknown_url")
    headers = {**_HEADERS, "cache-control": cache}
    return Response(place.read_bytes(), media_type=_TYPES[suffix], headers=headers)


def _models(directory: Directory) -> Callable[[Request], Awaitable[Response]]:
    async def models_of_studio(_request: Request) -> Response:
        return JSONResponse({"models": await directory.cards(), "base_url": directory.base_url})

    return models_of_studio


def _model(directory: Directory) -> Callable[[Request], Awaitable[Response]]:
    async def model_of_studio(request: Request) -> Response:
        return JSONResponse(await directory.card(request.path_params["name"]))

    return model_of_studio


def _predict(directory: Directory) -> Callable[[Request], Awaitable[Response]]:
    async def predict(request: Request) -> Response:
        """Answer one input, sent as it is: a text, a picture, a sound or a video; parameters as JSON in `params`."""
        _same_origin(request)
        served = await directory.find(request.path_params["name"])
        kind = request.headers.get("content-type", "").partition("/")[0].lower()
        body = await request.body()
        item = await as_input(served, kind if kind in KINDS else None, body, request.query_params.get("text"))
        params = _params(request.query_params.get("params", "{}"))

        async def work() -> Response:
            return JSONResponse((await served.model.predict(item, inference_params=params)).to_dict())

        return await answered(request, work())

    return predict


def _same_origin(request: Request) -> None:
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        raise Refusal(403, "Pages of other origins may not call this.", code="foreign_origin")


def _params(text: str) -> dict[str, Any]:
    try:
        params = json.loads(text)
    except ValueError:
        params = None
    if not isinstance(params, dict):
        raise Refusal(400, "params must be a JSON object.", param="params", code="invalid_json")
    return params
