"""The settings, as frozen dataclasses with their defaults. Seconds are floats; None means "no limit"."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal, TypeAlias

from headrace.errors import ConfigError
from headrace.support.frozen import FrozenDict
from headrace.support.later import later
from headrace.target import Target

if TYPE_CHECKING:
    from pathlib import Path
else:
    Path = later("pathlib", "Path")

__all__ = ["TLS", "Coalesce", "KeepAlive", "Limits", "RetryPolicy", "Target", "Timeouts", "Transmission", "Window"]

MiB = 1 << 20

#: A PEM as bytes, or the path of a file that holds it.
Pem: TypeAlias = bytes | str | Path


class Unset:
    """The type of `UNSET`: an argument that was not given, where None means "no limit"."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET = Unset()


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long things may take, in seconds.

    Attributes:
        connect: making a connection.
        total: a unary call with queueing, retries and warm-up.
        attempt: one attempt of a unary call; None: only the total counts.
        first_answer: a token stream or a free duplex stream until the first answer; another duplex stream whose window
            is full, until any answer.
        idle: between two pieces of a token stream, or two answers of a free duplex stream.
        input: one input of a duplex stream, from its leaving the pipe to its answer.
        warm_up: waiting for a model that is deploying, if the user gave no timeout.
        outage: a broken duplex stream tries to reopen for so long before it gives up.
        close: closing waits at most so long for what still runs.
    """

    connect: float = 10.0
    total: float | None = 60.0
    attempt: float | None = None
    first_answer: float | None = 60.0
    idle: float | None = 30.0
    input: float | None = 60.0
    warm_up: float = 600.0
    outage: float | None = 60.0
    close: float = 2.0

    def __post_init__(self) -> None:
        _positive(self)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Which failures are retried, how often and how fast.

    Delays grow from `initial` by `multiplier` up to `cap` seconds, with full jitter: each is drawn uniformly from
    zero to that bound. A server's hint (`time_remaining`, retry-after) is a lower bound for the delay.

    Attributes:
        attempts: attempts of a call at most, the first included; 1 turns retries off.
        ambiguous_attempts: attempts at most if the failure is probably final (10020, 21313, 99009, ...).
        throttled_attempts: attempts at most of a call that is throttled.
        unprocessed: immediate re-sends at most of a call that the server surely never saw; not counted in `attempts`.
        budget: retries that all calls of a client may spend in a burst; it refills by `budget_ratio` a call and
            `budget_per_second`. None: no budget.
        warm_up_cap: longest wait between two looks at a model that is deploying.
        hint_cap: longest wait that a server's hint can ask for.
        hedge_after: seconds after which a unary call gets a second, concurrent attempt; None: never.
    """

    attempts: int = 5
    ambiguous_attempts: int = 2
    throttled_attempts: int = 12
    unprocessed: int = 100
    initial: float = 0.1
    multiplier: float = 2.0
    cap: float = 8.0
    budget: float | None = 50.0
    budget_ratio: float = 0.1
    budget_per_second: float = 0.5
    warm_up_cap: float = 5.0
    hint_cap: float = 120.0
    hedge_after: float | None = None

    def __post_init__(self) -> None:
        _positive(self)
        if min(self.attempts, self.ambiguous_attempts, self.throttled_attempts) < 1:
            raise ConfigError("RetryPolicy: attempts must be at least 1 (1: no retry)")
        if self.multiplier < 1:
            raise ConfigError(f"RetryPolicy: multiplier must be at least 1, not {self.multiplier}")


#: The largest input in bytes, by its type; the documents' upload limits.
INPUT_BYTES: Mapping[str, int] = FrozenDict(
    {"image": 20 * MiB, "text": 20 * MiB, "audio": 20 * MiB, "video": 128 * MiB}
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits: what is refused, split or delayed before anything is sent.

    Attributes:
        requests_per_second: RPCs started a second: a number, None, or "auto" (15 for the hosted API, else None).
        inputs_per_request: longer lists are split and rejoined.
        request_bytes: the largest request in bytes; larger ones are split.
        response_bytes: the largest message in bytes that is received; a larger one is `PayloadTooLarge`.
        input_bytes: the largest input in bytes, by type ("image", "text", "audio", "video").
        image_pixels: the largest picture in pixels; checked if Pillow is installed.
        videos_per_request: videos in a request at most.
        streams_per_connection: concurrent calls on a connection before another one is opened; servers commonly allow
            100, and gRPC queues the others silently.
        connections: connections of a client to its target at most.
        concurrency: unary calls of a client in flight at most; throttling lowers it for a while.
    """

    requests_per_second: float | Literal["auto"] | None = "auto"
    inputs_per_request: int = 128
    request_bytes: int = 128 * MiB
    response_bytes: int = 256 * MiB
    input_bytes: Mapping[str, int] = field(default_factory=lambda: INPUT_BYTES)
    image_pixels: int = 85_000_000
    videos_per_request: int = 1
    streams_per_connection: int = 64
    connections: int = 8
    concurrency: int = 1024

    def __post_init__(self) -> None:
        if isinstance(self.requests_per_second, str) and self.requests_per_second != "auto":
            raise ConfigError('Limits: requests_per_second must be a number, None or "auto"')
        _positive(self)
        if not isinstance(self.input_bytes, Mapping):
            raise ConfigError("Limits: input_bytes must be a dict of type -> bytes")
        for name, limit in self.input_bytes.items():
            _check_number(f"Limits: input_bytes[{name!r}]", limit, whole=True)
        unknown = set(self.input_bytes) - set(INPUT_BYTES)
        if unknown:
            raise ConfigError(f"Limits: input_bytes has unknown types {sorted(unknown)}; known: {sorted(INPUT_BYTES)}")
        object.__setattr__(self, "input_bytes", FrozenDict({**INPUT_BYTES, **self.input_bytes}))

    def rate(self, hosted: bool) -> float | None:
        """Return how many RPCs a second may start, or None for any number; `hosted`: towards the hosted API."""
        if self.requests_per_second == "auto":
            return 15.0 if hosted else None
        assert not isinstance(self.requests_per_second, str)
        return self.requests_per_second


@dataclass(frozen=True, slots=True)
class Window:
    """How many inputs and bytes of a duplex stream may be sent whose answer the consumer has not taken.

    `inputs=None`: only the bytes count. One input is always admitted when nothing is in flight, however large.
    """

    inputs: int | None = 16
    bytes: int = 64 * MiB

    def __post_init__(self) -> None:
        _positive(self)


@dataclass(frozen=True, slots=True)
class Coalesce:
    """How concurrent `predict` calls of one input each are put together; see `Client`.

    Attributes:
        inputs: inputs in a request at most, and never more than `Limits.inputs_per_request`.
        bytes: bytes of a request at most; a larger input goes by itself.
        wait: seconds that a call waits for others, though fewer than `requests` are in flight.
        requests: in-flight requests of one kind at which calls start to be batched.
    """

    inputs: int = 128
    bytes: int = MiB
    wait: float = 0.0
    requests: int = 4

    def __post_init__(self) -> None:
        _positive(self)


@dataclass(frozen=True, slots=True)
class TLS:
    """How the server is verified and, for mTLS, who we are; PEM as bytes or as a path.

    Attributes:
        root_certificates: PEM of the authorities to trust; "system": those of SSL_CERT_FILE or SSL_CERT_DIR, else of
            the operating system; None: those of GRPC_DEFAULT_SSL_ROOTS_FILE_PATH, else as "system", to which those
            that ship with grpcio are added where neither variable is set.
        certificate: our certificate chain (PEM), with `key`.
        key: our private key (PEM), with `certificate`.
        server_name: name to expect in the server's certificate, if it differs from the host.
    """

    root_certificates: Pem | Literal["system"] | None = None
    certificate: Pem | None = field(default=None, repr=False)
    key: Pem | None = field(default=None, repr=False)
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ConfigError("TLS: a client certificate needs its key, and a key its certificate")


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """Pings on a connection that has calls but no traffic: every `interval` seconds, dead after `timeout` seconds.

    Servers commonly close connections that ping more often than they tolerate; pings are never sent without calls.
    """

    interval: float | None = 60.0
    timeout: float = 20.0

    def __post_init__(self) -> None:
        _positive(self)


@dataclass(frozen=True, slots=True)
class Transmission:
    """The settings that a transport needs besides the target."""

    tls: TLS = field(default_factory=TLS)
    keepalive: KeepAlive = field(default_factory=KeepAlive)
    connect_timeout: float = 10.0
    message_bytes: int = 256 * MiB  # largest message to receive


def check_classes(settings: Mapping[type, object]) -> None:
    """Check the class of a settings argument; None is always allowed.

    Raises:
        ConfigError: it is of another class.
    """
    for kind, value in settings.items():
        if value is not None and not isinstance(value, kind):
            raise ConfigError(f"expected headrace.{kind.__name__}(...), got {value!r:.60}")


def _positive(settings: object) -> None:
    """Check a number: finite, not negative, and not zero unless that is allowed."""
    for item in fields(settings):  # type: ignore[arg-type]
        allowed = str(item.type).split(" | ")
        value = getattr(settings, item.name)
        if not {"int", "float"} & set(allowed) or (value is None and "None" in allowed) or isinstance(value, Unset):
            continue
        if isinstance(value, str) and any(kind.startswith("Literal") for kind in allowed):
            continue
        name = f"{type(settings).__name__}: {item.name}"
        _check_number(name, value, whole="float" not in allowed, zero=item.name in _MAY_BE_ZERO)
        if value == math.inf and item.name in _FINITE:
            raise ConfigError(f"{name} must be finite")


def _check_number(name: str, value: object, *, whole: bool, zero: bool = False) -> None:
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise ConfigError(f"{name} must be a {'whole ' if whole else ''}number, not {value!r:.60}")
    if math.isnan(value) or value < 0 or (value == 0 and not zero):
        raise ConfigError(f"{name} must be positive, not {value}")


_MAY_BE_ZERO = {"budget", "budget_ratio", "budget_per_second", "unprocessed", "hedge_after", "close", "warm_up", "wait"}
_FINITE = {"connect", "connect_timeout", "interval", "timeout", "close", "wait"}
