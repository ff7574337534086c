"""Lines as inputs of `headrace stream`, from a list or from stdin, one at a time and never all in memory."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING

from headrace.cli import part as from_user
from headrace.cli import words
from headrace.cli.part import Part
from headrace.cli.selection import by_name
from headrace.sources.lines import LINE_BYTES, LineSplitter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_CHUNK_BYTES = 1 << 16


def from_line(line: str | None, kind: str | None, position: int) -> Part:
    """Read one line of a list: a URL, an existing file, else text; with another type than text, a file in any case."""
    if line is None:
        return Part("data", b"", kind, f"text {position + 1}", f"the line is longer than {LINE_BYTES >> 20} MiB")
    if words.is_url(line):
        return from_user.from_url(line, kind)
    if kind not in (None, "text") or (kind is None and (words.is_named_as_path(line) or os.path.isfile(line))):
        return by_name(line, kind)
    return from_user.from_text(line, "text", position)


async def lines(descriptor: int, *, ahead: int = 64) -> AsyncIterator[tuple[int, str | None]]:
    """Read lines from a file descriptor as they come, with their numbers from 0; the event loop never waits for it.

    Blank ones are left out; one that is too long is None.

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
            except RuntimeError:  # the loop is closed
                return
            if not chunk or isinstance(chunk, OSError):
                return

    threading.Thread(target=read, name="stdin", daemon=True).start()
    splitter = LineSplitter()
    number = 0
    while True:
        chunk = await chunks.get()
        room.release()
        if isinstance(chunk, OSError):
            raise chunk
        for line in splitter.feed(chunk) if chunk else splitter.end():
            if line is None or line.strip():
                yield number, _text(line)
            number += 1
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
