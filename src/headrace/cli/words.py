"""Recognising words of a command line: URL, file, pattern of files, model. Nothing is opened."""

from __future__ import annotations

import difflib
import glob
import os
import re
import stat
from typing import TYPE_CHECKING

import click

from headrace import media, reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MODEL_REF = re.compile(r"(https?://[^/\s]+/)?[^/\s:]+/[^/\s]+/models/[^/\s]+(/(versions|model_version_id)/[^/\s]+)?/?")
_BARE_WORD = re.compile(r"[A-Za-z0-9_-]+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PATH_CHARACTERS = 4096  # no path is longer
_NEAR = 0.75  # similarity of names that are easily confused


def is_url(word: str) -> bool:
    """Return whether a word is an http(s) URL."""
    return word.lower().startswith(("http://", "https://")) and not _has_blank(word)


def has_scheme(word: str) -> bool:
    """Return whether a word is a URL of whatever scheme; the library takes http and https."""
    return _SCHEME.match(word) is not None and not _has_blank(word)


def is_model_ref(word: str) -> bool:
    """Return whether a word names a model by URL, or by user/app/models/model."""
    return _MODEL_REF.fullmatch(word) is not None


def is_model_id(word: str) -> bool:
    """Return whether a word can be a model's id and is no file."""
    return reference.is_id(word) and not looks_like_path(word) and not exists(word)


def is_bare(word: str) -> bool:
    """Return whether a word is a name rather than a text: without blank or punctuation."""
    return _BARE_WORD.fullmatch(word) is not None


def built_in_names() -> list[str]:
    """List the embedded server's models, short names first."""
    from headrace.server.models import BUILT_IN
    from headrace.server.registry import ALIASES

    return [*ALIASES, *BUILT_IN]


def nearest(word: str, names: Iterable[str]) -> str:
    """Return the name that somebody who typed `word` may have meant, "" if none is like it."""
    return next(iter(difflib.get_close_matches(word.lower(), list(names), 1, _NEAR)), "")


def looks_like_path(word: str) -> bool:
    """Return whether a word is meant as the name of a file or folder: such a word is never a text.

    Without blanks: a separator, a known extension, a wildcard, or `~` or `.` in front. With blanks, which texts have
    too: a known extension or a separator at the end, or the beginning of a path.
    """
    if is_named_as_path(word):
        return True
    if not _can_be_path(word) or has_scheme(word):
        return False
    in_one = not _has_blank(word) and (word.startswith(("~", ".")) or any(one in word for one in _SEPARATORS))
    return in_one or is_pattern(word)


def is_named_as_path(text: str) -> bool:
    """Return whether a text begins as paths do, or ends in a known extension or a separator."""
    if not _can_be_path(text) or has_scheme(text):
        return False
    return (
        media.kind_of_name(text) is not None or text.endswith(_SEPARATORS) or text.startswith(("/", "./", "../", "~/"))
    )


def is_pattern(word: str) -> bool:
    """Return whether a word is a pattern of file names (`*.jpg`, `shot-?.png`, `[ab]*`); a lone question is none."""
    if not _can_be_path(word) or has_scheme(word) or not glob.has_magic(word):
        return False
    if not _has_blank(word):
        return "*" in word or ("[" in word.partition("]")[0] and "]" in word) or "?" in word.rstrip("?")
    last = re.split(r"[/\\]", word)[-1]
    if media.kind_of_name(word) is not None or (last != word and "*" in last and not _has_blank(last)):
        return True
    return next(iter(glob.iglob(os.path.expanduser(word))), None) is not None


def is_folder(word: str) -> bool:
    """Return whether a word is an existing folder."""
    return bool(word) and os.path.isdir(os.path.expanduser(word))


def exists(word: str) -> bool:
    """Return whether a word is the name of something in the file system."""
    return bool(word) and os.path.exists(os.path.expanduser(word))


def is_special(path: str) -> bool:
    """Return whether a path names something that can only be read once, or without end: a named pipe, a device."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def split_model(
    words: Sequence[str], *, model_known: bool, local: bool, other_inputs: bool, own_server: bool = False
) -> tuple[str | None, list[str]]:
    """Separate the model from the inputs among the positional arguments.

    The first one names the model if no option does: a URL or user/app/models/model; with `--local` also the name of
    a built-in model; with a server of one's own also a bare id.

    Args:
        words: the positional arguments.
        model_known: an option names the model.
        local: the embedded server.
        other_inputs: options give inputs.
        own_server: the server is not the hosted API, so that an id says enough.

    Raises:
        click.UsageError: no model is named and the server has no default, two are named, or a name is nearly one.
    """
    rest = list(words)
    first = rest[0] if rest else ""
    refers = is_model_ref(first) and not exists(first)
    if model_known:
        if refers:
            raise click.UsageError(f"the model is named twice: by an option, and by {first}")
        return None, rest
    if refers or (is_url(first) and "/models" in first and not local):  # malformed: the library says in what way
        return first, rest[1:]
    if local:
        return _split_built_in(rest, other_inputs=other_inputs)
    if own_server and first and is_model_id(first):
        return first, rest[1:]
    raise click.UsageError(
        "which model? Give USER/APP/models/MODEL as the first word, --model_url, or --model_id with --user_id and "
        "--app_id; or --local for the embedded server"
    )


def _split_built_in(words: list[str], *, other_inputs: bool) -> tuple[str | None, list[str]]:
    first = words[0] if words else ""
    if not is_bare(first) or exists(first):
        return None, words
    known = built_in_names()
    if first in known:
        return first, words[1:]
    near = nearest(first, known)
    if near:
        raise click.UsageError(
            f"there is no model {first}; did you mean {near}? (headrace models lists all; a text? --bytes {first})"
        )
    if len(words) == 1 and other_inputs:
        raise click.UsageError(f"there is no model {first}; headrace models lists all (a text? --bytes {first})")
    return None, words


_SEPARATORS = ("/",) if os.sep == "/" else (os.sep, "/")


def _can_be_path(word: str) -> bool:
    return 0 < len(word) < _PATH_CHARACTERS and not any(c in word for c in "\n\r\0")


def _has_blank(word: str) -> bool:
    return any(c.isspace() for c in word)
