"""What `Engine.receive` reports, in the order in which it came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from headrace.transport.h2.engine.headers import Fields
from headrace.transport.h2.engine.streams import Stream


@dataclass(slots=True)
class ResponseHeaders:
    """The headers of a response; with `end` they are all there is (trailers only)."""

    stream: Stream
    fields: Fields
    end: bool


@dataclass(slots=True)
class Content:
    """Bytes of a response, a part of a DATA frame at the least.

    Give them back with `Engine.consumed`, together with the padding that came along.

    Attributes:
        size: bytes that the flow-control windows were charged with: the data and its padding.
    """

    stream: Stream
    data: bytes | memoryview
    size: int
    end: bool


@dataclass(slots=True)
class Trailers:
    """The trailers, which end a response."""

    stream: Stream
    fields: Fields


@dataclass(slots=True)
class Reset:
    """The stream ended early: the server reset it, or violated the protocol there.

    Attributes:
        code: an error code, known or not.
        local: we reset it because of what the server sent; `reason` says what that was.
    """

    stream: Stream
    code: int
    local: bool = False
    reason: str = ""


@dataclass(slots=True)
class TooLarge:
    """The headers or trailers were larger than we take; the stream was reset."""

    stream: Stream
    size: int


@dataclass(slots=True)
class Unprocessed:
    """A GOAWAY said that the server has not processed, and will not process, the stream."""

    stream: Stream


@dataclass(slots=True)
class GoAway:
    """The server opens no further streams on this connection.

    Attributes:
        last_id: the highest stream that it processes.
        debug: at most 200 bytes of what it said.
    """

    last_id: int
    code: int
    debug: bytes


@dataclass(slots=True)
class SettingsChanged:
    """The server's settings came, or changed; they are in `Engine.peer`."""


@dataclass(slots=True)
class Pong:
    """The server answered a PING."""

    opaque: bytes


@dataclass(slots=True)
class Failed:
    """The server violated the protocol: a GOAWAY waits in the output, nothing else is read, close the connection.

    Streams that are open are not reported one by one; they are in `Engine.streams`.
    """

    code: int
    reason: str


Event: TypeAlias = (
    ResponseHeaders | Content | Trailers | Reset | TooLarge | Unprocessed | GoAway | SettingsChanged | Pong | Failed
)
