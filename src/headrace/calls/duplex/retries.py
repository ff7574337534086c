"""Inputs of a matched stream that failed and are sent again, each after its wait."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable, Sequence

from headrace.calls.duplex.entry import Entry
from headrace.calls.duplex.ledger import Ledger
from headrace.calls.retry import Attempts
from headrace.calls.session import Session
from headrace.calls.stats import Tally
from headrace.errors import HeadraceError, ServerError
from headrace.status import Kind, kind_of


class Retries:
    """Decides which failed inputs are sent again, and lets them rest until then.

    Args:
        warm_up: seconds to wait for a deploying model; None: as configured, on top of an input's timeout.
        settle: ends an input with its error.
        rested: called with an input whose wait is over.
    """

    def __init__(
        self,
        session: Session,
        ledger: Ledger,
        tally: Tally,
        warm_up: float | None,
        settle: Callable[[Entry, HeadraceError], None],
        rested: Callable[[Entry], None],
    ) -> None:
        self._session = session
        self._ledger = ledger
        self._tally = tally
        self._warm_up = warm_up
        self._settle = settle
        self._on_rested = rested
        self._resting: dict[int, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        """Inputs that rest."""
        return len(self._resting)

    def new_attempts(self) -> Attempts:
        """Begin the attempts of an input, or of reopening a call for inputs that are already counted."""
        return self._session.attempts(warm_up=self._warm_up, fresh=False)

    def again(self, entries: Sequence[Entry], error: ServerError, attempts: Attempts) -> float | None:
        """Send inputs that failed together again later if their failure allows it; otherwise settle them.

        One decision and one event for inputs that have always failed together.

        Args:
            attempts: those of inputs that have not failed before.

        Returns:
            When the last of them is sent again; None if none is.
        """
        self._session.failed(error)
        delays: dict[int, float | None] = {}
        for entry in entries:
            if entry.attempts is None:
                entry.attempts = attempts
            if id(entry.attempts) not in delays:
                delays[id(entry.attempts)] = entry.attempts.after(error)
            delay = delays[id(entry.attempts)]
            if delay is None:
                self._settle(entry, _of_input(error, entry))
            else:
                self._rest(entry, error, delay)
        if not entries:  # all have timed out meanwhile
            delays[0] = attempts.after(error)
        latest = max((delay for delay in delays.values() if delay is not None), default=None)
        return None if latest is None else time.monotonic() + latest

    def extend(self, error: HeadraceError, delay: float, entries: Sequence[Entry]) -> None:
        """Extend the deadlines of inputs that wait for a deploying model, unless the user gave a timeout."""
        if kind_of(error) is Kind.WARMING and self._warm_up is None:
            for entry in entries:
                self._ledger.extend(entry, delay)

    def stop(self, entry: Entry) -> None:
        """Let an input rest no longer."""
        entry.resting = False
        if (timer := self._resting.pop(entry.seq, None)) is not None:
            timer.cancel()

    def close(self) -> None:
        """Forget all that rest."""
        for timer in self._resting.values():
            timer.cancel()

    def _rest(self, entry: Entry, error: ServerError, delay: float) -> None:
        self._tally.retries += 1
        self._session.counts.retries += 1
        self.extend(error, delay, [entry])
        entry.resting = True
        self._resting[entry.seq] = asyncio.get_running_loop().call_later(delay, self._rested, entry)

    def _rested(self, entry: Entry) -> None:
        self.stop(entry)
        self._on_rested(entry)


def _of_input(error: ServerError, entry: Entry) -> ServerError:
    """Make an error one input's own, under the id that the user knows."""
    if error.input_id == entry.name:
        return error
    own = copy.copy(error)
    if entry.item.id != entry.name:
        own.args = (str(error).replace(entry.item.id, entry.name),)
    own.input_id = entry.name
    return own
