"""Any number of inputs through concurrent unary calls: workers take what was pulled, memory stays constant.

One task pulls the user's source, as many inputs at a time as can be sent together; up to `concurrency` others send.
A worker that is free takes what is there; while none is, inputs are batched for the next one.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from headrace.calls.base import StreamWork
from headrace.calls.batching import BatchLimits, BatchSpace
from headrace.calls.deadline import Deadline
from headrace.calls.feeder import Convert, Template
from headrace.calls.session import Session
from headrace.calls.signal import Signal
from headrace.calls.unary.lists import predict_many
from headrace.config import Limits, MiB, Window
from headrace.flow.window import FlowWindow
from headrace.inputs.prepared import Prepared
from headrace.results import Prediction
from headrace.sources.iterables import Source
from headrace.status import fatal
from headrace.transport.base import Metadata


@dataclass(frozen=True, slots=True)
class MapOptions:
    """How a `map` behaves; see `Model.map`."""

    concurrency: int
    ordered: bool
    batching: BatchLimits
    timeout: float | None  # seconds a request may take
    warm_up: float | None  # None: the configured budget, on top of the timeout
    metadata: Metadata = ()
    window_bytes: int = 64 * MiB


class MapWork(StreamWork):
    """The working parts of `Model.map`.

    At most `2 * concurrency` requests' worth of inputs are pulled and not taken: a slow one at the head does not stop
    the others immediately, and a slow consumer stops them all.
    """

    kind = "map"

    def __init__(
        self,
        session: Session,
        source: Source[object],
        convert: Convert,
        template: Template,
        options: MapOptions,
        limits: Limits,
    ) -> None:
        super().__init__(session, source, convert)
        self._template = template
        self._options = options
        self._limits = limits
        self._batching = batching = options.batching
        self._window = FlowWindow(Window(2 * options.concurrency * batching.inputs, options.window_bytes))
        self._turn = asyncio.Lock()  # of the worker that waits: for the template, or for a request to fill
        self._arrived = Signal()  # for that worker
        self._wanted = Signal()  # for the feeder: inputs are
        self._freed = Signal()  # for an input that waits for room
        self._workers = 0
        self._idle: deque[asyncio.Future[None]] = deque()  # the workers that found nothing to send
        self._due = 0  # workers that were started or woken and have not looked yet
        self._sending = 0  # requests in flight
        self._gathered: deque[Prepared] = deque()  # pulled and not sent
        self._head: bytes | None = None
        self._sizes: dict[int, int] = {}  # of inputs in the window: position -> bytes
        self._done: dict[int, Prediction] = {}  # answered and not taken, by position
        self._order: deque[Prediction] = deque()  # the same if they are taken as they come
        self._next = 0
        self._ended = False

    @property
    def finished(self) -> bool:
        """Whether every input was answered and taken."""
        return self._ended and not self._sizes

    @property
    def in_flight(self) -> tuple[int, int]:
        """Inputs pulled and not taken, and their peak."""
        return self._window.items, self._window.peak

    def take(self) -> Prediction | None:
        """Take the next prediction that can be delivered, or None."""
        if self._options.ordered:
            prediction = self._done.pop(self._next, None)
        else:
            prediction = self._order.popleft() if self._order else None
        if prediction is None:
            return None
        self._next += 1
        self._window.free(self._sizes.pop(prediction.position))
        if not self._wanted.is_set:
            self._wanted.set()
        if not self._freed.is_set:
            self._freed.set()
        return prediction

    def _halted(self) -> None:
        self._gathered.clear()
        current = asyncio.current_task()
        for task in self._tasks:
            if task is not self._feeding and task is not current:
                task.cancel()

    # --- pulling

    @property
    def in_order(self) -> bool:
        """No: predictions are put in order by their positions."""
        return False

    async def room(self) -> int:
        """Wait until inputs are wanted; return how many."""
        while (count := self._demand()) < 1:
            await self._wanted.wait()
        return count

    def offer(self, items: Sequence[Prepared]) -> int:
        """Queue inputs for the next requests, unless earlier ones were larger than expected; return how many."""
        window, gathered, sizes = self._window, self._gathered, self._sizes
        room, room_bytes = window.room, self._options.window_bytes - window.bytes
        taken = total = 0
        for item in items:
            if taken >= room or total > room_bytes:
                break
            taken += 1
            size = sizes[item.position] = item.size_bytes
            total += size
            if item.error is None:
                gathered.append(item)
            else:
                failed = Prediction.failed(item.error, input_id=item.id, position=item.position)
                failed.source = item.source
                self._settle([failed])
        window.take(total, taken)
        self._send_gathered()
        return taken

    async def put(self, item: Prepared) -> None:
        """Queue an input for the next request as soon as there is room."""
        while not self.offer((item,)):
            await self._freed.wait()

    def _send_gathered(self) -> None:
        """Wake or start one worker per queued request."""
        self._arrived.set()
        requests = -(-len(self._gathered) // self._batching.inputs)
        while self._due < requests:
            if self._idle:
                self._idle.popleft().set_result(None)
            elif self._workers < self._options.concurrency:
                self._workers += 1
                self._add_task(self._work, "headrace-map")
            else:
                return
            self._due += 1

    def end(self) -> None:
        """Let the workers end when all is sent."""
        self._ended = True
        self._arrived.set()
        self._due += len(self._idle)
        while self._idle:
            self._idle.popleft().set_result(None)
        self.ready.set()

    def _demand(self) -> int:
        """How many inputs may be pulled now: those that a request has room for; unpacked, those that workers await."""
        waiting, batching, window = len(self._gathered), self._batching, self._window
        if not window.fits(0):
            return 0
        requests = self._options.concurrency - self._sending if batching.inputs == 1 else 1
        room = min(requests * batching.inputs - waiting, window.room)
        largest = self._feeder.largest
        if not largest:
            return int(min(room, 1))
        return int(min(room, max(1, (self._options.window_bytes - window.bytes) // largest)))

    # --- sending

    async def _work(self) -> None:
        if self._head is None:
            async with self._turn:
                self._head = self._head or await self._template()
        due = True
        while True:
            if self._batching.wait and self._gathered:
                await self._wait_for_more()
            if due:
                self._due, due = self._due - 1, False
            if group := self._next_group(self._head):
                self._sending += 1
                self._wanted.set()
                await self._send(self._head, group)
                self._sending -= 1
                self._wanted.set()
            elif self._ended:
                return
            else:
                idle = asyncio.get_running_loop().create_future()
                self._idle.append(idle)
                await idle
                due = True

    async def _wait_for_more(self) -> None:
        """Wait until a request is full, or for as long as its first input may wait."""
        batching, gathered = self._batching, self._gathered
        async with self._turn:
            deadline = time.monotonic() + batching.wait
            while 0 < len(gathered) < batching.inputs and not self._ended and self._demand():
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    return
                await self._arrived.wait(remaining)

    def _next_group(self, head: bytes) -> list[Prepared]:
        """Take the inputs of one request: those that are there."""
        gathered = self._gathered
        count = BatchSpace(self._batching, len(head)).fill(gathered)
        return [gathered.popleft() for _ in range(count)]

    async def _send(self, head: bytes, group: Sequence[Prepared]) -> None:
        self.tally.sent += len(group)
        options = self._options
        await predict_many(
            self._session,
            head,
            group,
            self._limits,
            deadline=Deadline.after(options.timeout),
            warm_up=options.warm_up,
            metadata=options.metadata,
            deliver=self._settle,
            packed=True,
        )

    def _settle(self, predictions: Sequence[Prediction]) -> None:
        if self._stopped:
            return  # they were counted then
        tally, ordered = self.tally, self._options.ordered
        self.ready.set()
        for prediction in predictions:
            error = prediction.error
            if error is None:
                tally.received += 1
            elif fatal(error):
                raise error
            else:
                tally.errors += 1
            if ordered:
                self._done[prediction.position] = prediction
            else:
                self._order.append(prediction)


__all__ = ["MapOptions", "MapWork"]
