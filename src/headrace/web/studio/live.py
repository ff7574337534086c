"""A stream to watch: made-up inputs through a made-up model, with everything that can be set set by the page.

The stream is a real one, and so are its pipe, window, retries and drops; only the server is in memory, so that its
delay and its failures can be chosen. Each message from the page sets something; ten times a second the page gets the
counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import statistics
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from headrace import Client, PredictionStream
from headrace.flow.pipe import Overflow
from headrace.testing import MemoryServer, ModelDouble
from headrace.web.studio.sockets import Refused, fail, opened

TELLS_A_SECOND = 10
THROTTLED = 11005
_LATENCIES = 500  # the last ones, of which the percentiles are


class Settings(BaseModel):
    """What the page sets."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    rate: float = Field(default=40, ge=1, le=500)  # inputs a second
    window: int = Field(default=8, ge=1, le=64)
    prefetch: int = Field(default=16, ge=1, le=64)
    overflow: Overflow = "block"
    delay: float = Field(default=0.1, ge=0, le=2)  # seconds that the model takes
    failures: float = Field(default=0, ge=0, le=0.5)  # the share of answers that refuse an input for now
    reading: float = Field(default=0, ge=0, le=0.5)  # seconds that the reader takes for an answer


@dataclass(slots=True)
class Latencies:
    """The last latencies."""

    values: deque[float]

    def percentiles(self) -> dict[str, float]:
        """Return three of them, in seconds; 0 if there are none."""
        values = sorted(self.values)
        if len(values) < 2:
            return dict.fromkeys(("p50", "p95", "p99"), values[0] if values else 0.0)
        cuts = statistics.quantiles(values, n=100)
        return {"p50": round(cuts[49], 4), "p95": round(cuts[94], 4), "p99": round(cuts[98], 4)}


class Show:
    """One stream after the other, as the settings change."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.changed: asyncio.Event = asyncio.Event()
        self.stream: PredictionStream | None = None
        self.latencies: Latencies = Latencies(deque(maxlen=_LATENCIES))
        self._chance = random.Random()
        self._totals: dict[str, float] = {}

    async def answer(self, item: Any) -> Any:
        """Stand in for the model."""
        await asyncio.sleep(self.settings.delay * self._chance.uniform(0.7, 1.3))
        return THROTTLED if self._chance.random() < self.settings.failures else item.text

    async def inputs(self) -> AsyncIterator[str]:
        """Yield made-up inputs at the rate that is set; each is the moment at which it was due."""
        due = time.perf_counter()
        while True:
            due = max(
                due + 1 / self.settings.rate, time.perf_counter() - 1
            )  # who was held up does not catch up for long
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            yield str(time.perf_counter())

    async def run(self) -> None:
        """Run streams until cancelled; another one begins when what a stream is made with changes."""
        double = ModelDouble(self.answer, answering="as_ready", server=MemoryServer(keep=False))
        async with Client(base_url="http://127.0.0.1:1", transport=double) as client:
            model = client.model("made-up/live/models/model")
            while True:
                made_with = self.settings
                self.changed.clear()
                async with model.stream(
                    self.inputs(),
                    "text",
                    window=made_with.window,
                    prefetch=made_with.prefetch,
                    overflow=made_with.overflow,
                    ordered=False,
                ) as self.stream:
                    await self._read(self.stream, made_with)
                self._add_up(self.stream)
                self.stream = None

    async def _read(self, stream: PredictionStream, made_with: Settings) -> None:
        async for prediction in stream:
            if not prediction.error:
                self.latencies.values.append(time.perf_counter() - float(prediction.text))
            if self.settings.reading:
                await asyncio.sleep(self.settings.reading)
            now = self.settings
            if (now.window, now.prefetch, now.overflow) != (made_with.window, made_with.prefetch, made_with.overflow):
                return

    def _add_up(self, stream: PredictionStream) -> None:
        for name, value in _counts(stream).items():
            self._totals[name] = self._totals.get(name, 0) + value

    def counts(self) -> dict[str, Any]:
        """Return where the stream stands."""
        stream = self.stream
        now = _counts(stream) if stream is not None else {}
        totals = {name: self._totals.get(name, 0) + now.get(name, 0) for name in {*self._totals, *now}}
        in_flight = stream.stats.in_flight if stream is not None else 0
        ended = sum(now.get(name, 0) for name in ("received", "errors", *(n for n in now if n.startswith("drop:"))))
        queued = max(0, now.get("pulled", 0) - ended - in_flight)
        return {
            "time": time.perf_counter(),
            "queued": queued,
            "in_flight": in_flight,
            "window": self.settings.window,
            "totals": totals,
            "latency": self.latencies.percentiles(),
        }


def _counts(stream: PredictionStream) -> dict[str, float]:
    stats = stream.stats
    names = ("pulled", "sent", "received", "errors", "retries", "resumed")
    drops = {f"drop:{cause}": number for cause, number in stats.drops.items()}
    return {name: getattr(stats, name) for name in names} | drops


async def endpoint(ws: WebSocket) -> None:
    """Show a stream to the page, and let it set what it wants."""
    try:
        show = Show(Settings.model_validate(await opened(ws)))
    except Refused:
        return
    except ValidationError as error:
        await fail(ws, f"the settings are wrong: {error.errors()[0]['msg']}")
        return
    running = asyncio.ensure_future(show.run())
    telling = asyncio.ensure_future(_tell(ws, show))
    setting = asyncio.ensure_future(_set(ws, show))
    try:
        await asyncio.wait([running, telling, setting], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (running, telling, setting):
            task.cancel()
        await asyncio.gather(running, telling, setting, return_exceptions=True)


async def _tell(ws: WebSocket, show: Show) -> None:
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        while True:
            await ws.send_json(show.counts())
            await asyncio.sleep(1 / TELLS_A_SECOND)


async def _set(ws: WebSocket, show: Show) -> None:
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        while True:
            try:
                change = await ws.receive_json()
                show.settings = Settings.model_validate({**show.settings.model_dump(), **change})
            except (ValueError, TypeError):  # no settings: those that are in force stay
                continue
