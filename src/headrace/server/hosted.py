"""One model on the server: made ready once, called from the event loop whatever its methods are.

Plain methods and generators run in worker threads, `async` ones on the loop; at most `concurrency` calls of a model
run at a time, and a bounded number waits. A missing shape is made from another one: `predict` joins what `generate`
yields, `generate` gives what `predict` returns.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import logging
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Any

from headrace.server import shapes
from headrace.server.envelope import NOT_DEPLOYABLE, QUEUE_FULL
from headrace.server.feed import Feed
from headrace.server.model import Answer, Card, Item, ModelError, to_answer
from headrace.server.threads import ToLoop, ToThread, Workers, in_thread

log = logging.getLogger(__name__)

READ_AHEAD = 16  # answers that a generator in a thread may be ahead of the connection
MAX_WAITING = 1024  # calls of one model that wait for their turn


class Hosted:
    """A model class, its card and, once used, its instance."""

    def __init__(self, make: Callable[[], object], cls: type, card: Card, prepare: Callable[[Card], None]) -> None:
        self.card = card
        self.shapes = shapes.Shapes(cls)
        self.concurrency = max(1, int(getattr(cls, "concurrency", 1)))
        self.ordered = bool(getattr(cls, "ordered", True))
        self._make = make
        self._prepare = prepare
        self._instance: Any = None
        self._loading: asyncio.Task[None] | None = None
        self._slots = asyncio.Semaphore(self.concurrency)
        self._waiting = 0
        self._workers = Workers(f"model-{card.id}", self.concurrency)

    @property
    def id(self) -> str:
        """The model's id."""
        return self.card.id

    @property
    def loaded(self) -> bool:
        """Whether the model is ready to answer at once."""
        return self._instance is not None

    async def ready(self) -> None:
        """Wait until the model is loaded; the first caller starts the loading, the others wait for the same.

        Raises:
            ModelError: 21350 when it cannot be loaded; the next call tries again.
        """
        if self._instance is not None:
            return
        if self._loading is None:
            self._loading = asyncio.create_task(self._load_once())
            self._loading.add_done_callback(lambda task: task.cancelled() or task.exception())  # even if all left
        await asyncio.shield(self._loading)

    async def _load_once(self) -> None:
        try:
            self._instance = await in_thread(self._load, f"load-{self.id}")
        except ModelError as error:
            log.error("%s", error.description)
            raise
        finally:
            self._loading = None

    def _load(self) -> object:
        try:
            self._prepare(self.card)
            instance = self._make()
            load = getattr(instance, "load", None)
            if callable(load):
                load()
        except ModelError as error:
            raise ModelError(NOT_DEPLOYABLE, f"model {self.id} cannot be loaded: {error.description}") from error
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise ModelError(NOT_DEPLOYABLE, f"model {self.id} cannot be loaded: {reason}") from error
        return instance

    async def predict(self, item: Item) -> Answer:
        """Give the one answer to an item."""
        if self.shapes.predict is None:
            return shapes.join([answer async for answer in self.generate(item)])
        await self.ready()
        method = self._instance.predict
        if self.shapes.predict.is_async:
            async with self._slot():
                return to_answer(await method(item))
        return to_answer(await self._in_slot(functools.partial(method, item)))

    async def generate(self, item: Item) -> AsyncGenerator[Answer, None]:
        """Give the pieces of the answer as the model makes them; closing the iterator stops the model."""
        if self.shapes.generate is None:
            yield await self.predict(item)
            return
        await self.ready()
        method = self._instance.generate
        if self.shapes.generate.is_async:
            async with self._slot(), contextlib.aclosing(method(item)) as pieces:
                async for piece in pieces:
                    yield to_answer(piece)
            return
        async with contextlib.aclosing(self._pull(lambda: method(item), item.cancelled.set)) as pieces:
            async for piece in pieces:
                yield to_answer(piece)

    async def stream(self, feed: Feed) -> AsyncGenerator[tuple[str, Answer | ModelError], None]:
        """Run the model's own `stream` over items; gives (id of the input it answers, answer)."""
        assert self.shapes.stream is not None
        await self.ready()
        method = self._instance.stream
        if self.shapes.stream.is_async:
            async with self._slot(), contextlib.aclosing(method(feed.on_loop())) as answers:
                async for answer in answers:
                    yield feed.tag(answer)
            return
        blocking = ToThread[Item](feed.capacity)
        pump = asyncio.create_task(feed.pump(blocking))

        def tagged() -> Iterator[tuple[str, Answer | ModelError]]:
            with contextlib.closing(_closable(method(feed.in_thread(blocking)))) as answers:
                for answer in answers:
                    yield feed.tag(answer)

        def stop() -> None:
            feed.cancelled.set()
            blocking.end()

        try:
            async with contextlib.aclosing(self._pull(tagged, stop)) as answers:
                async for answer in answers:
                    yield answer
        finally:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)

    async def close(self) -> None:
        """Call the model's own `close`, if it has one, and let its threads go."""
        if self._loading is not None:
            self._loading.cancel()
        close = getattr(self._instance, "close", None)
        if callable(close):
            try:
                result = await self._workers.run(close)
                if inspect.isawaitable(result):
                    await result
            except Exception as error:
                log.error("closing model %s failed: %s: %s", self.id, type(error).__name__, str(error))
        self._workers.close()

    @contextlib.asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        await self._acquire()
        try:
            yield
        finally:
            self._slots.release()

    async def _acquire(self) -> None:
        if self._waiting >= MAX_WAITING:
            raise ModelError(QUEUE_FULL, f"{self._waiting} calls of model {self.id} wait already; try again later")
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1

    async def _in_slot(self, function: Callable[[], Any]) -> Any:
        """Run a blocking function; its slot stays taken until the thread is done, even when nobody waits any more."""
        await self._acquire()
        loop = asyncio.get_running_loop()
        future = self._workers.submit(function)

        def free(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._slots.release)

        future.add_done_callback(free)
        return await asyncio.wrap_future(future)

    async def _pull(self, start: Callable[[], Any], stop: Callable[[], object]) -> AsyncGenerator[Any, None]:
        """Run a generator in one worker thread, READ_AHEAD answers ahead at most; closing it runs `stop`."""
        bridge = ToLoop[Any](READ_AHEAD)

        def work() -> None:
            try:
                with contextlib.closing(_closable(start())) as pieces:
                    for piece in pieces:
                        if not bridge.put(piece):
                            return
            finally:
                bridge.end()

        running = asyncio.create_task(self._in_slot(work))
        running.add_done_callback(lambda _: bridge.end())  # also when it never started
        try:
            async for piece in bridge:
                yield piece
            await running
        finally:
            stop()
            bridge.close()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def _closable(pieces: Any) -> Any:
    """Give an iterator that has `close`, whatever iterable a method returned."""
    return pieces if hasattr(pieces, "close") else (piece for piece in pieces)


def noted(error: Exception, hosted: Hosted) -> Exception:
    """Log a failure that is the model's own; bad inputs are the caller's."""
    if not isinstance(error, ModelError):
        told = "".join(traceback.format_exception(error)).rstrip()  # as text: a record would keep the frames alive
        log.error("model %s failed: %s: %s\n%s", hosted.id, type(error).__name__, str(error), told)
    return error
