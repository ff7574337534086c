"""The routes of OpenAI's API."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from headrace.web.directory import Directory, Served
from headrace.web.failures import Refusal
from headrace.web.openai import audio, requests
from headrace.web.openai.chat import chat, completion
from headrace.web.openai.embeddings import embeddings
from headrace.web.openai.images import pictures
from headrace.web.openai.passing import passes, through
from headrace.web.openai.responses import response
from headrace.web.sending import answered


def openai_routes(directory: Directory) -> list[BaseRoute]:
    """Return the routes in front of the models of a directory."""
    return [
        Route("/v1/models", _models(directory)),
        Route("/v1/models/{name:path}", _one_model(directory)),
        _json("/chat/completions", requests.Chat, chat, directory),
        _json("/completions", requests.Completion, completion, directory),
        _json("/responses", requests.Response, response, directory),
        _json("/embeddings", requests.Embedding, embeddings, directory),
        _json("/images/generations", requests.Picture, pictures, directory),
        _json("/audio/speech", requests.Speech, audio.speech, directory),
        Route("/v1/audio/transcriptions", _transcriptions(directory), methods=["POST"]),
    ]


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
    if kind and not kind.endswith("json"):  # excludes the types that any web page may send
        raise Refusal(415, f"The body must be application/json, not {kind[:100]}.", code="unsupported_media_type")
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(400, "The body of the request is not valid JSON.", code="invalid_json") from None
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
            raise Refusal(400, f"The body is not a form with a file: {detail}", code="invalid_form") from None

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
