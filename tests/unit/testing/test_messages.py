"""Finding gRPC messages in HTTP/2 bytes, however these are cut."""

import pytest

from headrace.testing.messages import PREFACE, MessageScanner

SETTINGS, HEADERS, DATA, PADDED = 4, 1, 0, 8


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 1) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def message(payload: bytes) -> bytes:
    return b"\0" + len(payload).to_bytes(4, "big") + payload


def connection(*frames: bytes, from_client: bool = False) -> bytes:
    return (PREFACE if from_client else b"") + frame(SETTINGS, stream=0) + b"".join(frames)


@pytest.mark.parametrize("step", [1, 2, 7, 10_000])
@pytest.mark.parametrize("from_client", [True, False])
def test_messages_are_counted_whatever_the_pieces(step: int, from_client: bool) -> None:
    data = connection(
        frame(HEADERS, b"x" * 20),
        frame(DATA, message(b"one")),
        frame(DATA, message(b"") + message(b"three")),  # two in one frame, one of them empty
        frame(DATA, message(b"f" * 100)[:50]),  # one in two frames, with another stream in between
        frame(DATA, message(b"five"), stream=3),
        frame(DATA, message(b"f" * 100)[50:]),
        frame(DATA),  # the end of the stream
        from_client=from_client,
    )
    scanner = MessageScanner(from_client=from_client)
    for start in range(0, len(data), step):
        piece = data[start : start + step]
        assert scanner.feed(piece) == len(piece)
    assert (scanner.started, scanner.complete) == (5, 5)
    assert scanner.readable


def test_padding_is_no_message() -> None:
    scanner = MessageScanner(from_client=False)
    padded = bytes([4]) + message(b"one") + bytes(4)
    scanner.feed(connection(frame(DATA, padded, flags=PADDED), frame(DATA, message(b"two"))))
    assert scanner.complete == 2


def test_a_message_counts_as_complete_with_its_last_byte() -> None:
    scanner = MessageScanner(from_client=False)
    data = connection(frame(DATA, message(b"one")))
    scanner.feed(data[:-1])
    assert (scanner.started, scanner.complete) == (1, 0)
    scanner.feed(data[-1:])
    assert (scanner.started, scanner.complete) == (1, 1)


def test_it_stops_where_a_message_starts() -> None:
    first, second = frame(DATA, message(b"one")), frame(DATA, message(b"two"))
    data = connection(first, second)
    scanner = MessageScanner(from_client=False)
    assert scanner.feed(data, stop_before=2) == len(data) - len(message(b"two"))
    assert (scanner.started, scanner.complete) == (1, 1)


def test_it_stops_inside_a_frame_of_two_messages() -> None:
    data = connection(frame(DATA, message(b"one") + message(b"two")))
    assert MessageScanner(from_client=False).feed(data, stop_before=2) == len(data) - len(message(b"two"))


def test_it_stops_at_the_next_message_when_that_one_has_started() -> None:
    scanner = MessageScanner(from_client=False)
    scanner.feed(connection(frame(DATA, message(b"one")), frame(DATA, message(b"two")[:3])))
    rest = frame(DATA, message(b"two")[3:]) + frame(DATA, message(b"three"))
    assert scanner.feed(rest, stop_before=1) == len(rest) - len(message(b"three"))


@pytest.mark.parametrize(
    ("from_client", "data"),
    [(True, b"GET / HTTP/1.1\r\n\r\n"), (True, b"\x16\x03\x01\x02\x00\x01"), (False, b"HTTP/1.1 200 OK\r\n")],
)
def test_what_is_not_plain_http2_is_passed_uncounted(from_client: bool, data: bytes) -> None:
    scanner = MessageScanner(from_client=from_client)
    assert scanner.feed(data, stop_before=1) == len(data)
    assert not scanner.readable
    assert scanner.feed(frame(DATA, message(b"one")), stop_before=1) == 17
    assert scanner.started == 0
