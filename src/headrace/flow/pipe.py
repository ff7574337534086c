"""The bounded pipe between a producer and a consumer, with two ends and a policy for when it is full.

Plain asyncio on purpose (a deque and futures): a hop costs a microsecond. Both ends live in one event loop.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeAlias, TypeVar

from headrace.errors import ClosedError, ConfigError

T = TypeVar("T")

Overflow: TypeAlias = Literal["block", "drop_oldest", "drop_newest", "latest"]
OVERFLOWS: tuple[Overflow, ...] = ("block", "drop_oldest", "drop_newest", "latest")


class EndOfPipe(Exception):
    """All was received and the sender has closed its end."""


@dataclass(frozen=True, slots=True)
class PipeStats:
    """A snapshot: items and bytes inside, their peaks, and what went in, out and was dropped."""

    items: int
    bytes: int
    peak_items: int
    peak_bytes: int
    sent: int
    received: int
    dropped: int


def checked_limit(items: int, overflow: Overflow, max_age: float | None) -> int:
    """Check the settings of a queue; return how many items it holds.

    Raises:
        ConfigError: one of them is invalid.
    """
    if items < 1:
        raise ConfigError(f"a queue must hold at least 1 item, not {items}")
    if overflow not in OVERFLOWS:
        raise ConfigError(f"overflow must be one of {', '.join(OVERFLOWS)}, not {overflow!r}")
    if max_age is not None and not max_age > 0:
        raise ConfigError(f"max_age must be positive seconds, not {max_age}")
    return 1 if overflow == "latest" else items


class Pipe(Generic[T]):
    """A queue of at most `items` items and `size_bytes` bytes; an item is always admitted when the pipe is empty.

    Args:
        items: how many it holds at most (at least 1).
        size_bytes: bytes that it holds at most, as `size` counts them; inf: any number.
        size: gives an item's bytes; None: items count nothing.
        overflow: what a full pipe does: `block` makes the sender wait, `drop_oldest` and `drop_newest` drop one,
            `latest` keeps only the newest item (and holds one at most).
        max_age: seconds after which an item is dropped instead of received.
        on_drop: called with the item and the cause: "drop_oldest", "drop_newest", "latest", "max_age" or "closed".
        clock: seconds, for tests.

    The sender uses `send`, `close_sender` and `fail`; the receiver `receive` and `close_receiver`.

    Attributes:
        queue: what is inside, oldest first; to be looked at, not to be changed.
    """

    def __init__(
        self,
        items: int,
        *,
        size_bytes: float = math.inf,
        size: Callable[[T], int] | None = None,
        overflow: Overflow = "block",
        max_age: float | None = None,
        on_drop: Callable[[T, str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = checked_limit(items, overflow, max_age)
        self._limit_bytes = size_bytes
        self._size = size
        self._overflow = overflow
        self._max_age = max_age
        self._on_drop = on_drop
        self._clock = clock
        self.queue: deque[T] = deque()
        self._arrivals: deque[float] = deque()  # when each came in, if they may become too old
        self._bytes = 0
        self._peak_items = self._peak_bytes = self._sent = self._received = self._dropped = 0
        self._senders: deque[asyncio.Future[None]] = deque()
        self._receivers: deque[asyncio.Future[None]] = deque()
        self._sender_closed = False
        self._receiver_closed = False
        self._failure: BaseException | None = None

    def __len__(self) -> int:
        return len(self.queue)

    def __repr__(self) -> str:
        state = "closed" if self._receiver_closed else "ended" if self._sender_closed else "open"
        return f"<Pipe {state}: {len(self.queue)} of {self._limit} items, {self._bytes} bytes, {self._dropped} dropped>"

    @property
    def stats(self) -> PipeStats:
        """A snapshot of the counts."""
        return PipeStats(
            len(self.queue), self._bytes, self._peak_items, self._peak_bytes, self._sent, self._received, self._dropped
        )

    @property
    def failure(self) -> BaseException | None:
        """What the next `receive` raises: the sending end's failure, once nothing is inside."""
        return self._failure if not self.queue else None

    @property
    def blocks(self) -> bool:
        """Whether a full pipe makes the sender wait."""
        return self._overflow == "block"

    @property
    def lossless(self) -> bool:
        """Whether nothing that waits inside is dropped while both ends are open."""
        return self._overflow == "block" and self._max_age is None

    @property
    def closed(self) -> bool:
        """Whether nobody receives any more."""
        return self._receiver_closed

    @property
    def ended(self) -> bool:
        """Whether nothing more will be received."""
        return self._sender_closed and not self.queue

    @property
    def complete(self) -> bool:
        """Whether nothing more will be put in."""
        return self._sender_closed

    @property
    def bytes(self) -> int:
        """Bytes inside."""
        return self._bytes

    @property
    def room(self) -> int:
        """How many more items fit by their number; at least 1 if none wait."""
        return self._limit - len(self.queue) or int(not self.queue)

    async def send(self, item: T) -> None:
        """Put an item in; with `block`, wait for room. A cancelled send put nothing in.

        Raises:
            ClosedError: either end is closed.
        """
        size = self._size(item) if self._size is not None else 0
        if self._overflow == "block":
            while not self._fits(size):
                await self._wait(self._senders)
        self._check_sender()
        self._make_room(item, size)

    def send_nowait(self, item: T) -> bool:
        """Put an item in if there is room or the policy makes some; False if a `block` pipe is full."""
        return self.send_some((item,)) > 0

    def send_some(self, items: Sequence[T]) -> int:
        """Put items in, in order, until one does not fit into a `block` pipe; return how many of them it took."""
        self._check_sender()
        size_of = self._size
        if self._overflow != "block":
            for item in items:
                self._make_room(item, size_of(item) if size_of is not None else 0)
            return len(items)
        count, total = len(self.queue), self._bytes
        for item in items:
            size = size_of(item) if size_of is not None else 0
            if count and (count >= self._limit or total + size > self._limit_bytes):
                break
            count += 1
            total += size
        taken = count - len(self.queue)
        if taken:
            self._put(items[:taken], total - self._bytes)
        return taken

    async def ready(self) -> None:
        """Wait until an item can be sent without waiting (immediately for the policies that drop).

        For producers that should not even make an item before there is room for it.
        """
        while self._overflow == "block" and not self._fits(0):
            await self._wait(self._senders)
        self._check_sender()
        self._wake(self._senders)  # `ready` takes no room: hand the turn on

    async def receive(self) -> T:
        """Take the oldest item out, waiting for one. A cancelled receive lost nothing.

        Raises:
            EndOfPipe: the sender has closed and all was received.
            ClosedError: the receiving end is closed.
            BaseException: what the sender gave to `fail`.
        """
        while True:
            self.purge()
            items = self.receive_some(1)
            if items:
                return items[0]
            self._check_receiver()
            await self._wait(self._receivers)

    def receive_nowait(self) -> T | None:
        """Take the oldest item out, or None when there is none now."""
        self.purge()
        items = self.receive_some(1)
        return items[0] if items else None

    def receive_some(self, limit: int) -> list[T]:
        """Take the oldest items out, at most so many of those inside; call `purge` before if they may be too old."""
        queue, count = self.queue, min(limit, len(self.queue))
        items = [queue.popleft() for _ in range(count)]
        if self._size is not None:
            self._bytes -= sum(map(self._size, items))
        self._received += count
        if self._max_age is not None:
            for _ in items:
                self._arrivals.popleft()
        for _ in range(min(count, len(self._senders))):
            self._wake(self._senders)
        return items

    def close_sender(self) -> None:
        """Say that nothing more comes; what is inside can still be received."""
        self._sender_closed = True
        self._wake_all()

    def fail(self, error: BaseException) -> None:
        """Close the sending end with a failure, which `receive` raises after what is inside."""
        self._failure = error
        self.close_sender()

    def close_receiver(self) -> None:
        """Stop receiving; what is inside is dropped with the cause "closed"."""
        self._receiver_closed = True
        while self.queue:
            self._drop_first("closed")
        self._wake_all()

    def _fits(self, size: int) -> bool:
        if self._sender_closed or self._receiver_closed:
            return True  # pointless to wait; the following check raises
        if not self.queue:
            return True
        return len(self.queue) < self._limit and self._bytes + size <= self._limit_bytes

    def _make_room(self, item: T, size: int) -> None:
        if self._overflow == "latest":
            while self.queue:
                self._drop_first("latest")
        elif not self._fits(size):
            if self._overflow == "drop_newest":
                self._sent += 1
                self._drop(item, "drop_newest")
                return
            while not self._fits(size):
                self._drop_first("drop_oldest")
        self._put((item,), size)

    def _put(self, items: Sequence[T], size: int) -> None:
        self.queue.extend(items)
        if self._max_age is not None:
            self._arrivals.extend([self._clock()] * len(items))
        self._bytes += size
        self._sent += len(items)
        if len(self.queue) > self._peak_items:
            self._peak_items = len(self.queue)
        if self._bytes > self._peak_bytes:
            self._peak_bytes = self._bytes
        for _ in range(min(len(items), len(self._receivers))):
            self._wake(self._receivers)

    def purge(self) -> None:
        """Drop what is too old."""
        if self._max_age is None:
            return
        oldest_allowed = self._clock() - self._max_age
        while self._arrivals and self._arrivals[0] < oldest_allowed:
            self._drop_first("max_age")
            self._wake(self._senders)

    def _drop_first(self, cause: str) -> None:
        item = self.queue.popleft()
        if self._max_age is not None:
            self._arrivals.popleft()
        if self._size is not None:
            self._bytes -= self._size(item)
        self._drop(item, cause)

    def _drop(self, item: T, cause: str) -> None:
        self._dropped += 1
        if self._on_drop is not None:
            self._on_drop(item, cause)

    def _check_sender(self) -> None:
        if self._sender_closed:
            raise ClosedError("the pipe's sending end is closed")
        if self._receiver_closed:
            raise ClosedError("the pipe has no receiver any more")

    def _check_receiver(self) -> None:
        if self._receiver_closed:
            raise ClosedError("the pipe's receiving end is closed")
        if self._sender_closed:
            if self._failure is not None:
                raise self._failure
            raise EndOfPipe

    async def _wait(self, waiters: deque[asyncio.Future[None]]) -> None:
        waiter = asyncio.get_running_loop().create_future()
        waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._wake(waiters)  # the turn came together with the cancellation: hand it on
            elif waiter in waiters:
                waiters.remove(waiter)
            raise

    @staticmethod
    def _wake(waiters: deque[asyncio.Future[None]]) -> None:
        while waiters:
            waiter = waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _wake_all(self) -> None:
        for waiters in (self._senders, self._receivers):
            while waiters:
                self._wake(waiters)
