"""The lean transport first, and gRPC's once the lean one and the server have proved incompatible.

Two connections of a client in a row that ended by a violation of the protocol, whoever saw it, are the sign. To the
calls they are broken connections like any other, so nothing is lost: what may go again goes over gRPC. Calls that run
on other connections end there.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from headrace.errors import ClosedError, ConnectFailed
from headrace.events import TransportChanged
from headrace.transport.base import Call, Transport, TransportFactory

if TYPE_CHECKING:
    from headrace.config import Target, Transmission
    from headrace.events import Event
    from headrace.types import Buffer, Metadata

VIOLATIONS = 2  # in a row, after which a client goes over


class Retirable(Transport, Protocol):
    """A transport that says how its connections end.

    Attributes:
        on_connection_end: called when a connection has ended, with the violation of the protocol, or "".
    """

    on_connection_end: Callable[[str], object] | None

    def retire(self) -> None:
        """Take no more calls, and close when those that run have ended; waiting calls may go elsewhere immediately."""


class Fallback:
    """Makes the transports of one client, and remembers which of the two it uses.

    Args:
        first: makes the transports that are used at first.
        second: makes those that replace them.
        notify: gets an event for the change.
    """

    def __init__(
        self,
        first: Callable[[Target, Transmission], Retirable],
        second: TransportFactory,
        notify: Callable[[Event], object],
    ) -> None:
        self.first = first
        self.second = second
        self.changed: bool = False
        self._notify = notify
        self._violations = 0
        self._slots: weakref.WeakSet[FallbackTransport] = weakref.WeakSet()

    def __call__(self, target: Target, options: Transmission) -> Transport:
        """Make a slot, which changes its transport by itself."""
        if self.changed:
            return self.second(target, options)
        slot = FallbackTransport(self, target, options)
        self._slots.add(slot)
        return slot

    def connection_ended(self, target: Target, violation: str) -> None:
        """Count violations in a row; the second one decides."""
        self._violations = self._violations + 1 if violation else 0
        if self._violations >= VIOLATIONS and not self.changed:
            self.changed = True
            self._notify(TransportChanged(str(target), "grpc", violation))
            for slot in list(self._slots):
                slot.follow()


class FallbackTransport:
    """A slot whose calls use the lean transport, and the other one once the client has changed to it."""

    def __init__(self, choice: Fallback, target: Target, options: Transmission) -> None:
        self._choice = choice
        self._target = target
        self._options = options
        self._on_max_streams: Callable[[], object] | None = None
        self._lean: Retirable | None = choice.first(target, options)  # None: the slot has changed
        self._lean.on_connection_end = self._connection_ended
        self._retired: Transport | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._current: Transport = self._lean
        self.survives_fork: bool = self._current.survives_fork

    @property
    def on_max_streams(self) -> Callable[[], object] | None:
        """What is called when `max_streams` has changed."""
        return self._on_max_streams

    @on_max_streams.setter
    def on_max_streams(self, callback: Callable[[], object] | None) -> None:
        self._on_max_streams = self._current.on_max_streams = callback

    @property
    def healthy(self) -> bool:
        """Whether the connection is ready; not so if `connect` has to change the transport first."""
        return self._current.healthy and not (self._choice.changed and self._lean is not None)

    @property
    def max_streams(self) -> int | None:
        """Concurrent calls that the server allows."""
        return self._current.max_streams

    async def connect(self, timeout: float) -> None:
        """Connect unless connected; see `Transport.connect`."""
        self._loop = asyncio.get_running_loop()
        self.follow()
        current = self._current
        try:
            await current.connect(timeout)
        except (ConnectFailed, ClosedError):
            if self._current is current:
                raise
            await self._current.connect(timeout)  # that attempt was the violation which changed it

    def unary(
        self, method: str, parts: Sequence[Buffer], metadata: Metadata, timeout: float | None
    ) -> Coroutine[Any, Any, bytes]:
        """Make one unary call; see `Transport.unary`."""
        return self._current.unary(method, parts, metadata, timeout)

    def open(
        self,
        method: str,
        metadata: Metadata,
        *,
        timeout: float | None = None,
        first: Sequence[Buffer] | None = None,
    ) -> Call:
        """Open a call that streams; see `Transport.open`."""
        return self._current.open(method, metadata, timeout=timeout, first=first)

    async def close(self, grace: float) -> None:
        """Close the connections; see `Transport.close`."""
        both = [self._current, *([self._retired] if self._retired is not None else [])]
        await asyncio.gather(*(transport.close(grace) for transport in both))

    def discard(self) -> None:
        """Release everything without I/O; see `Transport.discard`."""
        self._current.discard()
        if self._retired is not None:
            self._retired.discard()

    def follow(self) -> None:
        """Change the transport, if the client has; a slot of another event loop does so when it connects."""
        lean = self._lean
        if lean is not None and self._choice.changed and self._loop in (None, asyncio._get_running_loop()):
            self._lean, self._retired = None, lean
            self._current = self._choice.second(self._target, self._options)
            self._current.on_max_streams = self._on_max_streams
            self.survives_fork = self._current.survives_fork
            lean.on_max_streams = None
            lean.retire()

    def _connection_ended(self, violation: str) -> None:
        self._choice.connection_ended(self._target, violation)
        self.follow()
