"""The checks before every route: request ids and counts, the key, and bounds on bodies."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import secrets
import time
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from headrace.web.failures import Refusal
from headrace.web.metrics import Metrics

CALLER_LEFT = 499  # the status that counts responses whose caller had left

logger: logging.Logger = logging.getLogger("headrace.web")

_OPEN = ("/healthz", "/")  # without the key, as are the files of the page
_POLICY_VIOLATION = 1008
_DRAIN_SECONDS = 5.0
_DRAINED = 4  # times the limit are read and discarded, so that a client that sends too much can read the response


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of what a caller may make the server read and keep.

    Attributes:
        body_bytes: of one request.
        all_bytes: of the bodies of all requests together.
        body_seconds: between two pieces of a body.
    """

    body_bytes: int = 26 << 20  # 25 MiB of a sound, and the form around it
    all_bytes: int = 256 << 20
    body_seconds: float = 30.0


def loopback_hosts(host: str) -> tuple[str, ...]:
    """Return the allowed host names of a server on a loopback address; () on any other address, where all are.

    A web page whose name was made to point to this machine uses that name, and is refused.
    """
    try:
        local = ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        local = host == "localhost"
    return tuple(dict.fromkeys(("localhost", "127.0.0.1", "[::1]", host))) if local else ()


class Counted:
    """Give each request an id, count it, and answer unexpected exceptions."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0
        whole = False
        began = time.perf_counter()
        request_id = f"req_{secrets.token_hex(16)}"

        async def sending(message: Message) -> None:
            nonlocal status, whole
            whole = message["type"] == "http.response.body" and not message.get("more_body", False)
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                headers["openai-processing-ms"] = str(round((time.perf_counter() - began) * 1000))
            await send(message)

        self._metrics.running.inc()
        try:
            await self._app(scope, receive, sending)
        except Exception:
            logger.exception("request %s failed", request_id)
            if not status:
                await _refuse(Refusal(500, "The server had an error.", type="server_error"), scope, receive, sending)
        finally:
            route = getattr(scope.get("endpoint"), "__name__", "none")
            self._metrics.running.dec()
            self._metrics.requests.labels(route, status if whole else CALLER_LEFT).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - began)


def key_for(host: str, key: str | None, *, studio: bool, insecure: bool) -> str | None:
    """Return the required key; a Studio that other machines can reach gets a new one, unless `insecure`."""
    if key is None and studio and not insecure and not loopback_hosts(host):
        return secrets.token_urlsafe(16)
    return key


class Keyed:
    """Admit only requests with the key: in the header, or as `token` in the query, as pages need it for a WebSocket."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        self._app = app
        self._key = key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "lifespan" or _is_open(scope) or self._has_key(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose(_POLICY_VIOLATION)(scope, receive, send)
        else:
            reason = "Incorrect API key provided." if "authorization" in Headers(scope=scope) else "No API key."
            refused = Refusal(401, f"{reason} Send it as: Authorization: Bearer KEY", code="invalid_api_key")
            await _refuse(refused, scope, receive, send, {"www-authenticate": "Bearer"})

    def _has_key(self, scope: Scope) -> bool:
        scheme, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            key = QueryParams(scope["query_string"]).get("token", "")
        return hmac.compare_digest(key.strip().encode(), self._key)


def _is_open(scope: Scope) -> bool:
    path = scope["path"]
    return scope["type"] == "http" and (path in _OPEN or path.startswith("/assets/") or scope["method"] == "OPTIONS")


class Bounded:
    """Count what is read of each body, and of all; nothing else reads them."""

    def __init__(self, app: ASGIApp, bounds: Bounds) -> None:
        self._app = app
        self._bounds = bounds
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        bounds = self._bounds
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > bounds.body_bytes:
            await _drain(receive, bounds.body_bytes * _DRAINED)
            await _refuse(self._too_large(), scope, receive, send, {"connection": "close"})
            return
        own = 0
        ended = False

        async def reading() -> Message:
            nonlocal own, ended
            if ended:
                return await receive()
            try:
                async with asyncio.timeout(bounds.body_seconds):
                    message = await receive()
            except TimeoutError:
                raise Refusal(
                    408, f"No data of the body arrived for {bounds.body_seconds:g} s.", code="timeout"
                ) from None
            if message["type"] == "http.request":
                ended = not message.get("more_body", False)
                size = len(message.get("body", b""))
                own += size
                self._held_bytes += size
                if own > bounds.body_bytes:
                    await _drain(receive, bounds.body_bytes * _DRAINED)
                    raise self._too_large()
                if self._held_bytes > bounds.all_bytes:
                    text = "The server holds as many bytes of requests as it may."
                    raise Refusal(503, text, type="server_error", code="overloaded", retry_after=1)
            return message

        try:
            await self._app(scope, reading, send)
        finally:
            self._held_bytes -= own

    def _too_large(self) -> Refusal:
        megabytes = self._bounds.body_bytes / (1 << 20)
        return Refusal(413, f"The request is larger than {megabytes:g} MiB.", code="request_too_large")


async def _drain(receive: Receive, limit: int) -> None:
    """Read the rest of the body, within bounds: clients read the response only after they have sent all."""
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            while limit > 0:
                message = await receive()
                limit -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return


async def _refuse(
    refused: Refusal, scope: Scope, receive: Receive, send: Send, headers: dict[str, str] | None = None
) -> None:
    await JSONResponse(refused.body, refused.status, {**refused.headers, **(headers or {})})(scope, receive, send)
