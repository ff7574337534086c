"""The items of sources: an `Input` with its origin and time, and one that has failed already."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

from headrace.errors import DeadlineExceeded, InputError, SourceError
from headrace.inputs import Field, Input

#: The errors with which an input may fail before it is sent.
OwnError: TypeAlias = InputError | SourceError | DeadlineExceeded
OWN_ERRORS = (InputError, SourceError, DeadlineExceeded)


class SourceInput(Input):
    """An input of a source.

    Attributes:
        position: its number in its source, counted from 0, dropped items included.
        timestamp: when it was made, in seconds since the epoch.
        source: what it came from, such as a file's name or a camera's address without its credentials.
        error: why there is no such input, or None. It is raised when the input is sent, as this input's own error.
    """

    __slots__ = ("error", "position", "timestamp")

    def __init__(
        self,
        fields: Sequence[Field],
        id: str | None = None,
        *,
        raw: bytes | None = None,
        position: int = 0,
        timestamp: float | None = None,
        source: str = "",
        error: OwnError | None = None,
    ) -> None:
        super().__init__(fields, id, raw=raw, source=source)
        self.position: int = position
        self.timestamp: float = time.time() if timestamp is None else timestamp
        self.error: OwnError | None = error


def placed(item: Input, position: int, source: str, new_id: Callable[[int], str]) -> SourceInput:
    """Make a source's input from an input; one without id gets one."""
    id, source = item.id or new_id(position), item.source or source
    return SourceInput(item.fields, id, raw=item.raw, position=position, source=source)


def failed(error: OwnError, position: int, source: str, id: str, input_type: str = "") -> SourceInput:
    """Make the input for a failed item: sending it raises its error, which ends nothing else."""
    return SourceInput(
        [Field(input_type or "text", "file", _Failing(error))],
        id or None,
        position=position,
        source=source,
        error=error,
    )


class _Failing:
    """Stands for a file that cannot be read."""

    def __init__(self, error: OwnError) -> None:
        self._error = error

    def read(self) -> bytes:
        raise self._error


_numbers = itertools.count()
_PROCESS = os.urandom(3).hex()


def ids() -> Callable[[int], str]:
    """Return a function from positions to ids that no other source has: letters, digits and `-`, at most 32."""
    prefix = f"{_PROCESS}-{next(_numbers):x}"
    return lambda position: f"{prefix}-{position}"
