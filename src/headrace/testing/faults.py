"""The faults of a connection as plain settings, for `FaultProxy` and fault scripts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from headrace.errors import ConfigError

#: Which way bytes go, seen from the client: its requests, or its answers.
Direction: TypeAlias = Literal["to_server", "to_client"]


@dataclass(frozen=True, slots=True)
class ConnectionFaults:
    """The faults of a connection. Without arguments: none.

    Attributes:
        latency: seconds that every piece is held back, in both directions.
        jitter: at most so many seconds more, drawn again for every piece; order is kept.
        bandwidth: bytes a second, in each direction of each connection.
        slice_bytes: bytes are passed on in pieces of at most this size.
        reset_at_message: the connection is reset where the nth gRPC message starts, counted from 1 over all calls of
            the connection; n - 1 messages pass. Needs HTTP/2 without TLS.
        reset_after_bytes: the connection is reset when so many bytes have passed.
        half_open_after_bytes: when so many bytes have passed, that direction passes nothing more; the other one does,
            and the connection stays.
        direction: the direction in which messages and bytes are counted, and which goes silent.
        blackhole: connections are accepted and stay open, and nothing passes.
        max_connections: the proxy refuses connections after so many.
    """

    latency: float = 0.0
    jitter: float = 0.0
    bandwidth: float | None = None
    slice_bytes: int | None = None
    reset_at_message: int | None = None
    reset_after_bytes: int | None = None
    half_open_after_bytes: int | None = None
    direction: Direction = "to_client"
    blackhole: bool = False
    max_connections: int | None = None

    def __post_init__(self) -> None:
        for name in ("latency", "jitter", "reset_after_bytes", "half_open_after_bytes", "max_connections"):
            _check(name, getattr(self, name), zero=True)
        for name in ("bandwidth", "slice_bytes", "reset_at_message"):
            _check(name, getattr(self, name), zero=False)
        if self.direction not in ("to_server", "to_client"):
            raise ConfigError(f'ConnectionFaults: direction must be "to_server" or "to_client", not {self.direction!r}')


def _check(name: str, value: float | None, *, zero: bool) -> None:
    if value is not None and not (math.isfinite(value) and (value > 0 or (zero and value == 0))):
        raise ConfigError(
            f"ConnectionFaults: {name} must be {'zero or ' if zero else ''}a positive number, not {value}"
        )
