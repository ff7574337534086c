"""Request headers and deadlines as gRPC writes them. Source: gRPC over HTTP/2, "Requests" and "Custom-Metadata"."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from math import ceil

from headrace._version import __version__
from headrace.errors import ConfigError
from headrace.transport.base import OWN_HEADERS
from headrace.transport.h2.engine import headers
from headrace.transport.h2.messages import ENCODINGS
from headrace.types import Metadata

_NAME = frozenset("0123456789abcdefghijklmnopqrstuvwxyz_.-")
_SECRET = frozenset(("authorization", "x-clarifai-session-token", "cookie", "proxy-authorization"))
_FIXED = headers.block(
    [
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", f"headrace-python/{__version__}"),
        ("grpc-accept-encoding", ",".join(ENCODINGS)),
    ]
)


@dataclass(slots=True, eq=False, repr=False)
class _Block:
    """The header blocks of a method and metadata: what stands before and behind grpc-timeout, and its size."""

    pseudo: bytes
    rest: bytes
    size: int  # as SETTINGS_MAX_HEADER_LIST_SIZE counts it
    timed: dict[int | None, tuple[bytes, int]] = field(default_factory=dict)  # whole, by milliseconds, with their sizes


class RequestBlocks:
    """The header blocks of the calls to one server, made once for each method and metadata.

    Args:
        authority: for `:authority`.
    """

    _MAX_BLOCKS = 64

    def __init__(self, authority: str, *, tls: bool) -> None:
        self._authority = authority
        self._tls = tls
        self._entries: dict[tuple[str, Metadata], _Block] = {}
        self._last = _Block(b"", b"", 0)  # of the same method and metadata as the call before, in most calls
        self._last_method = ""
        self._last_metadata: Metadata | None = None

    def block(self, method: str, metadata: Metadata, timeout: float | None) -> tuple[bytes, int]:
        """Give the block of a call, and its size as SETTINGS_MAX_HEADER_LIST_SIZE counts it.

        Raises:
            ConfigError: metadata that cannot be sent.
        """
        entry = self._last
        if metadata is not self._last_metadata or method is not self._last_method:
            entry = self._last = self._entry(method, tuple(metadata))
            self._last_method = method
            self._last_metadata = metadata if type(metadata) is tuple else None  # a list may change
        milliseconds = ceil(timeout * 1000) if timeout is not None else None
        return entry.timed.get(milliseconds) or self._timed(entry, milliseconds, timeout)

    def _timed(self, entry: _Block, milliseconds: int | None, timeout: float | None) -> tuple[bytes, int]:
        if len(entry.timed) >= self._MAX_BLOCKS:
            entry.timed.clear()
        literal, size = b"", entry.size
        if timeout is not None:
            literal, size = headers.block([("grpc-timeout", timeout_text(timeout))]), size + 53
        entry.timed[milliseconds] = timed = (b"".join((entry.pseudo, literal, entry.rest)), size)
        return timed

    def _entry(self, method: str, metadata: tuple[tuple[str, str], ...]) -> _Block:
        entry = self._entries.get((method, metadata))
        if entry is None:
            entry = self._make(method, metadata)
            if len(self._entries) >= self._MAX_BLOCKS:
                self._entries.clear()
            self._entries[method, metadata] = entry
        return entry

    def _make(self, method: str, metadata: Metadata) -> _Block:
        items = [(name.lower(), value) for name, value in metadata]
        for name, value in items:
            _check(name, value)
        items = [(name, encoded_binary(value) if name.endswith("-bin") else value) for name, value in items]
        custom = b"".join(headers.block([item], secret=item[0] in _SECRET) for item in items)
        size = sum(len(name) + len(value) + 32 for name, value in items) + len(method) + len(self._authority) + 400
        return _Block(headers.request_block(method, self._authority, tls=self._tls), _FIXED + custom, size)


def timeout_text(seconds: float) -> str:
    """Write a timeout in at most eight digits and a unit, rounded up."""
    for unit, scale in (("m", 1e3), ("S", 1.0), ("M", 1 / 60), ("H", 1 / 3600)):
        count = max(1, ceil(seconds * scale))
        if count < 100_000_000:
            return f"{count}{unit}"
    return "99999999H"


def encoded_binary(value: str | bytes) -> str:
    """Write the value of a -bin header: base64 without padding."""
    raw = value.encode("latin-1") if isinstance(value, str) else bytes(value)
    return base64.b64encode(raw).rstrip(b"=").decode()


def decoded_binary(text: str) -> bytes | None:
    """Read the value of a -bin header, padded or not; None where it is no base64."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _check(name: str, value: str) -> None:
    if not name or not _NAME.issuperset(name) or name in OWN_HEADERS or name.startswith("grpc-"):
        raise ConfigError(f"metadata: {name!r:.60} is no name that can be sent")
    if not name.endswith("-bin") and not (value.isascii() and value.isprintable()):
        raise ConfigError(f"metadata: the value of {name} holds characters that cannot be sent; use a name with -bin")


__all__ = ["RequestBlocks", "decoded_binary", "encoded_binary", "timeout_text"]
