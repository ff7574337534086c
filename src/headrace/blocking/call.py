"""Calls from any thread into the loop of `headrace.blocking.thread`."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Generic, ParamSpec, TypeVar

from headrace.blocking import thread
from headrace.errors import ClosedError, ConfigError

P = ParamSpec("P")
T = TypeVar("T")

CANCEL_SECONDS = 5.0  # that an interrupted call gets to end its work on the server
#: A lock that is waited for without a limit cannot be interrupted on Windows.
_SLICE = 0.1 if sys.platform == "win32" else -1


class Call(Generic[T]):
    """One call of a function in the loop: `Call(function, *args, **kwargs).result()`.

    The function runs in the loop's thread, in the context (`contextvars`) of the caller; what it returns is awaited
    where it is a coroutine.

    Attributes:
        interrupted: an exception was raised into the waiting thread, such as KeyboardInterrupt: the call was cancelled.
    """

    __slots__ = (
        "_args", "_cancelled", "_done", "_error", "_function", "_kwargs", "_result", "_task", "_thread", "interrupted",
    )  # fmt: skip

    def __init__(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> None:
        self._function = function
        self._args = args
        self._kwargs = kwargs
        self._done = threading.Lock()
        self._done.acquire()
        self._task: asyncio.Task[None] | None = None
        self._cancelled = False
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = thread.current()
        self.interrupted: bool = False

    def result(self) -> T:
        """Make the call and wait for it.

        Raises:
            ConfigError: the caller runs in the loop's own thread, which would wait for itself.
            ClosedError: the client is closed, or the program is ending.
            BaseException: what the function raised, or what a signal's handler raised into the waiting thread.
        """
        if self._thread.is_this:
            raise ConfigError(
                "headrace.blocking was called in headrace's own thread, which would wait for itself: an on_event "
                "callback or an async iterator of inputs runs there; make the call in another thread"
            )
        self._thread.post(self._begin, context=contextvars.copy_context())
        try:
            while not self._done.acquire(timeout=_SLICE):
                pass
        except BaseException:
            self.interrupted = True
            self._thread.post(self._cancel)
            self._done.acquire(timeout=CANCEL_SECONDS)
            raise
        if thread.is_exiting():
            thread.wait_for_the_end()
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # its traceback holds this frame
        result: T = self._result
        return result

    # --- in the loop

    def _begin(self) -> None:
        try:
            result = self._function(*self._args, **self._kwargs)
        except BaseException as error:
            self._settle(None, error)
            return
        if inspect.iscoroutine(result):
            self._task = self._thread.loop.create_task(self._await(result), name="headrace-call")
        else:
            self._settle(result, None)

    async def _await(self, work: Awaitable[T]) -> None:
        try:
            result = await work
        except asyncio.CancelledError as error:
            self._settle(None, error if self._cancelled else ClosedError("the client was closed during the call"))
        except BaseException as error:
            self._settle(None, error)
        else:
            self._settle(result, None)

    def _settle(self, result: T | None, error: BaseException | None) -> None:
        self._result, self._error = result, error
        self._done.release()

    def _cancel(self) -> None:
        self._cancelled = True
        if self._task is not None:
            self._task.cancel()


def run(function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a coroutine function in the loop and wait for its result; as `Call.result`."""
    call: Call[T] = Call(function, *args, **kwargs)
    return call.result()


def apply(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a plain function in the loop and wait for its result; as `Call.result`."""
    call: Call[T] = Call(function, *args, **kwargs)
    return call.result()


def peek(function: Callable[[], T]) -> T:
    """Read something that only the loop's thread changes, from any thread."""
    here = thread.running()
    if here is None or here.is_this:
        return function()
    try:
        return apply(function)
    except ClosedError:  # it has ended meanwhile
        return function()


__all__ = ["Call", "apply", "peek", "run"]
