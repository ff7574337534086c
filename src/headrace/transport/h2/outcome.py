"""How a call ended: from headers, trailers and resets to the facts that errors are made of.

Sources: gRPC over HTTP/2 ("Responses", "Errors"), gRPC's mapping of HTTP status codes, and its status codes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from headrace import status
from headrace.errors import ServerError, TransportError
from headrace.transport.h2.diagnosis import printable
from headrace.transport.h2.engine import events
from headrace.transport.h2.engine.frames import Code
from headrace.transport.h2.engine.headers import Fields
from headrace.transport.h2.metadata import decoded_binary

NAMES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
_BY_HTTP = {400: 13, 431: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}
_BY_RESET: dict[int, int] = {
    Code.REFUSED_STREAM: 14,
    Code.CANCEL: 1,
    Code.ENHANCE_YOUR_CALM: 8,
    Code.INADEQUATE_SECURITY: 7,
}
#: Characters of an answer that is no gRPC answer, for the message.
EXCERPT = 200


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Facts:
    """What headers or trailers say to a call.

    Attributes:
        grpc: they are of a gRPC answer; where grpc-status stands, they are.
        success: they end a call, and it succeeded.
        encoding: of compressed messages.
        plain: they are of a gRPC answer whose messages are not compressed.
    """

    grpc: bool
    success: bool
    encoding: str
    plain: bool


def facts_of(fields: Fields) -> Facts:
    """Read headers or trailers once: equal blocks of a connection share their fields, and so what is noted there."""
    facts: Facts | None = fields.note
    if facts is None:
        grpc, encoding = _speaks_grpc(fields), fields.first.get("grpc-encoding", "identity")
        success = _statuses(fields) == ["0"]
        facts = fields.note = Facts(grpc, success, encoding, plain=grpc and encoding == "identity")
    return facts


def _speaks_grpc(fields: Fields) -> bool:
    content_type = fields.first.get("content-type", "")
    if content_type != "application/grpc" or fields.status != 200:
        kind = content_type.partition(";")[0].strip().lower()
        grpc = kind in ("application/grpc", "application/grpc+proto", "")  # some servers leave it out; no page does
        return "grpc-status" in fields.first or (fields.status == 200 and grpc)
    return True


def error_of_status(fields: Fields, target: str) -> TransportError | ServerError | None:
    """Make the error of trailers, or of headers that are all there is; None for success."""
    texts = _statuses(fields)
    if texts == ["0"]:
        return None
    if not texts:
        return _error(2, "the server ended the call without a status", target)
    if len(set(texts)) > 1 or not re.fullmatch(r"[0-9]|1[0-6]", texts[0]):
        shown = ", ".join(value[:50] for value in texts[:5])
        return _error(2, f"the server ended the call with a status that does not exist: {shown!r}", target)
    if texts[0] == "0":
        return None
    from urllib.parse import unquote_to_bytes

    message = unquote_to_bytes(fields.first.get("grpc-message", "").encode("latin-1")).decode("utf-8", "replace")
    message = printable(message)
    status_details = fields.first.get("grpc-status-details-bin")
    return status.call_error(
        NAMES[int(texts[0])],
        message,
        target=target,
        retry_after=status.retry_hint(fields.first.items()),
        status_details=decoded_binary(status_details) if status_details else None,
    )


def _statuses(fields: Fields) -> list[str]:
    return [value for name, value in fields.items if name == "grpc-status"]


def error_of_http(fields: Fields, excerpt: bytes, target: str) -> TransportError | ServerError:
    """Make the error of an answer that is no gRPC answer."""
    kind = fields.first.get("content-type", "no content-type")
    if fields.status == 200 and kind.lower().startswith("application/grpc+"):
        return _error(13, f"the server answers in {printable(kind)[:100]}; headrace speaks protobuf alone", target)
    text = re.sub(r"\s+", " ", excerpt.decode("utf-8", "replace"))[:EXCERPT].strip()
    location = fields.first.get("location", "")
    details = printable("; ".join(part for part in (f"to {location}" if location else "", kind, text) if part))
    code = _BY_HTTP.get(fields.status, 2)
    return status.call_error(
        NAMES[code],
        details,
        target=target,
        http_status=fields.status,
        retry_after=status.retry_hint(fields.first.items()),
    )


def error_of_reset(event: events.Reset, target: str) -> TransportError | ServerError:
    """Make the error of a stream that was reset."""
    if event.too_large:
        return status.call_error("RESOURCE_EXHAUSTED", event.reason, target=target, too_large=True)
    if event.reason:
        return status.call_error("INTERNAL", f"the server violated HTTP/2: {event.reason}", target=target, broken=True)
    number = _BY_RESET.get(event.code, 13)
    return status.call_error(
        NAMES[number],
        f"the server reset the stream: {code_name(event.code)}",
        target=target,
        unprocessed=event.code == Code.REFUSED_STREAM and not event.stream.status,
        broken=number in (1, 13, 14),
    )


def code_name(code: int) -> str:
    """Name an error code, also one that no document knows."""
    return Code(code).name if code < len(Code) else f"code {code:#x}"


def _error(number: int, details: str, target: str) -> TransportError | ServerError:
    return status.call_error(NAMES[number], details, target=target)
