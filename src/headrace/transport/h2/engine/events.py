"""What `Engine.receive` reports, in the order in which it came."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from headrace.transport.h2.engine.headers import Fields
from headrace.transport.h2.engine.streams import Stream


class ResponseHeaders(NamedTuple):
    """The headers of a response; with `end` they are all there is (trailers only)."""

    stream: Stream
    fields: Fields
    end: bool


class Content(NamedTuple):
    """A piece of a response; `size` is what the windows were charged with, and what `Engine.consumed` gives back."""

    stream: Stream
    data: bytes | memoryview
    size: int
    end: bool


class Trailers(NamedTuple):
    """The trailers, which end a response."""

    stream: Stream
    fields: Fields


class Answer(NamedTuple):
    """A whole response in one: its headers, its content, of which windows were charged with all, and its trailers."""

    stream: Stream
    headers: Fields
    data: bytes
    trailers: Fields


class Reset(NamedTuple):
    """The stream ended early; `reason` says why we reset it, "" where the server did; `too_large`: its headers were."""

    stream: Stream
    code: int
    reason: str = ""
    too_large: bool = False


class GoAway(NamedTuple):
    """The server opens no further streams, and those unprocessed are closed; `debug`: up to 200 bytes of its words."""

    code: int
    debug: bytes
    unprocessed: list[Stream]


class SettingsChanged:
    """The server's settings came, or changed; they are in `Engine.peer`."""


class Pong:
    """The answer to a ping came."""


class Failed(NamedTuple):
    """The server violated the protocol: write the output, and close the connection. `Engine.streams` has open calls."""

    code: int
    reason: str


Event: TypeAlias = ResponseHeaders | Content | Trailers | Answer | Reset | GoAway | SettingsChanged | Pong | Failed
Reported: TypeAlias = list[Event]
