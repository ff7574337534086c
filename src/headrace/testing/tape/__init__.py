"""Record what a server answers, and replay it without one."""

from headrace.testing.tape.errors import (
    TapeDamaged,
    TapeError,
    TapeMismatch,
    TapeMissing,
    TapeTooNew,
    TapeUnwritable,
)
from headrace.testing.tape.tape import Tape, TapeCall, TapeMode

__all__ = [
    "Tape",
    "TapeCall",
    "TapeDamaged",
    "TapeError",
    "TapeMismatch",
    "TapeMissing",
    "TapeMode",
    "TapeTooNew",
    "TapeUnwritable",
]
