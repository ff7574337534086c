"""The inputs of `headrace stream`: files, folders, globs, URLs and lines, one at a time and never all in memory."""

from __future__ import annotations

import asyncio
import glob
import itertools
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace import media
from headrace.cli import given as g
from headrace.cli.given import Given

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
    path = Path(word).expanduser()
    if g.is_url(word):
        return [g.from_url(word, kind)]
    if is_folder(word):
        return _nonempty(_folder(path, kind), f"no {kind or 'known'} files in {word}")
    if g.exists(word):
        return _later(str(path), kind)
    if is_glob(word):
        paths = sorted(found for found in glob.iglob(str(path), recursive=True) if os.path.isfile(found))
        return _nonempty((by_name(found, kind) for found in paths), f"no file matches {word}")
    if "/" in word and not any(c.isspace() for c in word):  # a stream's words are paths sooner than texts
        what = "folder" if word.endswith("/") else "file" if media.kind_of_name(word) else "file or folder"
        raise click.UsageError(f"missing {what}: {word}")
    return [g.from_word(word, kind, position)]  # missing, or a text


def _later(path: str, kind: str | None) -> Iterator[Given]:
    yield by_name(path, kind)


def is_folder(word: str) -> bool:
    """Tell whether a word is an existing folder."""
    return g.exists(word) and Path(word).expanduser().is_dir()


def is_glob(word: str) -> bool:
    """Tell whether a word is a pattern of file names; a lone question is not."""
    if any(c.isspace() for c in word):
        return False
    return "*" in word or (any(c in word for c in "?[") and g.looks_like_file(word))


def from_line(line: str, kind: str | None, position: int) -> Given:
    """Read one line of a list: a URL, an existing file, else text; with another type than text, a file in any case."""
    if g.is_url(line):
        return g.from_url(line, kind)
    if kind not in (None, "text") or (kind is None and (g.looks_like_file(line) or Path(line).is_file())):
        return by_name(line, kind)
    return g.from_text(line, "text", position)


def by_name(path: str, kind: str | None) -> Given:
    """Take a file; a bad one among many fails alone, when it is read."""
    return Given("file", path, kind or _by_content(path) or media.kind_of_name(path), path)


def _by_content(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            return media.kind(file.read(media.HEAD_BYTES))
    except OSError:
        return None


def _folder(folder: Path, kind: str | None) -> Iterator[Given]:
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            known = media.kind_of_name(name)
            if not name.startswith(".") and (known == kind if kind else known is not None):
                yield by_name(os.path.join(root, name), kind)


def _nonempty(items: Iterator[Given], message: str) -> Iterable[Given]:
    first = next(items, None)
    if first is None:
        raise click.UsageError(message)
    return itertools.chain([first], items)


async def lines(descriptor: int, *, ahead: int = 64) -> AsyncIterator[str]:
    """Read lines from a file descriptor as they come, blank ones left out; the event loop never waits for it.

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
    rest = b""
    while True:
        chunk = await chunks.get()
        room.release()
        if isinstance(chunk, OSError):
            raise chunk
        if not chunk:
            break
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line.strip():
                yield os.fsdecode(line.removesuffix(b"\r"))
    if rest.strip():
        yield os.fsdecode(rest.removesuffix(b"\r"))
