"""Inputs as the user gave them: a file, a URL, a text, stdin. Of files only the first bytes are read."""

from __future__ import annotations

import codecs
import glob
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import click

from headrace import media
from headrace.cli import words
from headrace.cli.run import say
from headrace.inputs import shortened

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Part:
    """One input as the user gave it; `kind` None: the type is not known yet."""

    source: Literal["file", "url", "data"]
    value: str | bytes
    kind: str | None
    name: str  # its name in messages
    error: str = ""  # why there is no such input; only this one fails

    @property
    def path(self) -> Path | None:
        """The file, None if the input is none."""
        return Path(os.fsdecode(self.value)) if self.source == "file" else None


def from_word(word: str, kind: str | None, position: int = 0) -> Part:
    """Read one positional argument: an existing file, a URL, else text.

    Raises:
        click.UsageError: it looks like a path, but nothing has that name; or it is a folder.
    """
    if words.exists(word):
        return from_file(word, kind)
    if words.has_scheme(word):
        return from_url(word, kind)
    if words.looks_like_path(word):
        raise missing(word)
    return from_text(word, kind, position)


def from_words(arguments: Sequence[str], kind: str | None) -> list[Part]:
    """Read positional arguments; `-` is stdin, a pattern stands for the files that match it, sorted by name.

    Raises:
        click.UsageError: nothing is there, as in `from_word`; or stdin is given twice.
    """
    if arguments.count("-") > 1:
        raise click.UsageError("stdin (-) can be given once")
    inputs: list[Part] = []
    for position, word in enumerate(arguments):
        if word == "-":
            inputs.append(from_stdin(kind))
        elif words.is_pattern(word) and not words.exists(word):
            inputs += [from_file(path, kind) for path in matches(word)]
        else:
            inputs.append(from_word(word, kind, position))
    return inputs


def matches(pattern: str) -> list[str]:
    """Return the files that match a pattern, sorted by name, without endless ones.

    Raises:
        click.UsageError: there are none.
    """
    paths = sorted(path for path in glob.iglob(os.path.expanduser(pattern), recursive=True) if is_readable(path))
    if not paths:
        raise click.UsageError(f"no file matches {shortened(pattern)}{_or_a_text(pattern)}")
    return paths


def is_readable(path: str) -> bool:
    """Return whether a path is a file; endless files that were not named are left out, with a line on stderr."""
    if words.is_special(path):
        say(f"{path} is a pipe, a socket or a device: left out (name it to read it)")
        return False
    return os.path.isfile(path)


def missing(path: str) -> click.UsageError:
    """Make the error about a word that is the name of a file or folder, but nothing has that name."""
    known = media.kind_of_name(path) is not None
    what = "folder" if path.endswith("/") else "file" if known else "file or folder"
    return click.UsageError(f"missing {what}: {shortened(path)}{_or_a_text(path)}")


def _or_a_text(word: str) -> str:
    plain = not word.endswith("/") and (media.kind_of_name(word) is None or any(c.isspace() for c in word))
    return " (a text? give it with --bytes)" if plain else ""


def from_file(path: str, kind: str | None) -> Part:
    """Take a file; its type by its first bytes, else by its extension.

    Raises:
        click.UsageError: missing, unreadable, or a folder.
    """
    expanded = os.path.expanduser(path)
    if os.path.isdir(expanded):
        raise click.UsageError(f"{path} is a folder; `headrace stream` takes folders")
    if words.is_special(expanded):  # a named pipe, a device: peeking at its first bytes would consume them
        return Part("file", expanded, kind or media.kind_of_name(path), path)
    try:
        with open(expanded, "rb") as file:
            head = file.read(media.HEAD_BYTES)
    except FileNotFoundError:
        what = "folder" if path.endswith("/") else "file"
        raise click.UsageError(f"missing {what}: {shortened(path)}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise click.UsageError(f"cannot read {shortened(path)}: {reason}") from None
    return Part("file", expanded, kind or media.kind(head) or media.kind_of_name(path), path)


def from_url(url: str, kind: str | None) -> Part:
    """Take a URL; its type by the extension of its path."""
    try:
        parts = urlsplit(url)
    except ValueError:  # malformed: only this input fails, when it is sent
        return Part("url", url, kind, shortened(url))
    name = parts.path.rpartition("/")[2] or parts.hostname or "url"
    return Part("url", url, kind or media.kind_of_name(parts.path), shortened(name))


def from_text(text: str, kind: str | None, position: int = 0) -> Part:
    """Take an argument's own bytes, by default as text.

    Raises:
        click.UsageError: there are none.
    """
    if not text:
        raise click.UsageError("an input is empty: nothing between the quotes")
    return Part("data", os.fsencode(text), kind or "text", f"text {position + 1}")


def from_stdin(kind: str | None) -> Part:
    """Read all of stdin as one input; its type by its first bytes, text if it is valid UTF-8.

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
    return Part("data", data, kind, "stdin")


def _is_text(data: bytes) -> bool:
    try:
        return b"\0" not in data and bool(data.decode())
    except UnicodeDecodeError:
        return False
