"""A server that takes connections and ends them again: it is asked a bounded number of times, and calls hear why."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from headrace import Client, ConnectFailed, ConnectionLost, RetryPolicy, StreamBroken, Timeouts
from tests.support.frames import GOAWAY, frame, settings
from tests.support.grpc_version import skip_if_attempts_are_kept

pytestmark = pytest.mark.core

ATTEMPTS = 4
SAID = {
    "before its settings": b"",
    "behind its settings": settings(),
    "with a GOAWAY": settings() + frame(GOAWAY, 0, 0, bytes(8)),
}


@pytest.mark.case("C-16", "H2-3.4-07", "H2-3.4-08")
@pytest.mark.parametrize("wait", [False, True], ids=["at once", "once the client spoke"])
@pytest.mark.parametrize("end", SAID)
@pytest.mark.parametrize("transport", ["h2", "grpc"])
async def test_it_is_asked_once_an_attempt_and_every_call_hears_why(transport: Any, end: str, wait: bool) -> None:
    if wait:
        skip_if_attempts_are_kept(transport)
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        with contextlib.suppress(ConnectionError):
            first = await reader.read(1_000) if wait else b"PRI"
            connections += first.startswith(b"PRI")  # and not a look whether it speaks TLS
            writer.write(SAID[end])
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    retry = RetryPolicy(attempts=ATTEMPTS, initial=0.001, cap=0.002, budget=None)
    timeouts = Timeouts(total=20, outage=0.5)
    async with (
        listener,
        Client(base_url=address, transport=transport, pat="key-of-test", retry=retry, timeouts=timeouts) as client,
    ):
        model = client.model(user_id="u", app_id="a", model_id="m")
        results = await asyncio.gather(
            *(model.predict_by_bytes(b"x", "text") for _ in range(20)), return_exceptions=True
        )
        # Over gRPC a call may be on the connection already, in the moment before gRPC reads its end.
        lost = {ConnectionLost} if transport == "grpc" else set()
        assert {type(result) for result in results} <= {ConnectFailed} | lost, results
        assert all("cannot connect" in str(result) for result in results if not isinstance(result, ConnectionLost))
        limit = 40 if transport == "h2" else 160  # of 20 calls with four attempts each, which share them
        assert connections <= limit
        with pytest.raises(
            (ConnectFailed, StreamBroken), match="cannot connect|was lost" if lost else "cannot connect"
        ):
            async for _ in model.stream_by_bytes(["x"], "text"):
                pass
        assert connections <= 2 * limit
