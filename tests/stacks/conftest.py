"""What the tests of other stacks share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Literal

import pytest

from headrace.config import Transmission
from headrace.target import Target
from headrace.transport import choice
from headrace.transport.base import Transport
from tests.interop.conftest import absent
from tests.interop.install import Missing
from tests.stacks.running import STACKS, Running, free_port, running

TRANSPORTS: tuple[Literal["h2", "grpc"], ...] = ("h2", "grpc")
FACTORIES = {"h2": choice.make_h2, "grpc": choice.make_grpc}


@pytest.fixture(scope="module", params=STACKS)
def stack(request: pytest.FixtureRequest) -> Iterator[Running]:
    """A server of the echo service on each stack."""
    name: str = request.param
    port = free_port()
    try:
        command, env = STACKS[name].command(port), STACKS[name].env()
    except Missing as reason:
        absent("stacks", str(reason))
    with running(command, port, env=env) as server:
        yield server


@pytest.fixture(params=TRANSPORTS)
async def transport(request: pytest.FixtureRequest, stack: Running) -> AsyncIterator[Transport]:
    """A connected transport to it."""
    made = FACTORIES[request.param](Target.parse(stack.address), Transmission())
    await made.connect(10)
    yield made
    await made.close(0)
