"""When what calls send is written: together at the end of a turn of the loop, a lone call at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from headrace.transport.h2.transport import H2Transport
from tests.support.frames import FrameServer, Peer
from tests.support.h2calls import METHOD, call, connected

pytestmark = pytest.mark.core


class Writes:
    """Counts what a transport writes to its socket."""

    def __init__(self, transport: H2Transport, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        assert transport._connection is not None
        socket = transport._connection._transport
        assert socket is not None
        write = socket.write

        def counted(data: bytes) -> None:
            self.count += 1
            write(data)

        monkeypatch.setattr(transport._connection, "_transport", _With(socket, counted))


class _With:
    def __init__(self, socket: asyncio.Transport, write: Callable[[bytes], None]) -> None:
        self._socket = socket
        self.write = write

    def __getattr__(self, name: str) -> object:
        return getattr(self._socket, name)


def at_once(peer: Peer, stream: int) -> None:
    """Answer each call."""
    peer.answer(stream)


async def _begin(transport: H2Transport, calls: int) -> asyncio.Future[list[bytes]]:
    """Begin calls, and let the turn of the loop in which they begin go by."""
    begun = asyncio.gather(*(call(transport) for _ in range(calls)))
    await asyncio.sleep(0)
    return begun


async def test_a_call_after_a_lone_one_leaves_in_the_turn_in_which_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FrameServer(at_once) as server, connected(server) as transport:
        await call(transport)
        writes = Writes(transport, monkeypatch)
        begun = await _begin(transport, 1)
        assert writes.count == 1
        assert await begun == [b"answer"]
        assert writes.count == 1


async def test_calls_that_begin_together_leave_in_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FrameServer(at_once) as server, connected(server) as transport:
        await asyncio.gather(*(call(transport) for _ in range(3)))
        writes = Writes(transport, monkeypatch)
        begun = await _begin(transport, 3)
        assert writes.count == 0
        assert await begun == [b"answer"] * 3
        assert writes.count == 1


async def test_calls_beside_others_leave_at_the_end_of_the_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    def hold_the_first(peer: Peer, stream: int) -> None:
        if stream > 1:
            peer.answer(stream)

    async with FrameServer(hold_the_first) as server, connected(server) as transport:
        held = transport.open(METHOD, (), first=[b"held"])
        await server.until(lambda: server.peers)
        await call(transport)
        writes = Writes(transport, monkeypatch)
        begun = await _begin(transport, 1)
        assert writes.count == 0
        assert await begun == [b"answer"]
        held.cancel()
