"""Any number of inputs through concurrent unary calls: workers pull from the source, memory stays constant."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from headrace.calls.parts import Signal, Tally
from headrace.calls.session import Session
from headrace.config import MiB, Window
from headrace.errors import InputError, SourceError
from headrace.flow.window import Gate
from headrace.inputs import Input
from headrace.results import Prediction
from headrace.sources.iterables import Source, pull
from headrace.status import fatal

#: Turns an item of the source into a checked input with an id.
Convert = Callable[[object], Awaitable[Input]]
#: Sends inputs (position, input) and gives a prediction each, failed ones with their error.
Predict = Callable[[Sequence[tuple[int, Input]]], Awaitable[Sequence[Prediction]]]


class MapWork:
    """The working parts of `Model.map`.

    At most `2 * concurrency` requests' worth of inputs are pulled and not taken: a slow one at the head does not
    stop the others at once, and a slow consumer stops them all.
    """

    def __init__(
        self,
        session: Session,
        source: Source[object],
        convert: Convert,
        predict: Predict,
        *,
        concurrency: int,
        ordered: bool,
        batch: int,
        window_bytes: int = 64 * MiB,
    ) -> None:
        self.tally = Tally()
        self.failure: BaseException | None = None
        self.ready = Signal()
        self._session = session
        self._source = source
        self._convert = convert
        self._predict = predict
        self._concurrency = concurrency
        self._ordered = ordered
        self._batch = batch
        self._gate = Gate(Window(2 * concurrency * batch, window_bytes))
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._pending: dict[int, int] = {}  # position -> bytes, pulled and not answered
        self._done: dict[int, Prediction] = {}
        self._order: deque[int] = deque()
        self._sizes: dict[int, int] = {}
        self._next = 0
        self._ended = False
        self._stopped = False
        self._started = False

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
        return self._ended and not self._pending and not self._done

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
        """Start the first worker; each starts the next one when it has found something to do."""
        self._started = True
        self._add_worker()

    def take(self) -> Prediction | None:
        """Take the next prediction that can be delivered, or None."""
        if self._ordered:
            prediction = self._done.pop(self._next, None)
        else:
            prediction = self._done.pop(self._order.popleft()) if self._order else None
        if prediction is not None:
            self._next += 1
            self._gate.free(self._sizes.pop(prediction.position))
        return prediction

    def halt(self) -> None:
        """End without waiting."""
        if self._stopped:
            return
        self._stopped = True
        if self._pending and self.failure is None:
            self.tally.drops["closed"] = self.tally.drops.get("closed", 0) + len(self._pending)
        elif self.failure is not None:
            self.tally.errors += len(self._pending)
        self._pending.clear()
        self._gate.close()
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
        with contextlib.suppress(Exception, TimeoutError):  # the user's iterator failed while closing
            async with asyncio.timeout(self._session.timeouts.close):
                await self._source.close()

    def _add_worker(self) -> None:
        if len(self._tasks) < self._concurrency:
            task = asyncio.get_running_loop().create_task(self._guard(), name="headrace-map")
            self._tasks.add(task)

    async def _guard(self) -> None:
        try:
            await self._work()
        except Exception as error:
            if self.failure is None and not self._stopped:
                self.failure = error
                self.halt()

    async def _work(self) -> None:
        while not self._ended and not self._stopped:
            async with self._turn:  # one pulls at a time, in order
                group = await self._pull()
            if not group:
                return
            self._add_worker()
            await self._send(group)

    async def _pull(self) -> list[tuple[int, Input]]:
        group: list[tuple[int, Input]] = []
        while len(group) < self._batch and not self._ended:
            if group and not self._gate.fits(0):
                break  # what is full of this very group gets room only once it was sent
            await self._gate.admit(0)
            try:
                raw = await pull(self._source)
            except BaseException as error:
                self._gate.free(0)
                if not isinstance(error, StopAsyncIteration):
                    raise
                self._ended = True
                self.ready.set()
                break
            position = self.tally.pulled
            self.tally.pulled += 1
            self._pending[position] = 0
            self._sizes[position] = 0
            try:
                item = await self._convert(raw)
            except (InputError, SourceError) as error:
                input_id = getattr(error, "input_id", None) or f"item-{position}"
                self._settle(Prediction.failed(error, input_id=input_id, position=position))
            else:
                self._gate.grow(item.size_bytes)
                self._sizes[position] = item.size_bytes
                group.append((position, item))
        return group

    async def _send(self, group: Sequence[tuple[int, Input]]) -> None:
        self.tally.sent += len(group)
        for prediction in await self._predict(group):
            if prediction.error is not None and fatal(prediction.error):
                raise prediction.error
            self._settle(prediction)

    def _settle(self, prediction: Prediction) -> None:
        if self._pending.pop(prediction.position, None) is None:
            return  # stopped meanwhile
        if prediction.error is None:
            self.tally.received += 1
        else:
            self.tally.errors += 1
        self._done[prediction.position] = prediction
        if not self._ordered:
            self._order.append(prediction.position)
        self.ready.set()


__all__ = ["Convert", "MapWork", "Predict"]
