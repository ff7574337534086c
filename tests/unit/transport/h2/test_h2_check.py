"""The check of the client's frames that the scripted server runs: it has to see what a client must not do."""

from __future__ import annotations

import pytest

from tests.support.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END,
    END_HEADERS,
    HEADERS,
    INITIAL_WINDOW,
    MAX_STREAMS,
    PING,
    PRIORITY,
    RST,
    SETTINGS,
    WINDOW,
    frame,
    settings,
)  # fmt: skip
from tests.support.h2check import ClientCheck

Sent = tuple[int, int, int, bytes]
HELLO: list[Sent] = [(SETTINGS, 0, 0, b""), (SETTINGS, ACK, 0, b"")]
ONE: Sent = (HEADERS, END_HEADERS, 1, b"\x83")
THREE: Sent = (HEADERS, END_HEADERS, 3, b"\x83")

FORBIDDEN: dict[str, tuple[list[Sent], str]] = {
    "no SETTINGS first": ([(PING, 0, 0, bytes(8))], "first frame"),
    "a type of its own": ([*HELLO, (PRIORITY, 0, 1, bytes(5))], "does not send"),
    "an unknown flag": ([*HELLO, ONE, (DATA, 0x40, 1, b"")], "not defined"),
    "a frame that is too large": ([*HELLO, ONE, (DATA, 0, 1, bytes(16_385))], "size"),
    "a short PING": ([*HELLO, (PING, 0, 0, b"x")], "size"),
    "a PING on a stream": ([*HELLO, (PING, 0, 1, bytes(8))], "stream"),
    "an even stream": ([*HELLO, (HEADERS, END_HEADERS, 2, b"")], "stream"),
    "a falling stream": ([*HELLO, THREE, ONE], "opened after"),
    "one stream too many": ([*HELLO, ONE, THREE, (HEADERS, END_HEADERS, 5, b"")], "one more"),
    "an interrupted block": ([*HELLO, (HEADERS, 0, 1, b""), (DATA, 0, 1, b"")], "interrupted"),
    "CONTINUATION alone": ([*HELLO, ONE, (CONTINUATION, END_HEADERS, 1, b"")], "interrupted"),
    "content of an idle stream": ([*HELLO, (DATA, 0, 1, b"x")], "not open"),
    "content after the end": ([*HELLO, ONE, (DATA, END, 1, b"x"), (DATA, 0, 1, b"x")], "not open"),
    "content after a reset": ([*HELLO, ONE, (RST, 0, 1, bytes(4)), (DATA, 0, 1, b"x")], "not open"),
    "more than the window": ([*HELLO, ONE, (DATA, 0, 1, bytes(101))], "window"),
    "two resets": ([*HELLO, ONE, (RST, 0, 1, bytes(4)), (RST, 0, 1, bytes(4))], "not open"),
    "an update of zero": ([*HELLO, (WINDOW, 0, 0, bytes(4))], "update of 0"),
    "an update of an idle stream": ([*HELLO, (WINDOW, 0, 7, b"\0\0\0\1")], "not open"),
    "an acknowledgement of nothing": ([*HELLO, (SETTINGS, ACK, 0, b"")], "did not send"),
}


def checked(sent: list[Sent]) -> ClientCheck:
    check = ClientCheck()
    check.server_sent(settings({INITIAL_WINDOW: 100, MAX_STREAMS: 2}))
    for one in sent:
        check.client_sent(*one)
    return check


@pytest.mark.parametrize(("sent", "problem"), FORBIDDEN.values(), ids=FORBIDDEN)
def test_what_a_client_must_not_do_is_seen(sent: list[Sent], problem: str) -> None:
    problems = checked(sent).problems
    assert problems
    assert problem in problems[0]


def test_what_it_may_do_is_not() -> None:
    check = checked([*HELLO, ONE, (DATA, 0, 1, bytes(100)), THREE])
    check.server_sent(frame(WINDOW, 0, 1, (50).to_bytes(4, "big"))[:7])  # in two pieces
    check.server_sent(frame(WINDOW, 0, 1, (50).to_bytes(4, "big"))[7:])
    check.client_sent(DATA, END, 1, bytes(50))
    check.server_sent(frame(HEADERS, END_HEADERS | END, 1, b""))
    check.client_sent(HEADERS, END_HEADERS | END, 5, b"")
    assert check.problems == []
    assert check.window == 65_535 - 150
