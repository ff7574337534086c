"""A model behind a proxy, its client, and calls of all shapes through them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from headrace import Client, RetryPolicy, StreamBroken, errors
from headrace.model import Model
from headrace.testing import FaultProxy, ModelDouble
from tests.stacks.proxies import Proxy
from tests.support.bridge import GrpcServer
from tests.support.rig import MODEL

Start = Callable[..., contextlib.AbstractContextManager[Proxy]]
TransportName = Literal["h2", "grpc"]
WORDS = [f"word{n} " for n in range(40)]
PATIENT = RetryPolicy(100, ambiguous_attempts=100, cap=0.2, budget=10_000)  # an outage of a second is not the end


@dataclass
class World:
    """A model behind a proxy, and its client; `line` is between the proxy and the model."""

    double: ModelDouble
    line: FaultProxy
    proxy: Proxy
    client: Client
    model: Model
    events: list[Any]
    folder: Path
    upstream: int
    later: contextlib.ExitStack
    rounds: int = 0

    async def everything(self, *, gentle: bool = True) -> None:
        """Make calls of all shapes at once; every input ends as its own answer, in order.

        Args:
            gentle: False: a token stream may break in the middle; it is asked for again.
        """
        self.rounds += 1
        texts = [f"{self.rounds}-{n}" for n in range(300)]
        async with asyncio.TaskGroup() as group:
            group.create_task(self._streamed(texts))
            group.create_task(self._streamed(texts, batch=8))
            group.create_task(self._mapped(texts))
            group.create_task(self._together(texts[:40]))
            group.create_task(self._tokens(gentle))

    async def _streamed(self, texts: list[str], **options: Any) -> None:
        async with self.model.stream_by_bytes(texts, "text", **options) as stream:
            found = [prediction.text async for prediction in stream]
        assert found == texts
        assert stream.stats.received == stream.stats.pulled == len(texts)

    async def _mapped(self, texts: list[str]) -> None:
        assert [p.text async for p in self.model.map(texts, input_type="text", concurrency=8)] == texts

    async def _together(self, texts: list[str]) -> None:
        found = await asyncio.gather(*(self.model.predict_by_bytes(text, "text") for text in texts))
        assert [prediction.text for prediction in found] == texts

    async def _tokens(self, gentle: bool) -> None:
        while True:
            try:
                text = await self.model.generate_by_bytes("".join(WORDS), "text").text()
            except StreamBroken as error:
                if gentle:
                    raise
                text = error.text
            assert "".join(WORDS).startswith(text)
            if text == "".join(WORDS):
                return

    async def predicted(self) -> BaseException | None:
        """Make a call; gives its failure."""
        with pytest.raises(errors.HeadraceError) as caught:
            await self.model.predict_by_bytes("a", "text")
        return caught.value

    async def generated(self) -> BaseException | None:
        """Ask for tokens; gives the failure."""
        with pytest.raises(errors.HeadraceError) as caught:
            await self.model.generate_by_bytes("a", "text").text()
        return caught.value

    async def streamed(self) -> BaseException | None:
        """Stream one input; gives its failure, or the reason of the stream's."""
        stream = self.model.stream_by_bytes(["a"], "text")
        try:
            return (await anext(stream)).error
        except StreamBroken as broken:
            return broken.__cause__
        except errors.HeadraceError as error:
            return error
        finally:
            await stream.aclose()

    def replace(self, start: Start) -> None:
        """Start another proxy on the same port."""
        again = self.later.enter_context(start(self.folder, self.upstream, port=self.proxy.port))
        self.proxy = again

    def seen_once(self) -> None:
        """Check that the server got no input twice."""
        assert set(self.double.attempts.values()) <= {1}

    def count(self, kind: type) -> int:
        """Count events."""
        return sum(isinstance(event, kind) for event in self.events)


@contextlib.asynccontextmanager
async def world(
    folder: Path, transport: TransportName, start: Start, scheme: str = "http", **options: Any
) -> AsyncIterator[World]:
    """Start all of it."""

    async def answer(item: Any) -> Any:
        await asyncio.sleep(0.001)  # a model that takes its time
        return WORDS if item.shape == "generate" else item.text

    double = ModelDouble(answer)
    events: list[Any] = []
    options.setdefault("retry", PATIENT)
    async with GrpcServer(double) as server, FaultProxy(server.address) as line:
        upstream = int(line.address.rpartition(":")[2])
        with contextlib.ExitStack() as later, start(folder, upstream) as proxy:
            url = f"{scheme}://127.0.0.1:{proxy.port}"
            async with Client(base_url=url, transport=transport, on_event=events.append, **options) as client:
                model = client.model(**MODEL)
                yield World(double, line, proxy, client, model, events, folder, upstream, later)


@contextlib.asynccontextmanager
async def under_load(here: World, *, gentle: bool) -> AsyncIterator[None]:
    """Keep making calls of all shapes until the block has ended."""
    done = False

    async def load() -> None:
        while not done:
            await here.everything(gentle=gentle)

    loading = asyncio.create_task(load())
    try:
        await asyncio.sleep(0.3)
        yield
    finally:
        done = True
        async with asyncio.timeout(60):
            await loading
