"""The thread that decodes one video: opens it, reopens it if it is live, and hands over the wanted frames."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from headrace.errors import ClosedError, SourceError
from headrace.flow.thread_queue import ThreadQueue
from headrace.sources.base import CLOSE_SECONDS
from headrace.sources.decode import Decoded, Location, Opened, Sampler, Wanted

FIRST_DELAY, MAX_DELAY = 0.1, 5.0  # seconds before a lost camera is opened again


@dataclass(frozen=True, slots=True)
class Raw:
    """A frame that is decoded and not encoded."""

    index: int
    time: Fraction
    picture: Any
    aspect: Fraction
    captured: float
    timestamp: float


class Decoder:
    """The decoding thread. It never refers to the source, so that a forgotten source ends it."""

    def __init__(
        self, location: Location, wanted: Wanted, out: ThreadQueue[Raw], finite: bool, paced: bool, outage: float | None
    ) -> None:
        self.out = out
        self.broken: int = 0
        self.reconnects: int = 0
        self._location = location
        self._wanted = wanted
        self._finite = finite
        self._paced = paced
        self._outage = outage
        self._halted = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="headrace-video", daemon=True)
        self._index = 0
        self._zero: tuple[float, Fraction] | None = None  # when the first frame came, and its time
        self._last = Fraction(-1)  # time of the last frame

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def halt(self) -> None:
        """End without waiting."""
        self._halted.set()
        self.out.close()

    async def stop(self) -> None:
        """End and wait, but not forever: a read of a silent camera ends with its own timeout."""
        self.halt()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.shield(self._ended)
                self._thread.join(0.1)  # it has nothing left to do

    def _run(self) -> None:
        failure: BaseException | None = None
        try:
            if self._finite:
                self._once(Sampler(self._wanted))
            else:
                self._for_ever()
        except ClosedError:
            pass
        except Exception as error:
            failure = error
        self.out.end(failure)
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(_end, self._ended)

    def _for_ever(self) -> None:
        sampler = Sampler(self._wanted)
        lost_since: float | None = None
        delay = FIRST_DELAY
        while True:
            before = self._index
            try:
                self._once(sampler)
                error = SourceError(f"{self._location.name}: the stream ended", source=self._location.name)
            except SourceError as failure:
                if not self._index and not self.reconnects:
                    raise  # it never worked: most likely the address is wrong
                error = failure
            error.position = self._index
            now = time.monotonic()
            if self._index > before:
                lost_since, delay = now, FIRST_DELAY
            lost_since = now if lost_since is None else lost_since
            if self._outage is not None and now - lost_since > self._outage:
                raise SourceError(
                    f"{error}; it could not be reopened within {self._outage:g} s, {self.reconnects} attempts",
                    source=self._location.name,
                    position=self._index,
                ) from error
            if self._halted.wait(delay * random.uniform(0.5, 1.0)):
                raise ClosedError
            delay = min(delay * 2, MAX_DELAY)
            self.reconnects += 1

    def _once(self, sampler: Sampler) -> None:
        """Open it and hand over the wanted frames, to its end."""
        opened = Opened(self._location, self._wanted, live=not self._finite)
        broken = self.broken
        try:
            for decoded, when in self._timed(opened):
                self.broken = broken + opened.broken
                if self._halted.is_set():
                    raise ClosedError
                if sampler.past(when):
                    return
                if not sampler.choose(when, decoded.tick):
                    continue
                if self._paced:
                    self._pace(when)
                raw = Raw(self._index, when, decoded.picture, decoded.aspect, time.monotonic(), time.time())
                if not self.out.put(raw):
                    raise ClosedError
                self._index += 1
        finally:
            self.broken = broken + opened.broken
            opened.close()

    def _timed(self, opened: Opened) -> Iterator[tuple[Decoded, Fraction]]:
        """Yield frames with their times; those of a live source go on with the clock when it begins again."""
        shift = Fraction(0) if self._finite else None
        for decoded in opened.frames():
            if not self._finite and (shift is None or decoded.time + shift <= self._last):
                shift = self._since_first(decoded) - decoded.time
            assert shift is not None
            self._last = decoded.time + shift
            yield decoded, self._last

    def _since_first(self, decoded: Decoded) -> Fraction:
        now = time.monotonic()
        if self._zero is None:
            self._zero = (now, decoded.time)
        return max(Fraction(now - self._zero[0]).limit_denominator(1000), self._last + decoded.tick)

    def _pace(self, when: Fraction) -> None:
        now = time.monotonic()
        if self._zero is None:
            self._zero = (now, when)
        due = self._zero[0] + float(when - self._zero[1])
        if due > now and self._halted.wait(due - now):
            raise ClosedError


def _end(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)
