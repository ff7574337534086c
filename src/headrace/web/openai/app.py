"""The application: routes, and what stands before them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from headrace import Client, HeadraceError
from headrace.web.openai import audio, requests
from headrace.web.openai.chat import chat, completion
from headrace.web.openai.directory import Directory, Served
from headrace.web.openai.door import CALLER_LEFT, Bounded, Bounds, Counted, Keyed
from headrace.web.openai.embeddings import embeddings
from headrace.web.openai.failures import Refusal, refusal
from headrace.web.openai.images import pictures
from headrace.web.openai.metrics import CONTENT_TYPE, Metrics
from headrace.web.openai.passing import passes, through
from headrace.web.openai.responses import response
from headrace.web.openai.sending import CallerLeft, answered


@dataclass(frozen=True, slots=True)
class Settings:
    """How the application is to be.

    Attributes:
        api_key: the only key accepted; None: anybody is let in.
        origins: of web pages that may call it; (): none, "*": all.
        hosts: the names by which it may be called; (): any.
    """

    api_key: str | None = None
    origins: Sequence[str] = ()
    hosts: Sequence[str] = ()
    bounds: Bounds = field(default_factory=Bounds)


def openai_app(client: Client, directory: Directory, settings: Settings | None = None) -> Starlette:
    """Make the application in front of a client's server; whoever runs it closes the client."""
    settings = settings or Settings()
    metrics = Metrics(client)
    routes = [
        Route("/v1/models", _models(directory)),
        Route("/v1/models/{name:path}", _one_model(directory)),
        _json("/chat/completions", requests.Chat, chat, directory),
        _json("/completions", requests.Completion, completion, directory),
        _json("/responses", requests.Response, response, directory),
        _json("/embeddings", requests.Embedding, embeddings, directory),
        _json("/images/generations", requests.Picture, pictures, directory),
        _json("/audio/speech", requests.Speech, audio.speech, directory),
        Route("/v1/audio/transcriptions", _transcriptions(directory), methods=["POST"]),
        Route("/healthz", _health),
        Route("/metrics", _metrics(metrics)),
    ]
    before = [Middleware(Counted, metrics)]
    if settings.hosts:
        before.append(Middleware(TrustedHostMiddleware, allowed_hosts=list(settings.hosts), www_redirect=False))
    if settings.origins:
        before.append(
            Middleware(CORSMiddleware, allow_origins=list(settings.origins), allow_methods=["*"], allow_headers=["*"])
        )
    if settings.api_key is not None:
        before.append(Middleware(Keyed, settings.api_key))
    before.append(Middleware(Bounded, settings.bounds))

    handlers: dict[Any, Any] = {
        Refusal: _refused,
        HeadraceError: _refused,
        ExceptionGroup: lambda request, error: _refused(request, error.exceptions[0]),
        HTTPException: _not_found,
        CallerLeft: _left,
        ClientDisconnect: _left,
    }
    return Starlette(routes=routes, middleware=before, exception_handlers=handlers)


def _json(
    path: str, kind: type[BaseModel], answer: Callable[[Any, Served], Awaitable[Response]], directory: Directory
) -> Route:
    """Make a route that takes a JSON body."""

    async def handle(request: Request) -> Response:
        fields = await _fields(request)

        async def work() -> Response:
            served = await directory.find(_name(fields))
            if passes(served, fields):
                return await through(served, path, fields)
            return await answer(requests.checked(kind, fields), served)

        return await answered(request, work())

    handle.__name__ = path.strip("/")
    return Route(f"/v1{path}", handle, methods=["POST"])


async def _fields(request: Request) -> dict[str, Any]:
    """Read a body that must be a JSON object.

    Raises:
        Refusal: 400 or 415.
    """
    body = await request.body()
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind and not kind.endswith("json"):  # the types that any web page may send are not among them
        raise Refusal(415, f"The body must be application/json, not {kind[:100]}.", code="unsupported_media_type")
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(400, "The body of the request is no valid JSON.", code="invalid_json") from None
    if not isinstance(fields, dict):
        raise Refusal(400, "The body of the request must be a JSON object.", code="invalid_json")
    return fields


def _name(fields: dict[str, Any]) -> str:
    name = fields.get("model")
    if not isinstance(name, str) or not name:
        raise Refusal(400, "You must provide a model parameter.", param="model", code="missing_required_parameter")
    return name


def _transcriptions(directory: Directory) -> Callable[[Request], Awaitable[Response]]:
    async def transcriptions(request: Request) -> Response:
        try:
            async with request.form(max_files=1, max_fields=32) as form:
                file = form.get("file")
                if not isinstance(file, UploadFile):
                    raise Refusal(400, "Missing the file.", param="file", code="missing_required_parameter")
                sound = await file.read()
                fields: dict[str, Any] = {}
                for name, value in form.multi_items():
                    if name.endswith("[]"):
                        fields.setdefault(name.removesuffix("[]"), []).append(value)
                    elif name != "file":
                        fields[name] = value
        except (MultiPartException, HTTPException) as error:
            detail = getattr(error, "message", None) or getattr(error, "detail", "")
            raise Refusal(400, f"The body is no form with a file: {detail}", code="invalid_form") from None

        async def work() -> Response:
            served = await directory.find(_name(fields))
            return await audio.transcription(requests.checked(requests.Transcription, fields), sound, served)

        return await answered(request, work())

    return transcriptions


def _models(directory: Directory) -> Callable[[Request], Awaitable[Response]]:
    async def models(_request: Request) -> Response:
        return JSONResponse({"object": "list", "data": await directory.entries()})

    return models


def _one_model(directory: Directory) -> Callable[[Request], Awaitable[Response]]:
    async def model(request: Request) -> Response:
        name = request.path_params["name"]
        entries = {entry["id"]: entry for entry in await directory.entries()}
        if name not in entries:
            await directory.find(name)  # which refuses what does not exist
        entry = {"id": name, "object": "model", "created": directory.started, "owned_by": "headrace"}
        return JSONResponse(entries.get(name, entry))

    return model


async def _health(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


def _metrics(metrics: Metrics) -> Callable[[Request], Awaitable[Response]]:
    async def measures(_request: Request) -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    return measures


def _refused(_request: Request, error: Exception) -> Response:
    told = refusal(error)
    return JSONResponse(told.body, told.status, told.headers)


def _left(_request: Request, _error: Exception) -> Response:
    return Response(status_code=CALLER_LEFT)  # which nobody reads


def _not_found(request: Request, error: HTTPException) -> Response:
    if error.status_code == 404:
        text = f"Unknown request URL: {request.method} {request.url.path}. GET /v1/models lists the models."
        told = Refusal(404, text, code="unknown_url")
    elif error.status_code == 405:
        told = Refusal(405, f"Not allowed method {request.method} on {request.url.path}.", code="method_not_allowed")
    else:
        told = Refusal(error.status_code, str(error.detail))
    return JSONResponse(told.body, told.status, {**told.headers, **(error.headers or {})})
