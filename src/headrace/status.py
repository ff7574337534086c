"""What the protocol's codes mean for a client, as data: one table, two directions (retry or not, which error).

Source: the protocol's status codes and gRPC's; the classes follow what each code asks a client to do.
"""

from __future__ import annotations

import enum
import math
import time
import types
from collections.abc import Iterable

from headrace import errors
from headrace.support.ids import before
from headrace.support.statusdetails import read_details, retry_delay
from headrace.support.texts import SHOWN, masked, received, shortened


class Kind(enum.Enum):
    """What a failure asks of the client."""

    OK = "ok"
    MIXED = "mixed"  # look at every output's own status
    MARKER = "marker"  # not a result and not a failure: skip
    WARMING = "warming"  # wait within the warm-up budget
    NOT_SERVING = "not serving"
    THROTTLE = "throttle"  # retry, and send less
    QUOTA = "quota"
    AUTH = "auth"
    PERMISSION = "permission"
    TRANSIENT = "transient"  # retry
    AMBIGUOUS = "ambiguous"  # retry once
    TOO_LARGE = "too large"
    NOT_FOUND = "not found"
    INVALID = "invalid"
    INPUT = "input"  # this one input is bad
    CANCELLED = "cancelled"
    CONNECT = "connect"  # no connection: retry
    CONNECTION = "connection"  # broke underway: retry what may be repeated
    UNPROCESSED = "unprocessed"  # the server never saw it: retry in milliseconds
    TIMEOUT = "timeout"
    UNKNOWN = "unknown"


SUCCESS, MIXED_STATUS = 10000, 10010

_CODES: dict[Kind, str] = {
    Kind.OK: "10000",
    Kind.MIXED: "10010",
    Kind.MARKER: "25605 25606 10070",
    Kind.WARMING: "21351 21352 21354 21355",
    Kind.NOT_SERVING: "21350 21353 25900 25903",
    Kind.THROTTLE: "11005",
    Kind.QUOTA: "11000 11003 11004 11006 60001 60002 60003 60004 60005 60006 69000 69001 99005",
    Kind.AUTH: "11001 11002 11008 11009 11200 65000",
    Kind.PERMISSION: "11007 11104 21201 22103 25301 25601 30103 31103 46006 24156",
    Kind.TRANSIENT: "10030 25604 39996 39997 40011 40012 40013 40014 40015 40016 40030 40031 40032 40034 43040 "
    "45003 45004 45005 45006 47201 98004 98005 98006 98009 98013 98014",
    Kind.AMBIGUOUS: "10020 21313 98010 98011 98012 98015 98016 98017 98018 98019 98020 98021 "
    "99001 99002 99003 99004 99009",
    Kind.TOO_LARGE: "30105 31105 40033 47103",
    Kind.NOT_FOUND: "11101 21200 22102 25300 25600 25700 25800 26000 26200 26300 26400 26403",
    Kind.INVALID: "10040 10050 10060 11100 11102 11103 11105 21202 21203 25602 25603 25609 25701 25702 25801 25802 "
    "25901 25902 26001 26002 39999 40001 40036",
    Kind.INPUT: "30002 30004 30101 30102 30104 30106 30210 30300 31002 31101 31102 31104 31106 31300 "
    "46003 47101 47102 47104 47105 47106 25608",
    Kind.CANCELLED: "25607 40021 40035 40037 98008",
}
KINDS: types.MappingProxyType[int, Kind] = types.MappingProxyType(
    {int(code): kind for kind, codes in _CODES.items() for code in codes.split()}
)

ERRORS: types.MappingProxyType[Kind, type[errors.ServerError]] = types.MappingProxyType(
    {
        Kind.WARMING: errors.ModelNotReady,
        Kind.NOT_SERVING: errors.ModelNotReady,
        Kind.THROTTLE: errors.Throttled,
        Kind.QUOTA: errors.QuotaExceeded,
        Kind.AUTH: errors.AuthError,
        Kind.PERMISSION: errors.PermissionDenied,
        Kind.TRANSIENT: errors.PredictionFailed,
        Kind.AMBIGUOUS: errors.PredictionFailed,
        Kind.TOO_LARGE: errors.PayloadTooLarge,
        Kind.NOT_FOUND: errors.NotFound,
        Kind.INVALID: errors.InvalidRequest,
        Kind.INPUT: errors.InvalidRequest,
        Kind.CANCELLED: errors.ServerCancelled,
        Kind.UNKNOWN: errors.PredictionFailed,
        Kind.MIXED: errors.PredictionFailed,
        Kind.MARKER: errors.PredictionFailed,
    }
)

ADVICE: types.MappingProxyType[Kind, str] = types.MappingProxyType(
    {
        Kind.WARMING: "the model did not become ready in time; try again later or raise the warm-up budget",
        Kind.NOT_SERVING: "deploy the model, or name another deployment",
        Kind.THROTTLE: "send fewer requests a second (Limits.requests_per_second)",
        Kind.QUOTA: "see the account's plan and billing",
        Kind.AUTH: "check the credential (pat=, CLARIFAI_PAT)",
        Kind.PERMISSION: "check what the credential may do",
        Kind.NOT_FOUND: "check the ids of user, app, model, version and deployment",
        Kind.TOO_LARGE: "send less at once",
    }
)

#: What ends a whole stream: any other input would fail too.
FATAL = frozenset({Kind.AUTH, Kind.PERMISSION, Kind.QUOTA, Kind.NOT_FOUND, Kind.NOT_SERVING})

_GRPC: dict[str, Kind] = {
    "UNAUTHENTICATED": Kind.AUTH,
    "PERMISSION_DENIED": Kind.PERMISSION,
    "NOT_FOUND": Kind.NOT_FOUND,
    "UNIMPLEMENTED": Kind.INVALID,
    "INVALID_ARGUMENT": Kind.INVALID,
    "FAILED_PRECONDITION": Kind.INVALID,
    "OUT_OF_RANGE": Kind.INVALID,
    "ALREADY_EXISTS": Kind.INVALID,
    "RESOURCE_EXHAUSTED": Kind.THROTTLE,
    "ABORTED": Kind.TRANSIENT,
    "CANCELLED": Kind.CANCELLED,
    "UNKNOWN": Kind.AMBIGUOUS,
    "INTERNAL": Kind.AMBIGUOUS,
}

#: What an HTTP status asks for, if a proxy answered with it instead of gRPC; others: `Kind.AMBIGUOUS` from 500 on,
#: `Kind.INVALID` below.
_HTTP: dict[int, Kind] = {
    401: Kind.AUTH,
    403: Kind.PERMISSION,
    407: Kind.AUTH,
    408: Kind.AMBIGUOUS,
    413: Kind.TOO_LARGE,
    425: Kind.TRANSIENT,
    429: Kind.THROTTLE,
    431: Kind.TOO_LARGE,
    502: Kind.CONNECTION,
    503: Kind.THROTTLE,  # what proxies that limit requests answer as well
    504: Kind.AMBIGUOUS,  # the server may be working on it
}


def kind(code: int) -> Kind:
    """Return what a Clarifai status code asks for; `Kind.UNKNOWN` for a code that is not in the table."""
    return KINDS.get(code, Kind.UNKNOWN)


def kind_of(error: BaseException) -> Kind:
    """Return what a failure asks for."""
    if isinstance(error, errors.ServerError):
        if error.code is not None:
            return kind(error.code)
        kinds = [k for k, cls in ERRORS.items() if type(error) is cls]
        by_name = _GRPC.get(error.name)
        return by_name if by_name in kinds else kinds[0] if len(kinds) == 1 else Kind.UNKNOWN
    if isinstance(error, errors.DeadlineExceeded):
        return Kind.TIMEOUT
    if isinstance(error, errors.TransportError):
        if error.unprocessed:
            return Kind.UNPROCESSED
        if error.http_status is not None:
            return http_kind(error.http_status)
        if error.permanent:
            return Kind.INVALID
        return Kind.CONNECT if isinstance(error, errors.ConnectFailed) else Kind.CONNECTION
    return Kind.UNKNOWN


def fatal(error: BaseException) -> bool:
    """Return whether a failure ends a whole stream; what concerns an input (3xxxx) never does."""
    code = getattr(error, "code", None)
    return kind_of(error) in FATAL and not (code is not None and 30000 <= code < 32000)


def http_kind(http_status: int) -> Kind:
    """Return what an HTTP status asks for that stands where gRPC's answer belongs."""
    return _HTTP.get(http_status, Kind.AMBIGUOUS if http_status >= 500 else Kind.INVALID)


def retry_hint(metadata: Iterable[tuple[str, str | bytes]]) -> float | None:
    """Read a server's hint when to come back, in seconds; None if there is none that can be used.

    Source: `grpc-retry-pushback-ms` of gRPC (milliseconds; negative: do not come back), `retry-after` of HTTP (seconds,
    or a date). gRPC's own counts if both are there.
    """
    hint: float | None = None
    for name, value in metadata:
        if not isinstance(value, str):
            continue
        if name == "grpc-retry-pushback-ms" and math.isfinite(seconds := _number(value) / 1000):
            return seconds
        if name == "retry-after" and hint is None:
            seconds = _number(value)
            seconds = _until(value) if math.isnan(seconds) else seconds
            hint = seconds if math.isfinite(seconds) and seconds >= 0 else None
    return hint


def _number(text: str) -> float:
    """Read a number; NaN if it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _until(date: str) -> float:
    """Count the seconds until a date of HTTP; NaN if it is none."""
    from email.utils import parsedate_to_datetime  # costs a tenth of all our import

    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError, OSError):
        return math.nan


def server_error(
    code: int,
    *,
    name: str = "",
    description: str = "",
    details: str = "",
    request_id: str = "",
    input_id: str | None = None,
    retry_after: float | None = None,
    percent: int | None = None,
) -> errors.ServerError:
    """Make the error of a Clarifai status code; texts of the server come without credentials and not too long."""
    kind_ = kind(code)
    label = name or str(code)
    description, details, request_id = received(description), received(details), received(request_id)
    sentence = ": ".join(part for part in (description, details) if part) or "no description"
    whose = before(input_id)
    request = f" [request {shortened(request_id, 200)}]" if request_id else ""
    return ERRORS[kind_](
        _sentence(whose, sentence, f" ({label} {code}){_advice(kind_)}{request}"),
        code=code,
        name=label,
        description=description,
        details=details,
        request_id=request_id,
        input_id=input_id,
        retry_after=retry_after,
        percent=percent,
    )


def call_error(
    status: str,
    details: str,
    *,
    target: str,
    connecting: bool = False,
    unprocessed: bool = False,
    broken: bool = False,
    too_large: bool = False,
    permanent: bool = False,
    http_status: int | None = None,
    retry_after: float | None = None,
    status_details: bytes | None = None,
) -> errors.TransportError | errors.ServerError:
    """Make the error of a call that failed below the protocol.

    A transport says what happened in facts; the texts are for people alone.

    Args:
        status: gRPC status name, such as "UNAVAILABLE".
        details: the sentence that came with it.
        connecting: there was no connection, and nothing was sent.
        unprocessed: the server surely has not seen the call.
        broken: the connection or the stream broke, whatever the status.
        too_large: a message or the metadata was over a size limit.
        permanent: trying again cannot help, for the server is not what was expected.
        http_status: what a proxy, or something that speaks no gRPC, answered instead of a gRPC status.
        retry_after: the server's hint in seconds.
        status_details: the `google.rpc.Status` that came along, serialized.
    """
    details = received(details)
    attached = read_details(status_details) if status_details else ()
    if attached and retry_after is None:
        retry_after = retry_delay(attached)
    if status == "DEADLINE_EXCEEDED":
        return errors.DeadlineExceeded(
            f"{target}: the call's deadline was exceeded",
            target=target,
            status=status,
            details=details,
            status_details=attached,
        )
    if http_status is not None:
        return _http_error(http_status, details, target=target, status=status, retry_after=retry_after)
    if connecting or unprocessed or broken or permanent or status in ("UNAVAILABLE", "DATA_LOSS"):
        cls = errors.ConnectFailed if connecting else errors.ConnectionLost
        event = "cannot connect" if connecting else "the connection was lost"
        return cls(
            _sentence(f"{target}: {event} (", details or "no details", ")"),
            target=target,
            status=status,
            unprocessed=unprocessed,
            permanent=permanent,
            retry_after=retry_after,
            details=details,
            status_details=attached,
        )
    kind_ = Kind.TOO_LARGE if too_large else _GRPC.get(status, Kind.UNKNOWN)
    return ERRORS[kind_](
        _sentence(f"{target}: ", details or "no details", f" (gRPC {status}){_advice(kind_)}"),
        name=status,
        description=details,
        retry_after=retry_after,
        status_details=attached,
    )


def _http_error(
    http_status: int, details: str, *, target: str, status: str, retry_after: float | None
) -> errors.TransportError | errors.ServerError:
    """Make the error of an HTTP answer that is not a gRPC answer."""
    answer = f"an HTTP {http_status} response instead of gRPC's"
    text = f"{answer} ({details})" if details else answer
    kind_ = http_kind(http_status)
    if kind_ in (Kind.THROTTLE, Kind.TOO_LARGE, Kind.AUTH, Kind.PERMISSION) and http_status != 503:
        return ERRORS[kind_](
            _sentence(f"{target}: ", text, _advice(kind_)), name=status, description=details, retry_after=retry_after
        )
    never = kind_ is Kind.INVALID
    if 300 <= http_status < 400:
        advice = "; the address redirects: give base_url= the address that it leads to"
    else:
        advice = "; this is not a gRPC server, or a proxy before it passes no gRPC: check base_url=" if never else ""
    cls = errors.ConnectFailed if never else errors.ConnectionLost
    return cls(
        _sentence(f"{target}: ", text, advice),
        target=target,
        status=status,
        http_status=http_status,
        permanent=never,
        retry_after=retry_after,
        details=details,
    )


def _advice(kind_: Kind) -> str:
    return f"; {ADVICE[kind_]}" if kind_ in ADVICE else ""


def _sentence(before: str, text: str, after: str) -> str:
    """Put a message together that is not too long: what is cut is the server's text."""
    before = masked(before)
    return before + shortened(text, max(200, SHOWN - len(before) - len(after))) + after
