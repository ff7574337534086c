"""Exceptions of models: as a short text to send, as an exception safe to raise anywhere, as one traceback.

A model is foreign code. It may raise exceptions that asyncio reserves (`StopIteration`, `CancelledError`), that
ends a program (`SystemExit`), or an exception whose text cannot be read, encoded or printed.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from pathlib import Path
from types import TracebackType

from headrace.server.model import ModelError

MAX_TEXT = 2000  # characters of an error's text that are sent or logged
MAX_TRACEBACK = 10_000  # characters of a traceback that are logged
REPEATED_SECONDS = 10.0  # the same traceback within this time is not logged again
_OURS = str(Path(__file__).parent)
_MODELS = str(Path(__file__).parent / "models")


class ModelFailed(Exception):
    """A model raised something other than an ordinary exception; `__cause__` is that."""


def bounded(text: str, limit: int = MAX_TEXT) -> str:
    """Make a text that can be encoded and is not too long."""
    if len(text) > limit:
        text = f"{text[:limit]}... ({len(text):,} characters)"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def text_of(error: BaseException) -> str:
    """Return an error's type and text, whatever its `__str__` does."""
    try:
        text = str(error)
    except BaseException as second:
        text = f"(its text cannot be read: {type(second).__name__})"
    if isinstance(error, ModelFailed):
        return bounded(text)
    return bounded(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def ordinary(error: BaseException) -> Exception:
    """Return an exception that futures, generators and `except Exception` handle normally."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration | StopAsyncIteration):
        return error
    failed = ModelFailed(text_of(error))
    failed.__cause__ = error
    return failed


class Contained:
    """A block that awaits a model's code: only a cancellation by the caller passes unchanged."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or (isinstance(error, Exception) and not isinstance(error, StopIteration)):
            return
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            return
        raise ordinary(error) from error


class Tracebacks:
    """The tracebacks of one model, each logged once, because retried calls fail in the same way."""

    def __init__(self) -> None:
        self._last = ""
        self._at = 0.0

    def new(self, error: BaseException) -> str:
        """Return the traceback of the model's own frames; "" if it was given a moment ago."""
        text = model_traceback(error)
        now = time.monotonic()
        repeated = text == self._last and now - self._at < REPEATED_SECONDS
        self._last, self._at = text, now
        return "" if repeated else text


def model_traceback(error: BaseException) -> str:
    """Format an error with the frames of the model, without those of the server around them."""
    if isinstance(error, ModelFailed) and error.__cause__ is not None:
        error = error.__cause__
    trace = first = error.__traceback__
    while trace is not None and _is_ours(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    try:
        lines = traceback.format_exception(type(error), error, trace or first)
    except Exception:  # a class that cannot even be formatted
        lines = [text_of(error)]
    return bounded("".join(bounded(line, MAX_TEXT) for line in lines).rstrip(), MAX_TRACEBACK)


def _is_ours(filename: str) -> bool:
    return filename.startswith(_OURS) and not filename.startswith(_MODELS)


def failed_answer(error: Exception) -> ModelError:
    """Return a separate exception for each of several inputs: one raised twice would collect all tracebacks."""
    if isinstance(error, ModelError):
        return ModelError(error.code, error.description)
    return ModelError(21313, text_of(error))
