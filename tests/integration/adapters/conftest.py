"""What the tests of all adapters need."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from headrace import Client
from headrace.testing import ModelDouble


@pytest.fixture
async def client_of() -> AsyncIterator[Callable[..., Client]]:
    """Give a function that makes a client of a double; clients are closed at the end."""
    async with AsyncExitStack() as stack:

        def make(double: ModelDouble, **options: Any) -> Client:
            client = Client(transport=double, base_url="http://127.0.0.1:1", **options)
            stack.push_async_callback(client.aclose)
            return client

        yield make
