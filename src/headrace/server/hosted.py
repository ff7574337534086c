"""One model on the server: loaded once, and called from the event loop with any kind of methods.

Plain methods and generators run in worker threads, `async` ones on the loop; at most `concurrency` calls of a model
run at a time, and a bounded number waits. A missing shape is derived from another one: `predict` joins what `generate`
yields, `generate` yields what `predict` returns.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import json
import logging
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict

from headrace.flow.thread_queue import ThreadQueue
from headrace.server.batching import Batcher
from headrace.server.envelope import DEPLOYING, INVALID_REQUEST, NOT_DEPLOYABLE
from headrace.server.failures import Contained, Tracebacks, text_of
from headrace.server.feed import Feed
from headrace.server.fetching import Fetching, Prepare
from headrace.server.methods import Method
from headrace.server.model import Answer, Card, Item, ModelError
from headrace.server.parameters import check_names, parameters_of
from headrace.server.shapes import join
from headrace.server.signatures import Shape
from headrace.server.slots import MAX_WAITING, TIMEOUT, Slots, Watch
from headrace.server.threads import ToThread, in_thread

log: logging.Logger = logging.getLogger(__name__)
#: Log of failures that callers are told about too; a server of one client does without these lines.
refusals: logging.Logger = logging.getLogger("headrace.server.refusals")

FAILURE_SECONDS = (
    15.0  # that a failed fetch is reported to callers who were asked to wait: more than they wait between looks
)
READ_AHEAD = 16  # answers that a generator in a thread may be ahead of the connection
_CONTAINED = Contained()
_END: Any = object()


class Deploying(ModelError):
    """The model's weights are being fetched: try again later."""

    def __init__(self, model_id: str, done: int, total: int, remaining: float) -> None:
        share = f"{done / 1e6:.0f} of {total / 1e6:.0f} MB of its weights fetched"
        super().__init__(DEPLOYING, f"model {model_id} is warming up: {share}")
        self.percent: int = 100 * done // total if total else 0
        self.time_remaining: int = math.ceil(remaining)


class Hosted:
    """A model class, its card and, once used, its instance."""

    def __init__(self, cls: type, card: Card, methods: Mapping[str, Method], prepare: Prepare) -> None:
        self.card = card
        self.described: bool = "card" in vars(cls)  # by its author, not by default
        self.built_in: bool = cls.__module__.startswith("headrace.server.models.")
        self.methods = methods
        self.concurrency: int = max(1, int(getattr(cls, "concurrency", 1)))
        self.ordered: bool = bool(getattr(cls, "ordered", True))
        self.parameters: frozenset[str] | None = parameters_of(cls)
        self._make = cls
        self._prepare = prepare
        self._instance: Any = None
        self._loading: asyncio.Task[None] | None = None
        self._fetching: Fetching
        self._failed_fetch: tuple[float, ModelError] | None = None  # when, and why
        self._slots = Slots(card.id, self.concurrency, _timeout(cls))
        self.batch: int = max(1, int(getattr(cls, "batch", 16))) if hasattr(cls, "predict_many") else 1
        self._batcher = (
            Batcher(self._predict_many, self.batch, self.concurrency, MAX_WAITING) if self.batch > 1 else None
        )
        self.tracebacks: Tracebacks = Tracebacks()

    @property
    def id(self) -> str:
        """The model's id."""
        return self.card.id

    @property
    def at_once(self) -> int:
        """Items that the model can work on at a time."""
        return self.concurrency * self.batch

    @property
    def loaded(self) -> bool:
        """Whether the model is ready to answer immediately."""
        return self._instance is not None

    def check(self, params: Mapping[str, Any]) -> None:
        """Refuse inference parameters that the model does not know.

        Raises:
            ModelError: 11102 with the name that comes nearest.
        """
        if self.parameters is not None and params:
            check_names(params, self.parameters, self.id)

    async def ready(self) -> None:
        """Wait until the model is loaded; the first caller starts the loading, the others wait for the same.

        Raises:
            ModelError: 21351 while its weights are fetched, which no call waits for; 21350 when it cannot be loaded,
                the next call tries again, after a failed fetch a call that comes `FAILURE_SECONDS` later.
        """
        if self._instance is not None:
            return
        if self._failed_fetch is not None:
            failed_at, error = self._failed_fetch
            if time.monotonic() - failed_at < FAILURE_SECONDS:
                raise error
            self._failed_fetch = None
        if self._loading is None:
            self._fetching = Fetching()
            self._loading = asyncio.create_task(self._load_once())
            self._loading.add_done_callback(
                lambda task: task.cancelled() or task.exception()
            )  # even if all callers left
        loading = self._loading
        if not self.card.weights:
            await self._loaded(loading)
            return
        began = asyncio.ensure_future(self._fetching.began.wait())
        try:
            await asyncio.wait([loading, began], return_when=asyncio.FIRST_COMPLETED)
        finally:
            began.cancel()
        if not loading.done() and self._fetching.running:
            raise Deploying(self.id, *self._fetching.state())
        await self._loaded(loading)

    async def _loaded(self, loading: asyncio.Task[None]) -> None:
        if not (await asyncio.wait([loading], timeout=self._slots.timeout))[0]:
            message = f"model {self.id} has not been loaded within {self._slots.timeout:g} seconds"
            raise ModelError(NOT_DEPLOYABLE, message)
        loading.result()

    async def _load_once(self) -> None:
        try:
            self._instance = await in_thread(self._load, f"load-{self.id}")
        except ModelError as error:
            refusals.error("%s", error.description)
            if self._fetching.running:
                self._failed_fetch = time.monotonic(), error
            raise
        finally:
            self._loading = None

    def _load(self) -> object:
        try:
            self._prepare(self.card, self._fetching.report)
            self._fetching.end()
            instance = self._make()
            load = getattr(instance, "load", None)
            if callable(load):
                load()
        except ModelError as error:
            raise ModelError(NOT_DEPLOYABLE, f"model {self.id} cannot be loaded: {error.description}") from error
        except BaseException as error:  # also SystemExit: a model must not end the server
            if trace := self.tracebacks.new(error):
                log.error("model %s cannot be loaded\n%s", self.id, trace)
            raise ModelError(NOT_DEPLOYABLE, f"model {self.id} cannot be loaded: {text_of(error)}") from error
        return instance

    def find(self, shape: Shape, name: str) -> Method:
        """Find the method for a call: the named one, else the one that has the call's shape or comes nearest.

        Raises:
            ModelError: 11102 no such method, or one that has to be called in another way.
        """
        if name:
            method = self.methods.get(name)
            if method is None:
                known = ", ".join(self.methods)
                raise ModelError(INVALID_REQUEST, f"model {self.id} has no method {name!r}; it has: {known}")
            if method.shape not in (shape, "predict"):
                raise ModelError(
                    INVALID_REQUEST, f"call method {name} of model {self.id} as {method.shape}, not as {shape}"
                )
            return method
        for candidate in (shape, "predict", "generate", "stream"):
            if candidate in self.methods:
                return self.methods[candidate]
        raise ModelError(INVALID_REQUEST, f"name one of the methods of model {self.id}: {', '.join(self.methods)}")

    async def predict(self, item: Item) -> Answer:
        """Return the one answer to an item."""
        method = self.find("predict", item.method)
        if method.shape != "predict":
            async with contextlib.aclosing(self.generate(item)) as pieces:
                return await join(pieces)
        await self.ready()
        typed = bool(item.method)
        if self._batcher is not None and method.name == "predict":
            return method.answer(await self._batcher.predict(item), typed)
        if method.is_async:
            async with self._slots.hold():
                with _CONTAINED:
                    return await method.answer_on_loop(await method.call(self._instance, item), typed)
        answer: Answer = await self._slots.run(lambda: method.answer(method.call(self._instance, item), typed))
        return answer

    async def _predict_many(self, items: Sequence[Item]) -> Sequence[Any]:
        method = self._instance.predict_many
        values: Sequence[Any]
        if inspect.iscoroutinefunction(method):
            async with self._slots.hold():
                with _CONTAINED:
                    values = await method(items)
        else:
            values = await self._slots.run(functools.partial(method, items))
        return values

    async def generate(self, item: Item) -> AsyncGenerator[Answer, None]:
        """Yield the pieces of the answer as the model makes them; closing the iterator stops the model."""
        method = self.find("generate", item.method)
        if method.shape == "predict":
            yield await self.predict(item)
            return
        if method.shape == "stream":
            async with contextlib.aclosing(self._stream_one(item)) as answers:
                async for answer in answers:
                    yield answer
            return
        await self.ready()
        typed = bool(item.method)
        if method.is_async:
            watch = Watch()
            async with self._slots.hold(watch), _closing(method.call, self._instance, item) as pieces:
                while True:
                    with _CONTAINED:
                        if (piece := await anext(pieces, _END)) is _END:
                            return
                        answer = await method.answer_on_loop(piece, typed)
                    watch.pause()
                    yield answer
                    watch.resume()

        def blocking() -> Iterator[Answer]:
            with contextlib.closing(_closable(method.call(self._instance, item))) as running:
                for piece in running:
                    yield method.answer(piece, typed)

        async with contextlib.aclosing(self._pull(blocking, item.cancelled.set, Watch())) as answers:
            async for answer in answers:
                yield answer

    async def _stream_one(self, item: Item) -> AsyncGenerator[Answer, None]:
        """Yield a model that only streams a stream of one item."""
        feed = Feed(2, item.cancelled)
        await feed.put(item)
        await feed.end()
        async with contextlib.aclosing(
            self.stream(feed, self.find("stream", item.method), bool(item.method))
        ) as answers:
            async for _, answer in answers:
                if isinstance(answer, ModelError):
                    raise answer
                yield answer

    async def stream(
        self, feed: Feed, method: Method, typed: bool
    ) -> AsyncGenerator[tuple[str, Answer | ModelError], None]:
        """Run a method of shape "stream" over items; gives (id of the input it answers, answer)."""
        await self.ready()
        answer_of = functools.partial(method.answer, typed=typed)
        if method.is_async:
            tagged_answer: tuple[str, Answer | ModelError]
            started = _closing(method.call_stream, self._instance, feed.on_loop())
            async with self._slots.hold(feed.watch), started as values:
                while True:
                    with _CONTAINED:
                        if (value := await anext(values, _END)) is _END:
                            return
                        if method.heavy_answer and not isinstance(value, ModelError):
                            input_id = feed.named(None)  # now: the model may go on while the answer is converted
                            tagged_answer = input_id, await method.answer_on_loop(value, typed)
                        else:
                            tagged_answer = feed.tag(value, answer_of)
                    feed.watch.pause()
                    yield tagged_answer
                    feed.watch.resume()
        blocking = ToThread[Item](feed.capacity)
        pump = asyncio.create_task(feed.pump(blocking))

        def tagged() -> Iterator[tuple[str, Answer | ModelError]]:
            running = method.call_stream(self._instance, feed.in_thread(blocking))
            with contextlib.closing(_closable(running)) as answers:
                for answer in answers:
                    yield feed.tag(answer, answer_of)

        def stop() -> None:
            feed.cancelled.set()
            blocking.end()

        try:
            async with contextlib.aclosing(self._pull(tagged, stop, feed.watch)) as answers:
                async for answer in answers:
                    yield answer
        finally:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)

    async def close(self) -> None:
        """Call the model's own `close`, if it has one, and let its threads go."""
        if self._loading is not None:
            self._loading.cancel()
        if self._batcher is not None:
            self._batcher.close()
        close = getattr(self._instance, "close", None)
        try:
            result = await self._slots.close(close if callable(close) else None)
            if inspect.isawaitable(result):
                with _CONTAINED:
                    await result
        except Exception as error:
            log.error("closing model %s failed: %s", self.id, text_of(error))

    async def _pull(
        self, start: Callable[[], Any], stop: Callable[[], object], watch: Watch
    ) -> AsyncGenerator[Any, None]:
        """Run a generator in one worker thread, READ_AHEAD answers ahead at most; closing it runs `stop`."""
        produced = ThreadQueue[Any](READ_AHEAD)

        def work() -> None:
            try:
                with contextlib.closing(_closable(start())) as pieces:
                    for piece in pieces:
                        watch.pause()
                        if not produced.put(piece):
                            return
                        watch.resume()
            finally:
                watch.resume()
                produced.end()

        running = asyncio.create_task(self._slots.run(work, watch))
        running.add_done_callback(lambda _: produced.end())  # also when it never started
        try:
            async for piece in produced:
                yield piece
            await running
        finally:
            stop()
            produced.close()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def _timeout(cls: type) -> float:
    seconds = getattr(cls, "timeout", TIMEOUT)
    usable = isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds > 0
    return float(seconds) if usable else TIMEOUT


def _closable(pieces: Any) -> Any:
    """Return an iterator that has `close`, whatever iterable a method returned."""
    return pieces if hasattr(pieces, "close") else (piece for piece in pieces)


@contextlib.asynccontextmanager
async def _closing(start: Callable[..., Any], *arguments: Any) -> AsyncIterator[Any]:
    """Start a model's async generator, and close it at the end even if its code raises."""
    with _CONTAINED:
        running = aiter(start(*arguments))
    try:
        yield running
    finally:
        with _CONTAINED:
            await running.aclose()


def noted(error: Exception, hosted: Hosted) -> Exception:
    """Log a failure that is the model's own, with its traceback; bad inputs are the caller's."""
    if not isinstance(error, ModelError) and (trace := hosted.tracebacks.new(error)):
        log.error("model %s failed\n%s", hosted.id, trace)
    return error


def signatures_json(hosted: Hosted) -> str:
    """Return a model's method signatures as JSON, name -> MethodSignature, for clients that ask the model itself."""
    return json.dumps({name: MessageToDict(method.signature) for name, method in hosted.methods.items()})
