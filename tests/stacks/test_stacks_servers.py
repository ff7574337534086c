"""One table of cases on the servers of many stacks, over both transports."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import pytest

from headrace import Client, RetryPolicy, errors, status
from headrace.config import Transmission
from headrace.target import Target
from headrace.transport.base import Transport
from tests.stacks.conftest import FACTORIES, TRANSPORTS
from tests.stacks.running import STACKS, free_port, running

pytestmark = pytest.mark.conformance

UNARY, COUNT, TOTAL, DUPLEX = (f"/stack.Echo/{name}" for name in ("Unary", "Count", "Total", "Duplex"))
MiB = 1 << 20
CODES = ["CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"]
CODES += ["PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"]
CODES += ["INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"]
COMMANDS = [name for name, stack in STACKS.items() if not stack.echo_only]
PADDING = [name for name in STACKS if name.endswith("padding")]

OF_CANCELS = [name for name in COMMANDS if STACKS[name].sees_cancels]

of_cancels = pytest.mark.parametrize("stack", OF_CANCELS, indirect=True, scope="module")
with_commands = pytest.mark.parametrize("stack", COMMANDS, indirect=True, scope="module")


@pytest.fixture(autouse=True)
def _knows_padding(request: pytest.FixtureRequest) -> None:
    """Leave gRPC's own client out where it cannot do what HTTP/2 asks for."""
    parameters = request.node.callspec.params
    if parameters.get("transport") == "grpc" and parameters.get("stack") in PADDING:
        pytest.skip("gRPC's core takes no padded frames")


async def answers(call: Any) -> list[bytes]:
    """Read to the end."""
    found: list[bytes] = []
    while (message := await call.read()) is not None:
        found.append(message)
    return found


def short(messages: list[bytes]) -> list[tuple[bytes, int, str]]:
    """Tell messages by what a failed comparison can show."""
    return [(message[:9], len(message), hashlib.md5(message).hexdigest()) for message in messages]


async def test_unary(transport: Transport) -> None:
    for size in (0, 1, 16_379, 16_384, 100_000, 5 * MiB):
        message = b"u" * size
        assert short([await transport.unary(UNARY, [message], (), 30)]) == short([message])


@with_commands
async def test_server_stream(transport: Transport) -> None:
    for number, size in ((0, 0), (1, 1), (1000, 100), (20, MiB)):
        call = transport.open(COUNT, (), first=[b"%d %d" % (number, size)], timeout=60)
        assert short(await answers(call)) == short([str(n).encode().ljust(size, b".") for n in range(number)])


@with_commands
async def test_client_stream(transport: Transport) -> None:
    call = transport.open(TOTAL, (), timeout=60)
    for _ in range(20):
        await call.write([b"t" * MiB])
    await call.half_close()
    assert await answers(call) == [str(20 * MiB).encode()]


@with_commands
async def test_duplex_one_by_one(transport: Transport) -> None:
    call = transport.open(DUPLEX, (), timeout=60)
    for number in range(200):
        await call.write([b"message %d" % number])
        assert await call.read() == b"message %d" % number
    await call.half_close()
    assert await call.read() is None


async def test_duplex_both_ways_at_once_with_large_messages(transport: Transport) -> None:
    call = transport.open(DUPLEX, (), timeout=60)
    sizes = [0, 1, 70_000, 3 * MiB, 16_384] * 4

    async def write() -> None:
        for number, size in enumerate(sizes):
            await call.write([str(number).encode().ljust(size, b"x")])
        await call.half_close()

    writing = asyncio.create_task(write())
    found = await answers(call)
    await writing
    assert short(found) == short([str(number).encode().ljust(size, b"x") for number, size in enumerate(sizes)])


@with_commands
async def test_metadata(transport: Transport) -> None:
    values = {"x-test": "some value, with a comma", "x-empty": "", "x-long": "v" * 6_000}
    for name, value in values.items():
        asked = f"metadata {name}".encode()
        assert await transport.unary(UNARY, [asked], ((name, value),), 10) == value.encode()
        call = transport.open(DUPLEX, ((name, value),), timeout=10)
        await call.write([asked])
        assert await call.read() == value.encode()
        call.cancel()


@with_commands
async def test_errors(transport: Transport) -> None:
    text = "größer % als\n\u2028erlaubt"
    for number, name in enumerate(CODES, 1):
        message = f"fail {number} {text}".encode()
        expected: Any = status.call_error(name, text, target="t")
        for shape in ("unary", "first", "duplex"):
            with pytest.raises(type(expected)) as caught:
                if shape == "unary":
                    await transport.unary(UNARY, [message], (), 10)
                call = transport.open(DUPLEX, (), first=[message] if shape == "first" else None, timeout=10)
                if shape == "duplex":
                    await call.write([message])
                await call.read()
            if name != "DEADLINE_EXCEEDED":
                assert "größer % als" in str(caught.value), (name, shape)
    with pytest.raises(errors.ServerError) as unknown:
        await transport.unary("/stack.Echo/Unknown", [b""], (), 10)
    assert unknown.value.name == "UNIMPLEMENTED"


async def cancelled(transport: Transport) -> int:
    return int(await transport.unary(UNARY, [b"cancelled"], (), 10))


async def until_cancelled(transport: Transport, number: int) -> None:
    async with asyncio.timeout(10):
        while await cancelled(transport) < number:
            await asyncio.sleep(0.02)


@of_cancels
async def test_deadlines(transport: Transport) -> None:
    """They end here on time, and on the server."""
    before = await cancelled(transport)
    start = time.monotonic()
    with pytest.raises(errors.DeadlineExceeded):
        await transport.unary(UNARY, [b"wait"], (), 0.3)
    call = transport.open(DUPLEX, (), timeout=0.3)
    await call.write([b"wait"])
    with pytest.raises(errors.DeadlineExceeded):
        await call.read()
    assert 0.55 < time.monotonic() - start < 5
    await until_cancelled(transport, before + 2)


@of_cancels
async def test_cancels(transport: Transport) -> None:
    before = await cancelled(transport)
    waiting = asyncio.create_task(transport.unary(UNARY, [b"wait"], (), None))
    call = transport.open(DUPLEX, ())
    await call.write([b"first"])
    assert await call.read() == b"first"
    await call.write([b"wait"])
    await transport.unary(UNARY, [b"after both"], (), 10)
    await asyncio.sleep(0.2)  # for the handlers to begin: a call that is cancelled before that has none to tell of it
    waiting.cancel()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(errors.ConnectionLost):
        await call.read()
    await until_cancelled(transport, before + 2)
    assert await transport.unary(UNARY, [b"goes on"], (), 10) == b"goes on"


async def test_a_thousand_at_once(transport: Transport, request: pytest.FixtureRequest) -> None:
    at_once = STACKS[request.node.callspec.params["stack"]].at_once
    for start in range(0, 1000, at_once):
        numbers = range(start, min(1000, start + at_once))
        found = await asyncio.gather(*(transport.unary(UNARY, [b"%d" % n], (), 60) for n in numbers))
        assert found == [b"%d" % n for n in numbers]


@pytest.mark.parametrize("name", TRANSPORTS)
@pytest.mark.parametrize("stack_name", [name for name, stack in STACKS.items() if stack.drains])
async def test_drain(stack_name: str, name: str) -> None:
    """A server that goes away ends the calls that run as if nothing were; the next ones go to its successor."""
    port = free_port()
    stack = STACKS[stack_name]
    transport = FACTORIES[name](Target.parse(f"http://127.0.0.1:{port}"), Transmission())
    try:
        with running(stack.command(port), port, env=stack.env()) as server:
            await transport.connect(10)
            call = transport.open(DUPLEX, (), timeout=60)
            await call.write([b"before"])
            assert await call.read() == b"before"
            server.terminate()
            async with asyncio.timeout(10):
                while transport.healthy:
                    await asyncio.sleep(0.01)
            for number in range(20):
                await call.write([b"%d" % number])
                assert await call.read() == b"%d" % number
            await call.half_close()
            assert await call.read() is None
            await server.ended()
        with running(stack.command(port), port, env=stack.env()):
            async with asyncio.timeout(20):
                while not transport.healthy:
                    with contextlib.suppress(errors.ConnectFailed):
                        await transport.connect(10)
            assert await transport.unary(UNARY, [b"again"], (), 10) == b"again"
    finally:
        await transport.close(0)


# -- our own server, and the whole client


@pytest.mark.parametrize("name", TRANSPORTS)
async def test_the_embedded_server(name: Literal["h2", "grpc"]) -> None:
    """Calls of all shapes, and a server that ends by SIGTERM while a stream runs: another one goes on with it."""
    port = free_port()
    command: list[str | Path] = [sys.executable, "-m", "headrace.server", "--models", "echo", "--port", str(port)]
    retry = RetryPolicy(100, ambiguous_attempts=100, cap=0.2)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running(command, port))
        async with Client(base_url=f"http://127.0.0.1:{port}", transport=name, retry=retry) as client:
            model = client.model("headrace/local/models/echo")
            texts = [f"text {n}" for n in range(500)]
            assert [p.text async for p in model.stream_by_bytes(texts, "text")] == texts
            assert [p.text async for p in model.stream_by_bytes(texts, "text", batch="auto")] == texts
            assert [p.text async for p in model.map(texts, input_type="text", concurrency=32)] == texts
            assert await model.generate_by_bytes("one two three", "text").text() == "one two three"
            found = await asyncio.gather(*(model.predict_by_bytes(text, "text") for text in texts))
            assert [p.text for p in found] == texts
            image = bytes(range(256)) * 40_000
            assert (await model.predict_by_bytes(image, "image")).text == f"image of {len(image)} bytes"

            async def slowly() -> AsyncIterator[str]:
                for number, text in enumerate(texts):
                    if number == 100:
                        server.terminate()
                        await server.ended()
                        stack.enter_context(running(command, port))
                    yield text

            assert [p.text async for p in model.stream_by_bytes(slowly(), "text")] == texts
