"""gRPC's own layer below its asyncio API, which costs a unary call half as much, and a message a third.

It is not a public API, so it is looked for once, and the public API is used if it is not as expected. So it is for
a channel that somebody listens to: interceptors, as tracing tools add them, see only calls of the public API.
"""

from __future__ import annotations

from typing import Any

from grpc import aio

try:
    from grpc._cython import cygrpc  # type: ignore[attr-defined]

    NO_CONTEXT: Any = cygrpc.build_census_context()
    _CHANNEL: Any = cygrpc.AioChannel
except (ImportError, AttributeError):  # pragma: no cover - another gRPC
    NO_CONTEXT = _CHANNEL = None

_LISTENING = ("_unary_unary_interceptors", "_unary_stream_interceptors", "_stream_stream_interceptors")


def core_of(channel: aio.Channel) -> Any:
    """Return the core's channel below an asyncio one; None if it is not what we know."""
    core = getattr(channel, "_channel", None)
    return core if _CHANNEL is not None and type(core) is _CHANNEL else None


def listened_to(channel: aio.Channel) -> bool:
    """Return whether somebody may want to see the channel's calls, or changes how they are made."""
    if type(channel).__module__ != "grpc.aio._channel":
        return True
    return any(getattr(channel, name, None) for name in _LISTENING)
