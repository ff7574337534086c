"""Failures as OpenAI's API reports them: an HTTP status and `{"error": {message, type, param, code}}`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace import errors

CONTEXT_EXCEEDED = 30105  # of the protocol: the text is longer than the model takes


@dataclass(frozen=True, slots=True)
class Kind:
    """How one sort of failure is reported: the HTTP status, OpenAI's type, and its code or None."""

    status: int
    type: str
    code: str | None = None


class Refusal(Exception):
    """A request that is answered with an error.

    Args:
        param: the field of the request that is meant, such as "messages.0.content".
        retry_after: seconds after which trying again makes sense.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.param = param
        self.code = code
        self.retry_after = retry_after

    @property
    def body(self) -> dict[str, Any]:
        """The answer's JSON."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> Mapping[str, str]:
        """The answer's own headers: when to try again, and for OpenAI's clients whether."""
        headers = {
            "x-should-retry": "true" if self.status in (429, 503) and self.code != "insufficient_quota" else "false"
        }
        if self.retry_after is not None:
            headers["retry-after"] = str(max(0, math.ceil(self.retry_after)))
        return headers


_INVALID = "invalid_request_error"
_SERVER = "server_error"

#: The first class that fits counts: subclasses stand before their base.
_KINDS: tuple[tuple[type[Exception], Kind], ...] = (
    (errors.ConfigError, Kind(400, _INVALID)),
    (errors.InputError, Kind(400, _INVALID)),
    (errors.SourceError, Kind(400, _INVALID)),
    (errors.AuthError, Kind(502, _SERVER, "upstream_authentication")),
    (errors.PermissionDenied, Kind(403, _INVALID, "permission_denied")),
    (errors.NotFound, Kind(404, _INVALID, "model_not_found")),
    (errors.InvalidRequest, Kind(400, _INVALID)),
    (errors.PayloadTooLarge, Kind(413, _INVALID, "request_too_large")),
    (errors.QuotaExceeded, Kind(429, "insufficient_quota", "insufficient_quota")),
    (errors.Throttled, Kind(429, "rate_limit_error", "rate_limit_exceeded")),
    (errors.ModelNotReady, Kind(503, _SERVER, "model_not_ready")),
    (errors.ServerCancelled, Kind(503, _SERVER, "cancelled")),
    (errors.ServerError, Kind(500, _SERVER)),
    (errors.DeadlineExceeded, Kind(504, _SERVER, "timeout")),
    (errors.TransportError, Kind(502, _SERVER, "upstream_unreachable")),
    (errors.HeadraceError, Kind(500, _SERVER)),
)


def refusal(error: Exception) -> Refusal:
    """Turn whatever a call raised into the response that reports it."""
    if isinstance(error, Refusal):
        return error
    cause = error.__cause__
    if isinstance(error, errors.StreamBroken) and isinstance(cause, errors.HeadraceError):
        return refusal(cause)
    if isinstance(error, errors.HeadraceError) and error.code == CONTEXT_EXCEEDED:
        return Refusal(400, error.message, code="context_length_exceeded")
    for cls, kind in _KINDS:
        if isinstance(error, cls):
            after = getattr(error, "retry_after", None)
            param = "model" if kind.status == 404 else None
            return Refusal(kind.status, str(error), type=kind.type, code=kind.code, param=param, retry_after=after)
    return Refusal(500, "The server had an error while it worked on the request.", type=_SERVER)
