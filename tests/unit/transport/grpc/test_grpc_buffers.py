"""Joining large messages: the right bytes, one copy, memory used again only when nobody else has it, and let go of."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.transport.grpc import buffers
from headrace.transport.grpc.buffers import Joiner

pytestmark = pytest.mark.core

MiB = 1 << 20


@pytest.fixture
async def joiner() -> AsyncIterator[Joiner]:
    made = Joiner()
    yield made
    made.close()


def joined(joiner: Joiner, *parts: bytes | bytearray | memoryview) -> bytes:
    memory = joiner.join(parts, sum(map(len, parts)))
    message = memory.getvalue()
    joiner.keep(memory)
    return message


async def test_messages_of_any_sizes_are_joined(joiner: Joiner) -> None:
    @given(st.lists(st.lists(st.binary(max_size=300), min_size=1, max_size=4), max_size=8))
    def check(messages: list[list[bytes]]) -> None:
        for parts in messages:
            assert joined(joiner, *parts[:1], *map(bytearray, parts[1:])) == b"".join(parts)

    check()


async def test_what_somebody_still_has_does_not_change(joiner: Joiner) -> None:
    first = joined(joiner, b"a" * MiB, b"b")
    view = memoryview(joined(joiner, b"c" * MiB, b"d"))
    assert joined(joiner, b"e" * MiB, b"f") == b"e" * MiB + b"f"
    assert first == b"a" * MiB + b"b"
    assert view == b"c" * MiB + b"d"


async def test_memory_is_used_again(joiner: Joiner) -> None:
    parts = [b"x", bytes(MiB)]
    joined(joiner, *parts)
    tracemalloc.start()
    try:
        for _ in range(4):
            joined(joiner, *parts)
        assert tracemalloc.get_traced_memory()[1] < MiB / 8
    finally:
        tracemalloc.stop()
    assert joiner.kept_bytes == MiB + 1


async def test_a_fresh_join_allocates_once(joiner: Joiner) -> None:
    parts = [b"x", *[bytes(MiB // 4)] * 20, b"y"]
    tracemalloc.start()
    try:
        memory = joiner.join(parts, 5 * MiB + 2)
        message = memory.getvalue()
        assert len(message) == 5 * MiB + 2
        assert tracemalloc.get_traced_memory()[1] < 5.1 * MiB
    finally:
        tracemalloc.stop()


async def test_no_more_is_kept_than_the_limit(joiner: Joiner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers, "MAX_KEPT_BYTES", 3 * MiB)
    memories = [joiner.join([bytes(MiB)], MiB) for _ in range(5)]
    for memory in memories:
        joiner.keep(memory)
    assert joiner.kept_bytes == 3 * MiB
    large = joiner.join([bytes(4 * MiB)], 4 * MiB)
    assert joiner.kept_bytes == 2 * MiB  # one that was too small made room
    joiner.keep(large)
    assert joiner.kept_bytes == 2 * MiB


async def test_idle_memory_is_let_go_of(joiner: Joiner, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[asyncio.Handle] = []
    loop = asyncio.get_running_loop()

    def call_later(delay: float, callback: object, *args: object) -> asyncio.Handle:
        assert delay == buffers.IDLE
        looks.append(asyncio.Handle(callback, args, loop))  # type: ignore[arg-type]
        return looks[-1]

    monkeypatch.setattr(loop, "call_later", call_later)
    joined(joiner, bytes(MiB))
    looks.pop()._run()
    assert joiner.kept_bytes == MiB  # it was used since
    joined(joiner, bytes(MiB))
    assert len(looks) == 1  # one timer at a time
    looks.pop()._run()
    assert joiner.kept_bytes == MiB
    looks.pop()._run()
    assert joiner.kept_bytes == 0
    assert not looks
    joined(joiner, bytes(MiB))
    assert len(looks) == 1
    joiner.close()
    assert looks.pop().cancelled()
    assert joiner.kept_bytes == 0
