"""Recorded calls: what was sent and received, in order."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from google.protobuf.message import Message

from headrace.codec import SERVICE
from headrace.testing.tape.messages import PREDICTIONS, WHOLE, Plain

Shape: TypeAlias = Literal["unary", "server stream", "duplex"]
SHAPES: tuple[Shape, ...] = ("unary", "server stream", "duplex")

#: What happens in a call: a message is sent or received, no more are sent, it ends ("ok", "left", or an error).
Kind: TypeAlias = Literal["send", "half_close", "receive", "end"]
KINDS: tuple[Kind, ...] = ("send", "half_close", "receive", "end")

OK, LEFT = "ok", "left"  # how a call ends, besides with an error: by the server, or because the client went away


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a call.

    Attributes:
        value: a message, how the call ended, or True.
        at: seconds since the call began.
        line: where it stands in the file.
    """

    kind: Kind
    value: Any
    at: float = 0.0
    line: int = 0


@dataclass(frozen=True, slots=True)
class RecordedInput:
    """One input of a request: its id, its content as it is compared, and its place."""

    id: str
    content: str
    message: Plain
    request: int  # of its call, counted from 0


@dataclass(frozen=True, slots=True)
class Request:
    """One message that was sent: what is the same for all inputs, and the inputs."""

    head: str
    inputs: tuple[RecordedInput, ...]
    message: Plain

    @property
    def content(self) -> tuple[str, ...]:
        """All of it but the ids, to be compared."""
        return (self.head, *(item.content for item in self.inputs))


@dataclass
class RecordedCall:
    """One call of a tape.

    Attributes:
        number: its place on the tape, counted from 1.
        line: where it begins in the file.
        metadata: what went along, credentials and what differs in each run aside.
        played: it was replayed, at least in part.
    """

    number: int
    method: str
    shape: Shape
    metadata: list[list[str]]
    events: list[Event] = field(default_factory=list)
    line: int = 0
    played: bool = False
    answers: list[Message | bytes] = field(default_factory=list)  # of `received`, decoded where the type is known

    @functools.cached_property
    def requests(self) -> list[Request]:
        """The messages that were sent, in order."""
        sent = [event.value for event in self.events if event.kind == "send"]
        return [request_of(self.method, message, index) for index, message in enumerate(sent)]

    @property
    def inputs(self) -> list[RecordedInput]:
        """All inputs that were sent, in order."""
        return [item for request in self.requests for item in request.inputs]

    @property
    def received(self) -> list[Event]:
        """The messages that were received, in order."""
        return [event for event in self.events if event.kind == "receive"]

    @property
    def end(self) -> Event:
        """How it ended; one that was cut off was left."""
        last = self.events[-1] if self.events else None
        return last if last is not None and last.kind == "end" else Event("end", LEFT, last.at if last else 0.0)

    @property
    def name(self) -> str:
        """The method's name without the service."""
        return self.method.removeprefix(SERVICE)


def request_of(method: str, message: Plain, index: int = 0) -> Request:
    """Take a request apart: what comes first, and its inputs without their ids."""
    if method not in PREDICTIONS or WHOLE in message:
        return Request(text_of(message), (), message)
    head = {name: value for name, value in message.items() if name != "inputs"}
    inputs = []
    for item in message.get("inputs", ()):
        rest = {name: value for name, value in item.items() if name != "id"}
        inputs.append(RecordedInput(item.get("id", ""), text_of(rest), item, index))
    return Request(text_of(head), tuple(inputs), message)


def text_of(value: object) -> str:
    """Write JSON so that equal values have equal texts."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def method_of(name: str) -> str:
    """Give the full path of a method by its name on a tape."""
    return name if name.startswith("/") else SERVICE + name


def spans(events: Sequence[Event]) -> list[float]:
    """Give the seconds between each event and the one before it."""
    return [event.at - before.at for before, event in zip((Event("send", None), *events), events, strict=False)]
