"""Replaying: a transport that has no server, only a tape."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from headrace.errors import ClosedError
from headrace.testing.tape import difference, failures
from headrace.testing.tape.calls import LEFT, OK, RecordedCall
from headrace.testing.tape.errors import TapeMismatch
from headrace.testing.tape.file import Contents
from headrace.testing.tape.playercall import PATIENCE, PlayerCall
from headrace.testing.tape.shelf import Outcome, Shelf

if TYPE_CHECKING:
    from headrace.config import Target, Transmission
    from headrace.types import Buffer, Metadata


class Player:
    """What the transports of a tape share while it is replayed.

    Args:
        speed: 0: answers come at once; 1: after as long as when they were recorded; 2: after half of that.
    """

    def __init__(self, shelf: Shelf, contents: Contents, speed: float) -> None:
        self.shelf = shelf
        self.speed = speed
        self.begun = 0  # calls that were begun
        self.mismatches: list[TapeMismatch] = []
        self._failed_connects = list(contents.failed_connects)

    @property
    def connecting_fails(self) -> bool:
        """Whether the next thing on the tape is an attempt to connect that failed."""
        return bool(self._failed_connects) and self.begun >= self._failed_connects[0][0]

    def fail_connecting(self, target: str) -> None:
        """Fail an attempt to connect as it failed when it was recorded."""
        raise failures.from_plain(self._failed_connects.pop(0)[1], target, str)

    def mismatch(self, error: TapeMismatch) -> TapeMismatch:
        """Keep an error, for the code under test may catch it."""
        self.mismatches.append(error)
        return error

    def wait_of(self, seconds: float) -> float:
        """Tell for how long to wait where the recording took so many seconds."""
        return max(0.0, seconds) / self.speed if self.speed else 0.0


class PlayerTransport:
    """A transport that answers from a tape; a `Transport`."""

    survives_fork = True
    max_streams: int | None = None

    def __init__(self, player: Player, target: Target, options: Transmission) -> None:
        self.on_max_streams: Callable[[], object] | None = None
        self._player = player
        self._target = str(target)
        self._connected = False
        self._closed = False
        self._calls: set[PlayerCall] = set()

    def __repr__(self) -> str:
        return f"<PlayerTransport {self._target} {'closed' if self._closed else 'open'}>"

    @property
    def healthy(self) -> bool:
        """Whether a call can begin; not so where connecting failed at this point when it was recorded."""
        return self._connected and not self._closed and not self._player.connecting_fails

    async def connect(self, timeout: float) -> None:
        """Connect, where that went well when it was recorded; see `Transport.connect`."""
        self._check_open()
        if self._player.connecting_fails:
            self._connected = False
            self._player.fail_connecting(self._target)
        self._connected = True

    async def unary(self, method: str, parts: Sequence[Buffer], metadata: Metadata, timeout: float | None) -> bytes:
        """Answer a unary call; see `Transport.unary`.

        Raises:
            TapeMismatch: it was not recorded.
        """
        self._check_open()
        player = self._player
        player.begun += 1
        try:
            outcome = player.shelf.unary(method, metadata, b"".join(parts))
        except TapeMismatch as error:
            raise player.mismatch(error) from None
        if outcome.end == LEFT:
            await self._wait_as_recorded(method, outcome)
        if wait := player.wait_of(outcome.seconds):
            await asyncio.sleep(wait)
        if outcome.end != OK:
            if outcome.end.get("timed_out") and timeout is not None and not player.speed:
                await asyncio.sleep(timeout)  # the client measures it: nobody else can make it shorter
            raise self.failure(outcome.end, outcome.renaming.text)
        return outcome.answer

    async def _wait_as_recorded(self, method: str, outcome: Outcome) -> None:
        """Wait as the server did when it was recorded, until the client goes away; but not for ever."""
        await asyncio.sleep(outcome.seconds * 1.5 + PATIENCE)
        raise self._player.mismatch(
            difference.unanswered(self._player.shelf.path, method.rpartition("/")[2], outcome.seconds)
        )

    def open(
        self,
        method: str,
        metadata: Metadata,
        *,
        timeout: float | None = None,
        first: Sequence[Buffer] | None = None,
    ) -> PlayerCall:
        """Open a call that streams; see `Transport.open`."""
        self._check_open()
        self._player.begun += 1
        call = PlayerCall(self._player, self, method, metadata, None if first is None else b"".join(first))
        self._calls.add(call)
        return call

    async def close(self, grace: float) -> None:
        """Close it; calls that still run end."""
        self.discard()

    def discard(self) -> None:
        """Close it without I/O."""
        self._closed = True
        for call in list(self._calls):
            call.cancel()

    def over(self, call: PlayerCall) -> None:
        """Forget a call that has ended."""
        self._calls.discard(call)

    def failure(self, plain: dict[str, object], text: Callable[[str], str]) -> Exception:
        """Make the error of a call that failed; the connection may have broken with it."""
        if plain.get("disconnected"):
            self._connected = False
        return failures.from_plain(plain, self._target, text)

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("the connection is closed")


__all__ = ["Player", "PlayerTransport", "RecordedCall"]
