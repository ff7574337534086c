"""Connecting a socket to a host with several addresses: the next one is tried soon, the first that answers wins.

RFC 8305, "happy eyeballs". asyncio's own lose the socket of an attempt that is cancelled as it succeeds, and uvloop has
none.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from typing import Any

_DELAY = 0.25  # seconds after which the next address is tried as well
_ADDRESSES = 16  # tried at most


async def open_socket(host: str, port: int) -> socket.socket:
    """Connect to a host.

    Raises:
        OSError: no address, or none that answers; the message lists why.
    """
    loop = asyncio.get_running_loop()
    addresses = [numeric] if (numeric := _numeric(host, port)) else await _resolve(loop, host, port)
    if len(addresses) == 1:
        return await _connect(loop, addresses[0])
    failures: list[str] = []
    running: set[asyncio.Task[socket.socket]] = set()
    try:
        for address in [*addresses, None]:
            if address is not None:
                running.add(loop.create_task(_connect(loop, address)))
            while running:
                done, _ = await asyncio.wait(
                    running, timeout=None if address is None else _DELAY, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    running.discard(task)
                    if (error := task.exception()) is None:
                        return task.result()
                    failures.append(str(error))
                if address is not None:
                    break  # too slow, or refused: the next one
    finally:
        for task in running:
            task.add_done_callback(_close)
            task.cancel()
    raise OSError("; ".join(failures))


def _numeric(host: str, port: int) -> Any:
    """Read an address that needs no resolver, and so no thread; None for a name."""
    for family, rest in ((socket.AF_INET, ()), (socket.AF_INET6, (0, 0))):
        with contextlib.suppress(OSError, UnicodeEncodeError):
            socket.inet_pton(family, host)
            return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port, *rest)
    return None


async def _resolve(loop: asyncio.AbstractEventLoop, host: str, port: int) -> list[Any]:
    name = host.encode() if host.isascii() else host  # for text, the resolver imports Python's idna codec
    return interleaved(await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM))[:_ADDRESSES]


def interleaved(addresses: list[Any]) -> list[Any]:
    """Put addresses of the two families in turn, beginning with the resolver's first."""
    families: dict[int, list[Any]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    turns = itertools.zip_longest(*families.values())
    return [address for turn in turns for address in turn if address is not None]


async def _connect(loop: asyncio.AbstractEventLoop, address: Any) -> socket.socket:
    family, kind, protocol, _, where = address
    connected = socket.socket(family, kind, protocol)
    try:
        connected.setblocking(False)
        await loop.sock_connect(connected, where)
    except BaseException:
        connected.close()
        raise
    return connected


def _close(task: asyncio.Task[socket.socket]) -> None:
    """Close a socket that came too late."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()
