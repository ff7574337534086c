"""A server that ends by itself is followed by another at its address, or said to be gone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headrace.server import keeper
from headrace.server.keeper import Keeper
from headrace.server.listen import ListenError


class Server:
    """A gRPC server that ends when the test says so."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    async def start(self) -> None:
        """Nothing."""

    async def stop(self, grace: float) -> None:
        self.ended.set()

    async def wait_for_termination(self) -> None:
        await self.ended.wait()


class Address:
    """An address that can be had some of the times."""

    def __init__(self, *usable: bool) -> None:
        self.usable = list(usable)
        self.servers: list[Server] = []

    def make(self) -> Any:
        self.servers.append(Server())
        return self.servers[-1]

    def bind(self, server: Any) -> str:
        if not (self.usable.pop(0) if self.usable else False):
            raise ListenError("the address is taken")
        return "unix:here"


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_another_server_takes_over_as_soon_as_the_address_is_free() -> None:
    address = Address(True, False, False, True)
    kept = Keeper(address.make, address.bind)
    await kept.start()
    address.servers[0].ended.set()
    await until(lambda: not address.usable and len(address.servers) == 4)
    assert not kept.failed.done()
    await kept.stop(0)


async def test_one_that_cannot_come_back_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "TRY_SECONDS", 0.1)
    address = Address(True)
    kept = Keeper(address.make, address.bind)
    await kept.start()
    address.servers[0].ended.set()
    async with asyncio.timeout(10):
        with pytest.raises(ListenError, match="the address is taken"):
            await kept.failed
    await kept.stop(0)


async def test_an_address_that_cannot_be_had_at_first_is_an_error_at_once() -> None:
    address = Address(False)
    with pytest.raises(ListenError):
        await Keeper(address.make, address.bind).start()
