"""Streams handed on to browsers by Starlette, FastAPI and aiohttp: in order, as they come, and over when one leaves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import fastapi
import pytest
from aiohttp import web as aio
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route, WebSocketRoute

from headrace import Client, Model
from headrace.server.app import serving
from headrace.server.options import Options
from headrace.web import lifespan, sse, websocket
from headrace.web.serving import listening
from tests.support.door import Talker

HEARTBEAT = 0.05
Handed = list[str]


def starlette_app(model: Model, client: Client) -> Any:
    async def events(request: Any) -> StreamingResponse:
        assert request.state.client is client
        stream = model.generate(request.query_params["say"])
        return StreamingResponse(sse(stream, heartbeat=HEARTBEAT), media_type="text/event-stream")

    async def socket(ws: Any) -> None:
        await ws.accept()
        if await websocket(model.generate(ws.query_params["say"]), ws, heartbeat=HEARTBEAT):
            await ws.close()

    routes = [Route("/events", events), WebSocketRoute("/socket", socket)]
    return Starlette(routes=routes, lifespan=lifespan(client))


def fastapi_app(model: Model, client: Client) -> Any:
    app = fastapi.FastAPI(lifespan=lifespan(client))

    @app.get("/events")
    async def events(say: str) -> StreamingResponse:
        return StreamingResponse(sse(model.generate(say), heartbeat=HEARTBEAT), media_type="text/event-stream")

    @app.websocket("/socket")
    async def socket(ws: fastapi.WebSocket, say: str) -> None:
        await ws.accept()
        if await websocket(model.generate(say), ws, heartbeat=HEARTBEAT):
            await ws.close()

    return app


def aiohttp_app(model: Model, client: Client) -> aio.Application:
    async def events(request: aio.Request) -> aio.StreamResponse:
        response = aio.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        async with contextlib.aclosing(sse(model.generate(request.query["say"]), heartbeat=HEARTBEAT)) as pieces:
            async for piece in pieces:
                await response.write(piece.encode())
        return response

    async def socket(request: aio.Request) -> aio.WebSocketResponse:
        ws = aio.WebSocketResponse()
        await ws.prepare(request)
        if await websocket(model.generate(request.query["say"]), ws, heartbeat=HEARTBEAT):
            await ws.close()
        return ws

    app = aio.Application(handler_args={"handler_cancellation": True})
    app.cleanup_ctx.append(lifespan(client))
    app.router.add_get("/events", events)
    app.router.add_get("/socket", socket)
    return app


APPS: dict[str, Callable[[Model, Client], Any]] = {
    "starlette": starlette_app,
    "fastapi": fastapi_app,
    "aiohttp": aiohttp_app,
}


@pytest.fixture(params=APPS)
async def address(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """Where an application of each framework is."""
    Talker.running = Talker.begun = 0
    async with contextlib.AsyncExitStack() as stack:
        options = Options(models=(), unix=tmp_path / "s")
        running = await stack.enter_async_context(serving(options, classes=[Talker]))
        client = Client(base_url=running.address)
        app = APPS[request.param](client.model(model_id="talker"), client)
        if isinstance(app, aio.Application):
            runner = aio.AppRunner(app)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            site = aio.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        else:
            yield await stack.enter_async_context(listening(app, "127.0.0.1", 0, sockets=True, lifespan=True))
    with pytest.raises(Exception, match="closed"):
        await client.model(model_id="talker").predict("too late")


async def until_idle() -> None:
    async with asyncio.timeout(10):
        while Talker.running:
            await asyncio.sleep(0.001)


async def until_begun(count: int) -> None:
    async with asyncio.timeout(10):
        while Talker.begun < count:
            await asyncio.sleep(0.001)


def events_of(text: str) -> list[tuple[str, Any]]:
    """Take events apart: (name, value); comments are left out."""
    found = []
    for block in text.split("\n\n"):
        fields = [line.partition(": ") for line in block.splitlines() if not line.startswith(":")]
        name = next((value for field, _, value in fields if field == "event"), "")
        data = [value for field, _, value in fields if field == "data"]
        if data:
            found.append((name, json.loads("\n".join(data))))
    return found


async def test_events_come_in_order_with_their_cost_at_the_end(address: str) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{address}/events", params={"say": "one\ntwo  ü"}) as got,
    ):
        assert got.headers["content-type"].startswith("text/event-stream")
        assert events_of(await got.text()) == [
            ("", {"text": "one\ntwo"}),
            ("", {"text": " "}),
            ("", {"text": " ü"}),
            ("", {"text": ""}),
            ("done", {"prompt_tokens": 3, "completion_tokens": 3}),
        ]


async def test_a_failure_is_the_last_event_and_the_last_message(address: str) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{address}/events", params={"say": "one FAIL"}) as got:
            events = events_of(await got.text())
        async with session.ws_connect(f"{address}/socket", params={"say": "one FAIL"}) as ws:
            messages = [one async for message in ws if "heartbeat" not in (one := json.loads(message.data))]
    for first, (error, code) in (
        (events[0][1], (events[-1][1]["error"]["type"], events[-1][1]["error"]["code"])),
        (messages[0], (messages[-1]["error"]["type"], messages[-1]["error"]["code"])),
    ):
        assert first == {"text": "one"}
        assert (error, code) == ("StreamBroken", None) or code == 21313
    assert events[-1][0] == "error"


async def test_messages_come_in_order_with_their_cost_at_the_end(address: str) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{address}/socket", params={"say": "a b"}) as ws:
        messages = [one async for message in ws if "heartbeat" not in (one := json.loads(message.data))]
    assert messages == [
        {"text": "a"}, {"text": " b"}, {"text": ""}, {"done": {"prompt_tokens": 2, "completion_tokens": 2}}
    ]  # fmt: skip


@pytest.mark.parametrize("say", ["silence", "forever"])
async def test_the_model_stops_when_the_browser_leaves(address: str, say: str) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{address}/events", params={"say": say}) as got:
            await got.content.readany()  # a heartbeat, or the first pieces
            await until_begun(1)
        await until_idle()
        async with session.ws_connect(f"{address}/socket", params={"say": say}) as ws:
            await ws.receive()
            await until_begun(2)
        await until_idle()


async def test_silence_is_told_by_heartbeats(address: str) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{address}/events", params={"say": "silence"}) as got:
            assert await got.content.readexactly(8) == b": \n\n: \n\n"
        async with session.ws_connect(f"{address}/socket", params={"say": "silence"}) as ws:
            assert [await ws.receive_json() for _ in range(2)] == [{"heartbeat": True}] * 2
    await until_idle()


async def test_what_the_browser_sends_meanwhile_is_handed_on() -> None:
    taken: list[str | bytes] = []

    async def socket(ws: Any) -> None:
        await ws.accept()
        ready = asyncio.Event()

        async def two() -> AsyncIterator[int]:
            yield 1
            await ready.wait()
            yield 2

        def on_message(message: str | bytes) -> None:
            taken.append(message)
            ready.set()

        await websocket(two(), ws, on_message=on_message)
        await ws.close()

    app = Starlette(routes=[WebSocketRoute("/", socket)])
    async with (
        listening(app, "127.0.0.1", 0, sockets=True) as address,
        aiohttp.ClientSession() as session,
        session.ws_connect(address) as ws,
    ):
        assert await ws.receive_json() == 1
        await ws.send_str("go on")
        assert await ws.receive_json() == 2
    assert taken == ["go on"]


async def test_what_the_browser_sends_after_the_last_message_is_the_applications_to_read() -> None:
    async def socket(ws: Any) -> None:
        await ws.accept()
        while await websocket(some(int(await ws.receive_text())), ws):
            pass

    async def some(count: int) -> AsyncIterator[int]:
        for number in range(count):
            yield number

    app = Starlette(routes=[WebSocketRoute("/", socket)])
    async with (
        listening(app, "127.0.0.1", 0, sockets=True) as address,
        aiohttp.ClientSession() as session,
        session.ws_connect(address) as ws,
    ):
        for count in range(50):
            await ws.send_str(str(count))
            assert [await ws.receive_json() for _ in range(count)] == list(range(count))
            assert "done" in await ws.receive_json(timeout=10)


def test_the_helpers_import_no_framework() -> None:
    program = (
        "import sys, headrace.web; "
        "print([name for name in ('starlette', 'fastapi', 'aiohttp', 'uvicorn', 'pydantic') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
