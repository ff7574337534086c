"""Any number of inputs through concurrent unary calls: workers take what was pulled, memory stays constant.

One task pulls the user's source; as many as `concurrency` others send. A worker that is free takes what is there; while
none is, inputs gather for the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from headrace.calls.batching import Packing, Room
from headrace.calls.deadline import Deadline
from headrace.calls.parts import Convert, Signal, Tally, Template
from headrace.calls.prepare import OWN_ERRORS
from headrace.calls.session import Session
from headrace.calls.unary.lists import predict_many
from headrace.config import Limits, MiB, Window
from headrace.flow.window import Gate
from headrace.inputs import Input
from headrace.results import Prediction
from headrace.sources.iterables import Source, pull_some
from headrace.status import fatal
from headrace.transport.base import Metadata


@dataclass(frozen=True, slots=True)
class MapOptions:
    """How a `map` behaves; see `Model.map`."""

    concurrency: int
    ordered: bool
    packing: Packing
    timeout: float | None  # seconds a request may take
    warm_up: float | None  # None: the configured budget, on top of the timeout
    metadata: Metadata = ()
    window_bytes: int = 64 * MiB


class MapWork:
    """The working parts of `Model.map`.

    At most `2 * concurrency` requests' worth of inputs are pulled and not taken: a slow one at the head does not stop
    the others at once, and a slow consumer stops them all.
    """

    def __init__(
        self,
        session: Session,
        source: Source[object],
        convert: Convert,
        template: Template,
        options: MapOptions,
        limits: Limits,
    ) -> None:
        self.tally = Tally()
        self.failure: BaseException | None = None
        self.ready = Signal()
        self._session = session
        self._source = source
        self._convert = convert
        self._template = template
        self._options = options
        self._limits = limits
        self._packing = packing = options.packing
        self._gate = Gate(Window(2 * options.concurrency * packing.inputs, options.window_bytes))
        self._turn = asyncio.Lock()  # of the worker that takes inputs: one at a time, in order
        self._taking = False
        self._arrived = Signal()  # for that worker
        self._wanted = Signal()  # for the task that pulls
        self._tasks: set[asyncio.Task[None]] = set()
        self._workers = 0
        self._gathered: deque[tuple[int, Input, int]] = deque()  # pulled and not sent: position, input, its bytes
        self._largest = 0  # bytes of the inputs so far; 0: nothing is known yet
        self._head: bytes | None = None
        self._pending: dict[int, int] = {}  # pulled and not answered: position -> bytes
        self._done: dict[int, tuple[Prediction, int]] = {}  # answered and not taken, by position, with their bytes
        self._order: deque[tuple[Prediction, int]] = deque()  # the same where they are taken as they come
        self._next = 0
        self._ended = False
        self._stopped = False
        self._started = False
        self._closed = False  # the source

    @property
    def started(self) -> bool:
        """Whether it was started."""
        return self._started

    @property
    def running(self) -> bool:
        """Whether a worker still runs."""
        return any(not task.done() for task in self._tasks)

    @property
    def finished(self) -> bool:
        """Whether every input was answered and taken."""
        return self._ended and not self._pending and not self._done and not self._order

    @property
    def in_flight(self) -> tuple[int, int]:
        """Inputs pulled and not taken, and the most at once."""
        return self._gate.items, self._gate.peak

    @property
    def lag(self) -> float:
        """Not known for unary calls: 0."""
        return 0.0

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop it runs in."""
        return next(iter(self._tasks)).get_loop()

    def start(self) -> None:
        """Start pulling, and the first worker; each starts the next one when it has found something to do."""
        self._started = True
        self._add_task(self._feed, "headrace-feeder")
        self._add_worker()

    def take(self) -> Prediction | None:
        """Take the next prediction that can be delivered, or None."""
        if self._options.ordered:
            found = self._done.pop(self._next, None)
        else:
            found = self._order.popleft() if self._order else None
        if found is None:
            return None
        self._next += 1
        self._gate.free(found[1])
        self._wanted.set()
        return found[0]

    def halt(self) -> None:
        """End without waiting."""
        if self._stopped:
            return
        self._stopped = True
        if self._pending and self.failure is None:
            self.tally.drop("closed", len(self._pending))
        elif self.failure is not None:
            self.tally.errors += len(self._pending)
        self._pending.clear()
        self._gathered.clear()
        for task in self._tasks:
            task.cancel()
        self.ready.set()

    async def finish(self) -> None:
        """End after all was taken."""
        await self.stop()

    async def stop(self) -> None:
        """End now; time-boxed."""
        self.halt()
        tasks = [task for task in self._tasks if not task.done()]
        if tasks:
            await asyncio.wait(tasks, timeout=self._session.timeouts.close)
        await self._close_source()

    async def _close_source(self) -> None:
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(Exception, TimeoutError):  # the user's iterator failed while closing
            async with asyncio.timeout(self._session.timeouts.close):
                await self._source.close()
        left = self._source.held
        self.tally.pulled += left
        self.tally.drop("closed", left)

    def _add_task(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        task = asyncio.get_running_loop().create_task(self._guard(work), name=name)
        self._tasks.add(task)

    def _add_worker(self) -> None:
        if self._workers < self._options.concurrency:
            self._workers += 1
            self._add_task(self._work, "headrace-map")

    async def _guard(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as error:
            if self.failure is None and not self._stopped:
                self.failure = error
                self.halt()

    # --- pulling

    async def _feed(self) -> None:
        """Pull what may be pulled until the source ends."""
        while not self._stopped:
            while (most := self._most()) < 1:
                await self._wanted.wait()
            try:
                raws = await pull_some(self._source, most)
            except StopAsyncIteration:
                break
            self.tally.pulled += len(raws)
            position = self.tally.pulled - len(raws)
            pending, gathered, gate = self._pending, self._gathered, self._gate
            for place in range(position, self.tally.pulled):
                pending[place] = 0
            for raw in raws:
                while not gate.fits(0):  # what came before it was larger than could be known
                    self._arrived.set()
                    await self._wanted.wait()
                try:
                    made = self._convert(raw)
                    item = made if isinstance(made, Input) else await made
                except OWN_ERRORS as error:
                    gate.take(0)
                    input_id = getattr(error, "input_id", None) or f"item-{position}"
                    self._settle(position, Prediction.failed(error, input_id=input_id, position=position))
                else:
                    size = pending[position] = item.size_bytes
                    if size >= self._largest:
                        self._largest = size or 1
                    gate.take(size)
                    gathered.append((position, item, size))
                    self._arrived.set()
                position += 1
        self._ended = True
        self._arrived.set()
        self.ready.set()

    def _most(self) -> int:
        """How many inputs may be pulled now: those that a request has room for; unpacked, one that a worker awaits."""
        waiting, packing, gate = len(self._gathered), self._packing, self._gate
        if packing.inputs == 1:
            return int(self._taking and not waiting and gate.fits(0))
        if not gate.fits(0):
            return 0
        room = min(packing.inputs - waiting, gate.room)
        if not self._largest:
            return int(min(room, 1))
        return int(min(room, max(1, (self._options.window_bytes - gate.bytes) // self._largest)))

    # --- sending

    async def _work(self) -> None:
        while True:
            async with self._turn:
                self._taking = True
                self._wanted.set()
                try:
                    group = await self._next_group()
                finally:
                    self._taking = False
                self._wanted.set()
            if not group:
                return
            self._add_worker()
            await self._send(group)

    async def _next_group(self) -> dict[int, Input]:
        """Take the inputs of one request: those that are there; none at the end."""
        packing, gathered = self._packing, self._gathered
        while not gathered and not self._ended:
            await self._arrived.wait()
        if self._head is None:
            self._head = await self._template()
        if packing.wait:
            deadline = time.monotonic() + packing.wait
            while len(gathered) < packing.inputs and not self._ended and self._most():
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                await self._arrived.wait(left)
        group: dict[int, Input] = {}
        room = Room(packing, len(self._head))
        while gathered and len(group) < packing.inputs:
            position, item, size = gathered[0]
            if not room.take(item, size):
                break
            group[position] = item
            gathered.popleft()
        return group

    async def _send(self, group: dict[int, Input]) -> None:
        self.tally.sent += len(group)
        options = self._options
        assert self._head is not None
        await predict_many(
            self._session,
            self._head,
            group,
            self._limits,
            deadline=Deadline.after(options.timeout),
            warm_up=options.warm_up,
            metadata=options.metadata,
            deliver=self._settle,
            packed=True,
        )

    def _settle(self, position: int, prediction: Prediction) -> None:
        error = prediction.error
        if error is not None and fatal(error):
            raise error
        size = self._pending.pop(position, None)
        if size is None:
            return  # stopped meanwhile
        if error is None:
            self.tally.received += 1
        else:
            self.tally.errors += 1
        if self._options.ordered:
            self._done[position] = prediction, size
        else:
            self._order.append((prediction, size))
        self.ready.set()


__all__ = ["MapOptions", "MapWork"]
