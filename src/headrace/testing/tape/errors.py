"""What goes wrong with a tape: its file, or what is replayed from it."""

from __future__ import annotations

from typing import Any

from headrace.errors import HeadraceError


class TapeError(HeadraceError):
    """A tape's file cannot be used; the message names the file and says what to do.

    Attributes:
        path: the file.
    """

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class TapeMissing(TapeError):
    """There is no such tape, and it is to be replayed."""


class TapeDamaged(TapeError):
    """The file is empty, incomplete, or no tape.

    Attributes:
        line: the line that cannot be read, counted from 1; 0 where no single one is to blame.
    """

    def __init__(self, message: str, *, path: str = "", line: int = 0) -> None:
        super().__init__(message, path=path)
        self.line = line


class TapeTooNew(TapeError):
    """A later version of headrace wrote the file."""


class TapeUnwritable(TapeError):
    """The file cannot be written."""


class TapeMismatch(AssertionError):
    """The code does not do what was recorded.

    It is an `AssertionError` and no `HeadraceError`: code under test that handles failures of a model must not take it
    for one.

    Attributes:
        field: path of the first field that differs from the nearest recorded call, such as
            "inputs[0].data.text.raw"; "" where the difference is another one.
        recorded: its value on the tape, None where the field is not there.
        actual: its value now, None where the field is not there.
    """

    def __init__(self, message: str, *, field: str = "", recorded: Any = None, actual: Any = None) -> None:
        super().__init__(message)
        self.field = field
        self.recorded = recorded
        self.actual = actual
