"""A model double and a client of it, over the in-memory transport or over real gRPC."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from headrace import Client
from headrace.events import Event
from headrace.model import Model
from headrace.results import Prediction
from headrace.testing import MemoryServer, ModelDouble
from tests.support.bridge import GrpcServer

Wire = Literal["memory", "grpc", "h2"]
WIRES: tuple[Wire, ...] = ("memory", "grpc", "h2")  # "h2": the lean transport, to the same server as "grpc"
SOCKET_WIRES: tuple[Literal["grpc", "h2"], ...] = ("grpc", "h2")
MODEL = {"user_id": "u", "app_id": "a", "model_id": "m"}

_numbers = itertools.count()


@dataclass
class Rig:
    """What a test has in hands."""

    double: ModelDouble
    client: Client
    model: Model
    wire: Wire
    server: GrpcServer | None
    events: list[Event] = field(default_factory=list)

    @property
    def calls(self) -> list[Any]:
        """Every call that the server got."""
        return list(self.double.server.calls)

    async def until(self, condition: Callable[[], object], timeout: float = 10.0) -> None:
        """Wait until something is true of what the server saw."""
        await self.double.server.until(condition, timeout)


@contextlib.asynccontextmanager
async def rigged(
    wire: Wire,
    folder: Path,
    function: Any = lambda item: item.text,
    *,
    double: dict[str, Any] | None = None,
    grpc_options: tuple[tuple[str, Any], ...] = (),
    tcp: bool = False,
    **client_options: Any,
) -> AsyncIterator[Rig]:
    """Make a double, serve it, and make a client of it.

    Args:
        folder: where the socket file goes.
        double: arguments of `ModelDouble`.
        grpc_options: settings of the gRPC server.
        tcp: a loopback port instead of a socket file, for gRPC.
    """
    made = ModelDouble(function, **(double or {}))
    events: list[Event] = []
    client_options.setdefault("on_event", events.append)
    async with contextlib.AsyncExitStack() as stack:
        server: GrpcServer | None = None
        if wire != "memory":
            address = "127.0.0.1:0" if tcp else f"unix:{folder}/{next(_numbers)}"
            server = await stack.enter_async_context(GrpcServer(made, address, options=grpc_options))
            client_options.setdefault("base_url", server.address)
            client_options.setdefault("transport", wire)
        else:
            client_options.setdefault("base_url", "http://127.0.0.1:1")
            client_options.setdefault("transport", made)
        client = await stack.enter_async_context(Client(**client_options))
        yield Rig(made, client, client.model(**MODEL), wire, server, events)


@dataclass
class Took:
    """How long a block took, in seconds, after it."""

    wall: float = math.nan  # for lower bounds
    ours: float = math.nan  # without the time in which this thread waited for a processor: for upper bounds


@contextlib.contextmanager
def timed() -> Iterator[Took]:
    """Measure a block; other programs may keep the machine busy."""
    took = Took()
    start, waited = time.perf_counter(), _waited()
    try:
        yield took
    finally:
        took.wall = time.perf_counter() - start
        took.ours = took.wall - (_waited() - waited)


def _waited() -> float:
    """Tell for how many seconds this thread could have run and had no processor; 0 where the system does not say."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def quiet_server(**settings: Any) -> MemoryServer:
    """Make a server that keeps no messages."""
    return MemoryServer(keep=False, **settings)


async def read(stream: AsyncIterator[Prediction], texts: list[str]) -> None:
    """Read a stream to its end; `texts` keeps what came before a failure."""
    async for prediction in stream:
        texts.append(prediction.text)  # noqa: PERF401
