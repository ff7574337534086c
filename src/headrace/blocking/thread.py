"""The thread in which everything asynchronous happens.

One daemon thread with one event loop serves all blocking clients of a process. It starts with the first call, and ends
when the last client is closed, at the latest with the program. Everything of a client happens in it, so any number of
threads may use one client.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from headrace.errors import ClosedError
from headrace.support import forks

END_SECONDS = 3.0  # that clients get to close when the program ends, and tasks to end with the thread
FORK_SECONDS = 1.0  # that a fork waits for the loop to stand still


class Closable(Protocol):
    """What the thread closes."""

    async def aclose(self) -> None:
        """Close it."""


#: A client that is open: calling it closes it as one that nobody holds any more.
if TYPE_CHECKING:
    Opened: TypeAlias = weakref.finalize[[Closable, int], object]
else:
    Opened = weakref.finalize


class LoopThread:
    """A daemon thread with an event loop.

    Attributes:
        ending: it takes no more work.
    """

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop = asyncio.new_event_loop()
        self.ending: bool = False
        self._lock = threading.RLock()  # a finalizer may interrupt a thread that has it
        self._holding = False
        self._held = threading.Event()  # the loop stands still for a fork
        self._go_on = threading.Event()
        self._last: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()  # a loop holds its tasks weakly
        self._thread = threading.Thread(target=self._work, name="headrace-blocking", daemon=True)
        self._thread.start()

    @property
    def is_this(self) -> bool:
        """Whether the caller runs in this thread."""
        return threading.get_ident() == self._thread.ident

    def _work(self) -> None:
        asyncio.set_event_loop(self.loop)
        while not self.ending:
            self.loop.run_forever()
            if not self.ending:
                self._held.set()
                self._go_on.wait()
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:  # cancels what came meanwhile, and closes it
            runner.get_loop()

    def post(self, function: Callable[..., object], *args: Any, context: contextvars.Context | None = None) -> None:
        """Call a function in the thread, without waiting for it.

        Raises:
            ClosedError: it takes no more work.
        """
        with self._lock:  # what is posted is called: nobody may wait for what is not
            if self.ending:
                raise ClosedError("the client is closed")
            self.loop.call_soon_threadsafe(function, *args, context=context)

    def leave(self, thing: Closable) -> None:
        """Close something that nobody holds any more, without waiting."""
        with contextlib.suppress(ClosedError):  # everything of the thread is closed then
            self.post(self._close, thing)

    def _close(self, thing: Closable) -> None:
        task = self.loop.create_task(closed(thing), name="headrace-leave")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    # --- around a fork

    def hold(self) -> None:
        """Let the loop stand still, so that a child inherits nothing half done; the thread waits for `go_on`."""
        if self.is_this or self._holding:
            return
        self._holding = True
        self._held.clear()
        self._go_on.clear()
        with contextlib.suppress(ClosedError):
            self.post(self.loop.stop)
            self._held.wait(FORK_SECONDS)

    def go_on(self) -> None:
        """Let the loop run again."""
        self._holding = False
        self._go_on.set()

    # --- the end

    def end(self, clients: Iterable[Closable] = (), *, wait: bool = True) -> None:
        """End the thread, after closing the clients and cancelling what still runs; time-boxed."""
        with contextlib.suppress(ClosedError):
            self.post(self._begin_end, list(clients))
        if wait and not self.is_this:
            self._thread.join(END_SECONDS + 1)

    def _begin_end(self, clients: list[Closable]) -> None:
        self._last = self.loop.create_task(self._end(clients), name="headrace-end")

    async def _end(self, clients: list[Closable]) -> None:
        try:
            running = asyncio.all_tasks() - {asyncio.current_task()} - self._leaving
            for task in running:
                task.cancel()
            closing = [asyncio.ensure_future(closed(client)) for client in clients]
            if waiting := [*running, *closing, *self._leaving]:
                await asyncio.wait(waiting, timeout=END_SECONDS)
        finally:
            with self._lock:
                self.ending = True
            self.loop.stop()


async def closed(thing: Closable) -> None:
    """Close something whose failure nobody would see."""
    with contextlib.suppress(Exception):
        await thing.aclose()


# --- the one thread of a process, and its users

_lock = threading.RLock()  # a finalizer may interrupt a thread that has it
_current: LoopThread | None = None
_users = 0  # clients that are open
_clients: weakref.WeakSet[Closable] = weakref.WeakSet()  # to be closed with the program
_inherited: list[LoopThread] = []  # of the parents of this process: kept, and never touched
_exiting = False
generation: int = 0  # how many forks lie between the first process and this one


def current() -> LoopThread:
    """Give the thread of this process; it starts now if it does not run.

    Raises:
        ClosedError: no client is open that could use it, or the program is ending.
    """
    global _current
    if (thread := _current) is not None:
        return thread
    if _exiting:
        wait_for_the_end()
        raise ClosedError("the program is ending: headrace makes no more calls")
    with _lock:
        if not _users:
            raise ClosedError("the client is closed")
        if _current is None:
            _current = LoopThread()
        return _current


def wait_for_the_end() -> None:
    """Let a daemon thread wait until the program, which is ending, has ended: it is not to fail in its last moment."""
    if threading.current_thread().daemon:
        threading.Event().wait()


def is_exiting() -> bool:
    """Return whether the program is ending."""
    return _exiting


def running() -> LoopThread | None:
    """Give the thread of this process, if it runs."""
    return _current


def open_until_closed(owner: object, client: Closable) -> Opened:
    """Keep the thread for a client: until `close`, until its owner is forgotten, or until the program ends."""
    global _users
    with _lock:
        _users += 1
        _clients.add(client)
    finalizer = weakref.finalize(owner, _forgotten, client, generation)
    finalizer.atexit = False
    return finalizer


def close(opened: Opened, aclose: Callable[[], object]) -> None:
    """Close a client: once; its last call is `aclose`."""
    if opened.detach() is not None:
        try:
            aclose()
        finally:
            _release(wait=True)


def _forgotten(client: Closable, made_in: int) -> None:
    """Close a client that nobody holds any more; one of the parent process is the parent's to close."""
    if (thread := _current) is not None and made_in == generation:
        thread.leave(client)
    _release(wait=False)


def _release(*, wait: bool) -> None:
    global _users, _current
    with _lock:
        _users -= 1
        if _users or _current is None or _exiting:
            return
        thread, _current = _current, None
    thread.end(wait=wait)


def _at_exit() -> None:
    global _exiting, _current
    with _lock:
        _exiting = True
        thread, _current = _current, None
    if thread is not None:
        thread.end(_clients)


def _hold() -> None:
    if _current is not None:
        _current.hold()


def _go_on() -> None:
    if _current is not None:
        _current.go_on()


def _after_in_child() -> None:
    """Forget the parent's thread, which is not here, and its clients, which are the parent's to close."""
    global _current, _lock, _clients, generation
    if _current is not None:
        _inherited.append(_current)  # closing its loop would take the parent's descriptors out of the parent's poll
    _lock = threading.RLock()
    _current = None
    _clients = weakref.WeakSet()
    generation += 1


atexit.register(_at_exit)
forks.register(before=_hold, after_in_parent=_go_on, after_in_child=_after_in_child, outermost=True)

__all__ = [
    "Closable",
    "LoopThread",
    "Opened",
    "close",
    "current",
    "is_exiting",
    "open_until_closed",
    "running",
    "wait_for_the_end",
]
