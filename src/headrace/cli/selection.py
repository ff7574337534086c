"""Choosing the files of folders and patterns: in a mixed folder those of one type, without our own output."""

from __future__ import annotations

import os
import re
from collections import Counter
from typing import TYPE_CHECKING

import click

from headrace import media
from headrace.cli import part as from_user
from headrace.cli import words
from headrace.cli.part import Part
from headrace.cli.run import say
from headrace.cli.terminal import counted
from headrace.inputs import shortened

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

#: The order in which types win if there are as many files of each; what people call one of them.
KINDS = {"image": "picture", "video": "video", "audio": "sound", "text": "text"}
_SAVED, _UNKNOWN = "saved", "unknown"
_OURS = re.compile(r"\d{6}-[a-z0-9-]+\.[a-z0-9]+|.*-(boxes|mask-\d\d-[a-z0-9-]+)\.png")


class Selection:
    """The inputs that positional words stand for, in the words' order; files of folders and patterns by name.

    A folder stands for its files of one type, its subfolders included, hidden ones left out. The words are looked at
    now, the files one by one later.

    Args:
        arguments: the words.
        kind: the type that the user named, None if they did not.

    Raises:
        click.UsageError: a missing file, a folder or pattern without a file.
    """

    def __init__(self, arguments: Sequence[str], kind: str | None) -> None:
        self._kind = kind
        self._parts = [_part(word, kind, position) for position, word in enumerate(arguments)]
        self.lone: bool = not any(isinstance(part, _Several) for part in self._parts)
        self.kinds: Counter[str] = Counter()  # how many inputs of each type, by the files' names
        for part in self._parts:
            if isinstance(part, Part):
                self.kinds[part.kind or ""] += 1
                continue
            counts = Counter(file_kind for _, file_kind in part)
            if not any(counts[name] for name in ([kind] if kind else [*KINDS, *part.otherwise])):
                raise click.UsageError(f"no {kind or 'known'} files in {part.word}")
            self.kinds.update({name: number for name, number in counts.items() if name in KINDS})

    def __len__(self) -> int:
        return len(self._parts)

    def inputs(self, kind: str | None) -> Iterator[Part]:
        """Yield the inputs; of folders and patterns the files of this type. Says first what is left out.

        Raises:
            click.UsageError: a folder or pattern has no file of this type.
        """
        if self._kind is None and not self.lone:
            self._say_what_is_left_out(kind)
        for part in self._parts:
            if isinstance(part, Part):
                yield part
                continue
            for path, file_kind in part:
                if file_kind == (kind or _UNKNOWN) and from_user.is_readable(path):
                    yield by_name(path, self._kind)

    def _say_what_is_left_out(self, kind: str | None) -> None:
        several = [part for part in self._parts if isinstance(part, _Several)]
        counts = Counter(file_kind for part in several for _, file_kind in part)
        taken = counts.pop(kind or _UNKNOWN, 0)
        if not taken:
            raise click.UsageError(f"no {KINDS.get(kind or '', 'file')} in {', '.join(part.word for part in several)}")
        rest = [counted(counts[name], noun) for name, noun in KINDS.items() if counts[name]]
        rest += [f"{counted(counts[_SAVED], 'file')} that --save wrote"] if counts[_SAVED] else []
        rest += [f"{counted(counts[_UNKNOWN], 'file')} of no known type"] if counts[_UNKNOWN] else []
        if rest:
            say(f"taking {counted(taken, KINDS.get(kind or '', 'file'))}; left out: {', '.join(rest)}")


class _Several:
    """The files of a folder or a pattern, each with its type by its name; looked for again by each iteration.

    Of a pattern, files of no known type are inputs too if no others are there, and all are of the type that the
    user named.
    """

    def __init__(self, word: str, kind: str | None) -> None:
        self.word = shortened(word)
        self._path = os.path.expanduser(word)
        self._kind = kind
        self._is_folder = words.is_folder(word)
        self.otherwise = () if self._is_folder else (_UNKNOWN,)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        if not self._is_folder:
            paths = from_user.matches(self._path)
            beside = _beside(paths)
            for path in paths:
                yield path, self._kind or _type(path, beside)
            return
        for root, folders, files in os.walk(self._path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            beside = _beside(files)
            for name in sorted(files):
                if not name.startswith("."):
                    yield os.path.join(root, name), _type(name, beside)


def _part(word: str, kind: str | None, position: int) -> Part | _Several:
    if words.is_folder(word) or (words.is_pattern(word) and not words.exists(word)):
        return _Several(word, kind)
    if words.exists(word):
        return by_name(os.path.expanduser(word), kind)
    return from_user.from_word(word, kind, position)


def _type(name: str, beside: Collection[str]) -> str:
    if _OURS.fullmatch(os.path.basename(name)) or (name.endswith(".json") and _stem(name) in beside):
        return _SAVED
    return media.kind_of_name(name) or _UNKNOWN


def _beside(names: Iterable[str]) -> set[str]:
    """Return the names, without extension, of the pictures, videos and sounds: JSON of the same name is about them."""
    return {_stem(name) for name in names if media.kind_of_name(name) not in (None, "text")}


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def by_name(path: str, kind: str | None) -> Part:
    """Take a file; a bad one among many fails alone, when it is read."""
    return Part("file", path, kind or kind_of_content(path) or media.kind_of_name(path), shortened(path))


def kind_of_content(path: str) -> str | None:
    """Return what a file holds by its first bytes, None if they don't show it or cannot be read."""
    if words.is_special(path):
        return None
    try:
        with open(path, "rb") as file:
            return media.kind(file.read(media.HEAD_BYTES))
    except (OSError, ValueError):
        return None


def most_frequent(kinds: Counter[str], fields: Iterable[str] | None = None) -> str | None:
    """Return the type that most inputs have (pictures first on a tie), among `fields` if any is; None of none."""
    order = list(KINDS)
    present = [kind for kind in order if kinds[kind]]
    if fields is not None:
        present = [kind for kind in present if kind in fields] or present
    return max(present, key=lambda kind: (kinds[kind], -order.index(kind)), default=None)
