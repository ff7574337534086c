"""Reading a file once, directly into the message: behind the bytes that precede it there.

gRPC takes a message as one buffer, so a file that is read separately has to be copied behind its head. It
is read, not mapped: the pages of a mapped file count as the process's memory as well, and one that is
truncated while it is sent kills the process (SIGBUS).
"""

from __future__ import annotations

import asyncio
import io
import os
import stat
from collections.abc import Callable
from typing import Any

from headrace.support.threads import in_thread

PIECE = 1 << 20  # bytes per read if the size is unknown
_NO_WAITING = getattr(os, "O_NONBLOCK", 0)  # opening a named pipe would wait for a writer

#: Gives the bytes that go before a file of so many bytes.
Head = Callable[[int], bytes]


class TooLarge(Exception):
    """A file has more bytes than allowed; `size` is None if it was not read to its end."""

    def __init__(self, size: int | None) -> None:
        super().__init__(size)
        self.size = size


def file_size(file: Any) -> int | None:
    """Count the remaining bytes of an open binary file; None if it is not a file of the system. Blocking.

    Raises:
        OSError, ValueError: it is closed.
    """
    raw = file.raw if isinstance(file, io.BufferedReader) else file
    if not isinstance(raw, io.FileIO):
        return None
    size = plain_size(os.fstat(raw.fileno()))
    return max(0, size - file.tell()) if size else 0


def plain_size(status: os.stat_result) -> int:
    """Count the bytes of a file by its status; 0 if the system doesn't know before it is read."""
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


class FileBuffer:
    """Memory for a message that ends with a file's bytes.

    Make it in the thread that frees it: allocators keep freed memory for the thread that allocated it.

    Args:
        head: the bytes that go before.
        size: of the file.

    Attributes:
        payload: the file's bytes, once `read` has filled it.
        message: `head` and the payload in one piece of memory; None if the file had not `size` bytes.
    """

    __slots__ = ("_memory", "_start", "message", "payload")

    def __init__(self, head: bytes, size: int) -> None:
        self._memory: io.BytesIO | None = None
        if size:
            self._memory = io.BytesIO(bytes(len(head) + size))  # a BytesIO writes into its bytes object in place
            self._memory.write(head)
        self._start = len(head)
        self.payload: bytes | memoryview = b""
        self.message: bytes | None = None

    def read(self, file: Any, limit: int | None = None) -> None:
        """Read an open file from its position to its end. Blocking.

        Raises:
            TooLarge: it has more than `limit` bytes.
            OSError, ValueError: it cannot be read.
        """
        memory, self._memory = self._memory, None
        if memory is None:
            self.payload = _rest(file, [], limit)
            return
        with memory.getbuffer() as view:
            at, number = self._start, 1
            while at < len(view) and number:
                with view[at:] as rest:
                    number = file.readinto(rest) or 0
                at += number
        message = memory.getvalue()  # not a copy
        if at < len(message):  # it is shorter now
            self.payload = message[self._start : at]
        elif more := file.read(1):
            self.payload = _rest(file, [memoryview(message)[self._start :], more], limit)
        else:
            self.message = message
            self.payload = memoryview(message)[self._start :] if self._start else message


def _rest(file: Any, pieces: list[bytes | memoryview], limit: int | None) -> bytes:
    total = sum(map(len, pieces))
    while limit is None or total <= limit:
        piece = file.read(PIECE if limit is None else min(PIECE, limit + 1 - total))
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)
        total += len(piece)
    raise TooLarge(None)


async def read_path(path: os.PathLike[str], limit: int, head: Head) -> FileBuffer:
    """Read a file of the system; a cancelled caller does not wait for a slow disk.

    A named pipe is read to its end, once somebody writes to it.

    Raises:
        TooLarge: it has more than `limit` bytes.
        OSError, ValueError: it cannot be read, or is not a path at all.
    """
    file, status = await in_thread(_open, path, discard=_close)
    if stat.S_ISFIFO(status.st_mode):
        with file:
            buffer = FileBuffer(b"", 0)
            buffer.payload = await _read_pipe(file, limit)
            return buffer
    try:
        size = plain_size(status)
        if size > limit:
            raise TooLarge(size)
        buffer = FileBuffer(head(size), size)
    except BaseException:
        file.close()
        raise
    await in_thread(_read_and_close, buffer, file, limit)
    return buffer


async def read_open(file: Any, head: Head) -> Any:
    """Read an open binary file from its position: a `FileBuffer`, or what another object's `read` returns.

    Raises:
        Exception: what the file raises.
    """
    remaining = await in_thread(file_size, file)
    if remaining is None:
        return await in_thread(file.read)
    buffer = FileBuffer(head(remaining), remaining)
    await in_thread(buffer.read, file)
    return buffer


def _open(path: os.PathLike[str]) -> tuple[io.FileIO, os.stat_result]:
    file = io.FileIO(path, "rb", opener=lambda name, flags: os.open(name, flags | _NO_WAITING))
    try:
        status = os.fstat(file.fileno())
        if _NO_WAITING and not stat.S_ISFIFO(status.st_mode):
            os.set_blocking(file.fileno(), True)
    except BaseException:
        file.close()
        raise
    return file, status


def _close(opened: tuple[io.FileIO, os.stat_result]) -> None:
    opened[0].close()


def _read_and_close(buffer: FileBuffer, file: io.FileIO, limit: int) -> None:
    with file:
        buffer.read(file, limit)


async def _read_pipe(file: io.FileIO, limit: int) -> bytes:
    """Read a named pipe when the event loop reports data, so that no thread waits for its writer."""
    loop, pieces, total = asyncio.get_running_loop(), list[bytes](), 0
    while total <= limit:
        await _readable(loop, file.fileno())
        piece = file.read(PIECE)
        if piece is None:
            continue  # somebody else was quicker
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)
        total += len(piece)
    raise TooLarge(None)


async def _readable(loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
    """Wait until a descriptor has something, or its end."""
    waiter = loop.create_future()

    def wake() -> None:
        if not waiter.done():
            waiter.set_result(None)

    loop.add_reader(descriptor, wake)
    try:
        await waiter
    finally:
        loop.remove_reader(descriptor)


class View(io.RawIOBase):
    """A file over memory that is not copied, for readers of its first bytes."""

    def __init__(self, memory: bytes | bytearray | memoryview) -> None:
        self._memory = memoryview(memory)
        self._at = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a place."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: len(self._memory)}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer."""
        data = self._memory[self._at : self._at + len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
