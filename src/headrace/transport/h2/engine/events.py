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
    """A piece of a response: a DATA frame, or a part of one.

    `size` is what the windows were charged with, padding included; `Engine.consumed` gives it back.
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
    """The stream ended early; `reason` says why we reset it, and is "" where the server did.

    With `too_large` the headers or trailers were over the limit.
    """

    stream: Stream
    code: int
    reason: str = ""
    too_large: bool = False


@dataclass(slots=True)
class GoAway:
    """The server opens no further streams, and those unprocessed are closed; `debug`: up to 200 bytes of its words."""

    code: int
    debug: bytes
    unprocessed: list[Stream]


@dataclass(slots=True)
class SettingsChanged:
    """The server's settings came, or changed; they are in `Engine.peer`."""


@dataclass(slots=True)
class Pong:
    """The answer to a ping came."""


@dataclass(slots=True)
class Failed:
    """The server violated the protocol: a GOAWAY waits in the output, nothing else is read, close the connection.

    Streams that are open are not reported one by one; they are in `Engine.streams`.
    """

    code: int
    reason: str


Event: TypeAlias = ResponseHeaders | Content | Trailers | Reset | GoAway | SettingsChanged | Pong | Failed
Reported: TypeAlias = list[Event]
