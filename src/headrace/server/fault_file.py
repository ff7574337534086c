"""Read a fault script: a TOML file, checked key by key; docs/faults.md describes it for users."""

from __future__ import annotations

import dataclasses
import math
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import grpc

from headrace.server.wire import METHODS

if TYPE_CHECKING:
    from headrace.testing import ConnectionFaults

SHAPES = ("predict", "generate", "stream")
_METHOD_NAMES = (*SHAPES, *(m.name for m in METHODS if not m.name.endswith("ModelOutputs")))


class FaultFileError(Exception):
    """The fault script is invalid; the message is one line that names the place in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What happens to some calls, or to some inputs of them."""

    method: str = ""  # a shape or a method's name; "": predict, generate and stream
    model: str = ""  # "": every model
    calls: tuple[int, ...] = ()  # counted from 1 among those that match; (): all
    every: int = 0  # each nth of them
    inputs: tuple[int, ...] = ()  # counted from 1 in their call; (): the call as a whole
    times: int = 0  # at most so often; 0: no limit
    for_seconds: float = 0.0  # so long from the first match on; 0: always
    after_answers: int = 0  # strike when so many answers have left
    delay: float = 0.0
    code: int = 0
    details: str = "a fault of the script"
    time_remaining: int = 0
    grpc: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    stall: Literal["", "answer", "read"] = ""

    def __post_init__(self) -> None:
        kinds = [name for name in ("code", "grpc", "stall") if getattr(self, name)]
        _check(bool(kinds or self.delay), "needs one of delay, code, grpc and stall")
        _check(len(kinds) < 2, f"{' and '.join(kinds)} exclude each other")
        _check(self.method in ("", *_METHOD_NAMES), f"method must be one of {', '.join(_METHOD_NAMES)}")
        codes = [name for name in grpc.StatusCode.__members__ if name != "OK"]
        _check(self.grpc in ("", *codes), f"grpc must be one of {', '.join(codes)}")
        _check(self.stall in ("", "answer", "read"), 'stall must be "answer" or "read"')
        _check(all(n > 0 for n in (*self.calls, *self.inputs)), "calls and inputs are counted from 1")
        numbers = ("every", "times", "for_seconds", "after_answers", "delay", "code", "time_remaining")
        for name in numbers:
            _check(getattr(self, name) >= 0, f"{name} must not be negative")
        streaming = self.method in ("generate", "stream")
        _check(not self.after_answers or streaming, 'after_answers needs method = "generate" or "stream"')
        _check(not (self.after_answers and self.inputs), "after_answers and inputs exclude each other")
        _check(not self.inputs or self.method in ("", *SHAPES), f"{self.method} has no inputs")
        if self.stall == "read":
            _check(self.method == "stream", 'stall = "read" needs method = "stream"')
            _check(not (self.model or self.inputs or self.after_answers), 'stall = "read" concerns a call as a whole')


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUp:
    """Prediction calls are answered with a code that asks to wait, from the first one on."""

    seconds: float
    code: int = 21351
    model: str = ""

    def __post_init__(self) -> None:
        _check(self.seconds > 0, "seconds must be positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle:
    """Calls beyond a rate are answered with a code; all eleven methods count."""

    requests_per_second: float
    burst: int = 1
    code: int = 11005

    def __post_init__(self) -> None:
        _check(self.requests_per_second > 0, "requests_per_second must be positive")
        _check(self.burst > 0, "burst must be positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How the server behaves on all connections."""

    max_connection_age_ms: int = 0  # GOAWAY after it
    max_connection_age_grace_ms: int = 0
    max_concurrent_streams: int = 0
    echo_input_ids: bool = True
    answers_after_last_input: bool = False  # of streams, as some servers do

    def __post_init__(self) -> None:
        for name in ("max_connection_age_ms", "max_connection_age_grace_ms", "max_concurrent_streams"):
            _check(getattr(self, name) >= 0, f"{name} must not be negative")

    def channel_options(self) -> list[tuple[str, int]]:
        """Return the part that is gRPC's own settings."""
        names = ("max_connection_age_ms", "max_connection_age_grace_ms", "max_concurrent_streams")
        return [(f"grpc.{name}", getattr(self, name)) for name in names if getattr(self, name)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A fault script as a whole; without arguments: no faults."""

    rules: tuple[Rule, ...] = ()
    warm_up: WarmUp | None = None
    throttle: Throttle | None = None
    server: ServerSettings = field(default_factory=ServerSettings)
    connection: ConnectionFaults | None = None  # of connections that `connections` does not name
    connections: tuple[ConnectionFaults, ...] = ()  # of the first, second, ... connection


def read(path: Path) -> Script:
    """Read a fault script.

    Raises:
        FaultFileError: not readable, not TOML, or an unknown key or invalid value.
    """
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise FaultFileError(f"{path} cannot be read: {error}") from error
    except FaultFileError as error:
        raise FaultFileError(f"{path}: {error}") from error


def parse(text: str) -> Script:
    """Read a fault script from its text."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FaultFileError(f"not TOML: {error}") from error
    known = {"rule", "warm_up", "throttle", "server", "connection", "connections"}
    if unknown := [key for key in document if key not in known]:
        raise FaultFileError(f"unknown key {unknown[0]!r} (known: {', '.join(sorted(known))})")
    from headrace.testing import ConnectionFaults

    def table(name: str, cls: type) -> Any:
        return _built(cls, document[name], f"[{name}]") if name in document else None

    def tables(name: str, cls: type) -> tuple[Any, ...]:
        entries = document.get(name, [])
        if not isinstance(entries, list):
            raise FaultFileError(f"{name} must be an array of tables: [[{name}]]")
        return tuple(_built(cls, one, f"[[{name}]] number {n}") for n, one in enumerate(entries, 1))

    return Script(
        rules=tables("rule", Rule),
        warm_up=table("warm_up", WarmUp),
        throttle=table("throttle", Throttle),
        server=table("server", ServerSettings) or ServerSettings(),
        connection=table("connection", ConnectionFaults),
        connections=tables("connections", ConnectionFaults),
    )


def _built(cls: type, table: object, label: str) -> Any:
    """Make a dataclass from a table, its keys and the types of its values checked by the fields' annotations."""
    if not isinstance(table, dict):
        raise FaultFileError(f"{label} must be a table")
    fields = {f.name: f for f in dataclasses.fields(cls)}
    types = typing.get_type_hints(cls)
    values = {}
    for key, value in table.items():
        if key not in fields:
            raise FaultFileError(f"{label}: unknown key {key!r} (known: {', '.join(fields)})")
        values[key] = _value(value, types[key], f"{label}: {key}")
    for name, one in fields.items():
        required = one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise FaultFileError(f"{label}: {name} is missing")
    try:
        return cls(**values)
    except ValueError as error:
        raise FaultFileError(f"{label}: {error}") from error


def _value(value: Any, wanted: Any, label: str) -> Any:
    options = [one for one in typing.get_args(wanted) if one is not type(None)]
    if type(None) in typing.get_args(wanted):  # "X | None": TOML has no null
        wanted = options[0]
    if wanted == tuple[int, ...]:
        many = value if isinstance(value, list) else [value]
        return tuple(_value(one, int, label) for one in many)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if typing.get_origin(wanted) is Literal:
        wanted = str
    if typing.get_origin(wanted) is Mapping:
        if not (isinstance(value, dict) and all(isinstance(v, str) for v in value.values())):
            raise FaultFileError(f"{label} must be a table of strings")
        return value
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        words = {int: "a whole number", float: "a number", str: "a string", bool: "true or false"}
        raise FaultFileError(f"{label} must be {words[wanted]}, not {value!r}")
    if wanted is float and not math.isfinite(value):
        raise FaultFileError(f"{label} must be finite")
    return value


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)
