"""What the user means by an argument: a file, a URL, a text, or a model. Of files only the first bytes are read."""

from __future__ import annotations

import codecs
import os
import re
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import click

from headrace import media
from headrace.inputs import shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

_MODEL_REF = re.compile(r"(https?://[^/\s]+/)?[^/\s:]+/[^/\s]+/models/[^/\s]+(/(versions|model_version_id)/[^/\s]+)?/?")
_MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Given:
    """One input as the user gave it; `kind` None: the type is not known yet."""

    source: Literal["file", "url", "data"]
    value: str | bytes
    kind: str | None
    name: str  # what to call it in messages
    error: str = ""  # why there is no such input: it fails alone

    @property
    def path(self) -> Path | None:
        """The file, None where the input is none."""
        return Path(os.fsdecode(self.value)) if self.source == "file" else None


def from_word(word: str, kind: str | None, position: int = 0) -> Given:
    """Read one positional argument: an existing file, a URL, else text.

    Raises:
        click.UsageError: it looks like a file's name, but there is no such file; or it is a folder.
    """
    if is_url(word):
        return from_url(word, kind)
    if exists(word) or looks_like_file(word):
        return from_file(word, kind)
    return from_text(word, kind, position)


def from_file(path: str, kind: str | None) -> Given:
    """Take a file; its type by its first bytes, else by its extension.

    Raises:
        click.UsageError: missing, unreadable, or a folder.
    """
    found = os.path.expanduser(path)
    if os.path.isdir(found):
        raise click.UsageError(f"{path} is a folder; `headrace stream` takes folders")
    if is_special(found):  # a named pipe, a device: looking at its first bytes would take them
        return Given("file", found, kind or media.kind_of_name(path), path)
    try:
        with open(found, "rb") as file:
            head = file.read(media.HEAD_BYTES)
    except FileNotFoundError:
        missing = "folder" if path.endswith("/") else "file"
        raise click.UsageError(f"missing {missing}: {shortened(path)}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise click.UsageError(f"cannot read {shortened(path)}: {reason}") from None
    return Given("file", found, kind or media.kind(head) or media.kind_of_name(path), path)


def from_url(url: str, kind: str | None) -> Given:
    """Take a URL; its type by the extension of its path."""
    try:
        parts = urlsplit(url)
    except ValueError:  # malformed: it fails alone, when it is sent
        return Given("url", url, kind, shortened(url))
    name = parts.path.rpartition("/")[2] or parts.hostname or "url"
    return Given("url", url, kind or media.kind_of_name(parts.path), shortened(name))


def from_text(text: str, kind: str | None, position: int = 0) -> Given:
    """Take an argument's own bytes, by default as text.

    Raises:
        click.UsageError: there are none.
    """
    if not text:
        raise click.UsageError("an input is empty: nothing between the quotes")
    return Given("data", os.fsencode(text), kind or "text", f"text {position + 1}")


def from_stdin(kind: str | None) -> Given:
    """Read all of stdin as one input; its type by its first bytes, text where it is valid UTF-8.

    Raises:
        click.UsageError: stdin is empty.
    """
    data = sys.stdin.buffer.read()
    if _is_text(data):
        data = data.removeprefix(codecs.BOM_UTF8)
    if not data:
        raise click.UsageError("no input: stdin is empty")
    kind = kind or media.kind(data)
    if kind is None and _is_text(data):
        kind = "text"
    if kind == "text":
        data = data.removesuffix(b"\n").removesuffix(b"\r")
        if not data.strip():
            raise click.UsageError("no input: stdin holds an empty line")
    return Given("data", data, kind, "stdin")


def is_url(word: str) -> bool:
    """Tell whether a word is an http(s) URL."""
    return word.startswith(("http://", "https://")) and not any(c.isspace() for c in word)


def is_model_ref(word: str) -> bool:
    """Tell whether a word names a model by URL, or by user/app/models/model."""
    return _MODEL_REF.fullmatch(word) is not None


def is_model_name(word: str) -> bool:
    """Tell whether a word can be a model's id and is not a file."""
    return _MODEL_NAME.fullmatch(word) is not None and not exists(word)


def is_built_in(word: str) -> bool:
    """Tell whether a word is the name of a model of the embedded server."""
    from headrace.server.models import BUILT_IN
    from headrace.server.registry import ALIASES

    return word in BUILT_IN or word in ALIASES


def looks_like_file(word: str) -> bool:
    """Tell whether a word is meant as a file's or a folder's name: a known extension, or a path."""
    if any(c.isspace() for c in word) or not word:
        return False
    if is_url(word):
        return False
    return media.kind_of_name(word) is not None or word.startswith(("./", "../", "/", "~/")) or word.endswith("/")


def split_model(
    words: Sequence[str], *, model_known: bool, local: bool, other_inputs: bool
) -> tuple[str | None, list[str]]:
    """Tell the model from the inputs among the positional arguments.

    The first one names the model where no option does: a URL or user/app/models/model; with `--local` also a bare
    name, when an input comes besides it, or when it is that of a built-in model.

    Raises:
        click.UsageError: no model is named and the server has no default.
    """
    rest = list(words)
    if model_known:
        return None, rest
    if rest and is_model_ref(rest[0]) and not exists(rest[0]):
        return rest[0], rest[1:]
    if local:
        if rest and is_model_name(rest[0]) and (len(rest) > 1 or other_inputs or is_built_in(rest[0])):
            return rest[0], rest[1:]
        return None, rest
    if rest and is_url(rest[0]) and "/models" in rest[0]:
        return rest[0], rest[1:]  # malformed: the library says in what way
    raise click.UsageError(
        "which model? Give --model_url, or --model_id with --user_id and --app_id, or --local for the embedded server"
    )


def exists(word: str) -> bool:
    """Tell whether a word is the name of something in the file system."""
    return bool(word) and os.path.exists(os.path.expanduser(word))


def is_special(path: str) -> bool:
    """Tell whether a path names something that can only be read once, or without end: a named pipe, a device."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _is_text(data: bytes) -> bool:
    try:
        return b"\0" not in data and bool(data.decode())
    except UnicodeDecodeError:
        return False
