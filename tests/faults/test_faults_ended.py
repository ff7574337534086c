"""A server that ends a call while the client still writes: what it said before arrives, and how it ended is told."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from headrace import AuthError, HeadraceError, Throttled
from headrace.config import Transmission
from headrace.target import Target
from headrace.testing import MemoryServer, ServerCall
from headrace.transport.base import Call, Transport
from headrace.transport.grpc.client import GrpcTransport
from headrace.transport.h2.transport import H2Transport
from tests.support.bridge import GrpcServer
from tests.support.rig import WIRES, Wire

pytestmark = pytest.mark.core

METHOD = "/test.Test/Talk"
ANSWERS = 50
ENDS: list[tuple[str, type[HeadraceError] | None]] = [
    ("OK", None),
    ("UNAUTHENTICATED", AuthError),
    ("RESOURCE_EXHAUSTED", Throttled),
]


async def _write_until_the_end(call: Call) -> None:
    try:
        while True:
            await call.write([b"x" * 1000])
            await asyncio.sleep(0)
    except HeadraceError:
        pass


async def _talk(transport: Transport) -> tuple[int, HeadraceError | None]:
    call = transport.open(METHOD, ())
    writer = asyncio.create_task(_write_until_the_end(call))
    received = 0
    try:
        while await call.read() is not None:
            received += 1
    except HeadraceError as error:
        return received, error
    finally:
        call.cancel()
        await writer
    return received, None


@pytest.mark.parametrize(("status", "error"), ENDS)
@pytest.mark.parametrize("wire", WIRES)
async def test_all_answers_and_the_true_end_arrive(
    wire: Wire, status: str, error: type[HeadraceError] | None, tmp_path: Path
) -> None:
    async def talk(call: ServerCall) -> None:
        await call.read()
        for number in range(ANSWERS):
            await call.write(str(number).encode())
        if status != "OK":
            call.fail(status, "so it ends")

    server = MemoryServer({METHOD: talk})
    async with GrpcServer(server, f"unix:{tmp_path}/s") as served:
        target = Target.parse(served.address)
        factories: dict[Wire, Any] = {"grpc": GrpcTransport, "h2": H2Transport, "memory": server}
        transport: Any = factories[wire](target, Transmission())
        await transport.connect(5.0)
        for _ in range(50):
            received, ended = await _talk(transport)
            assert type(ended) is (error or type(None))
            assert received == ANSWERS
        await transport.close(0)
