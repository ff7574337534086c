"""The engine by the rules of HTTP/2: what a server may send, and what happens when it sends what it may not.

Each case is named by the section of RFC 9113 (or, with HP, of RFC 7541) that it tests, and runs three times: its bytes
arrive whole, one by one, and by sevens. Then it runs on a socket, below calls.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hpack
import pytest

import headrace.transport.h2.engine as package
from headrace import errors
from headrace.transport.h2 import connection, transport
from headrace.transport.h2.engine import Engine, H2Limits, events, headers
from headrace.transport.h2.engine.flow import SMALL
from headrace.transport.h2.engine.streams import Stream
from tests.support.frames import FrameServer, answer
from tests.support.h2calls import METHOD, call, connected

pytestmark = pytest.mark.core

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
PROTOCOL, FLOW, SIZE, CLOSED, REFUSED, CANCEL, COMPRESSION, CALM = 1, 3, 6, 5, 7, 8, 9, 11
END, ACK, END_HEADERS, PADDED, PRIORITIZED = 1, 1, 4, 8, 32
LIMITS = H2Limits(frame_bytes=16_384, stream_window_bytes=65_535, connection_window_bytes=65_535)


def frame(type_: int, flags: int = 0, stream: int = 0, payload: bytes = b"", length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    return size.to_bytes(3, "big") + bytes((type_, flags)) + stream.to_bytes(4, "big") + payload


def block(*fields: tuple[str, str]) -> bytes:
    """Encode without a table, so that each block stands by itself."""
    return b"".join(
        b"\0" + bytes((len(name),)) + name.encode("latin-1") + bytes((len(value),)) + value.encode("latin-1")
        for name, value in fields
    )


def setting(name: int, value: int) -> bytes:
    return name.to_bytes(2, "big") + value.to_bytes(4, "big")


def update(stream: int, increment: int) -> bytes:
    return frame(WINDOW, 0, stream, increment.to_bytes(4, "big"))


OK_BLOCK = block((":status", "200"), ("content-type", "application/grpc"))
TRAILERS = block(("grpc-status", "0"))
RESPONSE = frame(HEADERS, END_HEADERS, 1, OK_BLOCK)
FINISH = frame(HEADERS, END_HEADERS | END, 1, TRAILERS)


@dataclass
class Conn:
    """The connection fails with a code."""

    code: int


@dataclass
class OnStream:
    """Stream 1 alone is reset by us."""

    code: int


@dataclass
class Fine:
    """Nothing fails; `check` looks at the engine and at what it reported."""

    check: Callable[[Seen], object] = lambda seen: True


@dataclass
class Seen:
    """What an engine did with some bytes."""

    engine: Engine
    stream: Stream
    events: list[Any]
    output: bytes

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if type(event) is kind]

    @property
    def content(self) -> bytes:
        return b"".join(bytes(event.data) for event in self.of(events.Content))


def padded(data: bytes, padding: int) -> bytes:
    return bytes((padding,)) + data + bytes(padding)


def headers_of(*fields: tuple[str, str], flags: int = END_HEADERS) -> bytes:
    return frame(HEADERS, flags, 1, block(*fields))


def bad_response(*fields: tuple[str, str]) -> bytes:
    return headers_of((":status", "200"), *fields)


VALUE = "v" * 300
LONG = OK_BLOCK + b"\0\x04name\x7f\xad\x01" + VALUE.encode()  # the length takes three octets
HUFFMAN = OK_BLOCK + hpack.Encoder().encode([("name", VALUE)])
PING_8 = frame(PING, 0, 0, b"12345678")
SELF_DEPENDENT = (1).to_bytes(4, "big") + b"\x0f"
CASES: list[tuple[str, bytes, Conn | OnStream | Fine]] = [
    # -- settings
    ("H2-6.5-01", frame(SETTINGS, ACK, 0, b"x"), Conn(SIZE)),
    ("H2-6.5-02", frame(SETTINGS, 0, 1), Conn(PROTOCOL)),
    ("H2-6.5-03 three", frame(SETTINGS, 0, 0, b"abc"), Conn(SIZE)),
    ("H2-6.5-03 seven", frame(SETTINGS, 0, 0, b"abcdefg"), Conn(SIZE)),
    ("H2-6.5-04", frame(SETTINGS, 0, 0, setting(4, 1 << 31)), Conn(FLOW)),
    ("H2-6.5-05 small", frame(SETTINGS, 0, 0, setting(5, 16_383)), Conn(PROTOCOL)),
    ("H2-6.5-05 large", frame(SETTINGS, 0, 0, setting(5, 16_777_216)), Conn(PROTOCOL)),
    ("H2-6.5-06", frame(SETTINGS, 0, 0, setting(5, 16_777_215) + setting(4, 0)), Fine()),
    ("H2-6.5-06 least", frame(SETTINGS, 0, 0, setting(5, 16_384)), Fine()),
    ("H2-6.5-06 window", frame(SETTINGS, 0, 0, setting(4, (1 << 31) - 1)), Fine()),
    ("H2-6.5-07", frame(SETTINGS, 0, 0, b"".join(setting(n, 7) for n in (0, 8, 9, 0xFF, 0xFE03, 0xFAFA))), Fine()),
    ("H2-6.5-08 on", frame(SETTINGS, 0, 0, setting(2, 1)), Conn(PROTOCOL)),
    ("H2-6.5-08 two", frame(SETTINGS, 0, 0, setting(2, 2)), Conn(PROTOCOL)),
    ("H2-6.5-08 off", frame(SETTINGS, 0, 0, setting(2, 0)), Fine()),
    (
        "H2-6.5-09",
        frame(SETTINGS, 0, 0, setting(3, 5) + setting(3, 9)),
        Fine(lambda seen: seen.engine.peer.max_streams == 9),
    ),
    ("H2-6.5-10", frame(SETTINGS, ACK) * 2, Conn(PROTOCOL)),
    ("H2-6.5.3-01", frame(SETTINGS) * 5, Fine(lambda seen: seen.output.count(frame(SETTINGS, ACK)) == 5)),
    (
        "H2-6.5.3-05",
        update(1, (1 << 31) - 1 - 65_535) + frame(SETTINGS, 0, 0, setting(4, 65_536)),
        Conn(FLOW),
    ),
    # -- frames
    ("H2-4.1-01 connection", frame(0xEE, 0xFF, 0, b"what"), Fine()),
    ("H2-4.1-01 open", frame(0xEE, 0xFF, 1, bytes(16_384)), Fine()),
    ("H2-4.1-01 closed", RESPONSE + FINISH + frame(0xEE, 0xFF, 1, bytes(16_384)), Fine()),
    ("H2-4.1-01 idle", frame(0xEE, 0xFF, 101), Fine()),
    (
        "H2-4.1-02",
        frame(PING, 0xFE, 0, b"12345678"),
        Fine(lambda seen: frame(PING, ACK, 0, b"12345678") in seen.output),
    ),
    ("H2-4.1-03", frame(PING, 0, 1 << 31, b"12345678"), Fine()),
    ("H2-4.1-03 increment", update(0, 1 << 31 | 7), Fine(lambda seen: seen.engine.output.window == 65_542)),
    (
        "H2-4.1-03 last id",
        frame(GOAWAY, 0, 0, (1 << 31 | 3).to_bytes(4, "big") + bytes(4)),
        Fine(lambda seen: seen.engine.last_id == 3),
    ),
    ("H2-4.1-02 settings", frame(SETTINGS, 0xFE), Fine(lambda seen: frame(SETTINGS, ACK) in seen.output)),
    (
        "H2-4.1-02 window",
        frame(WINDOW, 0xFF, 0, bytes(3) + b"\x07"),
        Fine(lambda seen: seen.engine.output.window == 65_542),
    ),
    ("H2-4.1-02 priority", frame(PRIORITY, 0xFF, 1, bytes(5)), Fine()),
    ("H2-4.1-02 reset", frame(RST, 0xFF, 1, bytes(4)), Fine(lambda seen: len(seen.of(events.Reset)) == 1)),
    (
        "H2-4.1-02 headers",
        frame(HEADERS, END_HEADERS | 0xD2, 1, OK_BLOCK),
        Fine(lambda seen: len(seen.of(events.ResponseHeaders)) == 1),
    ),
    ("H2-4.1-02 data", RESPONSE + frame(DATA, 0xF6, 1, b"x"), Fine(lambda seen: seen.content == b"x")),
    (
        "H2-4.1-02 continuation",
        frame(HEADERS, 0, 1, OK_BLOCK) + frame(CONTINUATION, 0xFF, 1),
        Fine(lambda seen: len(seen.of(events.ResponseHeaders)) == 1),
    ),
    ("H2-4.2-01", RESPONSE + frame(DATA, 0, 1, bytes(16_384)), Fine(lambda seen: seen.content == bytes(16_384))),
    ("H2-4.2-02", RESPONSE + frame(DATA, 0, 1, b"", 16_385), Conn(SIZE)),
    ("H2-4.2-03 headers", frame(HEADERS, 0, 1, b"", 16_385), Conn(SIZE)),
    ("H2-4.2-03 continuation", frame(HEADERS, 0, 1) + frame(CONTINUATION, 0, 1, b"", 16_385), Conn(SIZE)),
    ("H2-4.2-03 settings", frame(SETTINGS, 0, 0, b"", 16_386), Conn(SIZE)),
    ("H2-4.2-03 unknown", frame(0xEE, 0, 1, b"", (1 << 24) - 1), Conn(SIZE)),
    ("H2-4.2-05 data", RESPONSE + frame(DATA, PADDED, 1), Conn(SIZE)),
    ("H2-4.2-05 headers", frame(HEADERS, END_HEADERS | PADDED, 1), Conn(SIZE)),
    ("H2-4.2-05 priority", frame(HEADERS, END_HEADERS | PRIORITIZED, 1, b"1234"), Conn(SIZE)),
    # -- streams
    ("H2-5.1-01 even", frame(DATA, 0, 2, b"x"), Conn(PROTOCOL)),
    ("H2-5.1-01 odd", frame(DATA, 0, 101, b"x"), Conn(PROTOCOL)),
    ("H2-5.1-02 even", frame(RST, 0, 2, bytes(4)), Conn(PROTOCOL)),
    ("H2-5.1-03 even", update(2, 1), Conn(PROTOCOL)),
    ("H2-5.1-04 even", frame(CONTINUATION, END_HEADERS, 2), Conn(PROTOCOL)),
    ("H2-5.1-05 even", frame(PRIORITY, 0, 2, bytes(5)), Fine()),
    ("H2-5.1-02", frame(RST, 0, 101, bytes(4)), Conn(PROTOCOL)),
    ("H2-5.1-03", update(101, 1), Conn(PROTOCOL)),
    ("H2-5.1-04", frame(CONTINUATION, END_HEADERS, 101), Conn(PROTOCOL)),
    ("H2-5.1-05", frame(PRIORITY, 0, 101, bytes(5)), Fine()),
    ("H2-5.1-06 idle", frame(HEADERS, END_HEADERS | END, 101, OK_BLOCK), Conn(PROTOCOL)),
    ("H2-5.1-06 even", frame(HEADERS, END_HEADERS | END, 2, OK_BLOCK), Conn(PROTOCOL)),
    ("H2-5.1-07", frame(RST, 0, 1, bytes(4)) + frame(DATA, 0, 1, b"x"), Fine(lambda seen: not seen.content)),
    ("H2-5.1-08", frame(RST, 0, 1, bytes(4)) + RESPONSE, Fine(lambda seen: len(seen.of(events.Reset)) == 1)),
    ("H2-5.1-09", frame(RST, 0, 1, bytes(4)) + frame(CONTINUATION, END_HEADERS, 1), Conn(PROTOCOL)),
    ("H2-5.1-10", RESPONSE + FINISH + frame(DATA, 0, 1, b"x"), Fine(lambda seen: not seen.content)),
    ("H2-5.1-11", RESPONSE + FINISH + RESPONSE, Fine(lambda seen: len(seen.of(events.ResponseHeaders)) == 1)),
    ("H2-5.1-12", RESPONSE + FINISH + frame(CONTINUATION, END_HEADERS, 1), Conn(PROTOCOL)),
    (
        "H2-5.1-14",
        RESPONSE + FINISH + update(1, 5) + frame(RST, 0, 1, bytes(4)) + frame(PRIORITY, 0, 1, bytes(5)),
        Fine(lambda seen: not seen.of(events.Reset)),
    ),
    ("H2-5.4-04", frame(PING, 0, 3, bytes(8)) + update(0, 0), Conn(PROTOCOL)),
    # -- header blocks
    ("H2-6.2-01", frame(HEADERS, 0, 1, OK_BLOCK) + frame(PRIORITY, 0, 1, bytes(5)), Conn(PROTOCOL)),
    ("H2-6.2-02", frame(HEADERS, END_HEADERS, 0, OK_BLOCK), Conn(PROTOCOL)),
    ("H2-6.2-03", frame(HEADERS, END_HEADERS | PADDED, 1, b"\x05abcd"), Conn(PROTOCOL)),
    ("H2-6.2-04 padded", frame(HEADERS, END_HEADERS | PADDED, 1, padded(OK_BLOCK, 9)), Fine()),
    ("H2-6.2-04 priority", frame(HEADERS, END_HEADERS | PRIORITIZED, 1, SELF_DEPENDENT + OK_BLOCK), Fine()),
    (
        "H2-6.2-04 both",
        frame(HEADERS, END_HEADERS | PRIORITIZED | PADDED, 1, padded(SELF_DEPENDENT + OK_BLOCK, 3)),
        Fine(lambda seen: len(seen.of(events.ResponseHeaders)) == 1),
    ),
    ("H2-6.3-01", frame(PRIORITY, 0, 0, bytes(5)), Conn(PROTOCOL)),
    ("H2-6.3-02 open", frame(PRIORITY, 0, 1, bytes(4)), OnStream(SIZE)),
    ("H2-6.3-02 idle", frame(PRIORITY, 0, 101, bytes(4)), Conn(SIZE)),
    ("H2-6.6-01 connection", frame(PUSH, END_HEADERS, 0, (2).to_bytes(4, "big") + OK_BLOCK), Conn(PROTOCOL)),
    ("H2-6.6-01 odd", frame(PUSH, END_HEADERS, 1, (3).to_bytes(4, "big") + OK_BLOCK), Conn(PROTOCOL)),
    ("H2-6.6-01 zero", frame(PUSH, END_HEADERS, 1, bytes(4) + OK_BLOCK), Conn(PROTOCOL)),
    ("H2-6.6-01", frame(PUSH, END_HEADERS, 1, (2).to_bytes(4, "big") + OK_BLOCK), Conn(PROTOCOL)),
    (
        "H2-6.10-01",
        frame(HEADERS, END, 1, OK_BLOCK[:3])
        + frame(CONTINUATION, 0, 1, OK_BLOCK[3:20])
        + frame(CONTINUATION, 0, 1)
        + frame(CONTINUATION, END_HEADERS, 1, OK_BLOCK[20:]),
        Fine(lambda seen: seen.of(events.ResponseHeaders)[0].end),
    ),
    *[
        (
            f"H2-6.10-01 cut inside {name}",
            frame(HEADERS, 0, 1, whole[:at]) + frame(CONTINUATION, END_HEADERS, 1, whole[at:]),
            Fine(lambda seen: seen.of(events.ResponseHeaders)[0].fields.first["name"] == VALUE),
        )
        for name, whole, at in (
            ("an integer", LONG, len(LONG) - len(VALUE) - 1),
            ("a Huffman string", HUFFMAN, len(HUFFMAN) - 3),
        )
    ],
    ("H2-6.10-02", frame(HEADERS, 0, 1, OK_BLOCK) + frame(DATA, 0, 1, b"x"), Conn(PROTOCOL)),
    ("H2-6.10-03 zero", frame(HEADERS, 0, 1, OK_BLOCK) + frame(CONTINUATION, END_HEADERS, 0), Conn(PROTOCOL)),
    ("H2-6.10-03 other", frame(HEADERS, 0, 1, OK_BLOCK) + frame(CONTINUATION, END_HEADERS, 3), Conn(PROTOCOL)),
    ("H2-6.10-04", RESPONSE + frame(CONTINUATION, END_HEADERS, 1), Conn(PROTOCOL)),
    (
        "H2-6.10-05",
        frame(HEADERS, 0, 1, OK_BLOCK) + frame(CONTINUATION, END_HEADERS, 1) + frame(CONTINUATION, END_HEADERS, 1),
        Conn(PROTOCOL),
    ),
    ("H2-6.10-07 unknown", frame(HEADERS, 0, 1, OK_BLOCK) + frame(0xEE, 0, 1), Conn(PROTOCOL)),
    ("H2-6.10-07 ping", frame(HEADERS, 0, 1, OK_BLOCK) + PING_8, Conn(PROTOCOL)),
    ("HP-01 zero", frame(HEADERS, END_HEADERS, 1, b"\x80"), Conn(COMPRESSION)),
    ("HP-01 beyond", frame(HEADERS, END_HEADERS, 1, b"\xff\x20"), Conn(COMPRESSION)),
    ("HP-02", frame(HEADERS, END_HEADERS, 1, b"\x20\x3f\xe1\x1f" + OK_BLOCK), Fine()),
    ("HP-02 three updates", frame(HEADERS, END_HEADERS, 1, b"\x20\x3f\xe1\x1f\x20" + OK_BLOCK), Conn(COMPRESSION)),
    ("HP-02 endless integer", frame(HEADERS, END_HEADERS, 1, b"\x3f" + b"\x80" * 9_000 + b"\0"), Conn(COMPRESSION)),
    ("HP-03 late", frame(HEADERS, END_HEADERS, 1, OK_BLOCK + b"\x20"), Conn(COMPRESSION)),
    ("HP-03 large", frame(HEADERS, END_HEADERS, 1, b"\x3f\xe2\x1f" + OK_BLOCK), Conn(COMPRESSION)),
    ("HP-10", frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), Conn(COMPRESSION)),
    ("HP-11 padding", frame(HEADERS, END_HEADERS, 1, b"\x00\x82\x1f\xff\x01x"), Conn(COMPRESSION)),
    ("HP-11 zeros", frame(HEADERS, END_HEADERS, 1, b"\x00\x81\x18\x01x"), Conn(COMPRESSION)),
    ("HP-11 end", frame(HEADERS, END_HEADERS, 1, b"\x00\x84\xff\xff\xff\xff\x01x"), Conn(COMPRESSION)),
    ("HP-12 lone", frame(HEADERS, END_HEADERS, 1, b"\x40"), Conn(COMPRESSION)),
    ("HP-12 string", frame(HEADERS, END_HEADERS, 1, b"\x00\x05ab"), Conn(COMPRESSION)),
    # -- messages
    (
        "H2-8.1-01",
        headers_of((":status", "100")) + headers_of((":status", "103")) + RESPONSE,
        Fine(lambda seen: [event.fields.status for event in seen.of(events.ResponseHeaders)] == [200]),
    ),
    ("H2-8.1-02 end", headers_of((":status", "100"), flags=END_HEADERS | END), OnStream(PROTOCOL)),
    ("H2-8.1-02 upgrade", headers_of((":status", "101")), OnStream(PROTOCOL)),
    ("H2-8.1-02 data", headers_of((":status", "100")) + frame(DATA, 0, 1, b"x"), OnStream(PROTOCOL)),
    ("H2-8.1-03", frame(DATA, 0, 1, b"x"), OnStream(PROTOCOL)),
    ("H2-8.1-04", RESPONSE + frame(HEADERS, END_HEADERS, 1, TRAILERS), OnStream(PROTOCOL)),
    ("H2-8.1-05 more", bad_response(("content-length", "2")) + frame(DATA, 0, 1, b"abc"), OnStream(PROTOCOL)),
    ("H2-8.1-05 less", bad_response(("content-length", "2")) + frame(DATA, END, 1, b"a"), OnStream(PROTOCOL)),
    ("H2-8.1-05 trailers", bad_response(("content-length", "2")) + FINISH, OnStream(PROTOCOL)),
    ("H2-8.1-05 right", bad_response(("content-length", "2")) + frame(DATA, 0, 1, b"ab") + FINISH, Fine()),
    *[
        (f"H2-8.2-01 {name!r}", bad_response((name, "x")), OnStream(PROTOCOL))
        for name in ("", "Upper", "with space", "with:colon", "tab\t", "high\xe9", "bell\x07", "delete\x7f")
    ],
    *[
        (f"H2-8.2-02 {value!r}", bad_response(("name", value)), OnStream(PROTOCOL))
        for value in ("a\0b", "a\rb", "a\nb")
    ],
    (
        "H2-8.2-03",
        bad_response(("name", " \xe9\t")),
        Fine(lambda seen: seen.of(events.ResponseHeaders)[0].fields.first["name"] == "\xe9"),
    ),
    *[
        (f"H2-8.2-04 {name}", bad_response((name, "x")), OnStream(PROTOCOL))
        for name in ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade")
    ],
    ("H2-8.3-01 absent", headers_of(("name", "x")), OnStream(PROTOCOL)),
    ("H2-8.3-01 twice", bad_response((":status", "200")), OnStream(PROTOCOL)),
    ("H2-8.3-01 late", headers_of(("name", "x"), (":status", "200")), OnStream(PROTOCOL)),
    ("H2-8.3-01 trailers", RESPONSE + headers_of((":status", "200"), flags=END_HEADERS | END), OnStream(PROTOCOL)),
    ("H2-8.3-01 letters", headers_of((":status", "2x0")), OnStream(PROTOCOL)),
    ("H2-8.3-01 short", headers_of((":status", "20")), OnStream(PROTOCOL)),
    ("H2-8.3-01 request", bad_response((":path", "/")), OnStream(PROTOCOL)),
    # -- content and windows
    ("H2-6.1-01", frame(DATA, 0, 0, b"x"), Conn(PROTOCOL)),
    ("H2-6.1-02", RESPONSE + frame(DATA, PADDED, 1, b"\x05abcd"), Conn(PROTOCOL)),
    (
        "H2-6.1-03",
        RESPONSE + frame(DATA, PADDED, 1, padded(b"hello", 255)) * 40,
        Fine(lambda seen: seen.content == b"hello" * 40 and sum(e.size for e in seen.of(events.Content)) == 261 * 40),
    ),
    (
        "H2-6.1-05",
        RESPONSE + frame(DATA, PADDED, 1, padded(b"", 9)) + frame(DATA, 0, 1) + frame(DATA, 0, 1, b"x"),
        Fine(lambda seen: seen.content == b"x" and sum(e.size for e in seen.of(events.Content)) == 11),
    ),
    ("H2-6.9-01", update(0, 0), Conn(PROTOCOL)),
    ("H2-6.9-02", update(1, 0), OnStream(PROTOCOL)),
    ("H2-6.9-03 three", frame(WINDOW, 0, 0, b"abc"), Conn(SIZE)),
    ("H2-6.9-03 five", frame(WINDOW, 0, 1, b"abcde"), Conn(SIZE)),
    ("H2-6.9-04", update(0, (1 << 31) - 1) * 2, Conn(FLOW)),
    ("H2-6.9-05", update(1, (1 << 31) - 1) * 2, OnStream(FLOW)),
    (
        "H2-6.9-11",
        RESPONSE + frame(DATA, 0, 1, bytes(16_384)) * 3 + frame(DATA, 0, 1, bytes(16_383)) + frame(DATA, 0, 1, b"x"),
        OnStream(FLOW),
    ),
    # -- resets, pings, goaway
    ("H2-6.4-01", frame(RST, 0, 0, bytes(4)), Conn(PROTOCOL)),
    ("H2-6.4-02", frame(RST, 0, 1, bytes(3)), Conn(SIZE)),
    ("H2-6.4-02 closed", RESPONSE + FINISH + frame(RST, 0, 1, bytes(3)), Conn(SIZE)),
    ("H2-6.4-13", frame(RST, 0, 1, b"\xff" * 4), Fine(lambda seen: seen.of(events.Reset)[0].code == (1 << 32) - 1)),
    ("H2-6.4-14", frame(RST, 0, 1, bytes(4)) * 2, Fine(lambda seen: len(seen.of(events.Reset)) == 1)),
    ("H2-6.7-01", PING_8, Fine(lambda seen: frame(PING, ACK, 0, b"12345678") in seen.output)),
    ("H2-6.7-02", frame(PING, ACK, 0, b"whatever"), Fine()),
    ("H2-6.7-03", frame(PING, 0, 1, bytes(8)), Conn(PROTOCOL)),
    ("H2-6.7-04", frame(PING, 0, 0, bytes(6)), Conn(SIZE)),
    ("H2-6.8-01", frame(GOAWAY, 0, 1, bytes(8)), Conn(PROTOCOL)),
    ("H2-6.8-02", frame(GOAWAY, 0, 0, bytes(7)), Conn(SIZE)),
    ("H2-6.10-06", frame(HEADERS, 0, 1, OK_BLOCK) + frame(DATA, 0, 1) + frame(CONTINUATION, 4, 1), Conn(PROTOCOL)),
    ("HP-09", frame(HEADERS, END_HEADERS, 1, b"\x20\x88\x40\x01a\x01b"), Fine()),
    (
        "HP-09 named by the entry that it evicts",
        frame(HEADERS, END_HEADERS, 1, b"\x3f\x09\x88\x40\x02ab\x01c" + b"\x7e\x01d" + b"\xbe"),  # room for one
        Fine(lambda seen: seen.of(events.ResponseHeaders)[0].fields.items == (("ab", "c"), ("ab", "d"), ("ab", "d"))),
    ),
    (
        "HP-13",
        frame(HEADERS, END_HEADERS, 1, b"\x88\x40\x01a\x01b\x00\x01c\x01d\x10\x01e\x81\x1f\xbe"),
        Fine(
            lambda seen: (
                seen.of(events.ResponseHeaders)[0].fields.items == (("a", "b"), ("c", "d"), ("e", "a"), ("a", "b"))
            )
        ),
    ),
    ("H2-6.7-05", PING_8 + RESPONSE + PING_8 + FINISH + PING_8, Fine(lambda seen: seen.output.count(b"12345678") == 3)),
    # -- bounds
    ("AT-05", headers_of(*[("a", "")] * 4_000), OnStream(CANCEL)),
    ("AT-07", frame(SETTINGS, 0, 0, setting(9, 1) * 2_730) * 20, Conn(CALM)),
    ("AT-01", frame(HEADERS, 0, 1, bytes(16_384)) + frame(CONTINUATION, 0, 1, bytes(16_384)) * 8, Conn(CALM)),
    ("AT-02", frame(HEADERS, 0, 1, OK_BLOCK) + frame(CONTINUATION, 0, 1) * 32, Conn(CALM)),
    ("AT-06", frame(SETTINGS) * 1_001, Conn(CALM)),
    ("AT-08", PING_8 * 1_001, Conn(CALM)),
    ("AT-08 below", PING_8 * 999, Fine()),
    ("AT-12", RESPONSE + frame(DATA, 0, 1) * 1_001, Conn(CALM)),
    ("AT-12 below", RESPONSE + (frame(DATA, 0, 1) * 900 + frame(DATA, 0, 1, b"x")) * 3, Fine()),
    ("AT-13", update(1, 1) * 1_001, Conn(CALM)),
    ("AT-13 large", update(1, 1_024) * 1_001, Fine()),
    (
        "AT-04",
        frame(
            HEADERS, END_HEADERS, 1, b"\x88\x40\x01a\x7f\x81\x1e" + bytes(4_000).replace(b"\0", b"x") + b"\xbe" * 9_000
        ),
        Conn(CALM),
    ),
    ("AT-16", frame(PRIORITY, 0, 101, bytes(5)) * 1_001, Conn(CALM)),
    ("AT-17", headers_of((":status", "103")) * 33, OnStream(CALM)),
    ("AT-19", frame(GOAWAY, 0, 0, (3).to_bytes(4, "big") + bytes(4)) * 1_001, Conn(CALM)),
]


def begun(limits: H2Limits = LIMITS, settings: bytes = b"") -> tuple[Engine, Stream, Stream]:
    """Give an engine with two open streams, 1 and 3, whose requests are complete."""
    engine = Engine(limits)
    engine.receive(frame(SETTINGS, 0, 0, settings))
    one, three = engine.request(b"\x83", end=True), engine.request(b"\x83", end=True)
    engine.take_output()
    return engine, one, three


def split(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)] if size else [data]


@pytest.mark.parametrize("size", [0, 1, 7], ids=["whole", "by one", "by seven"])
@pytest.mark.parametrize(("data", "outcome"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_frames_of_a_server(data: bytes, outcome: Conn | OnStream | Fine, size: int) -> None:
    engine, one, three = begun()
    reported: list[Any] = []
    for piece in split(data, size):
        reported += engine.receive(piece)
    output = b"".join(engine.take_output())
    seen = Seen(engine, one, reported, output)
    if isinstance(outcome, Conn):
        assert engine.failure is not None
        assert engine.failure.code == outcome.code
        assert output.count(frame(GOAWAY, 0, 0, bytes(4) + outcome.code.to_bytes(4, "big"))[3:]) == 1
        assert reported.count(engine.failure) == 1
        assert not engine.receive(RESPONSE)  # nothing after it is read
        return
    assert engine.failure is None
    resets = seen.of(events.Reset)
    if isinstance(outcome, OnStream):
        assert frame(RST, 0, 1, outcome.code.to_bytes(4, "big")) in output
        assert [(event.stream, event.code, bool(event.reason)) for event in resets] == [(one, outcome.code, True)]
        assert 1 not in engine.streams
    else:
        assert frame(RST, 0, 1)[3:] not in output
        assert outcome.check(seen)
    if not engine.draining:
        answer = engine.receive(frame(HEADERS, END_HEADERS | END, 3, OK_BLOCK))  # the other stream lives
        assert [type(event) for event in answer] == [events.ResponseHeaders]
    assert three.received_end or engine.draining


@pytest.mark.parametrize(("data", "outcome"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
async def test_frames_of_a_server_on_a_socket(
    data: bytes, outcome: Conn | OnStream | Fine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the calls of the transport, and the server, see of the same frames."""
    limited = functools.partial(connection.Settings, limits=LIMITS)
    monkeypatch.setattr(transport, "Settings", limited)
    server = FrameServer(lambda peer, stream: None, acknowledge=False, credit=False)
    async with server, connected(server) as slot:
        one, three = slot.open(METHOD, ()), slot.open(METHOD, ())
        for stream in (one, three):
            await stream.half_close()
        await server.until(lambda: server.requests == 2)
        peer = server.peer
        peer.send(data)
        if isinstance(outcome, Conn):
            with pytest.raises(errors.ConnectionLost, match="violated HTTP/2") as lost:
                await three.read()
            assert not lost.value.unprocessed
            await server.until(lambda: peer.closed)
            assert [f.payload[:8] for f in peer.of(GOAWAY)] == [bytes(4) + outcome.code.to_bytes(4, "big")]
            server.on_request = answer
            assert await call(slot) == b"answer"
            assert len(server.peers) == 2
            return
        peer.answer(3)
        assert await three.read() == b"answer"
        assert await three.read() is None
        if isinstance(outcome, OnStream):
            with pytest.raises(errors.HeadraceError):
                while await one.read() is not None:
                    pass
            await server.until(lambda: peer.of(RST, 1))
            assert [f.payload for f in peer.of(RST, 1)] == [outcome.code.to_bytes(4, "big")]
        peer.send(frame(PING, 0, 0, b"the last"))
        await server.until(lambda: any(f.payload == b"the last" for f in peer.of(PING)))
        assert len(server.peers) == 1


@pytest.mark.case("H2-3.4-03")
@pytest.mark.parametrize(
    "first", [PING_8, frame(HEADERS, END_HEADERS, 1, OK_BLOCK), update(0, 1), frame(SETTINGS, ACK), frame(0xEE)]
)
def test_h2_3_4_03_the_first_frame_has_to_be_settings(first: bytes) -> None:
    engine = Engine()
    engine.receive(first)
    assert engine.failure is not None
    assert engine.failure.code == PROTOCOL


@pytest.mark.parametrize(
    "bad", [b"\x7f" + b"\xff" * 20, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x00\x85\xff"]
)
def test_the_reason_of_a_block_that_cannot_be_decoded_has_neither_bytes_nor_addresses(bad: bytes) -> None:
    engine = Engine()
    engine.receive(frame(SETTINGS))
    engine.request(b"")
    engine.receive(frame(HEADERS, 4, 1, bad))
    assert engine.failure is not None
    assert "cannot be decoded: " in engine.failure.reason
    assert "<" not in engine.failure.reason
    assert engine.failure.reason.isprintable()


@pytest.mark.case("H2-3.4-01")
def test_h2_3_4_01_the_preface_says_no_push_and_asks_for_no_table() -> None:
    output = b"".join(Engine(LIMITS).take_output())
    assert output.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, b"", 30)[:5])
    assert setting(1, 0) + setting(2, 0) in output
    assert b"".join(Engine().take_output()).endswith(update(0, (64 << 20) - 65_535))


@pytest.mark.case("H2-4.1-04")
def test_a_whole_exchange_is_the_same_wherever_it_is_cut() -> None:
    exchange = (
        RESPONSE
        + frame(DATA, 0, 1, b"one")
        + frame(DATA, PADDED, 1, padded(b"two", 5))
        + PING_8
        + update(0, 9)
        + FINISH
    )

    def outcome(cut: int) -> tuple[bytes, list[type], bytes]:
        engine, one, _ = begun()
        reported = engine.receive(exchange[:cut]) + engine.receive(exchange[cut:])
        seen = Seen(engine, one, reported, b"".join(engine.take_output()))
        kinds = [type(event) for event in reported if type(event) is not events.Content]
        return seen.content, kinds, seen.output

    whole = outcome(0)
    assert whole[0] == b"onetwo"
    assert all(outcome(cut) == whole for cut in range(len(exchange)))


def facts_of(seen: Seen, streams: tuple[Stream, Stream]) -> tuple[Any, ...]:
    """What an engine has done and knows, apart from how many pieces the content came in."""
    content = {
        stream.id: b"".join(bytes(e.data) for e in seen.of(events.Content) if e.stream is stream) for stream in streams
    }
    sizes = [sum(e.size for e in seen.of(events.Content) if e.stream is stream) for stream in streams]
    others = [(type(event), getattr(event, "code", 0)) for event in seen.events if type(event) is not events.Content]
    engine = seen.engine
    windows = [stream.receive_window for stream in streams]
    return content, sizes, others, seen.output, windows, engine.uncredited, engine.idle, list(engine.streams)


SMALL_FRAMES: list[Callable[[random.Random], bytes]] = [
    *(lambda r: frame(DATA, 0, 1, r.randbytes(r.choice([1, 30, 500]))) for _ in range(12)),
    *(lambda r: frame(DATA, 0, 3, r.randbytes(r.choice([1, 30]))) for _ in range(4)),
    lambda r: frame(DATA, 0, 1, r.randbytes(r.choice([4_095, 4_096, 9_000]))),
    lambda r: frame(DATA, 0, 1),
    lambda r: frame(DATA, PADDED, 1, padded(r.randbytes(9), 3)),
    lambda r: frame(DATA, r.choice([0, 0, 0, END]), 1, r.randbytes(9)),
    lambda r: frame(DATA, 0x40, 1, r.randbytes(9)),  # an unknown flag
    lambda r: frame(0xEE, 0, 1, r.randbytes(3)),
    lambda r: frame(HEADERS, END_HEADERS | END, 1, TRAILERS) if r.random() < 0.1 else PING_8,
    lambda r: frame(DATA, 0, 5, b"never opened") if r.random() < 0.05 else b"",
]


@pytest.mark.case("H2-4.1-04")
@pytest.mark.parametrize("promised", [None, 3_000], ids=["", "content-length"])
@pytest.mark.parametrize("windows", [65_535, 4_000], ids=["", "small windows"])
def test_frames_that_come_together_say_what_they_say_one_by_one(promised: int | None, windows: int) -> None:
    limits = H2Limits(connection_window_bytes=65_535, frame_bytes=16_384, stream_window_bytes=65_535)
    for number in range(60):
        r = random.Random(number)
        run = b"".join(r.choice(SMALL_FRAMES)(r) for _ in range(r.randint(2, 120)))
        outcomes = []
        for size in (0, 7):
            engine, one, three = begun(limits)
            engine.receive(RESPONSE + frame(HEADERS, END_HEADERS, 3, OK_BLOCK))
            one.content_left, one.receive_window, engine.uncredited = promised, windows, 35_535 - windows
            reported = [event for piece in split(run, size) for event in engine.receive(piece)]
            seen = Seen(engine, one, reported, b"".join(engine.take_output()))
            outcomes.append(facts_of(seen, (one, three)))
        assert outcomes[0] == outcomes[1], number


def test_a_burst_of_small_frames_is_one_piece_of_content() -> None:
    engine, one, _ = begun()
    engine.receive(RESPONSE)
    reported = engine.receive(b"".join(frame(DATA, 0, 1, b"%03d" % n) for n in range(200)))
    assert reported == [events.Content(one, b"".join(b"%03d" % n for n in range(200)), 600, False)]


# -- what leaves


@pytest.mark.case("H2-6.9-06")
def test_h2_6_9_06_never_a_byte_more_than_the_windows_allow() -> None:
    engine, *_ = begun(settings=setting(4, 1))
    stream = engine.request(b"\x83")
    engine.take_output()
    assert not engine.send(stream, [b"abcdef"], end=True)
    sent = b""
    for _ in range(6):
        for buffer in engine.take_output():
            sent += bytes(buffer)
        assert stream.send_window == 0
        engine.receive(update(stream.id, 1))
    sent += b"".join(engine.take_output())
    assert [sent[n : n + 10] for n in range(0, len(sent), 10)] == [
        frame(DATA, END if letter == b"f" else 0, stream.id, letter) for letter in (b"a", b"b", b"c", b"d", b"e", b"f")
    ]
    assert engine.take_drained() == [stream]


@pytest.mark.case("H2-6.9-08")
def test_h2_6_9_08_writers_that_wait_go_on_in_turn() -> None:
    engine, *_ = begun(settings=setting(4, 1 << 20))
    streams = [engine.request(b"\x83") for _ in range(10)]
    engine.take_output()
    engine.output.window = 0
    for stream in streams:
        assert not engine.send(stream, [bytes(20_000)])
    assert not engine.take_output()
    engine.receive(update(0, 10 * 16_384))
    ids = [int.from_bytes(bytes(part)[5:9], "big") for part in engine.take_output() if len(part) == 9]
    assert ids == [stream.id for stream in streams]


@pytest.mark.case("AT-13")
def test_at_13_a_server_that_gives_every_byte_back_by_itself_is_honest() -> None:
    engine, *_ = begun()
    stream = engine.request(b"\x83")
    engine.send(stream, [bytes(1_000)])
    engine.take_output()
    engine.receive((update(0, 1) + update(stream.id, 1)) * 1_000)
    assert engine.failure is None


@pytest.mark.case("H2-6.9-09")
def test_h2_6_9_09_an_empty_end_needs_no_window() -> None:
    engine, *_ = begun(settings=setting(4, 0))
    stream = engine.request(b"\x83")
    engine.take_output()
    assert engine.send(stream, (), end=True)
    assert engine.take_output() == [frame(DATA, END, stream.id)]


@pytest.mark.case("H2-6.9-16")
def test_h2_6_9_16_a_reset_drops_what_waits_and_charges_nothing() -> None:
    engine, *_ = begun(settings=setting(4, 10))
    stream = engine.request(b"\x83")
    engine.take_output()
    engine.send(stream, [bytes(50)])
    engine.take_output()
    before = engine.output.window
    engine.receive(frame(RST, 0, stream.id, CANCEL.to_bytes(4, "big")) + update(0, 5))
    assert not engine.take_output()
    assert engine.output.window == before + 5


@pytest.mark.case("H2-6.5.3-04")
def test_h2_6_5_3_04_a_lowered_window_is_negative_and_silent_until_it_is_positive() -> None:
    engine, *_ = begun(settings=setting(4, 100))
    stream = engine.request(b"\x83")
    engine.send(stream, [bytes(100)])
    engine.take_output()
    engine.receive(frame(SETTINGS, 0, 0, setting(4, 40)))
    assert stream.send_window == -60
    assert not engine.send(stream, [b"more"])
    engine.take_output()
    engine.receive(update(stream.id, 60))
    assert not engine.take_output()
    engine.receive(update(stream.id, 1))
    assert b"".join(engine.take_output()) == frame(DATA, 0, stream.id, b"m")


@pytest.mark.case("H2-6.5.3-03", "H2-6.9-18")
def test_h2_6_5_3_03_a_raised_window_lets_writers_go_on_and_leaves_the_connections_own() -> None:
    engine, *_ = begun(settings=setting(4, 0))
    stream = engine.request(b"\x83")
    engine.send(stream, [b"abc"])
    engine.take_output()
    before = engine.output.window
    engine.receive(frame(SETTINGS, 0, 0, setting(4, 1 << 20)))
    assert engine.output.window == before == 65_535
    assert frame(DATA, 0, stream.id, b"abc") in b"".join(engine.take_output())


@pytest.mark.case("H2-6.5.3-06", "AT-21")
def test_h2_6_5_3_06_no_frame_is_larger_than_the_server_takes_now() -> None:
    engine, *_ = begun(settings=setting(4, 1 << 30) + setting(5, (1 << 24) - 1))
    engine.receive(update(0, 1 << 30))
    stream = engine.request(b"\x83")
    engine.take_output()
    engine.send(stream, [bytes(20 << 20)])
    sizes = [int.from_bytes(bytes(part)[:3], "big") for part in engine.take_output(8 << 20) if len(part) == 9]
    assert set(sizes) == {1 << 19}
    engine.receive(frame(SETTINGS, 0, 0, setting(5, 16_384)))
    ack, *parts = engine.take_output(8 << 20)
    assert ack == frame(SETTINGS, ACK)
    assert {int.from_bytes(bytes(part)[:3], "big") for part in parts if len(part) == 9} == {16_384}


@pytest.mark.case("H2-5.1-13", "HP-14", "AT-25")
def test_h2_5_1_13_after_our_reset_everything_is_decoded_credited_and_dropped() -> None:
    engine, one, _ = begun()
    engine.reset(one)
    engine.take_output()
    before = engine.uncredited
    late = frame(HEADERS, END_HEADERS, 1, b"\x88\x40\x01a\x01b") + frame(DATA, 0, 1, bytes(50)) + update(1, 5)
    assert not engine.receive(late + FINISH + frame(RST, 0, 1, bytes(4)))
    assert not engine.take_output()
    assert engine.uncredited == before + 50
    (event,) = engine.receive(frame(HEADERS, END_HEADERS, 3, b"\x88\xbe"))
    assert event.fields.items == (("a", "b"),)  # type: ignore[union-attr]
    for _ in range(1_001 + 256):
        engine.receive(frame(DATA, 0, 1, b"x"))
    assert engine.failure is not None
    assert engine.failure.code == CALM


@pytest.mark.case("H2-6.9-10")
def test_h2_6_9_10_more_than_the_connections_window_ends_it() -> None:
    engine, *_ = begun(H2Limits(connection_window_bytes=65_535, frame_bytes=65_536, stream_window_bytes=1 << 20))
    engine.receive(RESPONSE + frame(DATA, 0, 1, bytes(65_536)))
    assert engine.failure is not None
    assert engine.failure.code == FLOW


@pytest.mark.case("H2-6.5.3-02")
def test_h2_6_5_3_02_replies_leave_ahead_of_content_that_waits() -> None:
    engine, *_ = begun(settings=setting(4, 1 << 20))
    stream = engine.request(b"\x83")
    engine.send(stream, [bytes(60_000)])
    engine.receive(PING_8 + frame(SETTINGS))
    output = b"".join(engine.take_output())
    assert output.index(frame(PING, ACK, 0, b"12345678")) < output.index(frame(DATA, 0, stream.id, b"", 16_384)[:9])


@pytest.mark.case("H2-6.9-14", "H2-6.9-15", "H2-6.9-17")
def test_both_windows_are_exact_after_many_messages() -> None:
    engine, one, three = begun()
    engine.receive(RESPONSE)
    granted = {0: 65_535, 1: 65_535}
    for number in range(5_000):
        padding = number % 7
        piece = frame(DATA, PADDED, 1, padded(bytes(number % 300), padding))
        for event in engine.receive(piece):
            assert isinstance(event, events.Content)
            engine.consumed(one, event.size)
        granted[0] -= len(piece) - 9
        granted[1] -= len(piece) - 9
        for buffer in engine.take_output():
            assert bytes(buffer)[3] == WINDOW
            granted[int.from_bytes(bytes(buffer)[5:9], "big")] += int.from_bytes(bytes(buffer)[9:], "big")
        assert granted[0] == 65_535 - engine.uncredited
        assert granted[1] == one.receive_window
        assert min(granted.values()) > 30_000
    engine.reset(three)
    engine.take_output()
    before = engine.uncredited
    engine.receive(frame(DATA, 0, 3, bytes(100)))  # of a stream that we have reset: the connection's window counts it
    assert engine.uncredited == before + 100


@pytest.mark.case("H2-6.10-08")
def test_h2_6_10_08_a_large_request_is_cut_at_the_servers_frame_size() -> None:
    engine, *_ = begun()
    engine.request(bytes(40_000))
    output = b"".join(engine.take_output())
    lengths, types, flags = [], [], []
    while output:
        lengths.append(int.from_bytes(output[:3], "big"))
        types.append(output[3])
        flags.append(output[4])
        output = output[9 + lengths[-1] :]
    assert lengths == [16_384, 16_384, 40_000 - 32_768]
    assert types == [HEADERS, CONTINUATION, CONTINUATION]
    assert flags == [0, 0, END_HEADERS]


@pytest.mark.case("H2-6.8-03")
def test_h2_6_8_03_streams_above_the_last_are_unprocessed() -> None:
    engine, _, three = begun()
    (event,) = engine.receive(frame(GOAWAY, 0, 0, (1).to_bytes(4, "big") + bytes(4) + b"bye"))
    assert event == events.GoAway(0, b"bye", [three])
    assert list(engine.streams) == [1]
    assert not engine.can_open


@pytest.mark.case("H2-6.8-10")
def test_h2_6_8_10_a_goaway_may_not_raise_the_last_stream() -> None:
    engine, *_ = begun()
    engine.receive(frame(GOAWAY, 0, 0, (1).to_bytes(4, "big") + bytes(4)))
    engine.receive(frame(GOAWAY, 0, 0, (3).to_bytes(4, "big") + bytes(4)))
    assert engine.last_id == 1
    assert engine.failure is None


@pytest.mark.case("H2-5.1.1-02")
def test_h2_5_1_1_02_ids_run_out() -> None:
    engine = Engine(first_stream_id=(1 << 31) - 1)
    engine.receive(frame(SETTINGS))
    engine.request(b"\x83")
    assert not engine.can_open


@pytest.mark.case("H2-4.2-04")
def test_frames_of_our_size_are_taken_before_the_server_acknowledges_it() -> None:
    engine, *_ = begun(H2Limits())
    (_, event) = engine.receive(RESPONSE + frame(DATA, 0, 1, bytes(65_536)))
    assert isinstance(event, events.Content)
    assert event.size == 65_536


@pytest.mark.case("H2-6.5.3-07")
def test_the_window_that_a_server_has_before_it_knows_ours_is_its_to_use() -> None:
    engine, one, _ = begun(H2Limits(stream_window_bytes=1_000))
    engine.receive(RESPONSE + frame(DATA, 0, 1, bytes(65_535)))
    assert engine.failure is None
    assert 1 in engine.streams
    engine.consumed(one, 65_535)
    assert engine.take_output() == [update(1, 65_535)]
    assert one.receive_window == 65_535
    engine.receive(frame(DATA, 0, 1, bytes(65_536)))
    assert frame(RST, 0, 1, FLOW.to_bytes(4, "big")) in engine.take_output()


@pytest.mark.case("H2-5.1-15")
def test_frames_of_a_stream_that_was_closed_long_ago_are_dropped() -> None:
    engine, *_ = begun()
    for _ in range(10_000):
        stream = engine.request(b"\x83", end=True)
        engine.receive(frame(HEADERS, END_HEADERS | END, stream.id, OK_BLOCK))
    engine.receive(RESPONSE + FINISH)
    engine.take_output()
    reset, priority = frame(RST, 0, 1, bytes(4)), frame(PRIORITY, 0, 1, bytes(5))
    for late in (frame(DATA, END, 1, b"x"), RESPONSE, FINISH, reset, update(1, 1), priority):
        assert not engine.receive(late)
        assert not engine.take_output()
    assert engine.failure is None
    assert len(engine.streams) == 1


# -- header tables


@pytest.mark.case("HP-04")
def test_hp_04_before_the_acknowledgement_the_table_counts() -> None:
    engine, *_ = begun()
    encoder = hpack.Encoder()
    for stream in (1, 3):
        fields = encoder.encode([(":status", "200"), ("x-name", "value")])
        (event,) = engine.receive(frame(HEADERS, END_HEADERS, stream, fields))
        assert isinstance(event, events.ResponseHeaders)
        assert event.fields.first["x-name"] == "value"


@pytest.mark.case("HP-05")
@pytest.mark.parametrize(
    ("fields", "fails"),
    [
        (b"\x20" + OK_BLOCK, False),  # as it should be
        (OK_BLOCK, False),  # no update, and the table is not used: some old servers
        (b"\x20\x88\x40\x01a\x01b", False),  # enters something into a table without room: grpcio and grpclib do
        (b"\x88\x40\x01a\x01b", True),
    ],
)
def test_hp_05_after_it_there_is_none(fields: bytes, fails: bool) -> None:
    engine, *_ = begun()
    engine.receive(frame(SETTINGS, ACK))
    engine.receive(frame(HEADERS, END_HEADERS, 1, fields))
    assert (engine.failure is not None) is fails


@pytest.mark.case("HP-05")
def test_a_table_that_the_server_gave_up_before_needs_no_update_after_the_acknowledgement() -> None:
    engine, *_ = begun()
    engine.receive(frame(HEADERS, END_HEADERS, 1, b"\x20\x88") + frame(SETTINGS, ACK))
    engine.receive(frame(HEADERS, END_HEADERS, 3, b"\x88\x40\x01a\x01b"))  # an entry for which there is no room
    assert engine.failure is None
    engine.receive(frame(HEADERS, END_HEADERS | END, 3, b"\x3f\xe1\x1f"))  # a table again, which it may not have
    assert engine.failure is not None
    assert engine.failure.code == COMPRESSION


@pytest.mark.case("HP-06")
def test_hp_06_equal_bytes_are_decoded_anew_while_there_is_a_table() -> None:
    engine, *_ = begun()
    engine.receive(frame(HEADERS, END_HEADERS, 1, b"\x88\x40\x01a\x01b"))
    (event,) = engine.receive(frame(HEADERS, END_HEADERS | END, 1, b"\xbe"))
    assert event.fields.items == (("a", "b"),)  # type: ignore[union-attr]
    engine.receive(frame(HEADERS, END_HEADERS, 3, b"\x88\x40\x01c\x01d"))
    (event,) = engine.receive(frame(HEADERS, END_HEADERS | END, 3, b"\xbe"))
    assert event.fields.items == (("c", "d"),)  # type: ignore[union-attr]


@pytest.mark.case("HP-07")
@pytest.mark.parametrize(
    ("sizes", "updates"), [([0], b"\x20"), ([100], b"\x3f\x45"), ([0, 4_096], b"\x20\x3f\xe1\x1f"), ([1 << 31], b"")]
)
def test_hp_07_our_next_block_begins_with_the_size_updates(sizes: list[int], updates: bytes) -> None:
    engine = Engine()
    engine.receive(b"".join(frame(SETTINGS, 0, 0, setting(1, size)) for size in sizes))
    engine.take_output()
    engine.request(b"\x83")
    engine.request(b"\x83")
    first, second = (bytes(buffer)[9:] for buffer in engine.take_output())
    assert first == updates + b"\x83"
    assert second == b"\x83"


@pytest.mark.case("HP-08")
def test_a_table_of_four_gigabytes_is_not_used() -> None:
    engine = Engine()
    engine.receive(frame(SETTINGS, 0, 0, setting(1, (1 << 32) - 1)))
    engine.take_output()
    for _ in range(2):
        engine.request(headers.block([("name", "value")]))
    written = [bytes(buffer)[9:] for buffer in engine.take_output()]
    assert written == [b"\0\x04name\x05value"] * 2  # no size update, and nothing enters a table


@pytest.mark.case("AT-03")
def test_at_03_headers_over_the_limit_fail_their_call_alone() -> None:
    engine, one, _ = begun(H2Limits(header_list_bytes=100))
    (event,) = engine.receive(frame(HEADERS, END_HEADERS, 1, block((":status", "200"), ("a", "x" * 60))))
    assert isinstance(event, events.Reset)
    assert event.too_large
    assert event.stream is one
    assert engine.failure is None


@pytest.mark.case("AT-11")
def test_at_11_a_server_that_breaks_every_stream_is_left() -> None:
    engine = Engine()
    engine.receive(frame(SETTINGS))
    for _ in range(101):
        stream = engine.request(b"\x83")
        engine.receive(update(stream.id, 0))
    assert engine.failure is not None
    assert engine.failure.code == CALM


@pytest.mark.case("AT-24")
def test_at_24_closed_streams_leave_nothing_behind() -> None:
    engine, *_ = begun()
    for _ in range(2_000):
        stream = engine.request(b"\x83", end=True)
        engine.receive(frame(HEADERS, END_HEADERS | END, stream.id, OK_BLOCK))
    assert len(engine.streams) == 2
    assert not engine.output.waiting


def test_a_request_with_its_content_is_what_headers_and_content_are_one_after_the_other() -> None:
    rng = random.Random(7)
    sizes = (0, 1, 5, 150, 5_000, SMALL - 1, SMALL, SMALL + 1, 30_000)
    for _ in range(300):
        window = (4).to_bytes(2, "big") + rng.choice((0, 1, 155, SMALL, 65_535, (1 << 31) - 1)).to_bytes(4, "big")
        together, apart = begun(settings=window)[0], begun(settings=window)[0]
        for _ in range(rng.randint(1, 6)):
            block = bytes(rng.choice((1, 300, SMALL - 1, SMALL, SMALL + 1, 40_000)))
            parts = [rng.randbytes(rng.choice(sizes)) for _ in range(rng.choice((1, 1, 2)))]
            one, other = together.request(block, content=parts, owner="a call"), apart.request(block)
            apart.send(other, parts, end=True)
            if rng.random() < 0.2:
                together.reset(one)
                apart.reset(other)
            other.owner = "a call"
            assert all(getattr(one, each.name) == getattr(other, each.name) for each in dataclasses.fields(Stream))
            assert [together.output.window, together.output.owed] == [apart.output.window, apart.output.owed]
            if rng.random() < 0.5:
                assert b"".join(together.take_output()) == b"".join(apart.take_output())
        assert b"".join(together.take_output()) == b"".join(apart.take_output())


# -- the code itself


def test_the_engine_does_no_io() -> None:
    allowed = {"collections", "dataclasses", "enum", "re", "struct", "typing", "hpack", "__future__", "headrace"}
    total = 0
    for path in Path(package.__file__).parent.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        lines = len(text.splitlines())
        assert lines <= 250, path
        total += lines
        for node in ast.walk(ast.parse(text)):
            assert not isinstance(node, ast.Await | ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith), path
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= allowed, path
            for name in names:
                assert not name.startswith("headrace") or name.startswith(
                    ("headrace.transport.h2.engine", "headrace.errors")
                )
    assert total <= 1_200
