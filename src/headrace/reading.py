"""Reading a file once, by aiofiles, to where it is sent from: behind the bytes that go before it in the message.

gRPC takes a message as one piece of memory, so that a file which is read by itself has to be copied behind its head. It
is read rather than mapped: the pages of a mapped file count as the process's memory all the same, and one that is
truncated while it is sent kills the process (SIGBUS).
"""

from __future__ import annotations

import io
import os
import stat
from typing import Any, Protocol

PIECE = 1 << 20  # bytes that are read at a time where nobody knows how many come


class AsyncFile(Protocol):
    """What aiofiles gives for a binary file: its operations, in worker threads."""

    async def read(self, size: int, /) -> bytes:
        """Read at most so many bytes; b"" at the end."""

    async def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill a buffer; give the number of bytes, 0 at the end."""


class TooLarge(Exception):
    """A file has more bytes than allowed: so many, or None where it was not read to its end."""

    def __init__(self, size: int | None) -> None:
        super().__init__(size)
        self.size = size


def file_size(file: Any) -> int | None:
    """Tell the bytes that are left in an open binary file; None where it is no file of the system. Blocking.

    Raises:
        OSError, ValueError: it is closed.
    """
    raw = file.raw if isinstance(file, io.BufferedReader) else file
    if not isinstance(raw, io.FileIO):
        return None
    size = plain_size(os.fstat(raw.fileno()))
    return max(0, size - file.tell()) if size else 0


def plain_size(status: os.stat_result) -> int:
    """Tell the bytes of a file by its status; 0 where the system doesn't know before it is read."""
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


class Room:
    """Memory for a message that ends with a file's bytes.

    To be made in the thread that lets go of it: what a thread allocates, its allocator keeps for that thread.

    Args:
        head: the bytes that go before.
        size: of the file.

    Attributes:
        payload: the file's bytes, once `read` has filled it.
        message: `head` and the payload in one piece of memory; None where the file had not `size` bytes.
    """

    __slots__ = ("_memory", "_start", "message", "payload")

    def __init__(self, head: bytes, size: int) -> None:
        self._memory: io.BytesIO | None = None
        if size:
            self._memory = io.BytesIO(bytes(len(head) + size))  # a BytesIO fills its object of bytes where it is
            self._memory.write(head)
        self._start = len(head)
        self.payload: bytes | memoryview = b""
        self.message: bytes | None = None

    async def read(self, file: AsyncFile, most: int | None = None) -> None:
        """Read an open file from where it is to its end, in a worker thread.

        Raises:
            TooLarge: it has more than `most` bytes.
            OSError, ValueError: it cannot be read.
        """
        memory, self._memory = self._memory, None
        if memory is None:
            self.payload = await _rest(file, [], most)
            return
        with memory.getbuffer() as view:
            at, number = self._start, 1
            while at < len(view) and number:
                rest = view[at:]
                number = await file.readinto(rest) or 0
                rest.release()  # the thread may keep it a little longer, and memory that is looked at is copied below
                at += number
        message = memory.getvalue()  # not a copy
        if at < len(message):  # it is shorter now
            self.payload = message[self._start : at]
        elif more := await file.read(1):
            self.payload = await _rest(file, [memoryview(message)[self._start :], more], most)
        else:
            self.message = message
            self.payload = memoryview(message)[self._start :] if self._start else message


async def _rest(file: AsyncFile, pieces: list[bytes | memoryview], most: int | None) -> bytes:
    total = sum(map(len, pieces))
    while most is None or total <= most:
        piece = await file.read(PIECE if most is None else min(PIECE, most + 1 - total))
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)
        total += len(piece)
    raise TooLarge(None)


class View(io.RawIOBase):
    """A file over memory that is not copied, for those who look at its first bytes."""

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
        found = self._memory[self._at : self._at + len(buffer)]
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)
