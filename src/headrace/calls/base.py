"""What both kinds of duplex streams are: a feeder and a driver around one call, and how they begin and end."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

from headrace import events
from headrace.calls.parts import Convert, DuplexOptions, Feeder, Pulled, Signal, Tally
from headrace.calls.session import Session
from headrace.errors import HeadraceError
from headrace.flow.pipe import Pipe
from headrace.sources.iterables import Source
from headrace.transport.base import Call


class DuplexWork(ABC):
    """The working parts that `Duplex` (matched) and `FreeDuplex` share.

    Args:
        fed: called when inputs are in the pipe, and at the source's end.
    """

    def __init__(
        self,
        session: Session,
        source: Source[object],
        convert: Convert,
        options: DuplexOptions,
        fed: Callable[[], None],
    ) -> None:
        self.options = options
        self.tally = Tally()
        self.failure: BaseException | None = None
        self.ready = Signal()  # for the consumer
        self.pipe: Pipe[Pulled] = Pipe(
            options.prefetch,
            size_bytes=options.window.bytes,
            size=lambda pulled: pulled.size,
            overflow=options.overflow,
            max_age=options.max_age,
            on_drop=self._dropped,
        )
        self._session = session
        self._feeder = Feeder(source, convert, self.pipe, self.tally, fed, options.window.bytes)
        self._tasks: list[asyncio.Task[None]] = []
        self._call: Call | None = None
        self._stopped = False

    @property
    def started(self) -> bool:
        """Whether `start` was called."""
        return bool(self._tasks)

    @property
    def running(self) -> bool:
        """Whether a task still runs."""
        return any(not task.done() for task in self._tasks)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop it runs in."""
        return self._tasks[0].get_loop()

    def start(self) -> None:
        """Start pulling and sending."""
        self._session.counts.calls += 1
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._guard(self._feeder.run), name="headrace-feeder"),
            loop.create_task(self._guard(self._drive), name="headrace-driver"),
        ]

    async def stop(self) -> None:
        """End everything: idempotent, flag first; waits for the tasks at most `Timeouts.close`, then lets them be."""
        self.halt()
        tasks = [task for task in self._tasks if not task.done()]
        if tasks:
            await asyncio.wait(tasks, timeout=self._session.timeouts.close)
        await self._feeder.close()  # where the feeder has not even begun

    def halt(self) -> None:
        """End without waiting; idempotent."""
        if self._stopped:
            return
        self._stopped = True
        self._halted()
        self.tally.drop("closed", self._feeder.in_hand)
        ending = self._call is not None and self._call.reading  # the driver ends when its read does
        if self._call is not None:
            self._call.cancel()
        for task in self._tasks[: 1 if ending else None]:
            task.cancel()
        self.pipe.close_receiver()
        self.ready.set()

    def fail(self, error: BaseException) -> None:
        """End the stream with a failure, which the consumer gets after what can be delivered."""
        if self.failure is None and not self._stopped:
            self.failure = error
            if isinstance(error, HeadraceError):
                self._session.counts.failures += 1
            self.halt()

    async def _guard(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as error:
            self.fail(error)
        finally:
            self.ready.set()  # the consumer may have waited for nothing but the end

    def _dropped(self, pulled: Pulled, cause: str) -> None:
        self.tally.drop(cause)
        self._session.emit(events.Dropped(pulled.item.id, pulled.position, cause))

    @abstractmethod
    async def _drive(self) -> None:
        """Open the call, read it, open it again."""

    @abstractmethod
    def _halted(self) -> None:
        """Count what has no answer, and end what is one's own: timers, books."""
