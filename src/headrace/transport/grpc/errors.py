"""Reading gRPC's English texts as facts; they are read nowhere else.

gRPC reports a server's status and its own status in the same fields, and has no field for the reason of its
own. The texts are those of its C core from 1.62 on; with an unknown text only the status counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from headrace import status
from headrace.errors import ServerError, TransportError

_HTTP = re.compile(r"received http2 header with status: (\d{3})")
_CONNECTING = re.compile(
    r"failed to connect|errors resolving|name resolution|dns resolution|dns query|hostname lookup"
    r"|trying to connect an http1\.x server|all backends failing|no connection established"
)
#: A GOAWAY with a last stream id below the call's; "Socket closed (GOAWAY received ..." is a call that was taken.
_NEVER_SEEN = re.compile(r"(stream removed \()?goaway received|.*refused_stream|.*rst_stream.*error code:? 7\b")
_BROKEN = re.compile(r"rst_stream|connection reset|socket closed|goaway|broken pipe|from core|stream removed")
_TOO_LARGE = re.compile(r"larger than max|message too large|metadata size exceeds")
_NO_GRPC = re.compile(r"bad grpc frame|invalid http2? header")
#: A whole page in one frame: if it arrives before gRPC has read the headers, it hides the HTTP status.
_PAGE = re.compile(r"data frame with end_stream flag received")


def call_failed(
    name: str, details: str, *, target: str, trailing: Iterable[Any] | None = (), no_grpc: bool = True
) -> TransportError | ServerError:
    """Make the error of a call from the status that gRPC gives it.

    Args:
        name: the status's name.
        trailing: metadata at the call's end.
        no_grpc: whether an answer that is not a gRPC message means that the peer speaks none. It does not if gRPC
            hides the HTTP status behind such an answer, and if the call was answered before.
    """
    text = details.lower()
    http = _HTTP.match(text)
    http_status = int(http[1]) if http else 200 if no_grpc and _NO_GRPC.search(text) else None
    if _PAGE.search(text):
        details = f"the response is not gRPC, and gRPC does not report its HTTP status: {details}"
    wire = name in ("UNAVAILABLE", "INTERNAL", "UNKNOWN", "CANCELLED")
    return status.call_error(
        name,
        details,
        target=target,
        connecting=name == "UNAVAILABLE" and bool(_CONNECTING.search(text)),
        unprocessed=wire and bool(_NEVER_SEEN.match(text)),
        broken=wire and bool(_BROKEN.search(text)),
        too_large=name == "RESOURCE_EXHAUSTED" and bool(_TOO_LARGE.search(text)),
        http_status=http_status,
        retry_after=status.retry_hint(trailing or ()),
        status_details=next((value for key, value in trailing or () if key == "grpc-status-details-bin"), None),
    )
