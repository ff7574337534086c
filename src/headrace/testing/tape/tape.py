"""A tape: what a server answered once, recorded and replayed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self, TypeAlias

from headrace.config import Target, Transmission
from headrace.errors import ConfigError
from headrace.testing.tape import file
from headrace.testing.tape.calls import RecordedCall
from headrace.testing.tape.errors import TapeMismatch
from headrace.testing.tape.player import Player, PlayerTransport
from headrace.testing.tape.recorder import Recorder, RecordingTransport
from headrace.testing.tape.redaction import Redaction
from headrace.testing.tape.shelf import Shelf
from headrace.transport.base import Transport, TransportFactory
from headrace.transport.choice import choose, reaches_target

TapeMode: TypeAlias = Literal["replay", "record", "once"]


class TapeCall(NamedTuple):
    """One call of a tape.

    Attributes:
        number: its place on the tape, counted from 1.
        method: the method's name, such as "PostModelOutputs".
        line: where it begins in the file.
    """

    number: int
    method: str
    line: int


class Tape:
    """Records what a server answers, and replays it without a server; `Client(transport=tape)` talks to it.

    ::

        async with headrace.Client(transport=Tape("tapes/cat.jsonl")) as client: ...            # replayed
        async with headrace.Client(transport=Tape("tapes/cat.jsonl", "record")) as client: ...  # recorded

    A recording goes over the transport that the client would use otherwise, with its address, credential and TLS. The
    file is written when the last client is closed; of a tape that is used as a context manager (`with Tape(...)`),
    when the block ends without an error. It is written whole or not at all, and holds no credential.

    Replayed calls are found by what they send (method, message, metadata), in any order; the ids of inputs do not
    count. Calls that send the same are replayed in the order in which they were recorded, so each attempt of a call
    that is retried gets its own answer. On streams, an answer comes after the inputs that were sent before it.

    Args:
        path: the file; see docs/testing.md for what it holds.
        mode: "replay"; "record": the file is replaced; "once": recorded where there is no file, else replayed.
        speed: how fast it is replayed. 0: answers come at once; 1: after as long as when they were recorded; 2: after
            half of that.
        strip: names of metadata, parameters and URL parameters whose values are neither written nor compared, besides
            those that say that they are secret, such as "authorization" or "api_key".
        transport: what a recording goes over; see `Client`.

    Raises:
        TapeMissing, TapeDamaged, TapeTooNew: there is nothing that can be replayed.
        ConfigError: an argument is wrong.

    Attributes:
        path: the file.
        recording: whether it records.
        reaches_target: whether calls go to the client's server: it records, and not from a double.
        mismatches: every `TapeMismatch` that was raised, for the code under test may have caught it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        mode: TapeMode = "replay",
        *,
        speed: float = 0.0,
        strip: Iterable[str] = (),
        transport: Literal["auto", "grpc", "h2"] | TransportFactory = "auto",
    ) -> None:
        if mode not in ("replay", "record", "once"):
            raise ConfigError(f'mode must be "replay", "record" or "once", not {mode!r:.60}')
        if isinstance(speed, bool) or not isinstance(speed, int | float) or not 0 <= speed < float("inf"):
            raise ConfigError(f"speed must be a number from 0 on (0: at once, 1: as recorded), not {speed!r:.60}")
        if isinstance(strip, str):
            raise ConfigError(f"strip must be a list of names, as in strip=[{strip!r}]")
        self.path: Path = Path(path)
        self.recording: bool = mode == "record" or (mode == "once" and not self.path.exists())
        self.reaches_target: bool = self.recording and reaches_target(transport)
        self._redaction = Redaction(strip)
        self._recorder: Recorder | None = None
        self._player: Player | None = None
        self._entered = False
        self._discarded = False
        if self.recording:
            self._factory = choose(transport, str)
            self._recorder = Recorder(self._redaction)
        else:
            contents = file.read(self.path)
            self._player = Player(Shelf(str(self.path), contents, self._redaction), contents, speed)

    def __call__(self, target: Target, options: Transmission) -> Transport:
        """Make an unconnected transport: it is a `TransportFactory`."""
        if self._recorder is not None:
            return RecordingTransport(self._recorder, self._factory, target, options, self._client_closed)
        assert self._player is not None
        return PlayerTransport(self._player, target, options)

    def __repr__(self) -> str:
        if self._recorder is not None:
            return f"<Tape {self.path}: {len(self._recorder.takes)} calls recorded>"
        return f"<Tape {self.path}: {len(self.unused)} calls not replayed yet>"

    def __enter__(self) -> Self:
        self._entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()  # what was cut off is no recording

    @property
    def mismatches(self) -> list[TapeMismatch]:
        """Every mismatch that was raised."""
        return list(self._player.mismatches) if self._player is not None else []

    @property
    def unused(self) -> list[TapeCall]:
        """The recorded calls that were not replayed."""
        return [_public(call) for call in self._player.shelf.unused] if self._player is not None else []

    def check(self, *, unused: bool = False) -> None:
        """Raise the first mismatch, which the code under test may have caught.

        Args:
            unused: raise also where calls were recorded and not replayed.

        Raises:
            TapeMismatch: the code does not do what was recorded.
        """
        for error in self.mismatches:
            raise error
        if unused and (calls := self.unused):
            listed = ", ".join(f"{call.method} (line {call.line})" for call in calls)
            raise TapeMismatch(
                f"{self.path}: {len(calls)} recorded calls were not replayed: {listed}\n"
                f"If the code is right, {file.RECORD_AGAIN}."
            )

    def discard(self) -> None:
        """Forget what was recorded: nothing of it is written, now or later."""
        self._discarded = True

    def close(self) -> None:
        """Write a recording down; of a tape that is replayed nothing is to be done. Idempotent.

        Raises:
            TapeUnwritable: the file cannot be written.
        """
        if self._recorder is not None and not self._discarded:
            file.write(self.path, self._recorder.contents())

    def _client_closed(self) -> None:
        if self._recorder is not None and not self._recorder.running and not self._entered:
            self.close()


def _public(call: RecordedCall) -> TapeCall:
    return TapeCall(call.number, call.name, call.line)


__all__ = ["Tape", "TapeCall", "TapeMode"]
