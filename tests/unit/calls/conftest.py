"""A client on a model double, made in one line."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import headrace
from headrace.config import RetryPolicy
from headrace.testing import ModelDouble

Connect = Callable[..., headrace.Model]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Give a function that makes a model of a `ModelDouble`, with a client that retries fast."""
    async with contextlib.AsyncExitStack() as stack:
        doubles: list[ModelDouble] = []

        def make(double: ModelDouble, **options: Any) -> headrace.Model:
            doubles.append(double)
            options.setdefault("retry", RetryPolicy(initial=0.001, cap=0.002, warm_up_cap=0.002))
            client = headrace.Client(base_url="http://localhost:1", transport=double, **options)
            stack.push_async_callback(client.close)
            return client.model("u/a/models/m")

        yield make
    for double in doubles:
        assert not double.server.errors
