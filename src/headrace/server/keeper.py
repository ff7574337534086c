"""A gRPC server that keeps listening: if its accept loop ends, another server replaces it at the same address.

gRPC's server for asyncio takes its calls in one loop, and that loop ends when a caller's `:path` is not UTF-8. The
running calls go on then; new ones find nobody. So the loop is watched, and a new server takes over its address.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import grpc.aio

from headrace.server.listen import ListenError

log: logging.Logger = logging.getLogger(__name__)

TRY_SECONDS = 5.0  # during which binding the address again is tried
PAUSE = 0.02  # seconds between two tries, and before each new server
_LOOP = "_server_main_loop"

#: Binds a server to its address, and returns the address.
Bind = Callable[[grpc.aio.Server], str]


class Keeper:
    """Start a server, and another one in its place whenever it ends by itself.

    Args:
        make: makes a server with all its handlers.
        bind: binds it.
    """

    def __init__(self, make: Callable[[], grpc.aio.Server], bind: Bind) -> None:
        self._make = make
        self._bind = bind
        self._server: grpc.aio.Server | None = None
        self._ended: list[grpc.aio.Server] = []  # their last calls run
        self._watching: asyncio.Task[None] | None = None
        self.address: str = ""
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Listen.

        Raises:
            ListenError: the address cannot be used.
        """
        server = self._make()
        self.address = self._bind(server)
        loop = await self._begin(server)
        self._watching = asyncio.create_task(self._watch(loop))

    async def stop(self, grace: float) -> None:
        """Stop listening; calls that run get `grace` seconds."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        servers = [*self._ended, *([self._server] if self._server else [])]
        await asyncio.gather(*(server.stop(grace) for server in servers), return_exceptions=True)
        if not self.failed.done():
            self.failed.cancel()
        elif not self.failed.cancelled():
            self.failed.exception()  # it was for whoever waits

    async def _begin(self, server: grpc.aio.Server) -> asyncio.Task[Any] | None:
        """Start a server; gives the task in which it takes its calls."""
        before = asyncio.all_tasks()
        await server.start()
        self._server = server
        return next((task for task in asyncio.all_tasks() - before if _name(task).endswith(_LOOP)), None)

    async def _watch(self, loop: asyncio.Task[Any] | None) -> None:
        try:
            while True:
                server = self._server
                assert server is not None
                await (asyncio.wait([loop]) if loop is not None else _terminated(server))
                reason = _reason(loop)
                log.warning("the gRPC server ended (%s); listening on %s again", reason, self.address)
                self._ended.append(server)
                loop = await self._replace()
        except Exception as error:
            if not self.failed.done():
                self.failed.set_exception(error)

    async def _replace(self) -> asyncio.Task[Any] | None:
        await asyncio.sleep(PAUSE)
        give_up = asyncio.get_running_loop().time() + TRY_SECONDS
        while True:
            server = self._make()
            try:
                self._bind(server)
                return await self._begin(server)
            except ListenError:  # the old server may still be closing it
                if asyncio.get_running_loop().time() > give_up:
                    raise
            await asyncio.sleep(PAUSE)


def _name(task: asyncio.Task[Any]) -> str:
    return getattr(task.get_coro(), "__qualname__", "")


def _reason(loop: asyncio.Task[Any] | None) -> str:
    error = None if loop is None or loop.cancelled() else loop.exception()
    return "its loop is over" if error is None else type(error).__name__


async def _terminated(server: grpc.aio.Server) -> None:
    with contextlib.suppress(Exception):
        await server.wait_for_termination()


class _Crash(logging.Filter):
    """Leaves out the tracebacks of a loop that ended by a path that cannot be decoded: `Keeper` says it in a line."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(record.msg, UnicodeDecodeError) and not isinstance(error, UnicodeDecodeError)


@contextlib.contextmanager
def quiet_crashes() -> Iterator[None]:
    """Silence the reports of a crash that is repaired: gRPC's, and asyncio's of its task."""
    crash = _Crash()
    noisy = [logging.getLogger(name) for name in ("grpc._cython.cygrpc", "asyncio")]
    for logger in noisy:
        logger.addFilter(crash)
    try:
        yield
    finally:
        for logger in noisy:
            logger.removeFilter(crash)
