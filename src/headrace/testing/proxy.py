"""A proxy that injects connection faults, to test how a client handles them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import random
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

from headrace.errors import ConfigError
from headrace.target import Target
from headrace.testing.faults import ConnectionFaults
from headrace.testing.link import Link
from headrace.transport.changes import Changes


@dataclass(frozen=True, slots=True)
class ProxyStats:
    """A snapshot of a proxy's counts, over all its connections.

    Attributes:
        connections: connections accepted.
        open: connections that are open now.
        resets: connections that the proxy has reset.
        bytes_to_server: bytes passed on to the server; `bytes_to_client` the other way.
        messages_to_server: gRPC messages passed on whole, if HTTP/2 is not encrypted; `messages_to_client` likewise.
    """

    connections: int
    open: int
    resets: int
    bytes_to_server: int
    bytes_to_client: int
    messages_to_server: int
    messages_to_client: int


#: The last five of `ProxyStats`, of one connection.
Counts: TypeAlias = tuple[int, int, int, int, int]


def _counts(link: Link) -> Counts:
    to_server, to_client = link.to_server, link.to_client
    return (
        int(link.was_reset),
        to_server.passed_bytes,
        to_client.passed_bytes,
        to_server.messages,
        to_client.messages,
    )


def _added(one: Counts, other: Counts) -> Counts:
    return (one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3], one[4] + other[4])


class FaultProxy:
    """Stands between a client and a server, on TCP or on a socket file, and injects faults.

    ::

        async with FaultProxy("127.0.0.1:8080", ConnectionFaults(latency=0.05)) as proxy:
            client = headrace.Client(base_url=proxy.address)
            ...
            proxy.reset()                       # every connection, now
            with proxy.applying(blackhole=True):
                ...

    Args:
        target: the server: "host:port", "http://host:port", "https://host:port" or "unix:/path". TLS passes through.
        faults: what happens on every connection; can be changed at any time, also for open connections.
        script: what happens on the first, second, ... connection instead.
        listen: where to listen: "host:port" (port 0: a free one) or "unix:/path".
        seed: makes the jitter repeatable.
    """

    def __init__(
        self,
        target: str,
        faults: ConnectionFaults | None = None,
        *,
        script: Sequence[ConnectionFaults] = (),
        listen: str = "127.0.0.1:0",
        seed: int | None = None,
    ) -> None:
        self._target = Target.parse(target)
        self._faults = faults or ConnectionFaults()
        self._script = tuple(script)
        self._path, self._host, self._port = _listen_address(listen)
        self._random = random.Random(seed)
        self._acceptor: asyncio.Task[None] | None = None
        self._links: dict[asyncio.Task[None], Link] = {}
        self._connections = 0
        self._past: Counts = (0, 0, 0, 0, 0)  # on links that have ended
        self._settings_changed = Changes()
        self._traffic = Changes()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<FaultProxy {self._path or f'{self._host}:{self._port}'} -> {self._target}, {self.stats}>"

    async def start(self) -> None:
        """Listen; from now on `address` is known."""
        await self.accept()

    async def aclose(self) -> None:
        """Stop listening and end all connections; idempotent."""
        await self.refuse()
        tasks = list(self._links)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def address(self) -> str:
        """Where clients connect to, as a base URL: "http://127.0.0.1:PORT", "https://..." or "unix:/path"."""
        if self._path:
            return f"unix:{self._path}"
        if not self._port:
            raise RuntimeError("the proxy has no address before it is started")
        return f"{'https' if self._target.tls else 'http'}://{self._host}:{self._port}"

    @property
    def stats(self) -> ProxyStats:
        """What the proxy has seen so far."""
        counts = functools.reduce(_added, (_counts(link) for link in self._links.values()), self._past)
        return ProxyStats(self._connections, len(self._links), *counts)

    async def until(self, condition: Callable[[ProxyStats], object], timeout: float = 10.0) -> None:
        """Wait until a condition on the stats is true, such as `lambda stats: stats.messages_to_client >= 5`.

        Raises:
            TimeoutError: it was not true within `timeout` seconds.
        """
        await self._traffic.until(lambda: condition(self.stats), timeout)

    # -- what happens to connections

    @property
    def faults(self) -> ConnectionFaults:
        """What happens on the connections; setting it ends the script and holds for open connections too."""
        return self._faults

    @faults.setter
    def faults(self, faults: ConnectionFaults) -> None:
        self._set(faults, ())

    @contextlib.contextmanager
    def applying(self, **settings: Any) -> Iterator[None]:
        """Change some settings of `faults` for the length of a `with` block, on all connections."""
        before = self._faults, self._script
        self._set(replace(self._faults, **settings), ())
        try:
            yield
        finally:
            self._set(*before)

    def _set(self, faults: ConnectionFaults, script: tuple[ConnectionFaults, ...]) -> None:
        self._faults, self._script = faults, script
        self._settings_changed.notify()

    def reset(self) -> None:
        """Reset all connections now: RST on TCP."""
        for task, link in self._links.items():
            link.reset()
            task.cancel()

    def drop(self) -> None:
        """Close all connections now, in the orderly way of TCP (FIN)."""
        for task, link in self._links.items():
            link.drop()
            task.cancel()

    async def refuse(self) -> None:
        """Close the listening socket: new connections are refused, open ones stay."""
        acceptor, self._acceptor = self._acceptor, None
        if acceptor is not None:
            acceptor.cancel()
            await asyncio.gather(acceptor, return_exceptions=True)

    async def accept(self) -> None:
        """Listen (again), on the same address as before; `max_connections` counts from zero again."""
        if self._acceptor is not None and not self._acceptor.done():
            return
        if self._faults.max_connections == 0:
            return
        listener = self._listen()
        listener.setblocking(False)
        self._acceptor = asyncio.get_running_loop().create_task(self._accept_all(listener))
        self._acceptor.add_done_callback(lambda _: self._stop_listening(listener))

    def _listen(self) -> socket.socket:
        if not self._path:
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            listener = socket.create_server((self._host, self._port), family=family, backlog=128)
            self._port = listener.getsockname()[1]
            return listener
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind(self._path)
            listener.listen(128)
        except BaseException:
            listener.close()
            raise
        return listener

    @contextlib.asynccontextmanager
    async def refusing(self) -> AsyncIterator[None]:
        """Refuse new connections for the length of an `async with` block."""
        await self.refuse()
        try:
            yield
        finally:
            await self.accept()

    # -- connections

    async def _accept_all(self, listener: socket.socket) -> None:
        accepted = 0
        while (limit := self._faults.max_connections) is None or accepted < limit:
            if (client := await _accept(listener)) is not None:
                accepted += 1
                self._add(client)

    def _stop_listening(self, listener: socket.socket) -> None:
        listener.close()
        if self._path:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)

    def _add(self, client: socket.socket) -> None:
        number = self._connections
        self._connections += 1
        link = Link(lambda: self._faults_of(number), self._settings_changed.until, self._traffic, self._random)
        task = asyncio.get_running_loop().create_task(link.run(client, self._target))
        self._links[task] = link
        task.add_done_callback(lambda task: self._ended(task, client))
        self._traffic.notify()

    def _faults_of(self, number: int) -> ConnectionFaults:
        return self._script[number] if number < len(self._script) else self._faults

    def _ended(self, task: asyncio.Task[None], client: socket.socket) -> None:
        client.close()  # if the task was cancelled before it began
        self._past = _added(self._past, _counts(self._links.pop(task)))
        if not task.cancelled() and (error := task.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "the fault proxy failed", "exception": error, "task": task}
            )
        self._traffic.notify()


async def _accept(listener: socket.socket) -> socket.socket | None:
    """Wait for a connection; None if it went away in the meantime.

    `sock_accept` of asyncio's selector loop accepts a connection and loses it when it is cancelled in the turn in which
    the connection comes; its client waits for ever. Here a cancelled wait leaves the connection to the listener.
    """
    loop = asyncio.get_running_loop()
    here = asyncio.Event()
    try:
        loop.add_reader(listener, here.set)
    except NotImplementedError:  # Windows' default loop, whose sock_accept closes what it has accepted
        return (await loop.sock_accept(listener))[0]
    try:
        await here.wait()
        return listener.accept()[0]
    except (BlockingIOError, ConnectionAbortedError):
        return None
    finally:
        loop.remove_reader(listener)


def _listen_address(listen: str) -> tuple[str, str, int]:
    """Take apart where to listen: (path, host, port)."""
    if listen.startswith("unix:"):
        return listen.removeprefix("unix:"), "", 0
    host, _, port = listen.removeprefix("http://").rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigError(f'listen must be "host:port" or "unix:/path", not {listen!r}')
    return "", host, int(port)
