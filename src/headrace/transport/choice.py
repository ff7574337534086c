"""Which transport carries the calls of a client."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from headrace.errors import ConfigError

if TYPE_CHECKING:
    from headrace.config import Target, Transmission
    from headrace.events import Event
    from headrace.transport.base import Transport, TransportFactory

_log = logging.getLogger("headrace")


def choose(transport: object, notify: Callable[[Event], object]) -> TransportFactory:
    """Return the factory of one client's transports.

    Args:
        transport: the client's argument; with "auto" the environment variable HEADRACE_TRANSPORT counts. Without it,
            "auto" means the lean transport, and gRPC once that and the server do not get along, or where a tracing
            tool has instrumented grpc.aio.
        notify: gets an event when the client changes to another transport.

    Raises:
        ConfigError: there is no such transport.
    """
    setting = "transport"
    if transport == "auto" and (named := os.environ.get("HEADRACE_TRANSPORT")):
        transport, setting = named, "HEADRACE_TRANSPORT"
    if transport == "auto" and is_instrumented():
        _log.info("grpc.aio is instrumented: calls go over grpc, so that they are seen")
        return make_grpc
    if transport == "auto":
        from headrace.transport.fallback import Fallback

        return Fallback(make_h2, make_grpc, notify)
    if transport == "grpc":
        return make_grpc
    if transport == "h2":
        return make_h2
    if callable(transport):
        return cast("TransportFactory", transport)
    names = '"auto", "grpc", "h2" or something that makes transports'
    raise ConfigError(f"{setting} must be {names}, not {transport!r:.60}")


def reaches_target(transport: object) -> bool:
    """Return whether calls go to the target itself, and not to a test's double; a recording tape's do."""
    return isinstance(transport, str) or getattr(transport, "reaches_target", False) is True


def is_instrumented() -> bool:
    """Return whether a tracing tool has put functions of its own in the place of grpc.aio's, to see calls."""
    aio, original = sys.modules.get("grpc.aio"), sys.modules.get("grpc.aio._channel")
    if aio is None or original is None:  # nobody has imported it
        return False
    names = ("insecure_channel", "secure_channel")
    return any(getattr(aio, name) is not getattr(original, name, None) for name in names)


def make_grpc(target: Target, options: Transmission) -> Transport:
    """Make a slot of grpc.aio; gRPC is imported here and not before."""
    from headrace.transport.grpc.client import GrpcTransport

    return GrpcTransport(target, options)


def make_h2(target: Target, options: Transmission) -> Retirable:
    """Make a slot of the lean transport."""
    from headrace.transport.h2.transport import H2Transport

    return H2Transport(target, options)


if TYPE_CHECKING:
    from headrace.transport.fallback import Retirable
