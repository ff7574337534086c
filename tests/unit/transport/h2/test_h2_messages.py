"""Messages of a response, cut from pieces of any size: the quick way for whole ones, and the one for all others."""

from __future__ import annotations

import gzip
import random

import pytest

from headrace.transport.h2.messages import Assembler, MessageError, framed, whole_messages

pytestmark = pytest.mark.core

LIMIT = 1_000


def written(*messages: bytes) -> bytes:
    return b"".join(bytes(part) for one in messages for part in framed([one]))


@pytest.mark.parametrize(
    "data",
    [
        written(b"one")[:-1],
        written(b"one")[:4],
        written(b"one", b"two")[:-1],
        written(b"one") + b"\0",
        b"\1" + written(gzip.compress(b"one"))[1:],
        b"\2" + written(b"one")[1:],
        written(bytes(LIMIT + 1)),
        written(b"one", bytes(LIMIT + 1)),
    ],
    ids=[
        "cut off",
        "prefix alone",
        "second cut off",
        "one byte more",
        "compressed",
        "odd flag",
        "large",
        "second large",
    ],
)
def test_what_is_not_whole_and_plain_is_left_to_the_assembler(data: bytes) -> None:
    assert whole_messages(data, LIMIT) is None
    assert whole_messages(memoryview(data), LIMIT) is None


def test_both_ways_cut_the_same_messages_from_any_pieces() -> None:
    rng = random.Random(7)
    for _ in range(500):
        messages = [rng.randbytes(rng.choice((0, 1, 7, 200, LIMIT))) for _ in range(rng.randrange(5))]
        data = written(*messages)
        assert whole_messages(data, LIMIT) == messages
        assembler, cut, position = Assembler(LIMIT), [], 0
        while position < len(data):
            size = rng.choice((1, 3, 5, 300))
            piece: bytes | memoryview = data[position : position + size]
            cut += assembler.take(memoryview(piece) if rng.random() < 0.5 else piece)
            position += size
        assert cut == messages
        assert assembler.empty


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_the_limit_counts_after_decompression(encoding: str) -> None:
    import zlib

    pack = zlib.compressobj(wbits=zlib.MAX_WBITS | (16 if encoding == "gzip" else 0))
    packed = pack.compress(bytes(LIMIT + 1)) + pack.flush()
    with pytest.raises(MessageError, match="when decompressed"):
        Assembler(LIMIT, encoding).take(b"\1" + written(packed)[1:])


def test_many_small_parts_leave_as_one_and_a_large_one_as_it_is() -> None:
    parts = [b"%d" % number for number in range(1_000)]
    (joined,) = framed(parts)
    assert joined == written(b"".join(parts))
    large = bytearray(1 << 20)
    assert framed([b"before", large, b"after"])[2] is large
    assert any(part is large for part in framed([*[b"small"] * 20, large]))
