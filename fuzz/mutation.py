"""Making inputs: frames of an honest server, and what chance does to them."""

from __future__ import annotations

import random
from collections.abc import Iterator

import hpack

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END, ACK, END_HEADERS, PADDED, PRIORITIZED = 1, 1, 4, 8, 32
_NUMBERS = (
    0,
    1,
    2,
    3,
    5,
    9,
    100,
    255,
    16_384,
    16_385,
    65_535,
    65_536,
    (1 << 24) - 1,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
)
_NAMES = (
    "grpc-status",
    "grpc-message",
    "content-type",
    "content-length",
    "name",
    "connection",
    "te",
    "a-bin",
    ":path",
    "X",
)
_VALUES = ("0", "5", "application/grpc", "text/html", "", "a b", "100", "-1", "\xe9", "x" * 300, "a\0b", "%e2%98%ba")


def frame(type_: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """Write a frame."""
    return len(payload).to_bytes(3, "big") + bytes((type_, flags)) + stream.to_bytes(4, "big") + payload


def mutated(dice: random.Random, data: bytes, *, least: int = 1) -> bytes:
    """Change a few bytes: flip, replace, remove, repeat, insert, cut."""
    changed = bytearray(data)
    for _ in range(dice.randint(least, 4)):
        at = dice.randrange(len(changed) + 1)
        kind = dice.randrange(6)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << dice.randrange(8)
        elif kind == 1 and at < len(changed):
            changed[at] = dice.choice((0, 1, 0x20, 0x7F, 0x80, 0xFF, dice.randrange(256)))
        elif kind == 2:
            del changed[at : at + dice.randrange(1, 9)]
        elif kind == 3:
            changed[at:at] = changed[at : at + dice.randrange(1, 30)]
        elif kind == 4:
            changed[at:at] = dice.choice(_NUMBERS).to_bytes(dice.choice((4, 5)), "big")
        else:
            del changed[at:]
    return bytes(changed)


def cut(dice: random.Random, data: bytes) -> list[bytes]:
    """Cut data into pieces as a socket might."""
    pieces, at = [], 0
    while at < len(data):
        size = dice.choice((1, 2, 7, 9, 50, 1_000, len(data)))
        pieces.append(data[at : at + size])
        at += size
    return pieces


class Server:
    """Writes the frames of a server that answers streams 1, 3 and 5, mostly as it should.

    Args:
        table: blocks use the dynamic table, as they may before our settings are acknowledged.
        honest: nothing is wrong.
    """

    def __init__(self, dice: random.Random, *, table: bool, honest: bool = False) -> None:
        self._dice = dice
        self._table = table
        self._honest = honest
        self._encoder = hpack.Encoder()
        if not table:
            self._encoder.header_table_size = 0

    def exchange(self) -> list[bytes]:
        """Write some frames."""
        dice = self._dice
        written = [frame(SETTINGS, 0, 0, self._settings() if dice.random() < 0.3 else b"")]
        if not self._table:
            written.append(frame(SETTINGS, ACK))
        answers = [self._answer(stream) for stream in (1, 3, 5)]
        while answers:
            answer = dice.choice(answers)
            if (frames := next(answer, None)) is None:
                answers.remove(answer)
            else:
                written += frames
            if dice.random() < 0.2:
                written.append(self._control())
        if not self._honest:
            for _ in range(dice.choice((0, 1, 1, 2, 4))):
                self._disturb(written)
        return written

    def _answer(self, stream: int) -> Iterator[list[bytes]]:
        dice = self._dice
        if dice.random() < 0.1:
            yield [frame(RST, 0, stream, dice.choice((0, 2, 7, 8, 11, 999)).to_bytes(4, "big"))]
            return
        if dice.random() < 0.1:
            yield self._block(stream, [(":status", "103"), *self._fields()], 0)
        yield self._block(stream, [(":status", dice.choice(("200", "200", "200", "404"))), *self._fields()], 0)
        for _ in range(dice.randrange(4)):
            data = bytes(dice.randrange(256) for _ in range(dice.choice((0, 5, 20))))
            if dice.random() < 0.3:
                padding = dice.randrange(20)
                yield [frame(DATA, PADDED, stream, bytes((padding,)) + data + bytes(padding))]
            else:
                yield [frame(DATA, 0, stream, data)]
        if dice.random() < 0.9:
            yield self._block(stream, [("grpc-status", "0"), *self._fields()], END)

    def _fields(self) -> list[tuple[str, str]]:
        """Give a few fields: such as are fine, and rarely others."""
        dice = self._dice
        fields = [("content-type", "application/grpc"), ("name", str(dice.randrange(5))), ("grpc-message", "text")]
        chosen = fields[: dice.randrange(4)]
        if dice.random() < 0.1 and not self._honest:
            chosen.append((dice.choice(_NAMES), dice.choice(_VALUES)))
        return chosen

    def _block(self, stream: int, fields: list[tuple[str, str]], flags: int) -> list[bytes]:
        dice = self._dice
        block = self._encoder.encode([(n, v.encode("latin-1")) for n, v in fields], huffman=dice.random() < 0.5)
        if dice.random() < 0.03 and not self._honest:
            block = mutated(dice, block)
        if dice.random() < 0.2:
            at = dice.randrange(len(block) + 1)
            return [frame(HEADERS, flags, stream, block[:at]), frame(CONTINUATION, END_HEADERS, stream, block[at:])]
        if dice.random() < 0.2:
            padding = dice.randrange(9)
            payload = bytes((padding,)) + bytes(4) + b"\x10" + block + bytes(padding)
            return [frame(HEADERS, flags | END_HEADERS | PADDED | PRIORITIZED, stream, payload)]
        return [frame(HEADERS, flags | END_HEADERS, stream, block)]

    def _settings(self) -> bytes:
        dice = self._dice
        pairs = [
            (dice.choice((1, 3, 4, 5, 6, 0xFAFA)), dice.choice((0, 100, 16_384, 65_535, 100_000))) for _ in range(2)
        ]
        return b"".join(
            name.to_bytes(2, "big") + max(value, 16_384 if name == 5 else 0).to_bytes(4, "big") for name, value in pairs
        )

    def _control(self) -> bytes:
        dice = self._dice
        number = dice.choice(_NUMBERS[:12])
        return dice.choice(
            (
                frame(PING, dice.choice((0, ACK)), 0, bytes(8)),
                frame(WINDOW, 0, dice.choice((0, 1, 3)), (number or 1).to_bytes(4, "big")),
                frame(PRIORITY, 0, dice.choice((1, 3, 99)), bytes(5)),
                frame(SETTINGS, 0, 0, self._settings()),
                frame(0xEE, 0xFF, dice.choice((0, 1, 99)), bytes(dice.randrange(30))),
                frame(GOAWAY, 0, 0, dice.choice((1, 3, 5, (1 << 31) - 1)).to_bytes(4, "big") + bytes(4) + b"why"),
            )
        )

    def _disturb(self, frames: list[bytes]) -> None:
        """Change one frame, or the order."""
        dice = self._dice
        at = dice.randrange(len(frames))
        kind = dice.randrange(7) if len(frames[at]) >= 9 else 0
        changed = bytearray(frames[at])
        if kind == 0:
            frames[at] = mutated(dice, frames[at])
        elif kind == 1:
            frames.insert(at, dice.choice(frames))
        elif kind == 2:
            del frames[at]
            frames.append(self._control())
        elif kind == 3:
            changed[3] = dice.randrange(12)
        elif kind == 4:
            changed[4] = dice.choice((0, 1, 4, 5, 8, 9, 12, 13, 32, 37, 0xFF))
        elif kind == 5:
            changed[5:9] = dice.choice((0, 1, 2, 3, 5, 7, 99, 1 << 31)).to_bytes(4, "big")
        else:
            payload = mutated(dice, bytes(changed[9:]))
            changed[:] = len(payload).to_bytes(3, "big") + changed[3:9] + payload
        if kind > 2:
            frames[at] = bytes(changed)
