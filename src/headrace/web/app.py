"""An application: routes, and the checks before them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from headrace import Client, HeadraceError
from headrace.web.directory import Directory
from headrace.web.door import CALLER_LEFT, Bounded, Bounds, Counted, Keyed
from headrace.web.failures import Refusal, refusal
from headrace.web.metrics import CONTENT_TYPE, Metrics
from headrace.web.sending import CallerLeft


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the application.

    Attributes:
        api_key: the only key accepted; None: no key is needed.
        origins: of web pages that may call it; (): none, "*": all.
        hosts: the names by which it may be called; (): any.
    """

    api_key: str | None = None
    origins: Sequence[str] = ()
    hosts: Sequence[str] = ()
    bounds: Bounds = field(default_factory=Bounds)


def web_app(client: Client, routes: Sequence[BaseRoute], settings: Settings | None = None) -> Starlette:
    """Make an application of routes in front of a client's server; whoever runs it closes the client."""
    settings = settings or Settings()
    metrics = Metrics(client)
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
    own = [Route("/healthz", _health), Route("/metrics", _metrics(metrics))]
    return Starlette(routes=[*routes, *own], middleware=before, exception_handlers=handlers)


def openai_and_studio(directory: Directory, *, openai: bool, studio: bool) -> list[BaseRoute]:
    """Return the routes of OpenAI's API, of Studio, or of both."""
    from headrace.web.openai.routes import openai_routes
    from headrace.web.studio.routes import studio_routes

    return [*(openai_routes(directory) if openai else []), *(studio_routes(directory) if studio else [])]


async def _health(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


def _metrics(metrics: Metrics) -> Callable[[Request], Awaitable[Response]]:
    async def measures(_request: Request) -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    return measures


def _refused(_request: Request, error: Exception) -> Response:
    refused = refusal(error)
    return JSONResponse(refused.body, refused.status, refused.headers)


def _left(_request: Request, _error: Exception) -> Response:
    return Response(status_code=CALLER_LEFT)  # whose body is never read


def _not_found(request: Request, error: HTTPException) -> Response:
    if error.status_code == 404:
        text = f"Unknown request URL: {request.method} {request.url.path}. GET /v1/models lists the models."
        refused = Refusal(404, text, code="unknown_url")
    elif error.status_code == 405:
        refused = Refusal(405, f"Not allowed method {request.method} on {request.url.path}.", code="method_not_allowed")
    else:
        refused = Refusal(error.status_code, str(error.detail))
    return JSONResponse(refused.body, refused.status, {**refused.headers, **(error.headers or {})})
