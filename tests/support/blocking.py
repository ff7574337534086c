"""A model double and a blocking client of it, over the in-memory transport or over real gRPC."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headrace.blocking import Client, Model
from headrace.blocking.call import run
from headrace.events import Event
from headrace.testing import ModelDouble
from tests.support.bridge import GrpcServer
from tests.support.rig import MODEL, Wire

_numbers = itertools.count()


@dataclass
class BlockingRig:
    """What a test has in hands; the server runs in headrace's own thread, as the client does."""

    double: ModelDouble
    client: Client
    model: Model
    events: list[Event] = field(default_factory=list)

    @property
    def calls(self) -> list[Any]:
        """Every call that the server got."""
        return list(self.double.server.calls)

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until something is true of what the server saw."""
        run(self.double.server.until, condition)


@contextlib.contextmanager
def blocking_rig(
    wire: Wire,
    folder: Path,
    function: Any = lambda item: item.text,
    *,
    double: dict[str, Any] | None = None,
    **client_options: Any,
) -> Iterator[BlockingRig]:
    """Make a double, serve it, and make a blocking client of it."""
    made = ModelDouble(function, **(double or {}))
    events: list[Event] = []
    client_options.setdefault("on_event", events.append)
    with contextlib.ExitStack() as stack:
        stack.enter_context(Client(base_url="http://127.0.0.1:1"))  # the thread is there as long as a client is open
        if wire == "memory":
            client_options |= {"base_url": "http://127.0.0.1:1", "transport": made}
        else:
            server = GrpcServer(made, f"unix:{folder}/b{next(_numbers)}")
            run(server.__aenter__)
            stack.callback(run, server.__aexit__, None, None, None)
            client_options |= {"base_url": server.address, "transport": wire}
        client = stack.enter_context(Client(**client_options))
        yield BlockingRig(made, client, client.model(**MODEL), events)
