"""The base of all streams of inputs: a source to pull, predictions to take, one way to begin and to end."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence

from headrace.calls.feeder import Convert, Feeder
from headrace.calls.session import Session
from headrace.calls.signal import Signal
from headrace.calls.stats import Tally
from headrace.errors import HeadraceError, StreamBroken
from headrace.inputs.prepared import Prepared
from headrace.results import Prediction
from headrace.sources.iterables import Source

logger: logging.Logger = logging.getLogger("headrace")

LAST_MOMENT = 0.05  # seconds for tasks that were cancelled only when the time to end was over


class StreamWork(ABC):
    """The working parts behind a stream that the user holds; they never refer to the stream object.

    Each input that was pulled ends as one prediction, one error or one counted drop. After `halt` nothing is settled
    or counted any more, even by tasks that still run.

    Attributes:
        kind: what the user called, for `repr`.
    """

    kind = "stream"

    def __init__(self, session: Session, source: Source[object], convert: Convert) -> None:
        self.tally: Tally = Tally()
        self.failure: BaseException | None = None
        self.ready: Signal = Signal()  # for the consumer
        self._session = session
        self._feeder = Feeder(source, convert, self.tally, self, self._add_task)
        self._tasks: set[asyncio.Task[None]] = set()
        self._feeding: asyncio.Task[None] | None = None
        self._stopped = False
        self._detached = False  # tasks that still run are not waited for

    @property
    def started(self) -> bool:
        """Whether `start` was called."""
        return self._feeding is not None

    @property
    def running(self) -> bool:
        """Whether a task still runs."""
        return any(not task.done() for task in self._tasks)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop it runs in."""
        assert self._feeding is not None
        return self._feeding.get_loop()

    @property
    def in_flight(self) -> tuple[int, int]:
        """Inputs in flight, and their peak; both 0 if nothing is matched."""
        return 0, 0

    @property
    def lag(self) -> float:
        """Seconds since the oldest unanswered input left the pipe; 0 if that is not known."""
        return 0.0

    @property
    @abstractmethod
    def finished(self) -> bool:
        """Whether nothing more can be taken."""

    @abstractmethod
    def take(self) -> Prediction | None:
        """Take the next prediction that can be delivered, or None."""

    # --- where the feeder puts inputs

    @property
    def in_order(self) -> bool:
        """Whether inputs have to be put in the order of the source."""
        return True

    @property
    def reads_ahead(self) -> bool:
        """Whether inputs may be prepared while one before them still is."""
        return True

    @abstractmethod
    async def room(self) -> int:
        """Wait until items may be pulled; return how many."""

    @abstractmethod
    def offer(self, items: Sequence[Prepared]) -> int:
        """Take inputs in, in order, until one has to wait for room; return how many."""

    @abstractmethod
    async def put(self, item: Prepared) -> None:
        """Take an input in as soon as there is room."""

    @abstractmethod
    def end(self) -> None:
        """Called when the source has ended."""

    # --- begin and end

    def start(self) -> None:
        """Start pulling and sending."""
        self._feeding = self._add_task(self._feed, "headrace-feeder")

    async def finish(self) -> None:
        """End after all was taken."""
        await self.stop()

    async def stop(self) -> None:
        """End everything: idempotent, flag first; waits for the tasks for at most `Timeouts.close`."""
        self.halt()
        await self._wait(self._session.timeouts.close)
        self._leave()

    def halt(self) -> None:
        """End without waiting; idempotent."""
        if self._stopped:
            return
        self._stopped = self._feeder.stopped = True
        self._halted()
        if self.failure is not None:
            self.tally.errors += self._open
        else:
            self.tally.drop("closed", self._open)
        if self._feeder.pulling and self._feeding is not None and self._feeding is not asyncio.current_task():
            self._feeding.cancel()
        self.ready.set()

    def fail(self, error: BaseException) -> None:
        """End the stream with a failure, which the consumer gets after what can be delivered."""
        if self.failure is None and not self._stopped:
            self.failure = error
            if isinstance(error, HeadraceError):
                self._session.counts.failures += 1
            self.halt()

    @property
    def _open(self) -> int:
        """Inputs that have no end yet."""
        return self.tally.open

    @abstractmethod
    def _halted(self) -> None:
        """End the subclass's own parts: calls, timers, pipes."""

    def _add_task(self, work: Callable[[], Awaitable[None]], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._guard(work), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _feed(self) -> None:
        try:
            if not self._stopped:
                await self._feeder.run()
        except BaseException as error:
            self._failed_task(error)  # before closing the source, which may take long
        finally:
            await self._feeder.close()

    async def _guard(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except BaseException as error:
            self._failed_task(error)
        finally:
            self.ready.set()  # the consumer may have waited for nothing but the end

    def _failed_task(self, error: BaseException) -> None:
        if not isinstance(error, asyncio.CancelledError):
            self.fail(error)
        elif not self._stopped:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise error  # the loop is being shut down
            broken = StreamBroken("the stream was cancelled although nobody cancelled it")
            broken.__cause__ = error
            self.fail(broken)

    async def _wait(self, seconds: float) -> None:
        running = self._running_besides_us()
        if running and not self._detached:
            await asyncio.wait(running, timeout=seconds)

    def _leave(self) -> None:
        """Cancel once more what has not ended in time, and stop waiting for it."""
        running = self._running_besides_us()
        if self._detached or not running:
            return
        self._detached = True
        if self._feeding in running:
            logger.warning(
                "the source of inputs did not close within %g s (Timeouts.close): not waiting any longer",
                self._session.timeouts.close,
            )
        for task in running:
            task.cancel()

    def _running_besides_us(self) -> list[asyncio.Task[None]]:
        """List the tasks that run, without the one that asks: a source may close its own stream."""
        current = asyncio.current_task()
        return [task for task in self._tasks if not task.done() and task is not current]
