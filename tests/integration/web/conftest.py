"""OpenAI's API in front of models in this process, called over HTTP."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headrace import Client
from headrace.server.app import serving
from headrace.server.options import Options
from headrace.web.app import Settings, openai_and_studio, web_app
from headrace.web.directory import Directory
from headrace.web.door import loopback_hosts
from headrace.web.serving import listening
from tests.support.door import Door, Dummy, Lengths, Painter, Seer, Talker


@pytest.fixture
async def open_door(tmp_path: Path) -> AsyncIterator[Any]:
    """Give a function that starts a V2 server with models, and OpenAI's API in front of it."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(*classes: type, models: tuple[str, ...] = ("echo",), **settings: Any) -> Door:
            options = Options(models=models, unix=tmp_path / f"{len(list(tmp_path.iterdir()))}")
            running = await stack.enter_async_context(serving(options, classes=classes))
            client = await stack.enter_async_context(Client(base_url=running.address))
            aliases = settings.pop("aliases", {})
            settings.setdefault("hosts", loopback_hosts("127.0.0.1"))
            routes = openai_and_studio(Directory(client, aliases), openai=True, studio=True)
            app = web_app(client, routes, Settings(**settings))
            address = await stack.enter_async_context(listening(app, "127.0.0.1", 0, sockets=True))
            door = Door(address, client)
            stack.push_async_callback(door.http.aclose)
            return door

        yield start


@pytest.fixture
async def door(open_door: Any) -> Door:
    """The API in front of small models of the tests."""
    Talker.running = Talker.begun = 0
    made: Door = await open_door(Talker, Lengths, Painter, Seer, Dummy)
    return made
