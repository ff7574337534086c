"""Joining the parts of large messages in memory that is used again, for transports that take one object of bytes."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence

from headrace.transport.base import Buffer

MAX_KEPT_BYTES = 64 << 20  # bytes of all the memory that is kept between messages
IDLE = 1.0  # seconds without a message after which it is freed


class Joiner:
    """Joins parts; keeps some of the memory for the next message as long as they follow on each other.

    Fresh memory costs several times what the copying into it does: the system hands it out page by page, and takes it
    back as soon as it is free. Belongs to one event loop.
    """

    __slots__ = ("_spare", "_timer", "_used")

    def __init__(self) -> None:
        self._spare: list[io.BytesIO] = []
        self._timer: asyncio.TimerHandle | None = None
        self._used = False

    @property
    def kept_bytes(self) -> int:
        """Bytes that wait to be used again."""
        return sum(map(_size, self._spare))

    def join(self, parts: Sequence[Buffer], size: int) -> io.BytesIO:
        """Join parts of `size` bytes in all; `getvalue()` gives them without another copy.

        To be handed to `keep` when nobody needs that any more. Whoever still holds on to it is safe: a `BytesIO` does
        not write into bytes that it shares.
        """
        self._used = True
        memory = next((spare for spare in self._spare if _size(spare) >= size), None)
        if memory is not None:
            self._spare.remove(memory)
        else:
            del self._spare[:1]  # too small, and the new one takes its place
            memory = io.BytesIO(bytes(size))
        memory.seek(0)
        for part in parts:
            memory.write(part)
        memory.truncate()
        return memory

    def keep(self, memory: io.BytesIO) -> None:
        """Take memory back for the next message."""
        if self.kept_bytes + _size(memory) <= MAX_KEPT_BYTES:
            self._spare.append(memory)
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(IDLE, self._look)

    def close(self) -> None:
        """Let go of everything."""
        self._spare.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._used and self._spare:
            self._used = False
            self._timer = asyncio.get_running_loop().call_later(IDLE, self._look)
        else:
            self._spare.clear()


def _size(memory: io.BytesIO) -> int:
    return memory.seek(0, io.SEEK_END)  # not by its buffer, which takes a copy of what is shared
