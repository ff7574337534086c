"""What the blocking classes have in common: closing, `with`, and reading a stream with `for`."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, NoReturn, ParamSpec, Protocol, Self, TypeVar, cast

from headrace.blocking import thread
from headrace.blocking.call import Call, apply, peek, run
from headrace.errors import ClosedError

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class AsyncStream(Protocol[T_co]):
    """A stream that is read with `async for`."""

    async def __anext__(self) -> T_co:
        """Give the next item."""

    async def __aenter__(self) -> Any:
        """Start it."""

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End it."""

    async def aclose(self) -> None:
        """Close it."""


class Wrapper:
    """Something of the asyncio API that is used from other threads."""

    _wrapped: Any

    def __repr__(self) -> str:
        return cast("str", peek(self._wrapped.__repr__))

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} holds connections; make one in each process")


class Closing(Wrapper):
    """What `with` enters and closes."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close it; idempotent."""
        raise NotImplementedError


class Stream(Wrapper, Generic[T]):
    """What is read with `for`, in one thread at a time; `with` closes it.

    A stream that is left before its end is closed when nothing holds it any more: in CPython, at once. An exception
    that is raised into a thread that waits for the next item, such as KeyboardInterrupt, closes it as well.
    """

    def __init__(self, wrapped: AsyncStream[T], owner: object) -> None:
        self._wrapped = wrapped
        self._owner = owner  # whose connections it uses
        self._thread = thread.current()  # in which it was opened
        self._over = False

    @classmethod
    def _open(cls, owner: object, function: Callable[P, AsyncStream[T]], /, *args: P.args, **kwargs: P.kwargs) -> Self:
        return cls(apply(function, *args, **kwargs), owner)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        self._check_thread()
        call: Call[T] = Call(self._wrapped.__anext__)
        try:
            return call.result()
        except StopAsyncIteration:
            self._over = True
            raise StopIteration from None
        except BaseException:
            if call.interrupted:
                self._thread.leave(self._wrapped)
            raise

    def __enter__(self) -> Self:
        self._check_thread()
        run(self._wrapped.__aenter__)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over = True
        if self._is_of_this_thread:
            run(self._wrapped.__aexit__, exc_type, exc, traceback)

    def close(self) -> None:
        """End the call on the server and close the source of inputs; idempotent, time-boxed by `Timeouts.close`."""
        self._over = True
        if self._is_of_this_thread:  # else it was closed with its client, or it is another process's
            run(self._wrapped.aclose)

    @property
    def _is_of_this_thread(self) -> bool:
        return self._thread is thread.running()

    def _check_thread(self) -> None:
        if not self._is_of_this_thread:
            raise ClosedError("the stream is closed: its client was closed, or this process was forked since")

    def __del__(self) -> None:
        if not getattr(self, "_over", True) and self._is_of_this_thread:
            self._thread.leave(self._wrapped)


__all__ = ["AsyncStream", "Closing", "Stream", "Wrapper"]
