"""From `main` to the exit code: one place where errors become one line and a number."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import sys
import threading
import traceback
from typing import TYPE_CHECKING

import click

from headrace.cli import messages
from headrace.cli.terminal import line
from headrace.errors import (
    ConfigError,
    HeadraceError,
    InputError,
    InvalidRequest,
    PartialFailure,
    PayloadTooLarge,
    PredictionFailed,
    ServerCancelled,
    ServerError,
    SourceError,
    StreamBroken,
    TransportError,
)
from headrace.support.extras import install

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

DONE, SOME_FAILED, USAGE, REFUSED, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 4, 130
INTERNAL = 70  # an internal error
PIPE_CLOSED = 141  # what a shell shows for a process that its reader left

#: Values that must never be shown: filled from options and environment.
_secrets: set[str] = set()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; raises nothing but a foreign `SystemExit`."""
    keep_secret(os.environ.get("CLARIFAI_PAT"), os.environ.get("CLARIFAI_SESSION_TOKEN"))
    _log_to_stderr()
    os.environ.setdefault(
        "GRPC_VERBOSITY", "NONE"
    )  # before grpc is imported: its log lines are replaced by one line of ours
    try:
        from headrace.cli.app import APP

        code = APP.main(list(argv) if argv is not None else None, prog_name="headrace", standalone_mode=False)
        sys.stdout.flush()
    except BaseException as error:
        code = report(error)
    return code if isinstance(code, int) else DONE


def run(coroutine: Coroutine[object, object, int]) -> int:
    """Run a command's coroutine; Ctrl-C cancels it and lets it close what it opened."""
    interruptible()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(coroutine)
    except (KeyboardInterrupt, BrokenPipeError) as error:  # click would handle these differently
        return report(error)
    finally:
        coroutine.close()  # an interrupt may come before it was begun


def interruptible() -> None:
    """Let Ctrl-C raise KeyboardInterrupt: before, there was nothing to close."""
    if threading.current_thread() is threading.main_thread() and callable(signal.getsignal(signal.SIGINT)):
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Choose uvloop if it is installed and not refused by HEADRACE_UVLOOP=0, else asyncio's own loop."""
    if os.environ.get("HEADRACE_UVLOOP") == "0":
        return None
    try:
        import uvloop
    except ImportError:
        return None
    make: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return make


def say(message: str) -> None:
    """Print one line on stderr, control characters escaped and credentials taken out."""
    try:
        sys.stderr.write(f"headrace: {line(_without_secrets(message))}\n")
        sys.stderr.flush()
    except (OSError, ValueError):  # nobody reads it
        pass


def warn_input(name: str, error: BaseException) -> None:
    """Report on stderr that one input failed, by its name."""
    say(messages.of_input(name, error))


def keep_secret(*values: str | None) -> None:
    """Remember credentials, so that no message shows them."""
    _secrets.update(value.strip() for value in values if value and len(value.strip()) >= 4)


def report(error: BaseException) -> int:
    """Print an error in one line and return the exit code."""
    if isinstance(error, BrokenPipeError) or (isinstance(error, OSError) and error.errno == errno.EPIPE):
        return _reader_left()
    if os.environ.get("HEADRACE_DEBUG") and not isinstance(error, click.exceptions.Exit | click.ClickException):
        shown = "".join(traceback.format_exception(error))
        sys.stderr.write(_without_secrets(shown))
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt | asyncio.CancelledError | click.Abort):
        say("interrupted")
        return INTERRUPTED
    if type(error).__name__ == "NoArgsIsHelpError":  # by name: older versions of click have none
        sys.stderr.write(f"{error.format_message() if isinstance(error, click.ClickException) else error}\n")
        return USAGE
    if isinstance(error, click.ClickException):
        say(_usage(error))
        return USAGE
    if isinstance(error, HeadraceError):
        say(_without_traceback(messages.sentence(error)))
        return exit_code(error)
    if isinstance(error, ModuleNotFoundError) and error.name in _EXTRAS:
        say(f"this needs {error.name}: {install(_EXTRAS[error.name])}")
        return USAGE
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else DONE
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        say(f"{where}{error.strerror or error}")
        return USAGE
    say(f"internal error, please report it: {type(error).__name__}: {error} (HEADRACE_DEBUG=1 shows the traceback)")
    return INTERNAL


_EXTRAS = {
    "rich": "cli", "yaml": "cli", "httpx": "urls", "PIL": "images", "numpy": "images", "av": "video",
    "onnxruntime": "local", "xllamacpp": "local", "grpc_health": "local", "grpc_reflection": "local",
}  # fmt: skip


def exit_code(error: HeadraceError) -> int:
    """Map an error to the documented exit codes."""
    if isinstance(error, ConfigError | InputError):
        return USAGE
    if isinstance(error, PartialFailure | SourceError):
        return SOME_FAILED
    if isinstance(error, StreamBroken):
        cause = error.__cause__
        return exit_code(cause) if isinstance(cause, TransportError | ServerError) else REFUSED
    if isinstance(error, TransportError):
        return UNREACHABLE
    if isinstance(error, ServerError):
        if messages.refuses_type(error):
            return REFUSED
        of_one_input = error.input_id is not None and isinstance(error, _OF_INPUTS)
        return SOME_FAILED if of_one_input else REFUSED
    return SOME_FAILED


#: Refusals that can be an input's own fault; others are about the model, the credential or the account.
_OF_INPUTS = (InvalidRequest, PayloadTooLarge, PredictionFailed, ServerCancelled)


def _usage(error: click.ClickException) -> str:
    """Return click's message as one line; if a name is wrong, with the command that lists them."""
    message = error.format_message().rstrip(".").removesuffix("\n")
    if (
        type(error) in (click.UsageError, click.BadParameter)
        or not isinstance(error, click.UsageError)
        or not error.ctx
    ):
        return message
    return f"{message} ({error.ctx.command_path} --help lists the options)"


def _without_traceback(message: str) -> str:
    """Shorten a message with another process's traceback to its first and last line."""
    lines = [text for text in message.splitlines() if text.strip()]
    return f"{lines[0]} {lines[-1].strip()}" if any("Traceback (most" in text for text in lines) else message


def _reader_left() -> int:
    """End silently when nobody reads stdout any more (`| head`)."""
    try:  # the interpreter flushes stdout at exit: redirect it, so that this does not fail
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        pass
    return PIPE_CLOSED


def _without_secrets(text: str) -> str:
    for secret in _secrets:
        text = text.replace(secret, "***")
    return text


class _Stderr(logging.Handler):
    """Warnings of the library as one escaped line each."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record's message; its traceback only while debugging."""
        say(record.getMessage())


def _log_to_stderr() -> None:
    logger = logging.getLogger("headrace")
    if not any(isinstance(handler, _Stderr) for handler in logger.handlers):
        logger.addHandler(_Stderr())
        logger.propagate = False
