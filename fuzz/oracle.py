"""Our engine and nghttp2 (by its binding `ngh2`) read the same frames: the same verdict, but for a listed set.

A verdict is "fine", "stream N" (a reset of it) or "connection" (a GOAWAY with an error). Frames are given one by one,
and the first one to which either objects counts.
"""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fuzz.mutation import DATA, GOAWAY, PRIORITY, PUSH, RST, SETTINGS, WINDOW, Server, frame
from headrace.transport.h2.engine import Engine, H2Limits, events
from headrace.transport.h2.engine.headers import Fields

#: Where the two differ, and why ours is as it is.
DIFFERENCES = {
    "early content": "content before the headers ends its stream here; there the connection, or nothing if it is empty",
    "priority": "PRIORITY of a wrong size ends its stream, on stream 0 the connection; nghttp2 does otherwise",
    "extension": "frame types above CONTINUATION are unknown here; nghttp2 knows ALTSVC, ORIGIN and PRIORITY_UPDATE",
    "goaway": "a GOAWAY that raises the last stream, or names an even one, is tolerated here",
    "update": "after the acknowledgement of our table size a block may lack the size update, if it uses no table",
    "block": "a block is decoded here when all of its CONTINUATION frames have come",
    "value": "tolerated are control characters but NUL, CR and LF, blanks at the ends, `te`, a stray `content-length`",
    "settings": "each value of a setting that comes twice in a frame has to be allowed here",
    "extended settings": "settings 8 and 9 are unknown here; nghttp2 takes 0 and 1 of them (RFC 8441, RFC 9218)",
    "no content": "content of a 204 is tolerated here: the call fails for its status",
    "updates": "a third size update, or one of many octets, ends the connection here",
    "push": "any PUSH_PROMISE ends the connection here",
    "increment": "a WINDOW_UPDATE of 0, or one that overflows, ends its stream here, the connection there",
    "padding": "too much padding ends the connection here, whatever has become of the stream",
}
_LIMITS = H2Limits(frame_bytes=16_384, stream_window_bytes=65_535, connection_window_bytes=65_535)
_REQUEST = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a")]


@dataclass
class Reading:
    """What the two made of one frame."""

    frame: bytes
    ours: str
    theirs: str
    block: list[tuple[bytes, bytes]]  # the last one
    reason: str
    code: int  # of their GOAWAY


def compare(number: int) -> tuple[str, str]:
    """Give the verdict on input `number`, and which difference it shows, or "".

    Raises:
        AssertionError: the two differ in a way that is not listed.
    """
    dice = random.Random(number)
    server = Server(dice, table=dice.random() < 0.3, honest=number % 10 == 0)
    engine, other = _engine(), _nghttp2()
    for piece in _frames(b"".join(server.exchange())):
        reading = _read(engine, other, piece)
        if reading is None:
            break
        if reading.ours != reading.theirs:
            difference = _difference(reading, engine)
            assert difference, f"input {number}: {reading}"
            return reading.ours, difference
        if reading.ours != "fine":
            assert number % 10 or reading.ours == "fine", f"input {number} is honest: {reading}"
            return reading.ours.split()[0], ""
    return "fine", ""


def _engine() -> Engine:
    engine = Engine(_LIMITS)
    engine.receive(frame(SETTINGS))
    for _ in range(3):
        engine.request(b"\x83", end=True)
    engine.take_output()
    decoder: Any = engine.decoder
    decode, decode_raw, known = decoder.decode, decoder.decode_raw, {}

    def remember_raw(block: bytes) -> list[tuple[bytes, bytes]]:
        raw: list[tuple[bytes, bytes]] = decode_raw(block)
        known[block] = raw
        return raw

    def remember(block: bytes) -> Fields:
        fields: Fields = decode(block)
        decoder.last = known[block]
        return fields

    decoder.last, decoder.decode, decoder.decode_raw = [], remember, remember_raw
    return engine


def _nghttp2() -> Any:
    import ngh2

    limits = ngh2.Configuration(max_settings=10_000, max_continuations=30)
    connection = ngh2.Connection(ngh2.Role.CLIENT, limits)
    connection.initiate_connection({1: 0, 2: 0, 6: 65_536})
    connection.data_to_send()
    connection.receive_data(frame(SETTINGS))
    for _ in range(3):
        connection.send_request(_REQUEST, end_stream=True)
    connection.data_to_send()
    return connection


def _read(engine: Engine, other: Any, piece: bytes) -> Reading | None:
    """Give one frame to both; None where nghttp2 has closed a connection that has nothing left to do."""
    import ngh2

    reported = engine.receive(piece)
    ours, _ = _verdict(b"".join(map(bytes, engine.take_output())), failed=engine.failure is not None)
    output, failed = b"", False
    try:
        other.receive_data(piece)
    except ngh2.ConnectionStateError:
        return None
    except ngh2.ProtocolError as error:
        failed = isinstance(error, ngh2.ConnectionProtocolError)
    try:
        output = other.data_to_send()
    except ngh2.NGH2Error:
        failed = True
    theirs, code = _verdict(output, failed=failed)
    resets = [event.reason for event in reported if isinstance(event, events.Reset)]
    reason = engine.failure.reason if engine.failure is not None else "".join(resets[:1])
    decoder: Any = engine.decoder
    return Reading(piece, ours, theirs, decoder.last, reason, code)


def _verdict(output: bytes, *, failed: bool) -> tuple[str, int]:
    resets, code = [], 0
    for piece in _frames(output):
        if piece[3] == RST:
            resets.append(int.from_bytes(piece[5:9], "big"))
        elif piece[3] == GOAWAY:
            code = int.from_bytes(piece[13:17], "big")
    if failed or code:
        return "connection", code
    return f"stream {resets[0]}" if resets else "fine", code


def _frames(data: bytes) -> Iterator[bytes]:
    """Cut data into whole frames."""
    start = 0
    while start + 9 <= len(data):
        end = start + 9 + int.from_bytes(data[start : start + 3], "big")
        if end > len(data):
            return
        yield data[start:end]
        start = end


def _difference(reading: Reading, engine: Engine) -> str:
    """Tell which listed difference it is, or "" where it is none."""
    type_, ours, theirs = reading.frame[3], reading.ours, reading.theirs
    if reading.reason.startswith("content before the headers") and theirs in ("connection", "fine"):
        return "early content"
    if type_ == PRIORITY and "PRIORITY" in reading.reason:
        return "priority"
    if type_ > 9 and ours == "fine":
        return "extension"
    if type_ == GOAWAY and ours == "fine" and theirs == "connection":
        return "goaway"
    if ours == "fine" and engine._reader._responses.opening is not None:
        return "block"
    if theirs == "connection" and reading.code == 9 and engine.decoder._table is None:
        return "update"
    if ours == "fine" and theirs.startswith("stream") and _tolerated(reading.block):
        return "value"
    if type_ == DATA and ours == "fine" and 204 in {stream.status for stream in engine.streams.values()}:
        return "no content"
    if type_ == SETTINGS and ours == "connection" and theirs == "fine":
        return "settings"
    if type_ == SETTINGS and ours == "fine" and _extended(reading.frame[9:]):
        return "extended settings"
    if "size updates" in reading.reason:
        return "updates"
    if type_ == PUSH and ours == "connection":
        return "push"
    if type_ == WINDOW and ours.startswith("stream") and theirs == "connection":
        return "increment"
    if "padd" in reading.reason and ours == "connection":
        return "padding"
    return ""


def _tolerated(block: list[tuple[bytes, bytes]]) -> bool:
    """Tell whether a block holds what nghttp2 does not take and we do."""
    odd = {b"te"} if (b":status", b"200") in block else {b"te", b"content-length"}
    return any(name in odd or value != value.strip() or re.search(rb"[\0-\x1f\x7f]", value) for name, value in block)


__all__ = ["DIFFERENCES", "compare"]


def _extended(payload: bytes) -> bool:
    """Return whether settings that only extensions define have other values than theirs."""
    return any(name in (8, 9) and value > 1 for name, value in struct.iter_unpack(">HI", payload))
