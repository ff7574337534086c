"""The options of calls, and their checks before anything is sent."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, cast

from headrace import reference
from headrace.config import (
    TLS,
    Coalesce,
    KeepAlive,
    Limits,
    MiB,
    Pem,
    RetryPolicy,
    Timeouts,
    Unset,
    Window,
)
from headrace.errors import ConfigError
from headrace.support.later import later
from headrace.transport.base import OWN_HEADERS, Metadata, TransportFactory

if TYPE_CHECKING:
    from headrace.calls.batching import BatchLimits
    from headrace.calls.duplex.settings import DuplexOptions
    from headrace.calls.streams import OnError
    from headrace.events import OnEvent
    from headrace.flow.pipe import Overflow
    from headrace.track import Tracker
else:
    OnError = later("headrace.calls.streams", "OnError")
    OnEvent = later("headrace.events", "OnEvent")
    Overflow = later("headrace.flow.pipe", "Overflow")
    Tracker = later("headrace.track", "Tracker")

_ROUTING = ("deployment_id", "compute_cluster_id", "nodepool_id", "deployment_user_id", "user_id")

#: Inputs packed into a request: at most so many, as many as the limits allow, or each by itself.
Batch: TypeAlias = int | Literal["auto"] | None


class CallOptions(TypedDict, total=False):
    """What every call takes.

    `inference_params` (any JSON values), `output_config`, `timeout` (seconds; see `Timeouts`), the routing arguments,
    `user_id` (the deployment's user, as the documents use it) and `metadata` (pairs of strings sent as gRPC metadata).
    """

    inference_params: Mapping[str, Any] | None
    output_config: Mapping[str, Any] | None
    timeout: float | None
    deployment_id: str | None
    compute_cluster_id: str | None
    nodepool_id: str | None
    deployment_user_id: str | None
    user_id: str | None
    metadata: Sequence[tuple[str, str]] | None


class ClientOptions(TypedDict, total=False):
    """The options of a client; see `Client`."""

    base_url: str | None
    pat: str | None
    token: str | None
    root_certificates_path: str | os.PathLike[str] | None
    root_certificates: bytes | Literal["system"] | None
    certificate: Pem | None
    key: Pem | None
    tls: TLS | None
    timeout: float | Unset | None
    timeouts: Timeouts | None
    retry: RetryPolicy | None
    limits: Limits | None
    keepalive: KeepAlive | None
    coalesce: Coalesce | bool
    transport: Literal["auto", "grpc", "h2"] | TransportFactory
    on_event: OnEvent | None
    allow_insecure_credentials: bool


class StreamOptions(CallOptions, total=False):
    """What `stream` takes besides.

    Attributes:
        window: inputs in flight at most (sent, answer not taken), 16 by default, 4 times `batch` if that is more;
            None: only the bytes count. One that is given bounds what is packed as well.
        window_bytes: bytes in flight at most, 64 MiB by default.
        prefetch: inputs that wait in the pipe before the window, 4 by default, `batch` if that is more.
        ordered: predictions come in the order of the inputs (default), or as they are ready.
        overflow: what a full pipe does: "block" (default), "drop_oldest", "drop_newest" or "latest".
        max_age: seconds after which an input that still waits is dropped.
        resume: open a broken stream again and send the unanswered inputs once more (default).
        matched: one answer an input (default); False: any number of answers, as they come; `window` (of items),
            `ordered`, `resume` and `batch` mean nothing then.
        on_error: "yield" predictions with `.error` (default) or "raise" them.
        batch: pack up to so many inputs into a request; "auto": up to `Limits.inputs_per_request` and 1 MiB; None: each
            by itself. Inputs go out immediately while fewer than 4 requests are in flight (sent and not answered);
            from then on they are batched, and go out when they fill a request, when one is answered, or at the source's
            end. Requests stay within `Limits.request_bytes` and `Limits.videos_per_request`.
        batch_wait: seconds that an input waits for others though fewer than 4 requests are in flight, 0 by default.
    """

    window: int | None
    window_bytes: int
    prefetch: int
    ordered: bool
    overflow: Overflow
    max_age: float | None
    resume: bool
    matched: bool
    on_error: OnError
    batch: Batch
    batch_wait: float


#: How frames are sent: through one duplex call, by concurrent calls, or whichever the server has.
Mode: TypeAlias = Literal["auto", "stream", "unary"]


class FrameOptions(CallOptions, total=False):
    """What `stream_frames` takes.

    Attributes:
        window: frames in flight at most, 8 by default.
        target_latency: seconds; the window becomes smaller when answers take longer, larger (at most `window`) when
            they don't.
        overflow: what happens to frames when the window is full: "block", "latest", "drop_oldest" or "drop_newest";
            left out: "latest" for what is live, "block" for files and other iterators.
        max_age: seconds after which a frame that still waits is dropped.
        mode: "stream" (one duplex call), "unary" (concurrent calls), or "auto" (default): a stream, and unary calls
            if the server has none, or answers only after the last input.
        ordered: in the order of the frames (default), or as they are ready.
        track: give the same object the same `track_id` from frame to frame (needs ordered=True, and scipy): True, or a
            `headrace.track.Tracker` with other settings.
        on_error: "yield" frames whose prediction has `.error` (default), or "raise" it.
    """

    window: int
    target_latency: float | None
    overflow: Overflow | None
    max_age: float | None
    mode: Mode
    ordered: bool
    on_error: OnError
    track: bool | Tracker


CALL_OPTIONS = frozenset(CallOptions.__optional_keys__)
STREAM_OPTIONS = frozenset(StreamOptions.__optional_keys__)
CLIENT_OPTIONS = frozenset(ClientOptions.__optional_keys__)
FRAME_OPTIONS = frozenset(FrameOptions.__optional_keys__)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ResolvedOptions:
    """A call's options, checked; `params` and `config` are checked when the template is encoded.

    Attributes:
        warm_up: seconds to wait for a deploying model: no limit but the timeout if the user gave one.
    """

    timeout: float | Unset | None
    params: Mapping[str, Any] | None
    config: Mapping[str, Any] | None
    routing: Mapping[str, str]
    metadata: Metadata
    warm_up: float | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "warm_up", None if isinstance(self.timeout, Unset) else math.inf)

    def seconds(self, default: float | None) -> float | None:
        """The timeout in seconds."""
        return default if isinstance(self.timeout, Unset) else self.timeout


def check(
    options: CallOptions | StreamOptions,
    model_routing: Mapping[str, str],
    client_timeout: float | Unset | None,
    known: frozenset[str] = STREAM_OPTIONS,
) -> ResolvedOptions:
    """Check a call's options; routing given on the call replaces the model's.

    Raises:
        ConfigError: an unknown name, a bad timeout, both kinds of routing or half of one, forged metadata.
    """
    check_names(options, known)
    for name in _ROUTING:
        if not isinstance(value := options.get(name), str | None):
            raise ConfigError(f"{name} must be a str, not {value!r:.60}")
    timeout: float | Unset | None = options.get("timeout", client_timeout)
    if not isinstance(timeout, Unset):
        checked_timeout(timeout)
    user_id, deployment_user_id = options.get("user_id"), options.get("deployment_user_id")
    if user_id and deployment_user_id and user_id != deployment_user_id:
        raise ConfigError("user_id and deployment_user_id of a call both name the deployment's user: give one")
    route = reference.routing(
        options.get("deployment_id"),
        options.get("compute_cluster_id"),
        options.get("nodepool_id"),
        deployment_user_id,
    ) or dict(model_routing)
    if user_id and route:
        route["user_id"] = user_id
    return ResolvedOptions(
        timeout,
        options.get("inference_params"),
        options.get("output_config"),
        route,
        checked_metadata(options.get("metadata")),
    )


def check_names(options: Mapping[str, Any], known: frozenset[str]) -> None:
    """Check the names of options, with a hint if one is nearly right.

    Raises:
        ConfigError: unknown ones.
    """
    unknown = sorted(set(options) - known)
    if not unknown:
        return
    import difflib  # fast path: all names are known

    hints = ""
    if near := [match for name in unknown for match in difflib.get_close_matches(name, sorted(known), 1, 0.75)]:
        hints = f" (did you mean {', '.join(near)}?)"
    elif {"prompt", "text", "image", "video", "audio"} & set(unknown):
        hints = f' (a typed method of the model takes arguments by name: model.call("predict", {unknown[0]}=...))'
    raise ConfigError(f"unknown arguments: {', '.join(unknown)}{hints}")


def checked_flag(name: str, value: Any) -> bool:
    """Check a boolean option.

    Raises:
        ConfigError: it is not a bool.
    """
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be True or False, not {value!r:.60}")
    return value


def checked_count(name: str, value: Any) -> int:
    """Check a number of things.

    Raises:
        ConfigError: it is not a whole number, or less than 1.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name} must be a whole number, at least 1, not {value!r:.60}")
    return value


def checked_seconds(name: str, value: Any) -> float | None:
    """Check a time in seconds; None: no limit.

    Raises:
        ConfigError: it is not a positive number.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value > 0):
        raise ConfigError(f"{name} must be positive seconds or None, not {value!r:.60}")
    return cast("float | None", value)


def checked_overflow(value: Any) -> Overflow:
    """Check the overflow policy.

    Raises:
        ConfigError: it is not one of `OVERFLOWS`.
    """
    from headrace.flow.pipe import OVERFLOWS

    if value not in OVERFLOWS:
        raise ConfigError(f"overflow must be one of {', '.join(OVERFLOWS)}, not {value!r:.60}")
    return cast("Overflow", value)


def checked_timeout(timeout: float | None) -> float | None:
    """Check a timeout in seconds; None: no limit."""
    return checked_seconds("timeout", timeout)


def checked_metadata(metadata: Sequence[tuple[str, str]] | None) -> Metadata:
    """Check metadata that a user adds to a call.

    Raises:
        ConfigError: not pairs of strings, reserved, or characters that could forge another header.
    """
    if metadata is None:
        return ()
    try:
        items = tuple(metadata)
    except TypeError:
        raise ConfigError("metadata must be a list of (name, value) pairs of str") from None
    pairs = []
    for pair in items:
        if not isinstance(pair, tuple | list) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):
            raise ConfigError("metadata must be (name, value) pairs of str")
        name, value = pair
        pairs.append((name, value))
        if not name or not all(c.islower() or c.isdigit() or c in "-_." for c in name) or not name.isascii():
            raise ConfigError(f"metadata name {name!r:.60}: lower-case letters, digits, '-', '_' and '.' only")
        if name.startswith("grpc-") or name in ("authorization", "x-clarifai-session-token") or name.endswith("-bin"):
            raise ConfigError(f"metadata name {name!r} is reserved; credentials go in as pat= or token=")
        if name in OWN_HEADERS:
            raise ConfigError(f"metadata name {name!r} is reserved: the transport writes it")
        if not value.isascii() or not value.isprintable():
            raise ConfigError(f"the value of metadata {name!r} contains characters that a header cannot carry")
    return tuple((name, value) for name, value in pairs)


def checked_batching(batch: Batch, wait: float, limits: Limits) -> BatchLimits:
    """Check how inputs are to be packed.

    Raises:
        ConfigError: a number of inputs that no request may have, a bad waiting time, or one without batching.
    """
    from headrace.calls.batching import AUTO_BYTES, BatchLimits

    limit = limits.inputs_per_request
    if batch not in (None, "auto") and (
        not isinstance(batch, int) or isinstance(batch, bool) or not 1 <= batch <= limit
    ):
        raise ConfigError(f'batch must be from 1 to {limit} inputs per request, "auto" or None, not {batch!r}')
    if isinstance(wait, bool) or not isinstance(wait, int | float) or not 0 <= wait < math.inf:
        raise ConfigError(f"batch_wait must be seconds, not {wait!r:.60}")
    if batch is None and wait:
        raise ConfigError("batch_wait has no effect without batch: give batch= too")
    if batch == "auto":
        return BatchLimits(limit, min(AUTO_BYTES, limits.request_bytes), limits.videos_per_request, wait)
    return BatchLimits(batch or 1, limits.request_bytes, limits.videos_per_request, wait)


def duplex_options(options: StreamOptions, given: ResolvedOptions, limits: Limits, timeouts: Timeouts) -> DuplexOptions:
    """Make the settings of a duplex stream.

    Raises:
        ConfigError: one of them is invalid.
    """
    from headrace.calls.duplex.settings import DuplexOptions

    checked_flag("matched", options.get("matched", True))
    batching = checked_batching(options.get("batch"), options.get("batch_wait", 0.0), limits)
    seconds = given.seconds(timeouts.input)
    return DuplexOptions(
        window=Window(options.get("window", batching.window), options.get("window_bytes", 64 * MiB)),
        prefetch=checked_count("prefetch", options.get("prefetch", batching.prefetch)),
        ordered=checked_flag("ordered", options.get("ordered", True)),
        overflow=checked_overflow(options.get("overflow", "block")),
        max_age=checked_seconds("max_age", options.get("max_age")),
        resume=checked_flag("resume", options.get("resume", True)),
        batching=batching,
        timeout=math.inf if seconds is None else seconds,
        warm_up=given.warm_up,
        metadata=given.metadata,
    )


def checked_on_error(on_error: OnError) -> OnError:
    """Check what to do with an input that failed."""
    if on_error not in ("yield", "raise"):
        raise ConfigError(f'on_error must be "yield" or "raise", not {on_error!r}')
    return on_error
