"""Callers that leave, read slowly or only connect: the model stops, and the server goes on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from typing import Any

import psutil
import pytest

from tests.support.door import Door, Talker


async def sent(door: Door, content: str, stream: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send a request on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(door.address.rpartition(":")[2]))
    fields = {"model": "talker", "messages": [{"role": "user", "content": content}], "stream": stream}
    body = json.dumps(fields).encode()
    head = ["POST /v1/chat/completions HTTP/1.1", "host: localhost", "content-type: application/json"]
    writer.write("\r\n".join([*head, f"content-length: {len(body)}", "", ""]).encode() + body)
    return reader, writer


async def leave(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def until_idle() -> float:
    """Wait until no answer is being made; gives the seconds that it took."""
    began = time.perf_counter()
    async with asyncio.timeout(20):
        while Talker.running:
            await asyncio.sleep(0.001)
    return time.perf_counter() - began


async def test_two_hundred_callers_that_leave_anywhere_leave_no_answer_running(door: Door) -> None:
    chance = random.Random(1)

    async def visit(number: int) -> None:
        stream = number % 4 != 0
        reader, writer = await sent(door, "silence" if number % 3 == 0 else "forever", stream)
        if number % 3 and stream:
            with contextlib.suppress(asyncio.IncompleteReadError):
                await reader.readexactly(chance.randrange(1, 4000))
        else:
            await asyncio.sleep(chance.random() * 0.2)
        await leave(writer)

    turn = asyncio.Semaphore(20)

    async def in_turn(number: int) -> None:
        async with turn:
            await visit(number)

    async with asyncio.TaskGroup() as group:
        for number in range(200):
            group.create_task(in_turn(number))
    await until_idle()
    assert Talker.begun >= 100  # those that read something; others may have left before they were read
    answer = await door.post("chat/completions", model="talker", messages=[{"role": "user", "content": "Hi"}])
    assert answer.status_code == 200
    assert door.client.stats.running == 0


@pytest.mark.alone
async def test_the_model_stops_at_once_before_the_first_token_and_after(door: Door) -> None:
    for content, stream in (("silence", True), ("silence", False), ("forever", True)):
        seconds = []
        for _ in range(3):
            reader, writer = await sent(door, content, stream)
            if content == "forever":
                await reader.readexactly(300)
            while not Talker.running:
                await asyncio.sleep(0.001)
            await leave(writer)
            seconds.append(await until_idle())
        assert min(seconds) < 0.1, (content, stream, seconds)


async def test_a_slow_reader_holds_the_model_back(door: Door) -> None:
    reader, writer = await sent(door, "forever", True)
    await reader.readexactly(1000)
    before = psutil.Process().memory_info().rss
    reader._transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.sleep(1)
    assert psutil.Process().memory_info().rss - before < 20 << 20
    await leave(writer)
    await until_idle()


async def test_five_hundred_connections_without_a_request_do_not_keep_others_out(door: Door) -> None:
    port = int(door.address.rpartition(":")[2])
    before = psutil.Process().memory_info().rss
    idle: list[Any] = []
    try:
        idle.extend([await asyncio.open_connection("127.0.0.1", port) for _ in range(500)])
        answer = await door.post("chat/completions", model="talker", messages=[{"role": "user", "content": "Hi"}])
        assert answer.status_code == 200
        assert psutil.Process().memory_info().rss - before < 60 << 20  # both ends are in this process
    finally:
        for _, writer in idle:
            await leave(writer)
