"""Calls of methods with signatures: `await model.call("predict", ...)`, `async for` over "generate" and "stream"."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

from headrace.calls.deadline import Deadline, within
from headrace.errors import ClosedError, ConcurrentUse, ConfigError, ServerError
from headrace.inputs import Input
from headrace.methods.signatures import GET_SIGNATURES, METHOD_KEY, Method, from_json
from headrace.results import Prediction
from headrace.sources.iterables import Source, source
from headrace.support.misuse import AsyncContext, AsyncIteration
from headrace.v2 import resources_pb2 as pb

OPTIONS = frozenset({"timeout", "metadata"})  # of the call itself, if the method has no argument of that name
UNSUPPORTED_FORMAT = 30101  # the answers of models without signatures


class Pieces(Protocol):
    """The common interface of the streams of predictions."""

    async def __anext__(self) -> Prediction:
        """Return the next one."""

    async def aclose(self) -> None:
        """End the call."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """How a typed call reaches its model: the signatures, and the three shapes."""

    methods: Callable[[], Awaitable[Mapping[str, Method]]]
    unary: Callable[..., Awaitable[Prediction]]
    server_stream: Callable[..., Pieces]
    duplex: Callable[..., Pieces]


class MethodCall(AsyncContext, AsyncIteration):
    """A call of a method, not yet made: `await` it for one answer, `async for` over it for a stream of them.

    Wrong arguments raise `ConfigError` with the signature, when the call is made (signatures are looked up then); a
    second task that reads it at the same time gets `ConcurrentUse`. `timeout=` and `metadata=` are the call's own if
    the method has no argument of that name; the timeout covers the look-up too.
    """

    def __init__(self, shapes: Shapes, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self._shapes = shapes
        self._name = name
        self._args = args
        self._kwargs = kwargs
        self._pieces: Pieces | None = None
        self._method: Method | None = None
        self._closed = False
        self._busy = False  # someone opens or reads it

    def __repr__(self) -> str:
        return f"<MethodCall {self._name}>"

    def __await__(self) -> Generator[Any, None, Any]:
        return self._answer().__await__()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if self._closed:
            raise StopAsyncIteration
        with self._alone():
            await self._open()
            assert self._pieces is not None
            assert self._method is not None
            try:
                prediction = await self._pieces.__anext__()
            except StopAsyncIteration:
                self._closed = True
                raise
            return self._method.decode(prediction.data)

    async def __aenter__(self) -> Self:
        with self._alone():
            await self._open()
        return self

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        if self._busy:
            raise ConcurrentUse("another task is reading this call")
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    async def either(self) -> Any:
        """Return the answer of a method with one answer; for a method with a stream, the call itself, to be read.

        Raises:
            ConfigError: no such method, or wrong arguments; the message has the signature.
        """
        deadline = self._deadline()
        method = await self._find(deadline)
        if method.shape == "unary":
            return await self._answer_of(method, deadline)
        self._bind(method, deadline)
        return self

    async def aclose(self) -> None:
        """End the call; idempotent."""
        self._closed = True
        if self._pieces is not None:
            await self._pieces.aclose()

    async def _answer(self) -> Any:
        deadline = self._deadline()
        method = await self._find(deadline)
        if method.shape != "unary":
            raise ConfigError(f"{method.name} returns a stream of answers: use `async for`: {method}")
        return await self._answer_of(method, deadline)

    async def _answer_of(self, method: Method, deadline: Deadline) -> Any:
        bound, options = self._bind(method, deadline)
        prediction = await self._shapes.unary(_input(method.encode(bound)), **options)
        return method.decode(prediction.data)

    async def _open(self) -> None:
        if self._closed:
            raise ClosedError("the call is closed")
        if self._pieces is not None:
            return
        deadline = self._deadline()
        method = self._method = await self._find(deadline)
        if method.shape == "unary":
            raise ConfigError(f"{method.name} returns one answer: `await` it: {method}")
        bound, options = self._bind(method, deadline)
        if self._closed:  # while its method was looked up
            raise ClosedError("the call is closed")
        if method.shape == "server stream":
            self._pieces = self._shapes.server_stream(_input(method.encode(bound)), **options)
        else:
            self._pieces = self._shapes.duplex(_Requests(method, bound), **options)

    def _deadline(self) -> Deadline:
        seconds = self._kwargs.get("timeout")
        usable = isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds > 0
        return Deadline.after(seconds if usable else None)  # problems are reported when the call is made

    async def _find(self, deadline: Deadline) -> Method:
        async with within(deadline, "looking up the methods of the model"):
            methods = await self._shapes.methods()
        if self._name not in methods:
            known = "; ".join(str(method) for method in methods.values()) or "none: use predict, generate or stream"
            raise ConfigError(f"the model has no method {self._name!r}; it has {known}")
        return methods[self._name]

    def _bind(self, method: Method, deadline: Deadline) -> tuple[dict[str, Any], dict[str, Any]]:
        """Separate the arguments of the method from the options of the call.

        Raises:
            ConfigError: wrong arguments; the message has the signature.
        """
        own = OPTIONS - {parameter.name for parameter in method.parameters}
        options = {name: value for name, value in self._kwargs.items() if name in own}
        arguments = {name: value for name, value in self._kwargs.items() if name not in own}
        if "timeout" in options and deadline.or_none is not None:
            options["timeout"] = max(deadline.remaining, 0.001)
        return method.bind(self._args, arguments), options


class _Requests(Source[object]):
    """The requests of a streamed method: the first has all arguments, the others only the streamed one."""

    def __init__(self, method: Method, bound: Mapping[str, Any]) -> None:
        streamed = method.streamed
        if streamed is None:
            raise ConfigError(f"{method.name} has no streamed argument: {method}")
        self._method = method
        self._name = streamed.name
        self._rest: dict[str, Any] = {name: value for name, value in bound.items() if name != streamed.name}
        try:
            self._values = source(bound[streamed.name], (str, bytes, bytearray, memoryview))
        except ConfigError as error:
            raise ConfigError(f"{method.name}: argument {streamed.name}: {error}: {method}") from None

    async def next(self) -> object:
        """Return the next request's input."""
        value = await self._values.next()
        arguments, self._rest = {**self._rest, self._name: value}, {}
        return _input(self._method.encode(arguments))

    async def close(self) -> None:
        """Close the user's iterator."""
        await self._values.close()


def _input(data: pb.Data) -> Input:
    return Input((), raw=pb.Input(data=data).SerializeToString())


async def ask_for_methods(predict: Callable[[Input], Awaitable[Prediction]]) -> tuple[Method, ...]:
    """Ask a model itself for its signatures, if the server doesn't know them; () if it has none."""
    try:
        answer = await predict(signatures_request())
    except ServerError as error:
        if error.code == UNSUPPORTED_FORMAT:
            return ()
        raise
    return from_json(answer.text) if answer.text else ()


def signatures_request() -> Input:
    """Make the input that asks a model itself for its signatures, if the server doesn't know them."""
    data = pb.Data(parts=[pb.Part()])
    data.metadata[METHOD_KEY] = GET_SIGNATURES
    return _input(data)


__all__ = ["MethodCall", "Pieces", "Shapes", "ask_for_methods", "signatures_request"]
