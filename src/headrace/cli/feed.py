"""The inputs of `headrace stream`: files, folders, globs, URLs and lines, one at a time and never all in memory."""

from __future__ import annotations

import asyncio
import glob
import itertools
import os
import threading
from typing import TYPE_CHECKING

import click

from headrace import media
from headrace.cli import given as g
from headrace.cli.given import Given
from headrace.cli.run import say
from headrace.inputs import shortened
from headrace.sources.lines import LINE_BYTES, LineSplitter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

_CHUNK_BYTES = 1 << 16


def expand(words: Sequence[str], kind: str | None) -> Iterator[Given]:
    """Give the inputs that positional arguments stand for, in their order; folders and globs sorted by name.

    A folder gives its files of the input type (of any known type where none is given), its subfolders included,
    hidden ones left out. All arguments are looked at now, their files one by one later.

    Raises:
        click.UsageError: a missing file, a folder or glob without a matching file.
    """
    return itertools.chain.from_iterable([_expand(word, kind, position) for position, word in enumerate(words)])


def _expand(word: str, kind: str | None, position: int) -> Iterable[Given]:
    path = os.path.expanduser(word)
    if g.is_url(word):
        return [g.from_url(word, kind)]
    if is_folder(word):
        return _nonempty(_folder(path, kind), f"no {kind or 'known'} files in {word}")
    if g.exists(word):
        return _later(path, kind)
    if is_glob(word):
        paths = sorted(found for found in glob.iglob(path, recursive=True) if _readable(found))
        return _nonempty((by_name(found, kind) for found in paths), f"no file matches {word}")
    if "/" in word and not any(c.isspace() for c in word):  # a stream's words are paths sooner than texts
        what = "folder" if word.endswith("/") else "file" if media.kind_of_name(word) else "file or folder"
        raise click.UsageError(f"missing {what}: {word}")
    return [g.from_word(word, kind, position)]  # missing, or a text


def _later(path: str, kind: str | None) -> Iterator[Given]:
    yield by_name(path, kind)


def is_folder(word: str) -> bool:
    """Tell whether a word is an existing folder."""
    return bool(word) and os.path.isdir(os.path.expanduser(word))


def is_glob(word: str) -> bool:
    """Tell whether a word is a pattern of file names; a lone question is not."""
    if any(c.isspace() for c in word):
        return False
    return "*" in word or (any(c in word for c in "?[") and g.looks_like_file(word))


def from_line(line: str | None, kind: str | None, position: int) -> Given:
    """Read one line of a list: a URL, an existing file, else text; with another type than text, a file in any case."""
    if line is None:
        return Given("data", b"", kind, f"text {position + 1}", f"the line is longer than {LINE_BYTES >> 20} MiB")
    if g.is_url(line):
        return g.from_url(line, kind)
    if kind not in (None, "text") or (kind is None and (g.looks_like_file(line) or os.path.isfile(line))):
        return by_name(line, kind)
    return g.from_text(line, "text", position)


def by_name(path: str, kind: str | None) -> Given:
    """Take a file; a bad one among many fails alone, when it is read."""
    return Given("file", path, kind or _by_content(path) or media.kind_of_name(path), shortened(path))


def _readable(path: str) -> bool:
    """Tell whether what was found is a file; what nobody named and cannot be read to an end is left out, aloud."""
    if g.is_special(path):
        say(f"{path} is a pipe, a socket or a device: left out (name it to read it)")
        return False
    return os.path.isfile(path)


def _by_content(path: str) -> str | None:
    if g.is_special(path):
        return None
    try:
        with open(path, "rb") as file:
            return media.kind(file.read(media.HEAD_BYTES))
    except (OSError, ValueError):
        return None


def _folder(folder: str, kind: str | None) -> Iterator[Given]:
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            known = media.kind_of_name(name)
            if name.startswith(".") or not (known == kind if kind else known is not None):
                continue
            if _readable(path := os.path.join(root, name)):
                yield by_name(path, kind)


def _nonempty(items: Iterator[Given], message: str) -> Iterable[Given]:
    first = next(items, None)
    if first is None:
        raise click.UsageError(message)
    return itertools.chain([first], items)


async def lines(descriptor: int, *, ahead: int = 64) -> AsyncIterator[str | None]:
    """Read lines from a file descriptor as they come, blank ones left out; the event loop never waits for it.

    One that is too long is None.

    A thread reads, at most `ahead` chunks more than were taken. It is a daemon on the bare descriptor, so that neither
    Ctrl-C nor the end of the process waits for somebody to press Enter.
    """
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[bytes | OSError] = asyncio.Queue()
    room = threading.Semaphore(ahead)

    def read() -> None:
        while room.acquire():
            try:
                chunk: bytes | OSError = os.read(descriptor, _CHUNK_BYTES)
            except OSError as error:
                chunk = error
            try:
                loop.call_soon_threadsafe(chunks.put_nowait, chunk)
            except RuntimeError:  # the loop is closed: nobody wants lines any more
                return
            if not chunk or isinstance(chunk, OSError):
                return

    threading.Thread(target=read, name="stdin", daemon=True).start()
    splitter = LineSplitter()
    while True:
        chunk = await chunks.get()
        room.release()
        if isinstance(chunk, OSError):
            raise chunk
        for line in splitter.feed(chunk) if chunk else splitter.end():
            if line is None or line.strip():
                yield _text(line)
        if not chunk:
            return


def lines_of_file(path: str) -> Iterator[tuple[int, str | None]]:
    """Read the lines of a list file with their numbers from 0, blank ones left out; one that is too long is None."""
    splitter = LineSplitter()
    number = 0
    with open(path, "rb") as file:
        chunk = b"\n"
        while chunk:
            chunk = file.read(_CHUNK_BYTES)
            for line in splitter.feed(chunk) if chunk else splitter.end():
                if line is None or line.strip():
                    yield number, _text(line)
                number += 1


def _text(line: bytes | None) -> str | None:
    return None if line is None else os.fsdecode(line.removesuffix(b"\r"))
